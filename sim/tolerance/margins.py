"""Margins of neurons in units of stored bits: how many flips a decision certainly survives.

One flipped weight bit moves the popcount P of a layer on bits by one, so a neuron that fires
(P >= theta) survives any P - theta flips, one that does not survives theta - 1 - P. On uint8 a flip
of lane i moves the sum by 2 u_i, so the worst flips are those of the brightest pixels that help.

Source: Buschjaeger et al. 2021, arXiv 2102.01344 (margin to the batch-norm threshold); the exact
count of tolerated flips and the uint8 case are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..bits import unpack
from ..layers import Conv, Layer
from ..network import Network, check_images

_PIXELS_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class LayerMargins:
    """Margins of one hidden layer; of a convolution every window counts as an image.

    Attributes:
        margin: (n, n_outputs) accumulator minus threshold; the neuron fires where it is >= 0.
        tolerated: (n, n_outputs) weight flips that the decision survives, whichever they are;
            n_inputs where no flips can change it.
        is_dead: (n_outputs,) neurons that decide alike on all n.
    """

    name: str
    n_inputs: int
    margin: NDArray[np.int64]
    tolerated: NDArray[np.int64]
    is_dead: NDArray[np.bool_]


def inputs_of(network: Network, images: NDArray[np.generic]) -> list[NDArray[np.uint8]]:
    """What each layer sees, fault-free: (n, n_inputs) rows, windows of a convolution unrolled.

    Args:
        images: as `golden.scores` takes them.
    """
    encoded = golden.encode(network, check_images(network, images))
    seen: list[NDArray[np.uint8]] = []
    for chain in network.chains:
        x = encoded
        for layer in chain:
            rows = golden.windows(layer.window, x) if isinstance(layer, Conv) else x
            seen.append(rows.reshape(-1, layer.n_inputs))
            if layer.thresholds is not None:
                x = golden.fire(layer, x)
    return seen


def layer_margins(layer: Layer, x: NDArray[np.uint8]) -> LayerMargins:
    """Margins of one hidden layer.

    Args:
        x: (n, n_inputs) what it sees.
    """
    assert layer.thresholds is not None, "a layer of scores has no margins to thresholds"
    sums = golden.accumulate(layer, x)
    margin = sums - layer.thresholds
    if layer.input == "uint8":
        tolerated = _tolerated_uint8(layer, x, margin)
    else:
        fires = margin >= 0
        tolerated = np.where(fires, margin, -margin - 1)
        always, never = layer.thresholds <= 0, layer.thresholds > layer.n_inputs
        tolerated[:, always | never] = layer.n_inputs
    is_dead = np.asarray((margin >= 0).all(axis=0) | (margin < 0).all(axis=0))
    return LayerMargins(layer.name, layer.n_inputs, margin, tolerated, is_dead)


def _tolerated_uint8(
    layer: Layer, x: NDArray[np.uint8], margin: NDArray[np.int64]
) -> NDArray[np.int64]:
    is_plus = unpack(layer.weights, layer.n_inputs).astype(np.bool_)
    found = np.empty(margin.shape, np.int64)
    for m, image in enumerate(x):
        order = np.argsort(image, kind="stable")[::-1]
        moves = 2 * image[order].astype(np.int32)
        for start in range(0, len(is_plus), max(1, _PIXELS_AT_ONCE // layer.n_inputs)):
            rows = slice(start, start + max(1, _PIXELS_AT_ONCE // layer.n_inputs))
            fires = margin[m, rows] >= 0
            # A firing neuron is hurt where w = +1, the others where w = -1.
            helps = is_plus[rows][:, order] == fires[:, None]
            moved = np.cumsum(helps * moves, axis=1, dtype=np.int32)
            needed = np.where(fires, margin[m, rows] + 1, -margin[m, rows])
            is_enough = moved >= needed[:, None]
            first = is_enough.argmax(axis=1)
            n_flips = np.take_along_axis(
                np.cumsum(helps, axis=1, dtype=np.int32), first[:, None], 1
            )[:, 0]
            found[m, rows] = np.where(is_enough.any(axis=1), n_flips - 1, layer.n_inputs)
    return found
