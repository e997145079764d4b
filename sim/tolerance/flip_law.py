"""The law of a neuron under bit errors: how likely it fires, without drawing a single error.

With n11, n00 products that agree (weight 1 or 0) and n10, n01 that do not (weight 1 or 0), the
popcount read back is a sum of four binomials:

    P' = Bin(n11, 1 - p10) + Bin(n00, 1 - p01) + Bin(n10, p10) + Bin(n01, p01)

Its law is exact by the characteristic function. At p01 = p10 it depends on P alone, and one table
over P and threshold serves a whole layer. At p01 != p10 there are nearly as many laws as neurons
and images; where the variance of all is 4 or more, the Edgeworth series to the fourth cumulant
stands for them (off by less than 0.001 in the tests). On uint8 the sum of hundreds of unlike terms
is taken as normal with the exact mean and variance.

Source: notes of the kit's authors after Buschjaeger et al. 2020, arXiv 2002.00909; the four groups
for p01 != p10 are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft
from scipy.special import ndtr

from ..exact_sums import Rows, accumulate, on_ones, rows_of
from ..exceptions import InputError
from ..layers import Layer

EXACT = "exact"
SERIES = "Edgeworth series"
NORMAL = "normal approximation"
_LEAST_VARIANCE = 4.0
_AT_ONCE = 1 << 22  # complex numbers of one batch of transforms


@dataclass(frozen=True, eq=False)
class Groups:
    """Products of every image and row, by weight and agreement; each (n, n_outputs) int32."""

    n11: NDArray[np.int32]
    n00: NDArray[np.int32]
    n10: NDArray[np.int32]
    n01: NDArray[np.int32]

    @property
    def popcount(self) -> NDArray[np.int32]:
        """(n, n_outputs) products that agree."""
        return self.n11 + self.n00


def groups(rows: Rows, x: NDArray[np.uint8]) -> Groups:
    """The four groups of a layer on bits.

    Args:
        x: (n, n_inputs) bits.
    """
    n11, lit = on_ones(rows, x), x.sum(axis=1, dtype=np.int32)[:, None]
    return Groups(n11, rows.zeros - lit + n11, rows.layer.n_inputs - rows.zeros - n11, lit - n11)


def fire_probability(
    layer: Layer, x: NDArray[np.uint8], p01: float, p10: float
) -> tuple[NDArray[np.float64], str]:
    """(n, n_outputs) probability that each neuron fires, and the name of the method.

    Args:
        x: (n, n_inputs) what the layer sees, as its input says.
        p01, p10: rates of its weight memory.

    Raises:
        InputError: a rate is not 0..1.
    """
    check_rates(p01, p10)
    assert layer.thresholds is not None, "a layer of scores does not fire"
    rows = rows_of(layer)
    if layer.input == "uint8":
        return above(layer, *Moments.of(rows, x).at(p01, p10)), NORMAL
    if p01 == p10:
        return symmetric_fire(layer, accumulate(rows, x), p01), EXACT
    g = groups(rows, x)
    cumulants = _cumulants(g, p01, p10)
    if cumulants[1].size and cumulants[1].min() >= _LEAST_VARIANCE:
        return _series(layer, *cumulants), SERIES
    limits = np.broadcast_to(layer.thresholds, g.n11.shape)
    cases = np.stack([a.ravel() for a in (g.n11, g.n00, g.n10, g.n01, limits)], axis=1)
    kinds, where = np.unique(cases, axis=0, return_inverse=True)
    found = _tails(np.asarray(kinds, np.int64), layer.n_inputs, p01, p10)
    return found[where.ravel()].reshape(g.n11.shape), EXACT


def check_rates(p01: float, p10: float) -> None:
    """Refuse what is no rate.

    Raises:
        InputError: not 0..1.
    """
    for name, rate in (("p01", p01), ("p10", p10)):
        if not 0 <= rate <= 1:
            raise InputError(f"{name} must be 0..1, not {rate!r}")


def symmetric_fire(layer: Layer, popcounts: NDArray[np.int32], p: float) -> NDArray[np.float64]:
    """(..., n_outputs) exact probability that a layer on bits fires at p01 = p10 = p.

    Args:
        popcounts: (..., n_outputs) fault-free P.
    """
    assert layer.thresholds is not None
    if not popcounts.size:
        return np.zeros(popcounts.shape)
    low = int(popcounts.min())
    table = symmetric_tails(layer.n_inputs, low, int(popcounts.max()), p)
    found = table.ravel()[(popcounts - low) * table.shape[1] + layer.thresholds]
    return np.asarray(found, np.float64)


def symmetric_tails(n: int, low: int, high: int, p: float) -> NDArray[np.float64]:
    """(high - low + 1, n + 2) P(Bin(P, 1 - p) + Bin(n - P, p) >= t), P = low..high, t = 0..n+1.

    >>> symmetric_tails(1, 0, 1, 0.25).tolist()
    [[1.0, 0.25, 0.0], [1.0, 0.75, 0.0]]
    """
    size = -(-(n + 1) // 64) * 64  # no large prime factors where n is at most some thousands
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    stay, gain = p + (1 - p) * turn, 1 - p + p * turn
    tails = np.zeros((high - low + 1, n + 2))
    step = max(1, _AT_ONCE // size)
    for start in range(low, high + 1, step):
        end = min(start + step, high + 1)
        law = np.broadcast_to(stay, (end - start, len(stay))).copy()
        law[0] = stay**start
        np.multiply.accumulate(law, axis=0, out=law)
        rest = np.broadcast_to(gain, law.shape).copy()
        rest[0] = gain ** (n - end + 1)
        law *= np.multiply.accumulate(rest, axis=0, out=rest)[::-1]
        density = np.asarray(irfft(law, size, axis=1), np.float64)[:, : n + 1]
        tails[start - low : end - low, :-1] = np.cumsum(density[:, ::-1], axis=1)[:, ::-1]
    tails[:, 0] = 1.0
    return np.clip(tails, 0.0, 1.0, out=tails)


@dataclass(frozen=True, eq=False)
class Moments:
    """What decides mean and variance of a sum on uint8 at any rates; see `at`.

    Attributes:
        plus, minus: (n, n_outputs) sum of u over the lanes stored as 1, as 0.
        plus2, minus2: the same of u^2.
    """

    plus: NDArray[np.float64]
    minus: NDArray[np.float64]
    plus2: NDArray[np.float64]
    minus2: NDArray[np.float64]

    @staticmethod
    def of(rows: Rows, x: NDArray[np.uint8]) -> "Moments":
        """The moments of a layer on (n, n_inputs) images or windows."""
        u2, is_plus = x.astype(np.float64) ** 2, (rows.signs > 0).astype(np.float64)
        plus, plus2 = on_ones(rows, x).astype(np.float64), u2 @ is_plus.T
        minus = x.sum(axis=1, dtype=np.int64)[:, None] - plus
        return Moments(plus, minus, plus2, u2.sum(axis=1)[:, None] - plus2)

    def at(self, p01: float, p10: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, n_outputs) mean and variance of the sum that is read back."""
        mean = (1 - 2 * p10) * self.plus - (1 - 2 * p01) * self.minus
        variance = 4 * p10 * (1 - p10) * self.plus2 + 4 * p01 * (1 - p01) * self.minus2
        return mean, variance


def above(
    layer: Layer, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Chance that a normal sum on uint8 reaches the threshold; sums have steps of 2."""
    assert layer.thresholds is not None
    distance = mean - layer.thresholds + 1  # half a step of continuity
    spread = np.sqrt(np.maximum(variance, 1e-300))
    return np.where(variance > 0, ndtr(distance / spread), (distance >= 1).astype(np.float64))


def _cumulants(g: Groups, p01: float, p10: float) -> tuple[NDArray[np.float64], ...]:
    """First to fourth cumulant of P'."""
    found = [np.zeros(g.n11.shape) for _ in range(4)]
    for count, q in ((g.n11, 1 - p10), (g.n00, 1 - p01), (g.n10, p10), (g.n01, p01)):
        v = q * (1 - q)
        for total, one in zip(found, (q, v, v * (1 - 2 * q), v * (1 - 6 * v)), strict=True):
            total += one * count
    return tuple(found)


def _series(
    layer: Layer,
    mean: NDArray[np.float64],
    k2: NDArray[np.float64],
    k3: NDArray[np.float64],
    k4: NDArray[np.float64],
) -> NDArray[np.float64]:
    """P(X >= theta - 1/2), where P' is X rounded: Sheppard's correction of its cumulants."""
    assert layer.thresholds is not None
    k2, k4 = k2 - 1 / 12, k4 + 1 / 120
    z = (layer.thresholds - 0.5 - mean) / np.sqrt(k2)
    skew, excess = k3 / k2**1.5, k4 / k2**2
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    series = skew / 6 * (z * z - 1) + excess / 24 * (z**3 - 3 * z)
    series += skew**2 / 72 * (z**5 - 10 * z**3 + 15 * z)
    found = np.clip(ndtr(-z) + density * series, 0.0, 1.0)
    found[:, layer.thresholds <= 0] = 1.0
    found[:, layer.thresholds > layer.n_inputs] = 0.0
    return np.asarray(found, np.float64)


def _tails(kinds: NDArray[np.int64], n: int, p01: float, p10: float) -> NDArray[np.float64]:
    """(k,) P(P' >= limit) of rows (n11, n00, n10, n01, limit)."""
    turn = np.exp(-2j * np.pi * np.arange(n + 1) / (n + 1))
    stay1, stay0 = p10 + (1 - p10) * turn, p01 + (1 - p01) * turn
    gain1, gain0 = 1 - p10 + p10 * turn, 1 - p01 + p01 * turn
    tails = np.empty(len(kinds))
    step = max(1, _AT_ONCE // (n + 1))
    for start in range(0, len(kinds), step):
        part = kinds[start : start + step]
        law = np.ones((len(part), n + 1), np.complex128)
        for base, count in zip((stay1, stay0, gain1, gain0), part.T, strict=False):
            law *= base[None] ** count[:, None]
        density = np.fft.ifft(law, axis=1).real
        above = np.arange(n + 1)[None] >= part[:, 4:]
        tails[start : start + step] = (density * above).sum(axis=1)
    return np.clip(tails, 0.0, 1.0)
