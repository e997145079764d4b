"""The reference answer: pure integer functions on packed bits, slow and plain.

Everything else in the kit (engine, torch, ONNX, RTL, board) must give these scores bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

from .bits import Bits, Words, lane_mask, pack, popcount
from .network import Dense, Network, check_images

_CHUNK = 256
_PLANES = 8


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


def accumulate(layer: Dense, x: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n_images, n_outputs) what the layer compares: popcount P on bits, sum s on uint8.

    Args:
        x: (n_images, n_inputs) bits or uint8, as the layer's input says.
    """
    if layer.input == "uint8":
        return plane_sum(x, layer.weights)
    return xnor_popcount(pack(x), layer.weights, layer.n_inputs)


def fire(layer: Dense, x: NDArray[np.uint8]) -> Bits:
    """(n_images, n_outputs) bits of a hidden layer: accumulator >= threshold."""
    assert layer.thresholds is not None, "only the last layer has no thresholds"
    return (accumulate(layer, x) >= layer.thresholds).astype(np.uint8)


def raw_scores(layer: Dense, x: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(n_images, n_outputs) sums of products of the last layer: 2P - n on bits, s on uint8."""
    sums = accumulate(layer, x)
    return (sums if layer.input == "uint8" else 2 * sums - layer.n_inputs).astype(np.int32)


def scores(network: Network, images: NDArray[np.generic]) -> NDArray[np.int32]:
    """(n_images, n_classes) integer scores.

    Args:
        images: (n_images, ...) integers, 0..255 or 0..1 as the network's input says.

    Raises:
        InputError: the images do not fit the network.
    """
    u8 = check_images(network, images)
    out = np.empty((len(u8), network.n_classes), np.int32)
    for start in range(0, len(u8), _CHUNK):
        x = u8[start : start + _CHUNK]
        for layer in network.layers[:-1]:
            x = fire(layer, x)
        out[start : start + _CHUNK] = raw_scores(network.layers[-1], x)
    return out


def classify(scores: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n_images,) class of the highest score; the lowest index wins a tie."""
    return np.asarray(scores.argmax(axis=1), np.int64)


def margin(scores: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n_images,) highest score minus the second highest; 0 at a tie."""
    top = np.sort(scores.astype(np.int64), axis=1)
    return np.asarray(top[:, -1] - top[:, -2], np.int64)
