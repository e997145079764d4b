"""Rows of networks put together: means over seeds with intervals, areas, critical rates, ranks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ...sim.intervals import quantile_t

Row = Mapping[str, Any]

AREA_TO = 0.2
"""Highest rate of the area under accuracy over the bit error rate."""
_RESAMPLED = 2000


@dataclass(frozen=True)
class Mean:
    """A mean of independent values with the half-width of its 95 % interval (Student's t)."""

    value: float
    half: float | None
    n: int

    def percent(self, digits: int = 2) -> str:
        """Of a share: "87.3 ± 0.2"; of one value no interval."""
        half = "" if self.half is None else f" ± {100 * self.half:.{digits}f}"
        return f"{100 * self.value:.{digits}f}{half}"


def mean_of(values: Iterable[float]) -> Mean:
    """The mean of these values."""
    found = np.array(list(values), np.float64)
    if len(found) < 2:
        return Mean(float(found.mean()), None, len(found))
    half = quantile_t(len(found)) * float(found.std(ddof=1)) / len(found) ** 0.5
    return Mean(float(found.mean()), half, len(found))


def by_label(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Networks that differ in their seed alone, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["label"], []).append(row)
    return found


def accuracy(row: Row, rate: float, curve: str = "fixed") -> float:
    """Mean accuracy of the chips of one network at one rate, 0..1."""
    return float(np.mean(row[curve][f"{rate:g}"]))


def over_seeds(rows: Sequence[Row], rate: float, curve: str = "fixed") -> Mean:
    """Mean over networks of their mean accuracy over chips; the interval is that of training."""
    return mean_of(accuracy(row, rate, curve) for row in rows)


def rates_of(rows: Sequence[Row], curve: str = "fixed") -> list[float]:
    """Rates at which all of these networks were measured."""
    common = set.intersection(*(set(row[curve]) for row in rows))
    return sorted(float(rate) for rate in common)


def area(
    row: Row, curve: str = "fixed", to: float = AREA_TO, at: Sequence[float] | None = None
) -> float:
    """Mean accuracy over the bit error rate from 0 to `to`, by trapezes.

    Args:
        at: rates to use, where curves are compared that were measured at different ones.
    """
    rates = [rate for rate in at or rates_of([row], curve) if rate <= to]
    values = [accuracy(row, rate, curve) for rate in rates]
    return float(np.trapezoid(values, rates) / (rates[-1] - rates[0]))


def critical_rate(row: Row, lost: float, curve: str = "fixed") -> float:
    """Rate at which accuracy is `lost` below that at 0, between measured rates on a line."""
    rates = rates_of([row], curve)
    limit = accuracy(row, 0.0, curve) - lost
    values = [accuracy(row, rate, curve) for rate in rates]
    for (p, high), (q, low) in zip(
        zip(rates, values, strict=True), zip(rates[1:], values[1:], strict=False), strict=False
    ):
        if low < limit:
            return p + (q - p) * (high - limit) / (high - low)
    return rates[-1]


def dip(row: Row, curve: str = "fixed", at: Sequence[float] | None = None) -> float:
    """How much better the best rate is than 0: the overfit to the rate of training, 0..1.

    Args:
        at: as of `area`, 0 first.
    """
    values = [accuracy(row, rate, curve) for rate in at or rates_of([row], curve)]
    return max(values) - values[0]


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation over networks, with a 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def rank_correlation(
    rows: Sequence[Row], first: Callable[[Row], float], second: Callable[[Row], float]
) -> Rank:
    """How far two orders of the networks agree; labels are drawn again 2,000 times.

    Networks of one label, which differ in their seed alone, are drawn together: they say little
    more than one of them. An order in which all are equal says nothing: 0, from -1 to 1.
    """
    pair = np.array([[of(row) for row in rows] for of in (first, second)])
    places: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(row["label"], []).append(i)
    groups = [np.array(of) for of in places.values()]
    drawn = np.random.default_rng(0).integers(0, len(groups), (_RESAMPLED, len(groups)))
    values = np.array([_spearman(pair[:, np.concatenate([groups[g] for g in d])]) for d in drawn])
    known = values[np.isfinite(values)]
    whole = _spearman(pair)
    if not np.isfinite(whole) or not len(known):
        return Rank(0.0, -1.0, 1.0, len(rows))
    low, high = np.quantile(known, [0.025, 0.975])
    return Rank(whole, float(low), float(high), len(rows))


def _spearman(pair: NDArray[np.float64]) -> float:
    """The rank correlation of (2, n) values; NaN where all of a side are equal."""
    first, second = rankdata(pair, axis=1)
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm else float("nan")


def prediction_errors(rows: Sequence[Row], up_to: float = 0.1) -> list[float]:
    """|predicted - measured| accuracy of every network and rate, 0..1."""
    return [
        abs(value - accuracy(row, float(rate)))
        for row in rows
        for rate, value in row.get("predicted", {}).items()
        if float(rate) <= up_to
    ]
