"""Exact integer thresholds: batch norm and sign become one comparison, nothing is rounded.

A neuron fires when gamma (s - mean) / sqrt(var + eps) + beta >= 0 for its integer sum s. The
parameters are taken as the exact rational numbers their stored floats are, and the sign of
a + b sqrt(v) with rational a, b, v is decided by comparing squares. The decision is monotone in s,
so the first reachable s that fires is found by bisection over exact evaluations; no closed formula
is ever rounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from .exceptions import InputError
from .layers import UINT8_MAX, Input

_ONE = Fraction(1)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of one layer.

    Attributes:
        values: (n_outputs,) int32 in the layer's own domain (P on bits, s on uint8), for the row as
            stored, that is after negation.
        negated: (n_outputs,) bool, rows to store negated because their scale is negative.
        is_tie: (n_outputs,) bool, neurons whose batch norm is exactly 0 at a reachable sum; float
            kernels disagree with each other there, exact mathematics fires.
    """

    values: NDArray[np.int32]
    negated: NDArray[np.bool_]
    is_tie: NDArray[np.bool_]


def sign_of_root_sum(a: Fraction, b: Fraction, v: Fraction) -> int:
    """Sign of a + b sqrt(v) for v >= 0, exactly: -1, 0 or 1.

    >>> sign_of_root_sum(Fraction(-3), Fraction(2), Fraction(9, 4))
    0
    """
    sign_a = (a > 0) - (a < 0)
    sign_b = ((b > 0) - (b < 0)) if v else 0
    if sign_a * sign_b >= 0:
        return sign_a or sign_b
    lhs, rhs = a * a, b * b * v
    return sign_a * ((lhs > rhs) - (lhs < rhs))


def floor_of_root_sum(a: Fraction, b: Fraction, v: Fraction) -> int:
    """Greatest integer that is at most a + b sqrt(v) for v >= 0, exactly.

    >>> floor_of_root_sum(Fraction(1), Fraction(-2), Fraction(9, 4))
    -2
    """
    found = floor(a + b * Fraction(sqrt(v)))  # at most a few off
    while sign_of_root_sum(a - found, b, v) < 0:
        found -= 1
    while sign_of_root_sum(a - found - 1, b, v) >= 0:
        found += 1
    return found


def from_batch_norm(
    gamma: NDArray[np.float32],
    beta: NDArray[np.float32],
    mean: NDArray[np.float32],
    var: NDArray[np.float32],
    eps: float,
    n_inputs: int,
    domain: Input,
    unit: Fraction = _ONE,
) -> Thresholds:
    """Thresholds that decide as batch norm followed by sign does in exact arithmetic.

    Args:
        gamma, beta, mean, var: (n_outputs,) float32 as the file stores them.
        eps: as the file stores it.
        n_inputs: fan-in n; sums are -n, -n+2, ..., n on bits and -255n..255n on uint8.
        unit: what the batch norm sees for a sum of 1; positive, 1 unless weights are scaled.

    Raises:
        InputError: a parameter is not finite, shapes differ, or var + eps is not positive.
    """
    shape = gamma.shape
    for name, column in (("gamma", gamma), ("beta", beta), ("mean", mean), ("var", var)):
        if column.shape != shape or column.ndim != 1:
            raise InputError(f"batch norm: {name} must be {shape}, not {column.shape}")
        if not np.isfinite(column).all():
            bad = int(np.flatnonzero(~np.isfinite(column))[0])
            raise InputError(f"batch norm: {name}[{bad}] must be finite, not {column[bad]}")
    values: list[int] = []
    negated: list[bool] = []
    ties: list[bool] = []
    for g, b, m, v in zip(gamma, beta, mean, var, strict=True):
        spread = Fraction(float(v)) + Fraction(eps)
        if spread <= 0:
            raise InputError(f"batch norm: var + eps must be positive, not {float(spread)}")
        scale, shift, centre = (Fraction(float(x)) for x in (g, b, m))

        def decide(
            s: int,
            a: Fraction = scale,
            c: Fraction = centre,
            b: Fraction = shift,
            v: Fraction = spread,
        ) -> int:
            return sign_of_root_sum(a * (unit * s - c), b, v)

        value, tie = _threshold(decide, n_inputs, domain, is_negated=scale < 0)
        values.append(value)
        negated.append(scale < 0)
        ties.append(tie)
    return Thresholds(
        np.array(values, np.int32), np.array(negated, np.bool_), np.array(ties, np.bool_)
    )


def _threshold(
    decide: Callable[[int], int], n: int, domain: Input, *, is_negated: bool
) -> tuple[int, bool]:
    """(threshold in the domain of the stored row, whether a reachable sum is an exact tie)."""
    flip = -1 if is_negated else 1
    if domain == "bits":
        low, high = 0, n + 1

        def sign(p: int) -> int:
            return decide(flip * (2 * p - n))
    else:
        low, high = -UINT8_MAX * n, UINT8_MAX * n + 1

        def sign(p: int) -> int:
            return decide(flip * p)

    first, end = low, high
    while first < end:
        middle = (first + end) // 2
        if sign(middle) >= 0:
            end = middle
        else:
            first = middle + 1
    return first, first < high and sign(first) == 0
