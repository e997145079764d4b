"""What a study found: tables, figures as series of points, and a verdict on each claim."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .summary import Row, by_label, over_seeds, rates_of

CONFIRMED, REFUTED, PARTLY, REACHED, MISSED = (
    "confirmed",
    "refuted",
    "partly",
    "reached",
    "not reached",
)


@dataclass(frozen=True)
class Finding:
    """One claim and what came of it.

    Attributes:
        result: with numbers.
        verdict: one of the words above.
    """

    claim: str
    result: str
    verdict: str


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Line:
    """A series of a figure, x and y in percent or as the axes say; `low`, `high` may be empty."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A figure: lines, or single points where `is_scatter`."""

    name: str
    title: str
    xlabel: str
    ylabel: str
    lines: tuple[Line, ...]
    is_scatter: bool = False


@dataclass(frozen=True)
class HeatMap:
    """Signed values of rows x columns, as colours and numbers; marked ones with a star."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    is_marked: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Judgement:
    """All that the page of a study shows."""

    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = field(default=())
    heat_maps: tuple[HeatMap, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


Judge = Callable[[Sequence[Row], Mapping[str, Any]], Judgement]


def curve_table(title: str, rows: Sequence[Row], curve: str = "fixed") -> Table:
    """Accuracy in % over the bit error rate, a line for each label; mean and interval of seeds."""
    groups = by_label([row for row in rows if row[curve]])
    rates = rates_of([row for row in rows if row[curve]], curve)
    head = ("network", *(f"{100 * rate:g} %" for rate in rates))
    lines = tuple(
        (label, *(over_seeds(of, rate, curve).percent() for rate in rates))
        for label, of in groups.items()
    )
    return Table(title, head, lines)


def curve_plot(name: str, title: str, groups: Mapping[str, Sequence[Row]], curve: str) -> Plot:
    """Accuracy over the bit error rate of a few labels."""
    lines = []
    for label, rows in groups.items():
        rates = rates_of(rows, curve)
        means = [over_seeds(rows, rate, curve) for rate in rates]
        halves = [m.half or 0.0 for m in means]
        lines.append(
            Line(
                label,
                tuple(100 * rate for rate in rates),
                tuple(100 * m.value for m in means),
                tuple(100 * (m.value - h) for m, h in zip(means, halves, strict=True)),
                tuple(100 * (m.value + h) for m, h in zip(means, halves, strict=True)),
            )
        )
    return Plot(name, title, "bit error rate, %", "accuracy, %", tuple(lines))
