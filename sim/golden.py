"""The reference answer: pure integer functions on packed bits, slow and plain.

Everything else in the kit (engine, torch, ONNX, RTL, board) must give these scores bit for bit.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .bits import Bits, Words, lane_mask, pack, popcount
from .layers import Conv, Layer, Pool, Window
from .network import Network, check_images

_CHUNK = 256  # images
_AT_ONCE = 1 << 22  # words of a broadcast
_PLANES = 8

_Value = TypeVar("_Value", bound=np.generic)


def xnor_popcount(x: Words, w: Words, n_bits: int) -> NDArray[np.int64]:
    """(n_images, n_neurons) lanes on which image and weights agree; pad lanes never count.

    Args:
        x: (n_images, n_words) uint64.
        w: (n_neurons, n_words) uint64.

    >>> xnor_popcount(np.array([[5]], np.uint64), np.array([[4]], np.uint64), 3)
    array([[2]])
    """
    return popcount(~(x[:, None] ^ w[None]) & lane_mask(n_bits))


def plane_sum(u: NDArray[np.uint8], w: Words) -> NDArray[np.int64]:
    """(n_images, n_neurons) sum of w_i u_i by bit planes: sum_b 2^b (2 pop(w & u_b) - pop(u_b)).

    Args:
        u: (n_images, n_inputs) uint8.
        w: (n_neurons, n_words) uint64.

    >>> plane_sum(np.array([[7, 200]], np.uint8), np.array([[2]], np.uint64))
    array([[193]])
    """
    total = np.zeros((len(u), len(w)), np.int64)
    for b in range(_PLANES):
        plane = pack((u >> b) & 1)
        total += (2 * popcount(plane[:, None] & w[None]) - popcount(plane)[:, None]) << b
    return total


def accumulate(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, n_outputs) what the layer compares: popcount P on bits, sum s on uint8.

    Args:
        x: (n, n_inputs) bits or uint8, as the layer's input says: images, or windows of them.
    """
    sums = np.empty((len(x), layer.n_outputs), np.int64)
    step = max(1, _AT_ONCE // layer.weights.size)
    for start in range(0, len(x), step):
        part = x[start : start + step]
        if layer.input == "uint8":
            sums[start : start + step] = plane_sum(part, layer.weights)
        else:
            sums[start : start + step] = xnor_popcount(pack(part), layer.weights, layer.n_inputs)
    return sums


def windows(window: Window, x: NDArray[_Value], fill: float = 0) -> NDArray[_Value]:
    """(n_images, rows, columns, fan_in) what every window of a convolution sees.

    Args:
        x: (n_images, n_elements) channel-last maps.
        fill: value of the padding; 0 on bits is -1.

    >>> windows(Window(1, 2, 1, 2, pad=1), np.array([[1, 0]], np.uint8))[0, 0]
    array([[0, 0, 0, 1],
           [0, 0, 1, 0],
           [0, 0, 0, 0]], dtype=uint8)
    """
    maps = x.reshape(-1, window.height, window.width, window.channels)
    pad, k, stride = (window.pad, window.pad), window.kernel, window.stride
    padded = np.pad(maps, ((0, 0), pad, pad, (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    seen = seen[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # (n, rows, columns, ky, kx, c)
    return seen.reshape(*seen.shape[:3], window.fan_in)


def or_pool(pool: Pool, maps: Bits) -> Bits:
    """(n_images, rows, columns, channels) OR over every window of the maps."""
    k, stride = pool.kernel, pool.stride
    seen = np.lib.stride_tricks.sliding_window_view(maps, (k, k), axis=(1, 2))
    return np.asarray(seen[:, ::stride, ::stride].max(axis=(4, 5)), np.uint8)


def fire(layer: Layer, x: NDArray[np.uint8]) -> Bits:
    """(n_images, n_elements_out) bits of a hidden layer: accumulator >= threshold, then pooled.

    Args:
        x: (n_images, n_elements_in) bits or uint8.
    """
    assert layer.thresholds is not None, "only the last layer has no thresholds"
    if not isinstance(layer, Conv):
        return (accumulate(layer, x) >= layer.thresholds).astype(np.uint8)
    seen = windows(layer.window, x)
    sums = accumulate(layer, seen.reshape(-1, layer.n_inputs))
    maps = (sums >= layer.thresholds).astype(np.uint8).reshape(*seen.shape[:3], layer.n_outputs)
    return (or_pool(layer.pool, maps) if layer.pool else maps).reshape(len(x), -1)


def raw_scores(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n_images, n_outputs) sums of products of the last layer: 2P - n on bits, s on uint8."""
    sums = accumulate(layer, x)
    return (sums if layer.input == "uint8" else 2 * sums - layer.n_inputs).astype(np.int32)


def encode(network: Network, u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n_images, n_elements_in) what the first layers see: the image, or its thermometer code."""
    if not network.thermometer:
        return u8
    reached = u8[:, :, None] >= np.array(network.thermometer, np.uint8)
    return reached.astype(np.uint8).reshape(len(u8), -1)


def scores(network: Network, images: NDArray[np.generic]) -> NDArray[np.int32]:
    """(n_images, n_classes) integer scores; those of an ensemble are the sums of its members'.

    Args:
        images: (n_images, ...) integers, channel-last, 0..255 or 0..1 as the network takes them.

    Raises:
        InputError: the images do not fit the network.
    """
    u8 = check_images(network, images)
    out = np.zeros((len(u8), network.n_classes), np.int32)
    for start in range(0, len(u8), _CHUNK):
        encoded = encode(network, u8[start : start + _CHUNK])
        for chain in network.chains:
            x = encoded
            for layer in chain[:-1]:
                x = fire(layer, x)
            out[start : start + _CHUNK] += raw_scores(chain[-1], x)
    return out


def classify(scores: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n_images,) class of the highest score; the lowest index wins a tie."""
    return np.asarray(scores.argmax(axis=1), np.int64)


def margin(scores: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n_images,) highest score minus the second highest; 0 at a tie, and of one class."""
    if scores.shape[1] < 2:
        return np.zeros(len(scores), np.int64)
    top = np.sort(scores.astype(np.int64), axis=1)
    return np.asarray(top[:, -1] - top[:, -2], np.int64)
