"""Accuracy over bit error rates without a fault map: the law of every neuron, sampled.

Given what a dense layer sees, its neurons read disjoint weights, so over the chips they err
independently with the law of `flip_law`: a neuron fires by one draw against its exact probability.
In a convolution all windows of a channel read the same row, so their sums are correlated; there the
rows themselves are drawn, afresh for every image, which keeps that correlation exactly. Drawn image
by image, layer by layer, the mean over images is the mean accuracy of fresh chips, without bias.
What it lacks is the spread between chips.

All rates share their random numbers, so that a curve is smoother than its points are sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from .. import golden
from ..exact_sums import Rows, accumulate, fires, handed_on, rows_of, scores_of, seen_by
from ..exceptions import InputError
from ..layers import Conv, Layer
from ..network import Network, check_images
from .flip_law import Moments, above, check_rates, groups, symmetric_fire

EXACT = "exact law, sampled"
NORMAL = "exact law but for normal sums of pixels, sampled"
SPARSE_FLIPS = 4.0
"""Flips of a row on uint8, on average, up to which they are drawn one by one; above, normal."""

_CHUNK = 500  # images
_AT_ONCE = 1 << 23  # elements of a batch
_FEW_DRAWS = 100_000


@dataclass(frozen=True)
class Predicted:
    """Mean accuracy over chips at one pair of rates.

    Attributes:
        accuracy: 0..1.
        agreement: images that keep their fault-free class, 0..1.
        standard_error: of the accuracy, of sampling and of the images.
        method: what is exact about it and what is not.
    """

    p01: float
    p10: float
    accuracy: float
    agreement: float
    standard_error: float
    method: str


def predict(
    network: Network,
    images: NDArray[np.generic],
    labels: NDArray[np.generic],
    rates: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    layers: frozenset[int] | None = None,
) -> list[Predicted]:
    """Mean accuracy at every (p01, p10) of the weight memories.

    Args:
        images, labels: of one data set.
        layers: numbers of those whose memories lie, over all members; None for all.

    Raises:
        InputError: no images, not as many labels, a rate that is not 0..1, or no such layer.
    """
    u8 = check_images(network, images)
    if not len(u8) or len(labels) != len(u8):
        raise InputError(f"prediction needs images with labels, not {len(u8)} and {len(labels)}")
    lying = frozenset(range(len(network.layers))) if layers is None else layers
    if not lying <= frozenset(range(len(network.layers))):
        raise InputError(f"layers must be 0..{len(network.layers) - 1}, not {sorted(lying)}")
    for p01, p10 in rates:
        check_rates(p01, p10)
    chains = [[rows_of(layer) for layer in chain] for chain in network.chains]
    right, kept = np.zeros(len(rates)), np.zeros(len(rates))
    for start in range(0, len(u8), _CHUNK):
        part = slice(start, start + _CHUNK)
        total = np.zeros((len(rates) + 1, len(u8[part]), network.n_classes), np.int32)
        encoded, number = golden.encode(network, u8[part]), 0
        for chain in chains:
            numbered = list(enumerate(chain, number))
            number += len(chain)
            total += _chain_scores(numbered, encoded, [(0.0, 0.0), *rates], rng, lying)
        classes = total.argmax(axis=2)
        right += (classes[1:] == labels[part]).sum(axis=1)
        kept += (classes[1:] == classes[:1]).sum(axis=1)
    found = []
    for (p01, p10), accuracy, agreement in zip(rates, right / len(u8), kept / len(u8), strict=True):
        error = float(np.sqrt(accuracy * (1 - accuracy) / len(u8)))
        method = NORMAL if _is_normal(network, lying, p01, p10) else EXACT
        found.append(Predicted(p01, p10, float(accuracy), float(agreement), error, method))
    return found


def _is_normal(network: Network, lying: frozenset[int], p01: float, p10: float) -> bool:
    return any(
        number in lying and layer.input == "uint8" and _draws_normal(layer, p01, p10)
        for number, layer in enumerate(network.layers)
    )


def _draws_normal(layer: Layer, p01: float, p10: float) -> bool:
    return not isinstance(layer, Conv) and max(p01, p10) * layer.n_inputs > SPARSE_FLIPS


def _chain_scores(
    chain: list[tuple[int, Rows]],
    x: NDArray[np.uint8],
    rates: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    lying: frozenset[int],
) -> NDArray[np.int32]:
    """(n_rates, n, n_classes) scores of one member, its fault-free prefix computed once."""
    while len(chain) > 1 and chain[0][0] not in lying:
        drawn = _Drawn(chain[0][1], x)
        x = handed_on(drawn.layer, drawn.fired(0.0, 0.0, rng))
        chain = chain[1:]
    seeds = rng.integers(2**63, size=len(chain))
    first = _Drawn(chain[0][1], x)
    found = []
    for p01, p10 in rates:
        drawn = first
        for k, (number, rows) in enumerate(chain):
            wrong = (p01, p10) if number in lying else (0.0, 0.0)
            draws = np.random.default_rng(seeds[k])
            if rows.layer.thresholds is None:
                found.append(scores_of(rows.layer, drawn.sums(*wrong, draws)[:, 0]))
            else:
                after = chain[k + 1][1]
                drawn = _Drawn(after, handed_on(rows.layer, drawn.fired(*wrong, draws)))
    return np.stack(found)


class _Drawn:
    """A layer on (n, n_elements_in) inputs; draws what it reads, keeps what all rates share."""

    def __init__(self, rows: Rows, x: NDArray[np.uint8]) -> None:
        self.rows, self.layer = rows, rows.layer
        self._seen = seen_by(rows.layer, x)
        self._sums: NDArray[np.int32] | None = None
        self._moments: Moments | None = None

    def clean(self) -> NDArray[np.int32]:
        """(n, n_windows, n_outputs) fault-free."""
        if self._sums is None:
            self._sums = accumulate(self.rows, self._seen)
        return self._sums

    def fired(self, p01: float, p10: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(n, n_windows, n_outputs) decisions, each image on a fresh memory."""
        layer = self.layer
        assert layer.thresholds is not None
        if isinstance(layer, Conv):
            return self._fired_by_fresh_rows(p01, p10, rng)
        if p01 == p10 == 0:
            return fires(layer, self.clean())
        if layer.input == "uint8":
            if not _draws_normal(layer, p01, p10):
                return fires(layer, self._flip_by_flip(p01, p10, rng))
            chance = above(layer, *self.moments().at(p01, p10))[:, None]
        else:
            chance = symmetric_fire(layer, self._one_sided(p01, p10, rng), _shared(p01, p10))
        return np.asarray(rng.random(chance.shape, dtype=np.float32) < chance)

    def sums(self, p01: float, p10: float, rng: np.random.Generator) -> NDArray[np.int32]:
        """(n, 1, n_outputs) what a dense layer sums, each image on a fresh memory."""
        if p01 == p10 == 0:
            return self.clean()
        if self.layer.input == "bits":
            p, n = _shared(p01, p10), self.layer.n_inputs
            agree = self._one_sided(p01, p10, rng)
            return agree - binomial(agree, p, rng) + binomial(n - agree, p, rng)
        if not _draws_normal(self.layer, p01, p10):
            return self._flip_by_flip(p01, p10, rng)
        mean, variance = self.moments().at(p01, p10)
        drawn = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        parity = self._seen[:, 0].sum(axis=1, dtype=np.int64)[:, None] % 2  # of every reachable sum
        return np.asarray(2 * np.rint((drawn - parity) / 2) + parity, np.int32)[:, None]

    def moments(self) -> Moments:
        """Of a dense layer on uint8."""
        if self._moments is None:
            self._moments = Moments.of(self.rows, self._seen[:, 0])
        return self._moments

    def _one_sided(self, p01: float, p10: float, rng: np.random.Generator) -> NDArray[np.int32]:
        """P after the flips that one stored value has beyond those at the rate of both.

        e = (rate - shared) / (1 - 2 shared), since (1 - e) shared + e (1 - shared) = rate.
        """
        agree = self.clean()
        if p01 == p10:
            return agree
        shared = _shared(p01, p10)
        is_one = p10 != shared
        extra = ((p10 if is_one else p01) - shared) / (1 - 2 * shared)
        g = groups(self.rows, self._seen[:, 0])
        lost, gained = (g.n11, g.n10) if is_one else (g.n00, g.n01)
        moved = binomial(gained, extra, rng) - binomial(lost, extra, rng)
        return agree + moved[:, None]

    def _fired_by_fresh_rows(
        self, p01: float, p10: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Decisions from sums of +-1 (of pixels), with rows drawn for every image."""
        layer, is_bits = self.layer, self.layer.input == "bits"
        assert layer.thresholds is not None
        limit = (2 * layer.thresholds - layer.n_inputs) if is_bits else layer.thresholds
        stored = self.rows.signs
        fired = np.empty((*self._seen.shape[:2], layer.n_outputs), np.bool_)
        step = max(1, _AT_ONCE // (fired[0].size + self._seen[0].size + stored.size))
        for start in range(0, len(fired), step):
            x = self._seen[start : start + step].astype(stored.dtype)
            if is_bits:
                x = 2 * x - 1
            read = np.repeat(stored[None], len(x), axis=0)
            cells = read.reshape(-1)
            hit = _flipped(cells, p01, p10, rng)
            cells[hit] *= -1
            fired[start : start + step] = np.matmul(x, read.transpose(0, 2, 1)) >= limit
        return fired

    def _flip_by_flip(self, p01: float, p10: float, rng: np.random.Generator) -> NDArray[np.int32]:
        """Sums on uint8 with the lanes that flip, drawn as gaps between them."""
        sums = self.clean().copy()
        n_out, n = self.rows.signs.shape
        step = max(1, int(_AT_ONCE / (n_out * n)))
        stored = np.repeat(self.rows.signs.astype(np.int8)[None], step, axis=0)
        for start in range(0, len(sums), step):
            seen = self._seen[start : start + step, 0]
            cells = stored[: len(seen)].reshape(-1)
            hit = _flipped(cells, p01, p10, rng)
            rest, lane = np.divmod(hit, n)
            moves = -2.0 * cells[hit] * seen[rest // n_out, lane]
            moved = np.bincount(rest, moves, minlength=len(seen) * n_out)
            sums[start : start + step, 0] += moved.reshape(len(seen), n_out).astype(np.int32)
        return sums


def _flipped(
    cells: NDArray[Any], p01: float, p10: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which cells flip, rising.

    Args:
        cells: (n,) stored as +1 or -1.
    """
    highest = max(p01, p10)
    hit = _hits(len(cells), highest, rng)
    if p01 == p10 or not len(hit):
        return hit
    rate = np.where(cells[hit] > 0, p10, p01)
    return hit[rng.random(len(hit)) * highest < rate]


def _shared(p01: float, p10: float) -> float:
    """The one of two rates that both stored values flip at, before one of them flips more."""
    return min(p01, p10) if p01 + p10 <= 1 else max(p01, p10)


def _hits(n: int, p: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which of n independent cells are hit, each with probability p, rising."""
    parts, last = [np.empty(0, np.int64)], -1 if p > 0 else n
    while last < n:
        gaps = rng.geometric(p, int(p * (n - last) + 6 * (p * n) ** 0.5 + 16))
        part = last + np.cumsum(gaps)
        parts.append(part)
        last = int(part[-1])
    found = np.concatenate(parts)
    return found[found < n]


def binomial(n: NDArray[np.int32], p: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Exact binomial draws with n trials each, many by inversion of one law for each n.

    Args:
        n: any shape, 0 or more.
    """
    if n.size < _FEW_DRAWS:
        return rng.binomial(n, p).astype(np.int32)
    u = rng.random(n.size)
    flat = n.ravel()
    order = np.argsort(flat, kind="stable")
    trials, starts = np.unique(flat[order], return_index=True)
    drawn = np.empty(n.size, np.int32)
    for t, start, end in zip(trials, starts, [*starts[1:], n.size], strict=True):
        chosen = order[start:end]
        drawn[chosen] = np.searchsorted(bdtr(np.arange(t), t, p), u[chosen], side="right")
    return drawn.reshape(n.shape)
