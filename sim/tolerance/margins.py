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

from ..exact_sums import Rows, accumulate, rows_of
from ..layers import Layer

_LANES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class LayerMargins:
    """Margins of one hidden layer; of a convolution every window counts as an image.

    Attributes:
        margin: (n, n_outputs) accumulator minus threshold; the neuron fires where it is >= 0.
        distance: (n, n_outputs) s - T in sums of +-1 (of pixels), see `sum_distance`.
        tolerated: (n, n_outputs) weight flips that the decision survives, whichever they are;
            n_inputs where no flips can change it.
        is_dead: (n_outputs,) neurons that decide alike on all n.
    """

    name: str
    n_inputs: int
    margin: NDArray[np.int32]
    distance: NDArray[np.float64]
    tolerated: NDArray[np.int32]
    is_dead: NDArray[np.bool_]


def layer_margins(layer: Layer, x: NDArray[np.uint8]) -> LayerMargins:
    """Margins of one hidden layer.

    Args:
        x: (n, n_inputs) what it sees.
    """
    return margins_of(rows_of(layer), x)


def margins_of(
    rows: Rows, x: NDArray[np.uint8], sums: NDArray[np.int32] | None = None
) -> LayerMargins:
    """Margins of one hidden layer.

    Args:
        x: (n, n_inputs) what it sees.
        sums: what `accumulate` gave, where that is known.
    """
    layer = rows.layer
    assert layer.thresholds is not None, "a layer of scores has no margins to thresholds"
    sums = accumulate(rows, x) if sums is None else sums
    margin, distance = sums - layer.thresholds, sum_distance(layer, sums)
    fires = margin >= 0
    if layer.input == "uint8":
        tolerated = _tolerated_uint8(rows, x, margin)
    else:
        tolerated = np.where(fires, margin, -margin - 1)
        always, never = layer.thresholds <= 0, layer.thresholds > layer.n_inputs
        tolerated[:, always | never] = layer.n_inputs
    is_dead = np.asarray(fires.all(axis=0) | ~fires.any(axis=0))
    return LayerMargins(layer.name, layer.n_inputs, margin, distance, tolerated, is_dead)


def sum_distance(layer: Layer, sums: NDArray[np.int32]) -> NDArray[np.float64]:
    """s - T in sums of +-1 (of pixels on uint8), T halfway to the next decision.

    Args:
        sums: (..., n_outputs) what the layer compares.
    """
    assert layer.thresholds is not None
    step = 1.0 if layer.input == "uint8" else 2.0
    return np.asarray(step * (sums - layer.thresholds) + 1.0, np.float64)


def _tolerated_uint8(
    rows: Rows, x: NDArray[np.uint8], margin: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The brightest lanes that hurt are flipped until the decision falls, a block at a time."""
    is_plus = np.ascontiguousarray(rows.signs.T > 0)  # (n_inputs, n_outputs)
    found = np.full(margin.shape, rows.layer.n_inputs, np.int32)
    for m, image in enumerate(x):
        order = np.argsort(image, kind="stable")[::-1]
        moves = 2 * image[order].astype(np.int32)
        open_ = np.arange(rows.layer.n_outputs)  # neurons whose decision still stands
        needed = np.where(margin[m] >= 0, margin[m] + 1, -margin[m])
        n_flipped = np.zeros(len(needed), np.int32)
        for start in range(0, np.count_nonzero(moves), _LANES_AT_ONCE):
            lanes = slice(start, start + _LANES_AT_ONCE)
            # A firing neuron is hurt where w = +1, the others where w = -1.
            hurts = is_plus[order[lanes]][:, open_] == (margin[m, open_] >= 0)
            moved = np.cumsum(hurts * moves[lanes, None], axis=0, dtype=np.int32)
            is_enough = moved >= needed[open_]
            falls = is_enough[-1]
            first = is_enough[:, falls].argmax(axis=0)
            is_before = np.arange(len(hurts))[:, None] < first
            found[m, open_[falls]] = n_flipped[open_[falls]] + (hurts[:, falls] & is_before).sum(
                axis=0
            )
            needed[open_] -= moved[-1]
            n_flipped[open_] += hurts.sum(axis=0, dtype=np.int32)
            open_ = open_[~falls]
            if not len(open_):
                break
    return found
