"""Confidence intervals, each with the name of its method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from .exceptions import InputError

STUDENT_T = "Student t over chips"
WILSON = "Wilson score over chips"
PAIRED = "paired Student t over common chips"
EQUAL = "all equal, taken as if one image of one chip differed"
NO_DRAW = "exact: nothing is drawn"


@dataclass(frozen=True)
class Interval:
    """Where the mean lies.

    Attributes:
        low, high: ends, or None when one value cannot tell.
        confidence: 0..1.
        method: named in every table and figure.
    """

    low: float | None
    high: float | None
    confidence: float
    method: str

    @property
    def half_width(self) -> float | None:
        """Half the distance of the ends, or None when they are not known."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def quantile_t(n: int, confidence: float = 0.95) -> float:
    """Two-sided quantile of Student's t for the mean of n values."""
    return float(stdtrit(n - 1, (1 + confidence) / 2))


def spread(values: Sequence[float], step: float) -> float:
    """Standard deviation of values that are multiples of `step`, not below what n of them resolve.

    The floor is the deviation when one of the values is one step off and the others are equal:
    step / sqrt(n).
    """
    return max(float(np.std(values, ddof=1)), step / math.sqrt(len(values)))


def over_chips(accuracy: Sequence[float], n_images: int, confidence: float = 0.95) -> Interval:
    """Interval of the mean accuracy of independent chips.

    With one image a chip is right or wrong, and the interval is Wilson's. Otherwise it is Student's
    t, mean +- t_{n-1} s / sqrt(n), cut to 0..1. Chips that all agree do not prove that chips never
    differ: then s is what it would be if one image of one chip had come out otherwise.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22 (158), 209-212.

    Raises:
        InputError: no values.

    >>> interval = over_chips([0.80, 0.82, 0.84], 10000)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.7703, 0.8697)
    """
    if not accuracy:
        raise InputError("an interval needs at least one value")
    n, mean = len(accuracy), float(np.mean(accuracy))
    if n == 1:
        return Interval(None, None, confidence, f"{STUDENT_T}: needs two or more")
    if n_images == 1:
        return _wilson(mean, n, confidence)
    reach = quantile_t(n, confidence) * spread(accuracy, 1 / n_images) / math.sqrt(n)
    method = STUDENT_T if len(set(accuracy)) > 1 else f"{STUDENT_T}; {EQUAL}"
    return Interval(max(0.0, mean - reach), min(1.0, mean + reach), confidence, method)


def paired(differences: Sequence[float], n_images: int, confidence: float = 0.95) -> Interval:
    """Interval of the mean difference of two accuracies on the same chips.

    What the chips have in common cancels, so it is narrower than the two intervals side by side.
    """
    if not differences:
        raise InputError("an interval needs at least one value")
    n, mean = len(differences), float(np.mean(differences))
    if n == 1:
        return Interval(None, None, confidence, f"{PAIRED}: needs two or more")
    reach = quantile_t(n, confidence) * spread(differences, 1 / n_images) / math.sqrt(n)
    method = PAIRED if len(set(differences)) > 1 else f"{PAIRED}; {EQUAL}"
    return Interval(mean - reach, mean + reach, confidence, method)


def _wilson(mean: float, n: int, confidence: float) -> Interval:
    z = float(ndtri((1 + confidence) / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach), confidence, WILSON)
