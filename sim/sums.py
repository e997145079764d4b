"""Sums of whole layers by matrix products: what `golden` compares, fast and exact.

Fitting thresholds looks at every neuron on thousands of images. With inputs x (0 or 1, or 0..255)
and weights w = +-1 what a layer compares is sum_i w_i x_i, plus its number of zero weights on bits.
Every partial sum of it, in whatever order and with or without fused operations, is an integer of at
most n max(x); float32 holds all integers up to 2^24, float64 up to 2^53, so nothing is rounded.

OR pooling commutes with the comparison, (max of the sums >= theta) = (some sum >= theta), so one
pass over a convolution gives its statistics and, pooled, all that is needed to fire it later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import golden
from .bits import Bits, unpack
from .layers import UINT8_MAX, Conv, Layer, Pool

_EXACT_IN_FLOAT32 = 1 << 24
_LANES_AT_ONCE = 1 << 24  # of all windows of some images

Sums = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Rows:
    """The weights of a layer as the matrix product takes them.

    Attributes:
        weights: (n_inputs, n_outputs) -1 or 1, float32 where sums are exact in it, else float64.
        offset: (n_outputs,) to add: on bits the number of weights that are 0.
    """

    layer: Layer
    weights: NDArray[np.floating[Any]]
    offset: NDArray[np.int32]


def rows_of(layer: Layer) -> Rows:
    """Lay out the weights of a layer."""
    bits = unpack(layer.weights, layer.n_inputs)
    signs = (2 * bits.astype(np.int8) - 1).T
    is_narrow = bound(layer) <= _EXACT_IN_FLOAT32
    zeros = layer.n_inputs - bits.sum(axis=1, dtype=np.int32)
    return Rows(
        layer,
        signs.astype(np.float32) if is_narrow else signs.astype(np.float64),
        zeros if layer.input == "bits" else np.zeros_like(zeros),
    )


def bound(layer: Layer) -> int:
    """No sum of the layer, nor any part of one, is greater in size."""
    return layer.n_inputs * (UINT8_MAX if layer.input == "uint8" else 1)


def accumulate(rows: Rows, x: NDArray[np.uint8]) -> Sums:
    """(n, n_outputs) what the layer compares, as `golden.accumulate` has it.

    Args:
        x: (n, n_inputs) bits or uint8: images, or windows of them.
    """
    sums: Sums = (x.astype(rows.weights.dtype) @ rows.weights).astype(np.int32)
    sums += rows.offset
    return sums


def per_image(rows: Rows, x: NDArray[np.uint8]) -> Iterator[tuple[Sums, Sums]]:
    """All sums of a layer, some images at a time.

    Args:
        x: (n_images, n_elements_in) bits or uint8.

    Yields:
        (n, n_outputs) sums of every image and window, and (n_images, n_elements_out) the greatest
        of each pool, which fires where any of them does.
    """
    layer = rows.layer
    step = max(1, _LANES_AT_ONCE // (layer.n_inputs * layer.n_windows))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        if not isinstance(layer, Conv):
            sums = accumulate(rows, part)
            yield sums, sums
            continue
        seen = golden.windows(layer.window, part)
        sums = accumulate(rows, seen.reshape(-1, layer.n_inputs))
        maps = sums.reshape(*seen.shape[:3], layer.n_outputs)
        pooled = max_pool(layer.pool, maps) if layer.pool else maps
        yield sums, pooled.reshape(len(part), -1)


def max_pool(pool: Pool, maps: Sums) -> Sums:
    """(n_images, rows, columns, channels) greatest value in every window of the maps."""
    rows, columns = (pool.size(n) for n in maps.shape[1:3])
    found = None
    for y in range(pool.kernel):
        for x in range(pool.kernel):
            ends = y + pool.stride * (rows - 1) + 1, x + pool.stride * (columns - 1) + 1
            seen = maps[:, y : ends[0] : pool.stride, x : ends[1] : pool.stride]
            found = seen.copy() if found is None else np.maximum(found, seen, out=found)
    assert found is not None, "a pool has at least one element"
    return found


def fired(
    layer: Layer, pooled: NDArray[np.signedinteger[Any]], thresholds: NDArray[np.int32]
) -> Bits:
    """(n_images, n_elements_out) bits of a hidden layer from the sums of `per_image`."""
    maps = pooled.reshape(len(pooled), -1, layer.n_outputs)
    return (maps >= thresholds).astype(np.uint8).reshape(len(pooled), -1)
