"""What layers compare and hand on, of many images at once: `golden` by matrix products.

Laws without injection and fitted thresholds look at every neuron on thousands of images. With
inputs x (0 or 1, or 0..255) and signs w = +-1 a layer on uint8 compares s = sum_i w_i x_i, one on
bits the popcount P = s + z, z its stored zeros: of these, all that meet no 1 agree.

Exact. A BLAS adds products w_i x_i in an order of its own, in parts, fused or not. Every number
that it makes is the sum of some of the products, so an integer of at most `bound` = n max(x) in
size; float32 holds all integers up to 2^24 and float64 up to 2^53, so no step rounds. On bits
n <= MAX_INPUTS < 2^24, so float32 does; on uint8 it does where 255 n <= 2^24, and float64 does
everywhere, since 255 MAX_INPUTS < 2^31, for which the results fit int32, too.

OR pooling commutes with the comparison, (max of the sums >= theta) = (some sum >= theta), so one
pass over a convolution gives its statistics and, pooled, all that is needed to fire it later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import golden
from .bits import Bits, unpack
from .layers import UINT8_MAX, Conv, Layer
from .network import Network

_EXACT_IN_FLOAT32 = 1 << 24
_LANES_AT_ONCE = 1 << 24  # of all windows of some images
_SAMPLED_ELEMENTS = 1 << 23
_LEAST_IMAGES = 50

Sums = NDArray[np.int32]
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Rows:
    """The stored rows of a layer, as the matrix product takes them.

    Attributes:
        signs: (n_outputs, n_inputs) -1 or 1, float32 where sums are exact in it, else float64.
        zeros: (n_outputs,) how many of them are -1, stored as 0.
    """

    layer: Layer
    signs: NDArray[np.floating[Any]]
    zeros: NDArray[np.int32]


def rows_of(layer: Layer) -> Rows:
    """Lay out the rows of a layer."""
    bits = unpack(layer.weights, layer.n_inputs)
    is_narrow = bound(layer) <= _EXACT_IN_FLOAT32
    signs = 2 * bits.view(np.int8) - 1
    return Rows(
        layer,
        signs.astype(np.float32) if is_narrow else signs.astype(np.float64),
        layer.n_inputs - bits.sum(axis=1, dtype=np.int32),
    )


def bound(layer: Layer) -> int:
    """No sum of the layer, nor any part of one, is greater in size."""
    return layer.n_inputs * (UINT8_MAX if layer.input == "uint8" else 1)


def accumulate(rows: Rows, x: NDArray[np.uint8]) -> Sums:
    """(..., n_outputs) what the layer compares, equal to `golden.accumulate`.

    Args:
        x: (..., n_inputs) bits or uint8: images, or windows of them.
    """
    sums = _products(rows, x)
    if rows.layer.input == "bits":
        sums += rows.zeros
    return sums.reshape(*x.shape[:-1], rows.layer.n_outputs)


def on_ones(rows: Rows, x: NDArray[np.uint8]) -> Sums:
    """(n, n_outputs) sum of the inputs that meet a stored 1; on bits their number, n11.

    It is (sum w x + sum x) / 2, the first being what meets a 1 less what meets a 0.

    Args:
        x: (n, n_inputs) bits or uint8.
    """
    twice = _products(rows, x).view(np.uint32)  # at most 2 bound < 2^32, so right modulo 2^32
    twice += x.sum(axis=1, dtype=np.uint32)[:, None]
    twice >>= 1
    return twice.view(np.int32)


def _products(rows: Rows, x: NDArray[np.uint8]) -> Sums:
    flat = x.reshape(-1, rows.layer.n_inputs)  # one product of matrices, not one for each image
    return np.asarray(flat.astype(rows.signs.dtype) @ rows.signs.T, np.int32)


def seen_by(layer: Layer, x: NDArray[_Value], fill: float = 0) -> NDArray[_Value]:
    """(n, n_windows, n_inputs) what the rows of a layer meet; a dense layer has one window.

    Args:
        x: (n, n_elements_in) what the layer is given: bits, uint8, or what stands for them.
        fill: value of the padding.
    """
    if not isinstance(layer, Conv):
        return x[:, None]
    return golden.windows(layer.window, x, fill).reshape(len(x), -1, layer.n_inputs)


def per_image(rows: Rows, x: NDArray[np.uint8]) -> Iterator[tuple[Sums, Sums]]:
    """All sums of a layer, some images at a time.

    Args:
        x: (n_images, n_elements_in) bits or uint8.

    Yields:
        (n, n_windows, n_outputs) sums, and the same `pooled`.
    """
    layer = rows.layer
    step = max(1, _LANES_AT_ONCE // (layer.n_inputs * layer.n_windows))
    for start in range(0, len(x), step):
        sums = accumulate(rows, seen_by(layer, x[start : start + step]))
        yield sums, pooled(layer, sums)


def pooled(layer: Layer, values: NDArray[_Value]) -> NDArray[_Value]:
    """(n, n_pools, n_outputs) the greatest of each pool; the values where the layer has none.

    Args:
        values: (n, n_windows, n_outputs) sums; or decisions, of which the greatest is the OR.
    """
    if not (isinstance(layer, Conv) and layer.pool):
        return values
    maps = values.reshape(len(values), layer.window.rows, layer.window.columns, -1)
    first, *others = pool_places(layer)
    found = maps[first].copy()
    for place in others:
        np.maximum(found, maps[place], out=found)
    return found.reshape(len(values), -1, layer.n_outputs)


def pool_places(layer: Conv) -> list[tuple[slice, slice, slice]]:
    """Slices of (n, rows, columns, ...) maps: each pool's first element, each one's second, ..."""
    assert layer.pool is not None, "only what pools has pools"
    height, width, _ = layer.out_shape
    kernel, stride = layer.pool.kernel, layer.pool.stride
    return [
        np.s_[
            :, y : y + stride * (height - 1) + 1 : stride, x : x + stride * (width - 1) + 1 : stride
        ]
        for y, x in product(range(kernel), repeat=2)
    ]


def fires(layer: Layer, sums: NDArray[np.signedinteger[Any]]) -> NDArray[np.bool_]:
    """Decisions of a hidden layer, the same shape as its sums (..., n_outputs)."""
    assert layer.thresholds is not None, "only the last layer has no thresholds"
    return np.asarray(sums >= layer.thresholds)


def handed_on(layer: Layer, decisions: NDArray[np.bool_]) -> Bits:
    """(n, n_elements_out) bits of a hidden layer, pooled where it pools.

    Args:
        decisions: (n, n_windows, n_outputs).
    """
    return bits_of(pooled(layer, decisions))


def bits_of(decisions: NDArray[np.bool_]) -> Bits:
    """(n, n_elements_out) bits of what is pooled already, (n, n_pools, n_outputs)."""
    return decisions.reshape(len(decisions), -1).view(np.uint8)


def scores_of(layer: Layer, sums: Sums) -> Sums:
    """Scores of a last layer from what it summed."""
    return sums if layer.input == "uint8" else 2 * sums - layer.n_inputs


@dataclass(frozen=True, eq=False)
class Step:
    """One layer on a sample of images, fault-free.

    Attributes:
        number: of the layer in the network.
        x: (n_images, n_windows, n_inputs) what it sees.
        sums: (n_images, n_windows, n_outputs) what it compares.
    """

    number: int
    rows: Rows
    x: NDArray[np.uint8]
    sums: Sums

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self.rows.layer


def steps(network: Network, u8: NDArray[np.uint8]) -> Iterator[Step]:
    """Every layer on the images, chain after chain, first to last.

    Args:
        u8: (n, n_inputs) images as `check_images` gives them.
    """
    encoded, number = golden.encode(network, u8), 0
    for chain in network.chains:
        x = encoded
        for layer in chain:
            seen, rows = seen_by(layer, x), rows_of(layer)
            sums = accumulate(rows, seen)
            yield Step(number, rows, seen, sums)
            if layer.thresholds is not None:
                x = handed_on(layer, fires(layer, sums))
            number += 1


def sample(network: Network, n_images: int) -> NDArray[np.int64]:
    """Which images to take, evenly, so that the map of no layer grows beyond a budget."""
    largest = max(layer.n_windows * layer.n_outputs for layer in network.layers)
    n = min(n_images, max(_LEAST_IMAGES, _SAMPLED_ELEMENTS // largest))
    return np.linspace(0, n_images - 1, n).astype(np.int64)
