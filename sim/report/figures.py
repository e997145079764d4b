"""Figures: accuracy over bit error rate, where faults sat in memory, resources of a device."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap

INK, LINE = "#1b2430", "#d5dbe3"
SERIES = ("#0a66c2", "#c2500a", "#3c7d22", "#8a3fb0")
STYLES = ("-", "--", ":", "-.")
# In the page these colours become variables, so that the figures follow its light or dark scheme.
VARIABLES = {INK: "currentColor", LINE: "var(--line)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)
}
STYLE: dict[Any, Any] = {
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "stoic",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
FORMATS = (".svg", ".png", ".pdf")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


_LINE = ("network", "device", "model", "place", "protection")
"""What makes two points belong to two lines, where the points say it."""


def accuracy_figure(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean accuracy over bit error rate, with the interval of the mean as band.

    One line for each network, device, error model, part of the memory and protection. A line that
    rests on numbers without a source is called provisional.

    Args:
        points: as `points.point_rows` gives them. Independent errors with p01 != p10 are drawn
            apart, and points without errors belong to every line of their network.
    """
    with matplotlib.rc_context(STYLE):
        lines = _lines(points)
        figure = _figure(7.2, 3.8 + 0.11 * len(lines))  # the legend has two columns
        ax = figure.subplots()
        for i, (label, own) in enumerate(lines):
            colour = SERIES[i % len(SERIES)]
            even = [p for p in own if p["p01"] == p["p10"] or p.get("model") not in (None, "iid")]
            odd = [p for p in own if p not in even]
            if even:
                _line(ax, even, colour, label, STYLES[i // len(SERIES) % len(STYLES)])
            if odd:
                _dots(ax, odd, colour, f"{label}, p01 ≠ p10")
        ax.set_xlabel("bit error rate of the stored bits, (p01 + p10) / 2, %")
        ax.set_ylabel("accuracy, %")
        ax.set_xlim(left=-0.15)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _lines(
    points: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """(label, points in order of their rate) of each line; the label says in what lines differ."""
    lines: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for p in points:
        if p.get("model") != "none":
            lines.setdefault(tuple(str(p.get(k, "")) for k in _LINE), []).append(p)
    for p in (p for p in points if p.get("model") == "none"):
        key = tuple(str(p.get(k, "")) for k in _LINE)
        own = [k for k in lines if (*k[:2], k[4]) == (*key[:2], key[4])]
        for line in own or [key]:
            lines.setdefault(line, []).append(p)
    differ = [k for k in range(1, len(_LINE)) if len({line[k] for line in lines}) > 1]
    found = []
    for line, of_line in lines.items():
        label = " on ".join(line[:2]) if 1 in differ else line[0]
        label = ", ".join([label, *(line[k] or "all layers" for k in differ if k > 1)])
        if any(p.get("provisional") for p in of_line):
            label += " (provisional)"
        found.append((label, sorted(of_line, key=_ber)))
    return found


def _ber(point: Mapping[str, Any]) -> float:
    return float(point["ber"])


def _arrays(points: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float64], ...]:
    """Rate, mean, low and high in percent; an interval that is not known has no width."""
    values = [
        (p["ber"], p["mean"], *(p["mean"] if p[e] is None else p[e] for e in ("low", "high")))
        for p in points
    ]
    return tuple(100 * np.array(values, np.float64).T)


def _line(
    ax: Axes, points: Sequence[Mapping[str, Any]], colour: str, label: str, style: str
) -> None:
    x, mean, low, high = _arrays(points)
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.errorbar(x, mean, (mean - low, high - mean), color=colour, lw=0, elinewidth=1, capsize=2)
    ax.plot(x, mean, style, marker="o", color=colour, label=label, linewidth=1.8, markersize=4)


def _dots(ax: Axes, points: Sequence[Mapping[str, Any]], colour: str, label: str) -> None:
    x, mean, low, high = _arrays(points)
    error = (mean - low, high - mean)
    ax.errorbar(
        x, mean, error, color=colour, fmt="D", mfc="none", label=label, capsize=2, elinewidth=1
    )


def memory_figure(faults: FaultMap) -> Figure:
    """Where the faults of the weight memories sat: by bank and address, and by bank and bit.

    A row is a bank; a stronger colour means more faulty cells in a word, or at a bit position.
    """
    layout = faults.layout
    faulty = (faults.cells("flip") | faults.cells("stuck0") | faults.cells("stuck1")).astype(bool)
    layers = range(len(layout.shapes))
    heights = [max(0.45, 0.055 * layout.folds[i].pe) for i in layers]
    shade = LinearSegmentedColormap.from_list("faults", [(*_rgb(SERIES[0]), a) for a in (0.0, 1.0)])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = _figure(7.6, sum(heights) + 0.62 * len(heights) + 0.3)
        axes = figure.subplots(
            len(heights), 2, squeeze=False, height_ratios=heights, width_ratios=(3, 1)
        )
        for i in layers:
            banks = [b for b in layout.banks if b.layer == i and b.kind == "weights"]
            cells = np.array(
                [
                    faulty[b.first_cell : b.first_cell + b.n_words * b.width].reshape(-1, b.width)
                    for b in banks
                ]
            )  # (bank, address, bit)
            for ax, counts, what in (
                (axes[i, 0], cells.sum(2), "address"),
                (axes[i, 1], cells.sum(1), "bit"),
            ):
                ax.imshow(counts, aspect="auto", cmap=shade, vmin=0, interpolation="nearest")
                ax.set_yticks([0, len(banks) - 1] if len(banks) > 1 else [0])
                ax.set_xlabel(what, fontsize=8, labelpad=1)
                ax.tick_params(labelsize=8, length=2)
            size = f"{banks[0].n_words} x {banks[0].width} bits"
            n_banks = f"{len(banks)} bank{'s' * (len(banks) > 1)}"
            axes[i, 0].set_title(f"layer {i}: {n_banks} of {size}, {int(cells.sum())} faulty cells")
            axes[i, 0].set_ylabel("bank", fontsize=8)
    return figure


def heat_figure(heat: Mapping[str, Any]) -> Figure:
    """Signed values of rows x columns: blue above zero, orange below, each with its number.

    Args:
        heat: title, rows, columns, values and is_marked (rows, columns), JSON values.
    """
    values = np.array(heat["values"], np.float64)
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    ends = [(*_rgb(SERIES[1]), 0.8), (1.0, 1.0, 1.0, 0.0), (*_rgb(SERIES[0]), 0.8)]
    shade = LinearSegmentedColormap.from_list("signed", ends)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = _figure(2 + 0.75 * len(heat["columns"]), 1.4 + 0.34 * len(heat["rows"]))
        ax = figure.subplots()
        ax.imshow(values, aspect="auto", cmap=shade, vmin=-most, vmax=most)
        ax.set_xticks(range(len(heat["columns"])), heat["columns"], rotation=30, ha="right")
        ax.set_yticks(range(len(heat["rows"])), heat["rows"])
        for (row, column), value in np.ndenumerate(values):
            mark = "*" if heat["is_marked"][row][column] else ""
            ax.text(column, row, f"{value:+.2f}{mark}", ha="center", va="center", fontsize=8)
        ax.set_title(heat["title"])
    return figure


def front_figure(
    groups: Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]],
) -> Figure:
    """Mean accuracy over stored-bit overhead, a panel a condition, protections by number.

    Those of the front are filled and joined; those far below it lie on the edge as triangles.

    Args:
        groups: condition -> all of its points, and those of its front by overhead.
    """
    n_columns = 3
    n_rows = -(-len(groups) // n_columns)
    every = [p["protection"] for points, _ in groups.values() for p in points]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(every), 1)}
    n_lines = -(-len(numbers) // 2)
    with matplotlib.rc_context({**STYLE, "font.size": 8, "axes.titlesize": 8.5}):
        figure = _figure(8.4, 2.5 * n_rows + 0.17 * n_lines)
        axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax, (name, (points, front)) in zip(axes, groups.items(), strict=False):
            means = [100 * p["mean"] for p in front]
            floor = min(means) - max(1.0, 0.6 * (max(means) - min(means)))
            for p in sorted(points, key=lambda p: p in front):  # the front on top
                is_best = p in front
                x, y, low, high = (
                    100 * (p["mean"] if p[e] is None else p[e])
                    for e in ("overhead", "mean", "low", "high")
                )
                style = {"color": SERIES[not is_best], "mfc": SERIES[0] if is_best else "none"}
                if y < floor:
                    ax.plot(x, floor, "v", ms=4, **style)
                else:
                    error = ([y - max(low, floor)], [high - y])
                    ax.errorbar(x, y, error, fmt="o", ms=4, elinewidth=1, **style)
                number = ax.annotate(
                    str(numbers[p["protection"]]),
                    (x, max(y, floor)),
                    (4, 3),
                    textcoords="offset points",
                    fontsize=6.5,
                    color=style["color"],
                    weight="bold" if is_best else "normal",
                )
                number.set_in_layout(False)
            x = [100 * p["overhead"] for p in front]
            ax.step(x, means, where="post", color=SERIES[0], linewidth=1.2)
            ax.set_title(name)
            ax.margins(x=0.08, y=0.1)
        for ax in axes[len(groups) :]:
            ax.set_visible(False)
        figure.supylabel("accuracy, %")
        handles = [Line2D([], [], lw=0, label=f"{i}  {name}") for name, i in numbers.items()]
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=2,
            fontsize=7.5,
            handlelength=0,
            handletextpad=0,
            title="stored bits besides the network's own, %",
        )
    return figure


def resource_figure(shares: Mapping[str, tuple[int, int]]) -> Figure:
    """Bars of what is used against what the device has.

    Args:
        shares: name -> (used, available).
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = _figure(6.4, 0.5 + 0.42 * len(shares))
        ax = figure.subplots()
        for i, (used, available) in enumerate(shares.values()):
            share = 100 * used / available
            ax.barh(i, 100, color=LINE, height=0.55)
            ax.barh(i, share, color=SERIES[0], height=0.55)
            ax.text(101.5, i, f"{used} of {available} ({share:.0f} %)", va="center")
        ax.set_yticks(range(len(shares)), list(shares))
        ax.set_xlim(0, 145)
        ax.set_xticks([])
        ax.invert_yaxis()
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.tick_params(length=0)
    return figure


def check_format(path: Path) -> None:
    """Refuse a name that says no format, before what is drawn is computed.

    Raises:
        InputError: it is not among FORMATS.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"a figure must end in {', '.join(FORMATS)}, not {path.name!r}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that the name says.

    Raises:
        InputError: another format.
    """
    check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, dpi=150, facecolor="white", **_dateless(path.suffix))


def _dateless(suffix: str) -> dict[str, Any]:
    dates = {".svg": "Date", ".pdf": "CreationDate"}
    return {"metadata": {dates[suffix]: None}} if suffix in dates else {}


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """A figure as an SVG element for the page.

    Args:
        name: unique in the page; ids begin with it.
        title: read out in place of the picture.
    """
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", **_dateless(".svg"))
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" class="figure" ', 1)


def _rgb(colour: str) -> tuple[float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b
