"""The flow as a picture: one network and one fault map through every world, as SVG."""

from collections.abc import Collection

from .html import Raw

_W, _H = 116, 44
_STEPS = (
    ("data", "images, hash"),
    ("train", "under flips"),
    ("QONNX", "exported"),
    ("network", "exact integers"),
)
_WORLDS = ("golden", "engine", "torch", "onnx", "rtl", "virtual board")


def flow_svg(here: Collection[str]) -> Raw:
    """The picture; a world that no result names is dashed.

    Args:
        here: names of the worlds that took part.
    """
    worlds = [_box(640, 8 + 52 * i, w, "scores", w not in here) for i, w in enumerate(_WORLDS)]
    middle = 8 + 52 * 2.5
    steps = [_box(4 + 150 * i, middle, *step) for i, step in enumerate(_STEPS)]
    arrows = [_arrow(4 + 150 * i + _W, middle + _H / 2, 4 + 150 * (i + 1)) for i in range(3)]
    fans = [
        f'<path d="M{454 + _W} {middle + _H / 2} C 605 {middle + _H / 2}, 600 {y + _H / 2}, '
        f'636 {y + _H / 2}" marker-end="url(#flow-head)"/>'
        for y in (8 + 52 * i for i in range(len(_WORLDS)))
    ]
    fault = _box(454, middle + 96, "fault map", "bank, address, bit", kind="map")
    inject = (
        f'<path class="map" d="M{454 + _W / 2} {middle + 96} V {middle + _H + 6}" '
        'marker-end="url(#flow-head-map)"/>'
    )
    fans += [
        f'<path d="M{640 + _W} {y + _H / 2} C 790 {y + _H / 2}, 780 {middle + _H / 2}, '
        f'806 {middle + _H / 2}" marker-end="url(#flow-head)"/>'
        for y in (8 + 52 * i for i in range(len(_WORLDS)))
    ]
    compare = _box(810, middle, "compare", "every score")
    heads = "".join(
        f'<marker id="flow-head{suffix}" class="{name}" viewBox="0 0 8 8" refX="7" refY="4" '
        f'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker>'
        for suffix, name in (("", "plain"), ("-map", "map"))
    )
    label = "Data, training, QONNX, integer network; with one fault map through every world"
    return Raw(
        f'<svg class="flow" role="img" aria-label="{label}" viewBox="0 0 930 330" width="930">'
        f"<defs>{heads}</defs>{''.join((*arrows, *fans, inject, *steps, *worlds, fault, compare))}"
        "</svg>"
    )


def _box(x: float, y: float, title: str, note: str, is_absent: bool = False, kind: str = "") -> str:
    classes = f"{kind} {'absent' if is_absent else ''}".strip()
    return (
        f'<rect class="{classes}" x="{x}" y="{y}" width="{_W}" height="{_H}" rx="6"/>'
        f'<text x="{x + _W / 2}" y="{y + 19}" text-anchor="middle">{title}</text>'
        f'<text class="small" x="{x + _W / 2}" y="{y + 35}" text-anchor="middle">{note}</text>'
    )


def _arrow(x: float, y: float, to: float) -> str:
    return f'<path d="M{x} {y} H {to - 4}" marker-end="url(#flow-head)"/>'
