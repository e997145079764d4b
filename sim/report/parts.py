"""What the sections of the page have in common."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from .figures import inline_svg
from .html import Raw, element, percent

NOTE = "note"


def section(title: str, *inside: Raw | None) -> Raw:
    """A section; what is None is left out."""
    return element("section", element("h2", title), *(part for part in inside if part))


def missing(what: str, command: str) -> Raw:
    """Says what is not there yet and which command makes it."""
    return element("p", f"No {what} yet: ", element("code", command), class_="missing")


def note(text: str) -> Raw:
    """Small print."""
    return element("p", text, class_=NOTE)


def drawn(figure: Figure, name: str, title: str) -> Raw:
    """A figure in the page."""
    return Raw(inline_svg(figure, name, title))


def count(n: int) -> Raw:
    """A number that should be 0."""
    return element("span", n, class_="bad" if n else "good")


def seeds(found: Any) -> str:
    """Seeds of a result, for people.

    >>> seeds([1, 2]), seeds({"chips": 0, "training": {"sfc": 1}})
    ('1, 2', 'chips 0, training sfc 1')
    """
    if isinstance(found, dict):
        return ", ".join(f"{name} {seeds(value)}" for name, value in found.items())
    if isinstance(found, list):
        return ", ".join(map(seeds, found)) or "none"
    return "none" if found is None else str(found)


def rates(values: Mapping[str, Any]) -> str:
    """Error rates of a fault map or a point, for people."""
    if "p01" not in values:
        return str(values.get("model", "no faults"))
    p01, p10 = (f"{100 * values[name]:g}" for name in ("p01", "p10"))
    return f"{p01} %" if p01 == p10 else f"p01 {p01} %, p10 {p10} %"


def what_was_run(values: Mapping[str, Any]) -> str:
    """One paragraph on a campaign."""
    methods = sorted({p["method"] for p in values["points"]})
    return (
        f"{values['n_rows']} runs of {values['n_images']:,} images of {values['images']} on "
        f"{values['device']}; seeds {seeds(values['seeds'])}. The "
        f"same chips are drawn at every rate, and their faults nest. "
        f"Intervals: 95 %, {'; '.join(methods)}."
    )


def point_row(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point of a campaign as a row of its table."""
    told = {"model": "errors", "place": "victims", "protection": "protection"}
    return {
        "network": point["network"],
        **{title: point[name] or "all" for name, title in told.items() if name in point},
        **({"provisional": point["provisional"] or "no"} if "provisional" in point else {}),
        "p01 %": f"{100 * point['p01']:g}",
        "p10 %": f"{100 * point['p10']:g}",
        "chips": point["n_chips"],
        "mean": percent(point["mean"]),
        "95 % low": percent(point["low"]),
        "95 % high": percent(point["high"]),
        "std": percent(point["std"]),
        "5 % quantile": percent(point["q05"]),
        "worst": percent(point["minimum"]),
    }
