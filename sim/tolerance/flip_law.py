"""The law of a neuron under bit errors: how likely it fires, without drawing a single error.

With n11, n00 products that agree (weight 1 or 0) and n10, n01 that do not (weight 1 or 0), the
popcount read back is a sum of four binomials:

    P' = Bin(n11, 1 - p10) + Bin(n00, 1 - p01) + Bin(n10, p10) + Bin(n01, p01)

Its law is exact by the characteristic function. On uint8 the sum of hundreds of unlike terms is
taken as normal with the exact mean and variance.

Source: notes of the kit's authors after Buschjaeger et al. 2020, arXiv 2002.00909; the four groups
for p01 != p10 are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .. import golden
from ..bits import unpack
from ..exceptions import InputError
from ..layers import Layer

EXACT = "exact"
NORMAL = "normal approximation"
_AT_ONCE = 1 << 22  # complex numbers of one batch of transforms


@dataclass(frozen=True, eq=False)
class Groups:
    """Products of every image and row, by weight and agreement; each (n, n_outputs) int64."""

    n11: NDArray[np.int64]
    n00: NDArray[np.int64]
    n10: NDArray[np.int64]
    n01: NDArray[np.int64]

    @property
    def popcount(self) -> NDArray[np.int64]:
        """(n, n_outputs) products that agree."""
        return self.n11 + self.n00


def groups(layer: Layer, x: NDArray[np.uint8]) -> Groups:
    """The four groups of a layer on bits.

    Args:
        x: (n, n_inputs) bits.
    """
    agree = golden.accumulate(layer, x)
    ones = x.sum(axis=1, dtype=np.int64)[:, None]
    rows = unpack(layer.weights, layer.n_inputs).sum(axis=1, dtype=np.int64)[None]
    n11 = (rows + ones + agree - layer.n_inputs) // 2
    return Groups(n11, agree - n11, rows - n11, ones - n11)


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
    if layer.input == "uint8":
        mean, variance = uint8_moments(layer, x, p01, p10)
        above = mean - layer.thresholds + 1  # sums have steps of 2: half a step of continuity
        spread = np.sqrt(np.maximum(variance, 1e-300))
        sure = (above >= 1).astype(np.float64)
        return np.where(variance > 0, ndtr(above / spread), sure), NORMAL
    g = groups(layer, x)
    limits = np.broadcast_to(layer.thresholds, g.n11.shape)
    cases = np.stack([a.ravel() for a in (g.n11, g.n00, g.n10, g.n01, limits)], axis=1)
    if p01 == p10:  # only P and theta count
        cases = np.stack([g.popcount.ravel(), limits.ravel()], axis=1)
    kinds, where = np.unique(cases, axis=0, return_inverse=True)
    if p01 == p10:
        zero = np.zeros(len(kinds), np.int64)
        kinds = np.stack([kinds[:, 0], zero, layer.n_inputs - kinds[:, 0], zero, kinds[:, 1]], 1)
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


def uint8_moments(
    layer: Layer, x: NDArray[np.uint8], p01: float, p10: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, n_outputs) mean and variance of the sum that a layer on uint8 reads back."""
    u = x.astype(np.float64)
    plus = unpack(layer.weights, layer.n_inputs).astype(np.float64)
    with_plus, total = u @ plus.T, u.sum(axis=1)[:, None]
    squares_plus, squares = (u * u) @ plus.T, (u * u).sum(axis=1)[:, None]
    mean = (1 - 2 * p10) * with_plus - (1 - 2 * p01) * (total - with_plus)
    variance = 4 * p10 * (1 - p10) * squares_plus
    variance += 4 * p01 * (1 - p01) * (squares - squares_plus)
    return mean, variance


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
