"""How much the decisions lean on single neurons: importance by inverting one, and its variance.

    drop:        accuracy lost when the neuron decides the opposite on every image
    gap_change:  mean change of the gap between the true class and its best rival

The rest of the network runs again for every neuron. Of a convolution a whole channel is inverted.

Source: Buschjaeger et al. 2021, arXiv 2102.01344 (variance of importance over neurons); inversion
as the estimator is a reconstruction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..engine import Engine
from ..exceptions import InputError
from ..network import Network, check_images


@dataclass(frozen=True, eq=False)
class Importance:
    """Of the neurons of one hidden layer.

    Attributes:
        drop: (n_outputs,) accuracy lost, 0..1; negative where inverting helps.
        gap_change: (n_outputs,) mean loss of the gap, in score units.
        variance: of `gap_change` over neurons, scaled to a mean of 1; None where the mean is not
            positive. The lower, the more evenly the layer shares the work.
    """

    name: str
    drop: NDArray[np.float64]
    gap_change: NDArray[np.float64]
    variance: float | None


def importance(
    network: Network,
    images: NDArray[np.generic],
    labels: NDArray[np.int64],
    max_neurons: int | None = None,
) -> list[Importance]:
    """Importance of the neurons of every hidden layer.

    Args:
        labels: (n,) true classes.
        max_neurons: evenly chosen of each layer; None for all.

    Raises:
        InputError: an ensemble, or no images with labels.
    """
    if len(network.members) > 1:
        raise InputError("importance is measured member by member, not on an ensemble")
    x = golden.encode(network, check_images(network, images))
    if not len(x) or len(labels) != len(x):
        raise InputError(f"importance needs images with labels, not {len(x)} and {len(labels)}")
    clean = Engine(network).scores(images)
    right, gap = _right(clean, labels), _gap(clean, labels)
    found = []
    for i, layer in enumerate(network.layers[:-1]):
        x = golden.fire(layer, x)
        chosen = np.arange(layer.n_outputs)
        if max_neurons is not None and max_neurons < layer.n_outputs:
            chosen = np.linspace(0, layer.n_outputs - 1, max_neurons).astype(np.int64)
        drop, change = np.empty(len(chosen)), np.empty(len(chosen))
        rest = Engine(Network("rest", network.layers[i + 1 :]))
        for k, j in enumerate(chosen):
            inverted = x.copy()
            inverted[:, j :: layer.n_outputs] ^= 1
            scores = rest.scores(inverted)
            drop[k] = right - _right(scores, labels)
            change[k] = gap - _gap(scores, labels)
        mean = change.mean()
        variance = float((change / mean).var()) if mean > 0 else None
        found.append(Importance(layer.name, drop, change, variance))
    return found


def _right(scores: NDArray[np.int32], labels: NDArray[np.int64]) -> float:
    return float((golden.classify(scores) == labels).mean())


def _gap(scores: NDArray[np.int32], labels: NDArray[np.int64]) -> float:
    wide = scores.astype(np.int64)
    true = np.take_along_axis(wide, labels[:, None], 1)
    np.put_along_axis(wide, labels[:, None], np.iinfo(np.int64).min, 1)
    return float((true[:, 0] - wide.max(axis=1)).mean())
