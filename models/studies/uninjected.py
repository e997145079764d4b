"""What studies ask of a network without injecting: metrics, predictions, importance, margins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim import golden
from ...sim.engine import Engine
from ...sim.exact_sums import steps
from ...sim.layers import UINT8_MAX
from ...sim.network import Network, check_images
from ...sim.tolerance.importance import importance
from ...sim.tolerance.margins import sum_distance
from ...sim.tolerance.network_metrics import network_metrics
from ...sim.tolerance.prediction import predict
from ..checkpoint import Checkpoint
from ..data import CACHE, load
from ..frozen import integers
from .plan import Measure

N_IMAGES = 500
N_NEURONS = 64
_EDGES = np.linspace(-8, 8, 65)


def uninjected(
    checkpoint: Checkpoint, plan: Measure, root: Path | None, folder: Path = CACHE
) -> dict[str, Any]:
    """What is known of a network without an error in its memory, JSON values.

    Returns:
        metrics: of `network_metrics`, on held-out training images.
        predicted: {rate: accuracy}, on the first test images, plus what the clean accuracy of all
            test images exceeds that of those.
        importance_variance: {estimator: between neurons of the last hidden layer}.
        histograms: {layer: centres and shares of (s - T) / sqrt(fan-in), pixels / 255}.
    """
    network = integers(checkpoint)
    test, held_out = (
        load(checkpoint.recipe["data"], s, root, folder) for s in ("test", "validation")
    )
    n, labels = plan.n_metric_images, held_out.labels.astype(np.int64)
    metrics = network_metrics(network, held_out.images[:n], labels[:n], plan.reference_rate)
    rates = [(rate, rate) for rate in plan.predicted_rates]
    rng = np.random.default_rng(plan.seed)
    predicted = predict(network, test.images[:n], test.labels[:n], rates, rng)
    right = golden.classify(Engine(network).scores(test.images)) == test.labels
    shift = float(right.mean() - right[:n].mean())
    images = held_out.images[:N_IMAGES]
    found = importance(network, images, labels[:N_IMAGES], N_NEURONS)
    last = network.layers[-2].name
    return {
        "metrics": metrics,
        "predicted": {f"{p.p01:g}": p.accuracy + shift for p in predicted},
        "importance_variance": {i.estimator: i.variance for i in found if i.name == last},
        "histograms": dict(_histograms(network, images)),
    }


def _histograms(
    network: Network, images: NDArray[np.generic]
) -> Iterator[tuple[str, dict[str, list[float]]]]:
    for step in steps(network, check_images(network, images)):
        layer = step.layer
        if layer.thresholds is None:
            continue
        unit = UINT8_MAX if layer.input == "uint8" else 1
        scaled = sum_distance(layer, step.sums) / (unit * layer.n_inputs**0.5)
        counts, _ = np.histogram(np.clip(scaled, _EDGES[0], _EDGES[-1]), _EDGES)
        centres = (_EDGES[1:] + _EDGES[:-1]) / 2
        yield layer.name, {"centres": centres.tolist(), "shares": (counts / counts.sum()).tolist()}
