"""Exact integer thresholds: batch norm and sign become one comparison, nothing is rounded.

A neuron fires when gamma (s - mean) / sqrt(var + eps) + beta >= 0 for its integer sum s. The
parameters are taken as the exact rational numbers their stored floats are, and the sign of
a + b sqrt(v) with rational a, b, v is decided by comparing squares. The decision is monotone in s,
so the first reachable s that fires is found by bisection over exact evaluations; no closed formula
is ever rounded.
"""

import math
from collections.abc import Iterable
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


def sign_of_root_sum(a: Fraction | int, b: Fraction | int, v: Fraction | int) -> int:
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
    spread = [Fraction(float(v)) + Fraction(eps) for v in var]
    for value in spread:
        if value <= 0:
            raise InputError(f"batch norm: var + eps must be positive, not {float(value)}")
    scale, shift, centre = ([Fraction(float(x)) for x in c] for c in (gamma, beta, mean))
    return from_affine(
        [a * unit for a in scale],
        [-a * c for a, c in zip(scale, centre, strict=True)],
        shift,
        spread,
        n_inputs,
        domain,
    )


def from_affine(
    scale: Iterable[Fraction],
    shift: Iterable[Fraction],
    rest: Iterable[Fraction],
    radicand: Iterable[Fraction],
    n_inputs: int,
    domain: Input,
) -> Thresholds:
    """Thresholds that fire where (scale s + shift) / sqrt(radicand) + rest >= 0, exactly.

    Args:
        scale, shift, rest, radicand: of each neuron; radicand > 0.
        n_inputs, domain: as in `from_batch_norm`.
    """
    values: list[int] = []
    negated: list[bool] = []
    ties: list[bool] = []
    for a, b, c, v in zip(scale, shift, rest, radicand, strict=True):
        # times every denominator: (A s + B) + C sqrt(p q) in integers
        p, q = v.numerator, v.denominator
        d = math.lcm(a.denominator, b.denominator, c.denominator)
        slope, start, root = int(a * d) * q, int(b * d) * q, int(c * d)
        value, tie = _threshold(slope, start, root, p * q, n_inputs, domain)
        values.append(value)
        negated.append(a < 0)
        ties.append(tie)
    return Thresholds(
        np.array(values, np.int32), np.array(negated, np.bool_), np.array(ties, np.bool_)
    )


def _threshold(
    slope: int, start: int, root: int, radicand: int, n: int, domain: Input
) -> tuple[int, bool]:
    """(threshold in the domain of the stored row, whether a reachable sum is an exact tie).

    The neuron fires where slope s + start + root sqrt(radicand) >= 0.
    """
    slope = abs(slope)  # a negative scale negates the row, and so the sum
    low, high = (0, n + 1) if domain == "bits" else (-UINT8_MAX * n, UINT8_MAX * n + 1)

    def sign(p: int) -> int:
        s = 2 * p - n if domain == "bits" else p
        return sign_of_root_sum(slope * s + start, root, radicand)

    first, end = low, high
    while first < end:
        middle = (first + end) // 2
        if sign(middle) >= 0:
            end = middle
        else:
            first = middle + 1
    return first, first < high and sign(first) == 0
