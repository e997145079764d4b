"""What errors do to sums, in the mean: shift, spread and the chance that a neuron turns.

With independent errors of rates p01 and p10 a stored weight reads with mean
E[w'] = (1 - p01 - p10) w + (p01 - p10), so sums shrink and move; `moments` has mean and variance of
the sum that a layer compares, row by row and input by input. They rank rows and choose polarities;
no score ever depends on them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .. import golden
from ..bits import unpack
from ..layers import Conv, Layer
from ..network import Network, check_images

Floats = NDArray[np.float64]
MAX_IMAGES = 256
MAX_IMAGES_CONV = 64  # each shows a row many windows
MAX_INPUTS_SEEN = 1024  # windows of a convolution are far more than images


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the sum that each row compares: P on bits, s on uint8.

    Attributes:
        clean: (n, n_outputs) without errors.
        mean, std: (n, n_outputs) with them.
    """

    clean: Floats
    mean: Floats
    std: Floats


def moments(layer: Layer, x: NDArray[np.uint8], p01: Floats, p10: Floats) -> Moments:
    """Mean and spread of each row's sum, exact for independent errors.

    Args:
        x: (n, n_inputs) what the rows meet: images, or windows of them.
        p01, p10: (n_outputs,) rates of each row.
    """
    w = unpack(layer.weights, layer.n_inputs).astype(np.float64)  # (n_outputs, n_inputs)
    u = x.astype(np.float64)
    total = u.sum(axis=1, keepdims=True)
    on1 = u @ w.T  # sum of inputs that meet a 1
    on0 = total - on1
    v01, v10 = p01 * (1 - p01), p10 * (1 - p10)
    if layer.input == "uint8":
        square = u * u
        square1 = square @ w.T
        square0 = square.sum(axis=1, keepdims=True) - square1
        mean = (1 - 2 * p10) * on1 - (1 - 2 * p01) * on0
        return Moments(on1 - on0, mean, 2 * np.sqrt(square1 * v10 + square0 * v01))
    ones = w.sum(axis=1)
    zeros = layer.n_inputs - ones
    clean = on1 + zeros - on0
    mean = on1 * (1 - p10) + (zeros - on0) * (1 - p01) + (ones - on1) * p10 + on0 * p01
    return Moments(clean, mean, np.broadcast_to(np.sqrt(ones * v10 + zeros * v01), mean.shape))


def turn_chance(layer: Layer, m: Moments) -> Floats:
    """(n, n_outputs) chance that a hidden neuron fires where it did not, or the other way round.

    The sum is taken as normal, with a correction of one half for its integers.
    """
    assert layer.thresholds is not None, "only hidden neurons turn"
    fires = ndtr((m.mean - layer.thresholds + 0.5) / np.maximum(m.std, 1e-9))
    return np.asarray(np.where(m.clean >= layer.thresholds, 1 - fires, fires), np.float64)


def slope(layer: Layer, m: Moments) -> Floats:
    """(n, n_outputs) how fast the chance to fire grows with the sum."""
    assert layer.thresholds is not None, "only hidden neurons fire"
    std = np.maximum(m.std, 0.5)  # without errors a step of one still is a step
    z = (m.mean - layer.thresholds + 0.5) / std
    return np.asarray(np.exp(-z * z / 2) / (std * np.sqrt(2 * np.pi)), np.float64)


def met(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, n_inputs) what the rows of a layer meet; of a convolution evenly spread windows."""
    if not isinstance(layer, Conv):
        return x
    seen = golden.windows(layer.window, x).reshape(-1, layer.n_inputs)
    return seen[:: max(1, len(seen) // MAX_INPUTS_SEEN)]


def few(network: Network, images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, n_inputs) as many of the first images as an estimate needs."""
    is_conv = any(isinstance(layer, Conv) for layer in network.layers)
    return check_images(network, images[: MAX_IMAGES_CONV if is_conv else MAX_IMAGES])


def layer_inputs(network: Network, images: NDArray[np.generic]) -> list[NDArray[np.uint8]]:
    """For every layer (n, n_elements_in) what it is given for the first `few` images."""
    found: list[NDArray[np.uint8]] = []
    encoded = golden.encode(network, few(network, images))
    for chain in network.chains:
        x = encoded
        for layer in chain:
            found.append(x)
            if layer.thresholds is not None:
                x = golden.fire(layer, x)
    return found
