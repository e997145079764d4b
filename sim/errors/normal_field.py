"""Faults of which a share stays with the cell and the rest is drawn anew at every programming.

A cell errs where sqrt(s) a + sqrt(1 - s) b < -d: a is the cell's own and normal, b is of this
programming and normal, s is the share of the variance that belongs to the cell, and P(-d) is the
rate. The cell's own number v = P(a) is taken in classes, in each of which the rate has its exact
mean p_k. Those fall with v, so with the nested planes of two uniform fields

    faulty = OR over k of  { v < v_k } and { u < p_k }

which never leaves the packed words, needs no normal number and nests in the rate. The rate is
exact; that a cell fails twice is some percent too rare, as within a class all are alike: below 7 %
for rates from 1e-6 and shares to 0.99.
"""

from collections.abc import Callable
from functools import lru_cache, reduce

import numpy as np
from scipy.special import ndtr, ndtri

from ..bits import Words
from .mean_rate import scale

_STEP = 0.25  # from class to class, in standard deviations of a
_FINE = 64  # midpoints of a class in the mean of its rate
_DIGITS = 12  # kept of a rate, so that the last bit of a platform's exp() cannot move a cell


@lru_cache(maxsize=64)
def classes(rate: float, share: float) -> tuple[tuple[float, float], ...]:
    """(v_k, p_k) of every class: its upper end, and the rate in it; the p_k fall, the v_k end at 1.

    The mean of the p_k, weighted with the classes, is `rate`.
    """
    low = min(-4.0, np.floor(ndtri(rate)) - 1.0)  # rare failures are in classes further out
    edges = np.arange(low, 4.0 + _STEP / 2, _STEP)
    ends = np.r_[-12.0, edges, 12.0]
    step = np.diff(ends)[:, None] / _FINE
    a = ends[:-1, None] + (np.arange(_FINE) + 0.5) * step  # (classes, _FINE)
    weight = np.exp(-(a**2) / 2)
    inside = ndtr((ndtri(rate) - np.sqrt(share) * a) / np.sqrt(1 - share))
    p = (weight * inside).sum(1) / weight.sum(1)
    upper = np.r_[ndtr(edges), 1.0]
    width = np.diff(upper, prepend=0.0)

    def split(t: float) -> tuple[float, float]:
        is_clipped = t * p >= 1.0
        return float(width[is_clipped].sum()), float((width * p)[~is_clipped].sum())

    p = np.minimum(p * scale(rate, 1.0, split), 1.0)  # what the midpoints leave, about 1e-6
    pairs = zip(upper.tolist(), p.tolist(), strict=True)
    return tuple((_rounded(v), _rounded(q)) for v, q in pairs)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def plane(
    own: Callable[[float], Words], anew: Callable[[float], Words], rate: float, share: float
) -> Words:
    """Packed cells that err.

    Args:
        own: p -> cells with v < p, the field of the chip; planes of one length.
        anew: p -> cells with u < p, the field of this programming of the chip.
        rate: mean over all cells, 0..1.
        share: of the variance that belongs to the cell, 0..1.
    """
    if share == 0 or rate in (0.0, 1.0):
        return anew(rate)
    if share == 1:
        return own(rate)
    parts = (own(below) & anew(p) for below, p in classes(rate, share) if p > 0)
    return reduce(np.bitwise_or, parts)
