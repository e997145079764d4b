"""Batch-norm re-estimation, carried over to integers: thresholds that move with their sums.

Some chips are drawn, or one is given, and all images pass through them and through the network
without errors. With mean mu and standard deviation sigma of a neuron's sums without errors, and
mu', sigma' of all its sums on the chips, its threshold, as the middle T = theta - 1/2 between the
greatest sum that does not fire and the least that does, turns to

    T' = mu' + (T - mu) sigma' / sigma,        theta' = floor(T' + 1), decided exactly.

That is the batch norm of the trained network with its statistics measured again under errors. The
sums are what a layer compares; as T' moves along with shifts and scales, popcounts and sums of
products give one theta'. It goes layer after layer: later layers see what the corrected ones before
them give. A neuron whose sums are all equal without errors keeps its distance to the mean. Without
errors every threshold stays exactly what it is.

Source: batch-norm re-estimation under injected errors as in the kit's notes on bit-error-tolerance
training; reconstructed, no publication gives it for integers.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..exact_sums import Sums, bits_of, bound, fires, per_image, rows_of
from ..layers import Layer
from ..network import Network, check_images
from ..thresholds import floor_of_root_sum

Tables = tuple[tuple[int, ...], ...]
"""Thresholds of each layer; () for a layer of scores."""

_INT64_MAX = (1 << 63) - 1


@dataclass
class Tally:
    """Count, sum and sum of squares of every neuron's sums, exact.

    Attributes:
        n: sums of each neuron.
        total, squares: (n_outputs,) Python integers.
    """

    n: int
    total: NDArray[np.object_]
    squares: NDArray[np.object_]

    @classmethod
    def empty(cls, layer: Layer) -> "Tally":
        """Of no sums."""
        zero = np.zeros(layer.n_outputs, np.int64).astype(object)
        return cls(0, zero, zero)

    def add(self, sums: Sums, bound: int) -> None:
        """Count (n, n_outputs) more sums, none of them greater in size than `bound`."""
        step = max(1, _INT64_MAX // bound**2)
        for start in range(0, len(sums), step):
            part = sums[start : start + step].astype(np.int64)
            self.n += len(part)
            self.total = self.total + part.sum(axis=0).astype(object)
            part *= part
            self.squares = self.squares + part.sum(axis=0).astype(object)

    @property
    def spread(self) -> NDArray[np.object_]:
        """(n_outputs,) n^2 times the variance."""
        found: NDArray[np.object_] = self.n * self.squares - self.total * self.total
        return found


def renormed(network: Network, images: NDArray[np.generic], faulty: list[Network]) -> Tables:
    """Thresholds for chips on which the network reads as `faulty`.

    Args:
        images: (n, ...) integers for calibration.
        faulty: what each chip's memory reads of the network.
    """
    tables: list[tuple[int, ...]] = []
    encoded = golden.encode(network, check_images(network, images))
    for chain in network.chains:
        x, seen = encoded, [encoded] * len(faulty)
        for layer in chain:
            if layer.thresholds is None:
                tables.append(())
                continue
            clean, read = Tally.empty(layer), Tally.empty(layer)
            top = _tally(layer, x, clean)
            tops = [
                _tally(chip.layers[len(tables)], s, read)
                for chip, s in zip(faulty, seen, strict=True)
            ]
            thresholds = rescaled(layer, clean, read)
            tables.append(tuple(thresholds.tolist()))
            seen = [bits_of(s >= thresholds) for s in tops]
            x = bits_of(fires(layer, top))
    return tuple(tables)


def rescaled(layer: Layer, clean: Tally, read: Tally) -> NDArray[np.int32]:
    """(n_outputs,) thresholds as many standard deviations from the mean as they were.

    Args:
        clean, read: of the layer's sums without errors and with them.
    """
    assert layer.thresholds is not None, "only hidden layers have thresholds"
    low, high = layer.threshold_range
    found = []
    columns = (layer.thresholds, clean.total, clean.spread, read.total, read.spread)
    for theta, total, spread, total_read, spread_read in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if theta in (low, high):  # always or never fires
            found.append(theta)
            continue
        ratio = Fraction(spread_read * clean.n**2, spread * read.n**2) if spread else Fraction(1)
        distance = Fraction((2 * theta - 1) * clean.n - 2 * total, 2 * clean.n)  # T - mu
        moved = floor_of_root_sum(Fraction(total_read, read.n) + 1, distance, ratio)
        found.append(min(max(moved, low + 1), high - 1))
    return np.array(found, np.int32)


def _tally(layer: Layer, x: NDArray[np.uint8], tally: Tally) -> NDArray[np.signedinteger[Any]]:
    """Count all sums of a layer; gives (n_images, n_pools, n_outputs) the greatest of each pool."""
    tops, largest = [], bound(layer)
    narrow = np.min_scalar_type(-largest - 1)  # of many chips and maps they fill the memory
    for sums, top in per_image(rows_of(layer), x):
        tally.add(sums.reshape(-1, layer.n_outputs), largest)
        tops.append(top.astype(narrow))
    return np.concatenate(tops)
