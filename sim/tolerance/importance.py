"""How much the decisions lean on single neurons, by three estimators, and how unequally.

Measured is the gap between the score of the true class and its best rival, mean over images:

    inversion   lost when the neuron decides the opposite on every image
    drop        lost when it always decides as it does on most of the images
    gradient    mean |d gap / d a * a|; the derivative of a sign is that of a hardtanh, 1 / c where
                |s - T| <= c, with c = sqrt(n), the standard deviation of a sum of random weights

Of a convolution the neuron is a channel of the map that it hands on, the derivatives of whose
elements are summed; a pooled bit shares its derivative equally among those that decided it.

The rest of the network does not run again from the start: one bit changes the sums of the next
layer by its weights, and the scores alone follow from there.

Source: Buschjaeger et al. 2021, arXiv 2102.01344 (variance of importance over neurons). The three
estimators, the gap as what they measure and the slope are reconstructions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..engine import Engine
from ..exact_sums import Step, fires, handed_on, pool_places, scores_of, steps
from ..exceptions import InputError
from ..layers import Conv, Layer, Window
from ..network import Network, check_images
from .margins import sum_distance

Estimator = Literal["inversion", "drop", "gradient"]
ESTIMATORS: tuple[Estimator, ...] = ("inversion", "drop", "gradient")
_AT_ONCE = 1 << 24  # lanes of windows

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Importance:
    """Of neurons of one hidden layer, by one estimator.

    Attributes:
        neurons: (k,) which.
        gap_lost: (k,) in score units; negative where the gap widens.
        accuracy_lost: (k,) 0..1, or None by gradient.
        variance: of `gap_lost` divided by its mean absolute value; None where all are 0. The lower,
            the more evenly the layer shares the work.
    """

    name: str
    estimator: Estimator
    neurons: NDArray[np.int64]
    gap_lost: NDArray[np.float64]
    accuracy_lost: NDArray[np.float64] | None

    @property
    def variance(self) -> float | None:
        """Between neurons; see the class."""
        scale = np.abs(self.gap_lost).mean()
        return float((self.gap_lost / scale).var()) if scale > 0 else None


def importance(
    network: Network,
    images: NDArray[np.generic],
    labels: NDArray[np.int64],
    max_neurons: int | None = None,
    estimators: Sequence[Estimator] = ESTIMATORS,
) -> list[Importance]:
    """Importance of the neurons of every hidden layer, layer by layer, by each estimator.

    Args:
        labels: (n,) true classes.
        max_neurons: evenly chosen of each layer; None for all.

    Raises:
        InputError: an ensemble, no images with labels, or an estimator that is unknown.
    """
    if len(network.members) > 1:
        raise InputError("importance is measured member by member, not on an ensemble")
    if set(estimators) - set(ESTIMATORS):
        raise InputError(f"estimators must be of {ESTIMATORS}, not {tuple(estimators)}")
    u8 = check_images(network, images)
    if not len(u8) or len(labels) != len(u8):
        raise InputError(f"importance needs images with labels, not {len(u8)} and {len(labels)}")
    chain = list(steps(network, u8))
    scores = scores_of(chain[-1].layer, chain[-1].sums[:, 0])
    slopes = _gradients(chain, scores, labels) if "gradient" in estimators else []
    found = []
    for i, (step, after) in enumerate(zip(chain, chain[1:], strict=False)):
        layer = step.layer
        bits = handed_on(layer, fires(layer, step.sums))
        bits = bits.reshape(len(u8), -1, layer.n_outputs)
        chosen = _evenly(layer.n_outputs, max_neurons)
        for estimator in estimators:
            if estimator == "gradient":
                found.append(
                    Importance(layer.name, estimator, chosen, slopes[i].astype(float)[chosen], None)
                )
                continue
            rest = None
            if after.layer.thresholds is not None:
                rest = Engine(Network("rest", network.layers[i + 2 :]))
            lost = np.empty((2, len(chosen)))
            for k, j in enumerate(chosen):
                if estimator == "inversion":
                    moved = 1 - 2 * bits[:, :, j].astype(np.int8)
                else:
                    moved = (bits[:, :, j].mean() >= 0.5) - bits[:, :, j].astype(np.int8)
                changed = _after_move(after, j, moved, rest)
                lost[:, k] = (
                    _gap(scores, labels).mean() - _gap(changed, labels).mean(),
                    (_right(scores, labels) - _right(changed, labels)),
                )
            found.append(Importance(layer.name, estimator, chosen, lost[0], lost[1]))
    return found


def _evenly(n: int, at_most: int | None) -> NDArray[np.int64]:
    if at_most is None or at_most >= n:
        return np.arange(n)
    return np.linspace(0, n - 1, at_most).astype(np.int64)


def _after_move(
    after: Step, j: int, moved: NDArray[np.int8], rest: Engine | None
) -> NDArray[np.int32]:
    """(n, n_classes) scores when channel j of the map in front of a layer moves.

    Args:
        moved: (n, positions) -1, 0 or 1: change of the bits.
        rest: what comes behind the layer; None where it gives the scores.
    """
    layer = after.layer
    if isinstance(layer, Conv):
        window = layer.window
        one = Window(window.height, window.width, 1, window.kernel, window.stride, window.pad)
        lanes = golden.windows(one, moved.astype(np.float32))
        lanes = lanes.reshape(len(moved), -1, one.fan_in)
        n_channels = window.channels
    else:
        lanes = moved[:, None].astype(np.float32)
        n_channels = layer.n_inputs // moved.shape[1]
    signs = np.ascontiguousarray(after.rows.signs[:, j::n_channels])
    sums = after.sums + (lanes @ signs.T).astype(np.int32)
    if rest is None:
        return scores_of(layer, sums[:, 0])
    return rest.scores(handed_on(layer, fires(layer, sums)))


def _gradients(
    chain: list[Step], scores: NDArray[np.int32], labels: NDArray[np.int64]
) -> list[Floats]:
    """Of every hidden layer (n_outputs,) mean |d gap / d a * a|."""
    wide = scores.astype(np.int64)
    np.put_along_axis(wide, labels[:, None], np.iinfo(np.int64).min, 1)
    rivals = wide.argmax(axis=1)
    totals = [np.zeros(step.layer.n_outputs, np.float64) for step in chain[:-1]]
    n_lanes = max(step.x[0].size for step in chain)
    n_at_once = max(1, _AT_ONCE // n_lanes)
    last = chain[-1].rows.signs.astype(np.float32, copy=False)
    for start in range(0, len(scores), n_at_once):
        part = slice(start, start + n_at_once)
        slope = last[labels[part]] - last[rivals[part]]  # (n, elements) of the map before the end
        for i in range(len(chain) - 2, -1, -1):
            step, layer = chain[i], chain[i].layer
            sums = step.sums[part]
            bits = handed_on(layer, fires(layer, sums))
            taylor = (slope * (2.0 * bits - 1)).reshape(len(bits), -1, layer.n_outputs)
            totals[i] += np.abs(taylor.sum(axis=1)).sum(axis=0)
            if i:
                slope = _before(step, part, _unpooled(layer, sums, bits, slope))
    return [(total / len(scores)).astype(np.float32) for total in totals]


def _unpooled(
    layer: Layer, sums: NDArray[np.int32], bits: NDArray[np.uint8], slope: Floats
) -> Floats:
    """(n, n_windows, n_outputs) derivatives by the bits in front of the pool."""
    shape = sums.shape
    if not (isinstance(layer, Conv) and layer.pool):
        return slope.reshape(shape)
    maps = fires(layer, sums).reshape(-1, layer.window.rows, layer.window.columns, shape[2])
    pooled = bits.reshape(-1, *layer.out_shape).astype(np.bool_)
    places = pool_places(layer)
    deciding = sum((maps[place] == pooled).astype(np.float32) for place in places)
    share = slope.reshape(pooled.shape) / deciding
    found = np.zeros(maps.shape, np.float32)
    for place in places:
        found[place] += share * (maps[place] == pooled)
    return found.reshape(shape)


def _before(step: Step, part: slice, slope: Floats) -> Floats:
    """(n, elements) derivatives by what a hidden layer sees, from those by its bits."""
    layer = step.layer
    width = np.float32(layer.n_inputs**0.5)
    distance = sum_distance(layer, step.sums[part])
    by_sum = np.where(np.abs(distance) <= width, slope / width, np.float32(0))
    signs = step.rows.signs.astype(np.float32, copy=False)
    by_lane = by_sum @ signs  # (n, n_windows, n_inputs)
    if not isinstance(layer, Conv):
        return np.asarray(by_lane[:, 0], np.float32)
    window, k, stride = layer.window, layer.window.kernel, layer.window.stride
    pad, channels = window.pad, window.channels
    by_lane = by_lane.reshape(-1, window.rows, window.columns, k, k, channels)
    padded = np.zeros(
        (len(by_lane), window.height + 2 * pad, window.width + 2 * pad, channels), np.float32
    )
    for y in range(k):
        for x in range(k):
            down = slice(y, y + stride * (window.rows - 1) + 1, stride)
            across = slice(x, x + stride * (window.columns - 1) + 1, stride)
            padded[:, down, across] += by_lane[:, :, :, y, x]
    inner = padded[:, pad : pad + window.height, pad : pad + window.width]
    return inner.reshape(len(by_lane), -1)


def _right(scores: NDArray[np.int32], labels: NDArray[np.int64]) -> float:
    return float((golden.classify(scores) == labels).mean())


def _gap(scores: NDArray[np.int32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    wide = scores.astype(np.int64)
    true = np.take_along_axis(wide, labels[:, None], 1)
    np.put_along_axis(wide, labels[:, None], np.iinfo(np.int64).min, 1)
    return np.asarray(true[:, 0] - wide.max(axis=1))
