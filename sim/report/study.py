"""The page of a study and its figures, from its result file alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ..container import write_whole
from .figures import SERIES, STYLE, STYLES, heat_figure, save_figure

Values = Mapping[str, Any]


def write_page(result: Values, folder: Path) -> Path:
    """Write <folder>/<study>.md and its figures; gives the path of the page."""
    path = folder / f"{result['study']}.md"
    write_whole(path, (text(result) + "\n").encode())
    for plot in result["plots"]:
        save_figure(_figure(plot), folder / _file(result, plot))
    for heat in result.get("heat_maps", ()):
        save_figure(heat_figure(heat), folder / _file(result, heat))
    return path


def text(result: Values) -> str:
    """The page, in Markdown."""
    return "\n\n".join(_parts(result))


def _parts(result: Values) -> Iterable[str]:
    yield f"# {result['title']}"
    yield f"Made by `make study STUDY={result['study']}` from its result file; no number is typed."
    yield f"**Claim.** {_line(result['claim'])}"
    yield f"**Protocol.** {_line(result['protocol'])}"
    yield result.get("effort") or _networks(result)
    yield "## Verdicts"
    yield _table(
        ("claim", "result", "verdict"),
        [(f["claim"], f["result"], f"**{f['verdict']}**") for f in result["findings"]],
    )
    for plot in [*result["plots"], *result.get("heat_maps", ())]:
        yield f"![{plot['title']}]({_file(result, plot)})"
    yield "## Tables"
    for table in result["tables"]:
        yield f"**{table['title']}**"
        yield _table(table["head"], table["rows"])


def _networks(result: Values) -> str:
    measure = result["measure"]
    seeds = result["seeds"]
    return (
        f"{len(result['networks'])} networks, training seeds "
        f"{', '.join(map(str, seeds['training']))}; "
        f"chips 0 to {measure['chips'] - 1} of population {seeds['chips']}. ± is half of a 95 % "
        f"interval over training seeds (Student's t), each a mean over chips. "
        f"Training took {_hours(result['networks'])} CPU hours."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _line(text: str) -> str:
    return " ".join(text.split())


def _hours(rows: Sequence[Values]) -> str:
    return f"{sum(row['training_cpu_s'] for row in rows) / 3600:.1f}"


def _file(result: Values, plot: Values) -> str:
    return f"{result['study']}-{plot['name']}.svg"


def _figure(plot: Values) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, line in enumerate(plot["lines"]):
            colour, style = SERIES[i % len(SERIES)], STYLES[i // len(SERIES) % len(STYLES)]
            if plot["is_scatter"]:
                ax.plot(line["x"], line["y"], "o", color=colour, label=line["label"], alpha=0.7)
                continue
            ax.plot(line["x"], line["y"], style, color=colour, label=line["label"], linewidth=1.6)
            if line["low"]:
                ax.fill_between(
                    line["x"], line["low"], line["high"], color=colour, alpha=0.15, lw=0
                )
        ax.set(title=plot["title"], xlabel=plot["xlabel"], ylabel=plot["ylabel"])
        ax.legend()
    return figure
