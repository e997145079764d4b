"""What of a hidden layer's decisions is owed to thresholds, not to weights.

A neuron fires where its sum s reaches its threshold T, and its margin s - T moved in training as

    (s - T) = (s_0 - T_0) + sum over steps of c_t - sum over epochs of the change of T

in integers, exactly: T are the thresholds that exact arithmetic makes of the batch norms as they
were before training, after every epoch, and as they were measured anew at the end. A batch norm
follows all images that came by, so its share is of no class and no example.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim.layers import Input
from ...sim.thresholds import from_batch_norm
from ..checkpoint import BatchNorm, Layer
from .ledger import Ledger
from .views import View


def thresholds(ledger: Ledger) -> list[NDArray[np.int64]]:
    """By hidden layer, (n_epochs + 2, n_outputs) least sums of +-1 products, or of pixels, that
    fire: before training, after every epoch, and of the checkpoint."""
    checkpoint = ledger.checkpoint
    finished = [layer.norm for layer in checkpoint.layers if layer.norm is not None]
    moments = [ledger.first_norms, *(epoch.norms for epoch in ledger.epochs()), finished]
    return [
        np.array(
            [
                _sums(norms[i], checkpoint.layers[i], checkpoint.input if i == 0 else "bits")
                for norms in moments
            ]
        )
        for i in range(len(finished))
    ]


def _sums(norm: BatchNorm, layer: Layer, domain: Input) -> NDArray[np.int64]:
    found = from_batch_norm(
        norm.gamma, norm.beta, norm.mean, norm.var, norm.eps, layer.n_inputs, domain
    ).values.astype(np.int64)
    return found if domain == "uint8" else 2 * found - layer.n_inputs


def moved(ledger: Ledger, views: Sequence[View]) -> list[dict[str, Any]]:
    """By hidden layer, how far margins were moved: {layer, by_weights, by_thresholds}.

    Means of |p| over images and neurons, and of |T - T_0| over neurons, both in units of its sums.
    """
    return [
        {
            "layer": view.name,
            "by_weights": float(view.refinement.abs().mean()),
            "by_thresholds": float(np.abs(of[-1] - of[0]).mean()),
        }
        for view, of in zip(views, thresholds(ledger), strict=False)
    ]
