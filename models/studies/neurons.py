"""Neurons of a network, for the metrics of the literature: importance and signed margins."""

from pathlib import Path
from typing import Any

import numpy as np

from ...sim.layers import UINT8_MAX
from ...sim.network import check_images
from ...sim.tolerance.importance import importance
from ...sim.tolerance.margins import sum_distance
from ...sim.tolerance.sums import steps
from ..checkpoint import Checkpoint
from ..data import CACHE, load
from ..frozen import integers

N_IMAGES = 500
N_NEURONS = 64
_EDGES = np.linspace(-8, 8, 65)


def neurons(checkpoint: Checkpoint, root: Path | None, folder: Path = CACHE) -> dict[str, Any]:
    """Importance and margins on held-out training images, JSON values.

    Returns:
        importance_variance: {estimator: between neurons of the last hidden layer}.
        histograms: {layer: centres and shares of (s - T) / sqrt(fan-in), pixels / 255}.
    """
    network = integers(checkpoint)
    held_out = load(checkpoint.recipe["data"], "validation", root, folder)
    images, labels = held_out.images[:N_IMAGES], held_out.labels[:N_IMAGES].astype(np.int64)
    last = network.layers[-2].name
    found = importance(network, images, labels, N_NEURONS)
    variance = {i.estimator: i.variance for i in found if i.name == last}
    histograms = {}
    for step in steps(network, check_images(network, images)):
        layer = step.layer
        if layer.thresholds is None:
            continue
        unit = UINT8_MAX if layer.input == "uint8" else 1
        scaled = sum_distance(layer, step.sums) / (unit * layer.n_inputs**0.5)
        counts, _ = np.histogram(np.clip(scaled, _EDGES[0], _EDGES[-1]), _EDGES)
        centres = (_EDGES[1:] + _EDGES[:-1]) / 2
        shares = counts / counts.sum()
        histograms[layer.name] = {"centres": centres.tolist(), "shares": shares.tolist()}
    return {"importance_variance": variance, "histograms": histograms}
