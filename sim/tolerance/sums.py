"""Exact accumulators of many images at once: integers by a product of float matrices.

    d = x . [w = +1]      P = n - |x| - |w| + 2 d on bits,      s = 2 d - sum u on uint8

Every partial sum of d is an integer of at most 255 n, which float32 holds exactly up to 2^24 and
float64 up to 2^53, in whatever order it is added. Checked against `golden.accumulate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..bits import unpack
from ..layers import UINT8_MAX, Conv, Layer, Window
from ..network import Network

_FLOAT32_INTEGERS = 1 << 24
_ELEMENTS = 1 << 23
_LEAST_IMAGES = 50


@dataclass(frozen=True, eq=False)
class Rows:
    """The stored rows of a layer, ready for matrix products.

    Attributes:
        plus: (n_outputs, n_inputs) float, 1 where the stored bit is 1, else 0.
        ones: (n_outputs,) stored ones of a row.
    """

    layer: Layer
    plus: NDArray[np.floating]
    ones: NDArray[np.int32]

    def dots(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """(n, n_outputs) sum of x over the lanes whose stored bit is 1: n11 on bits."""
        return np.asarray(x.astype(self.plus.dtype) @ self.plus.T, np.int32)

    def sums(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """(n, n_outputs) what the layer compares, equal to `golden.accumulate`."""
        return self.sums_of(self.dots(x), x)

    def sums_of(self, dots: NDArray[np.int32], x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """`sums` of what `dots` gave."""
        total = x.sum(axis=1, dtype=np.int32)[:, None]
        if self.layer.input == "uint8":
            return np.asarray(2 * dots - total, np.int32)
        return np.asarray(self.layer.n_inputs - total - self.ones + 2 * dots, np.int32)


def rows_of(layer: Layer) -> Rows:
    """The rows of a layer."""
    bits = unpack(layer.weights, layer.n_inputs)
    largest = layer.n_inputs * (UINT8_MAX if layer.input == "uint8" else 1)
    kind = np.float32 if largest < _FLOAT32_INTEGERS else np.float64
    return Rows(layer, bits.astype(kind), bits.sum(axis=1, dtype=np.int32))


@dataclass(frozen=True, eq=False)
class Step:
    """One layer on a sample of images, fault-free.

    Attributes:
        number: of the layer in the network.
        x: (n_images, n_windows, n_inputs) what it sees; one window unless it is a convolution.
        sums: (n_images, n_windows, n_outputs) what it compares.
    """

    number: int
    rows: Rows
    x: NDArray[np.uint8]
    sums: NDArray[np.int32]

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
            sums = rows.sums(seen.reshape(-1, layer.n_inputs))
            sums = sums.reshape(*seen.shape[:2], layer.n_outputs)
            yield Step(number, rows, seen, sums)
            if layer.thresholds is not None:
                x = handed_on(layer, fires(layer, sums))
            number += 1


def sample(network: Network, n_images: int) -> NDArray[np.int64]:
    """Which images to take, evenly, so that the map of no layer grows beyond a budget."""
    largest = max(layer.n_windows * layer.n_outputs for layer in network.layers)
    n = min(n_images, max(_LEAST_IMAGES, _ELEMENTS // largest))
    return np.linspace(0, n_images - 1, n).astype(np.int64)


def seen_by(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, n_windows, n_inputs) what the rows of a layer meet.

    Args:
        x: (n, n_elements_in) what the layer is given.
    """
    return unrolled(layer.window, x) if isinstance(layer, Conv) else x[:, None]


def unrolled(window: Window, x: NDArray[Any], fill: float = 0) -> NDArray[Any]:
    """(n, n_windows, fan_in) what every window sees, of values of any type, as `golden.windows`.

    Args:
        x: (n, n_elements) channel-last maps.
        fill: value of the padding.
    """
    maps = x.reshape(-1, window.height, window.width, window.channels)
    pad, k, stride = (window.pad, window.pad), window.kernel, window.stride
    padded = np.pad(maps, ((0, 0), pad, pad, (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    seen = seen[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # (n, rows, columns, ky, kx, c)
    return seen.reshape(len(x), -1, window.fan_in)


def fires(layer: Layer, sums: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Decisions of a hidden layer, the same shape as its sums (..., n_outputs)."""
    assert layer.thresholds is not None, "only the last layer has no thresholds"
    return np.asarray(sums >= layer.thresholds)


def handed_on(layer: Layer, fired: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(n, n_elements_out) bits of a layer, pooled where it pools.

    Args:
        fired: (n, n_windows, n_outputs) decisions.
    """
    if isinstance(layer, Conv) and layer.pool:
        window, (k, stride) = layer.window, (layer.pool.kernel, layer.pool.stride)
        maps = fired.reshape(len(fired), window.rows, window.columns, -1)
        height, width, _ = layer.out_shape
        down, across = stride * (height - 1) + 1, stride * (width - 1) + 1
        fired = np.zeros((len(maps), height, width, maps.shape[-1]), np.bool_)
        for y in range(k):
            for x in range(k):
                fired |= maps[:, y : y + down : stride, x : x + across : stride]
    return fired.reshape(len(fired), -1).view(np.uint8)


def scores_of(layer: Layer, sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """Scores of a last layer from what it summed."""
    return sums if layer.input == "uint8" else 2 * sums - layer.n_inputs
