"""Accuracy over bit error rates without a fault map: the law of every neuron, sampled.

Given what a dense layer sees, its neurons read disjoint weights, so over the chips they err
independently with the law of `flip_law`. Sampling that law image by image, layer by layer, has the
mean accuracy of fresh chips for dense networks. What it lacks is the spread between chips; and in
a convolution one faulty weight serves all windows, which are taken as independent here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..exceptions import InputError
from ..layers import Conv, Layer
from ..network import Network, check_images
from .flip_law import check_rates, groups, uint8_moments

DENSE = "law of neurons, sampled: unbiased"
CONVOLUTION = "law of neurons, sampled: windows of a convolution taken as independent"
_CHUNK = 500  # images


@dataclass(frozen=True)
class Predicted:
    """Mean accuracy over chips at one pair of rates.

    Attributes:
        accuracy: 0..1.
        standard_error: of sampling and of the images.
        method: what is exact about it and what is not.
    """

    p01: float
    p10: float
    accuracy: float
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
        layers: whose memories lie; None for all.

    Raises:
        InputError: no images, not as many labels, or a rate that is not 0..1.
    """
    u8 = check_images(network, images)
    if not len(u8) or len(labels) != len(u8):
        raise InputError(f"prediction needs images with labels, not {len(u8)} and {len(labels)}")
    has_conv = any(isinstance(layer, Conv) for layer in network.layers)
    found = []
    for p01, p10 in rates:
        check_rates(p01, p10)
        right = 0
        for start in range(0, len(u8), _CHUNK):
            part = slice(start, start + _CHUNK)
            scores = _scores(network, u8[part], p01, p10, rng, layers)
            right += int((golden.classify(scores) == labels[part]).sum())
        accuracy = right / len(u8)
        error = float(np.sqrt(accuracy * (1 - accuracy) / len(u8)))
        found.append(Predicted(p01, p10, accuracy, error, CONVOLUTION if has_conv else DENSE))
    return found


def _scores(
    network: Network,
    u8: NDArray[np.uint8],
    p01: float,
    p10: float,
    rng: np.random.Generator,
    layers: frozenset[int] | None,
) -> NDArray[np.int32]:
    total = np.zeros((len(u8), network.n_classes), np.int32)
    encoded, number = golden.encode(network, u8), 0
    for chain in network.chains:
        x = encoded
        for layer in chain:
            lies = layers is None or number in layers
            number += 1
            rows = golden.windows(layer.window, x) if isinstance(layer, Conv) else x
            sums = _drawn(layer, rows.reshape(-1, layer.n_inputs), p01, p10, rng, lies)
            if layer.thresholds is None:
                total += (sums if layer.input == "uint8" else 2 * sums - layer.n_inputs).astype(
                    np.int32
                )
                continue
            fired = (sums >= layer.thresholds).astype(np.uint8)
            maps = fired.reshape(*rows.shape[:-1], layer.n_outputs)
            if isinstance(layer, Conv) and layer.pool:
                maps = golden.or_pool(layer.pool, maps)
            x = maps.reshape(len(u8), -1)
    return total


def _drawn(
    layer: Layer,
    x: NDArray[np.uint8],
    p01: float,
    p10: float,
    rng: np.random.Generator,
    lies: bool,
) -> NDArray[np.int64]:
    """(n, n_outputs) what the layer compares, as one fresh memory for every image would read it."""
    if not lies or p01 == p10 == 0:
        return golden.accumulate(layer, x)
    if layer.input == "uint8":
        mean, variance = uint8_moments(layer, x, p01, p10)
        drawn = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        parity = x.sum(axis=1, dtype=np.int64)[:, None] % 2  # of every reachable sum
        return np.asarray(2 * np.rint((drawn - parity) / 2) + parity, np.int64)
    g = groups(layer, x)
    read: NDArray[np.int64] = rng.binomial(g.n11, 1 - p10)
    for count, stays in ((g.n00, 1 - p01), (g.n10, p10), (g.n01, p01)):
        read += rng.binomial(count, stays)
    return read
