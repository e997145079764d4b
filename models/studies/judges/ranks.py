"""Metrics that inject nothing, ranked against measured tolerance."""

from collections.abc import Callable, Sequence

from ..judgement import Table
from ..summary import Rank, Row, accuracy, area, critical_rate, rank_correlation

TARGETS: dict[str, Callable[[Row], float]] = {
    "mean accuracy, 0 to 20 %": area,
    "accuracy at 5 %": lambda row: accuracy(row, 0.05),
    "accuracy at 10 %": lambda row: accuracy(row, 0.1),
    "rate that costs 2 points": lambda row: critical_rate(row, 0.02),
}


def ranks(rows: Sequence[Row]) -> dict[str, dict[str, Rank]]:
    """Rank correlation of every metric with every target."""

    def of(name: str) -> Callable[[Row], float]:
        return lambda row: float(row["metrics"][name])

    return {
        name: {what: rank_correlation(rows, of(name), to) for what, to in TARGETS.items()}
        for name in rows[0]["metrics"]
    }


def metric_table(rows: Sequence[Row]) -> Table:
    """Every metric against every target."""
    return Table(
        f"Rank correlation of metrics without injection with measured tolerance, {len(rows)} "
        "networks (95 % bootstrap interval)",
        ("metric", *TARGETS),
        tuple((name, *map(str, found.values())) for name, found in ranks(rows).items()),
    )
