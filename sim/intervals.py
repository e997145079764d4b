"""Confidence intervals, each with the name of its method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from .exceptions import InputError

STUDENT_T = "Student t over chips"
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


def student_t(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of the mean of independent chips: mean +- t_{n-1} s / sqrt(n).

    Raises:
        InputError: no values.

    >>> interval = student_t([0.80, 0.82, 0.84])
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.7703, 0.8697)
    """
    if not values:
        raise InputError("an interval needs at least one value")
    if len(values) == 1:
        return Interval(None, None, confidence, f"{STUDENT_T}: needs two or more")
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * spread
    return Interval(mean - reach, mean + reach, confidence, STUDENT_T)
