"""How rates that differ from cell to cell keep their mean: the scale of clipped factors.

A spatial law gives every stored cell a factor f > 0; the cell is faulty with the chance

    p_cell = min(1, t f),   and t is such that the mean of p_cell over the stored cells is p.

The mean is a concave, piecewise linear and increasing function of t. Newton's method from below
ends on its last piece, so the mean is p but for rounding, also where cells are clipped. As t grows
with p, so does p_cell: with one uniform number a cell, faults nest in the mean rate.

Two machines may round t differently in its last bits (1e-15 of it), and then a cell differs if its
number falls between: the chance is 1e-15 for each fault of a map.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Factors = NDArray[np.float64]
Split = Callable[[float], tuple[float, float]]
"""t -> (number of cells with t f >= 1, sum of f over the others)."""


def scale(p: float, n_stored: float, split: Split) -> float:
    """t for the mean rate p over n_stored cells; infinite for p = 1, 0 if there are no cells."""
    if p == 0.0 or n_stored == 0:
        return 0.0
    if p == 1.0:
        return math.inf
    t = 0.0
    while True:
        n_clipped, total = split(t)
        if total <= 0.0:
            return t
        new = (p * n_stored - n_clipped) / total
        if new <= t * (1.0 + 1e-15):
            return max(new, t)
        t = new


def scale_of_levels(p: float, factors: Factors, counts: NDArray[np.int64]) -> float:
    """t where counts[k] stored cells have the factor factors[k]."""

    def split(t: float) -> tuple[float, float]:
        is_clipped = t * factors >= 1.0
        return float(counts[is_clipped].sum()), float((counts * factors)[~is_clipped].sum())

    return scale(p, int(counts.sum()), split)


def scale_of_lines(
    p: float, rows: Factors, columns: Factors, absent: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> float:
    """t where a cell has the factor rows[row] * columns[column].

    Args:
        absent: (row, column) of the cells that store nothing.
    """
    ordered = np.sort(columns)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    left_out = rows[absent[0]] * columns[absent[1]]
    largest = rows.max(initial=0.0) * columns.max(initial=0.0)

    def split(t: float) -> tuple[float, float]:
        if t * largest < 1.0:
            return 0.0, float(rows.sum() * sums[-1] - left_out.sum())
        n_whole = np.searchsorted(ordered, 1.0 / (t * rows))  # columns that are not clipped
        n_clipped = rows.size * columns.size - int(n_whole.sum())
        is_clipped = t * left_out >= 1.0
        total = float((rows * sums[n_whole]).sum() - left_out[~is_clipped].sum())
        return float(n_clipped - int(is_clipped.sum())), total

    return scale(p, rows.size * columns.size - len(left_out), split)
