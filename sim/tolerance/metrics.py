"""Bit-error-tolerance metrics of every hidden layer, in one pass over a sample of images.

    margin       mean |s - T| / sqrt(n), on uint8 / (255 sqrt(n)); T halfway to the next decision
    noise_margin mean |s - T| / sqrt(sum x^2): the same on bits, but sees that an image is dim
    stability    1 - mean P(the neuron decides otherwise) at one bit error rate
    critical     mean rate at which the shrunken mean s (1 - 2p) meets T, at most 1/2

Source: Buschjaeger et al. 2020, arXiv 2002.00909 and 2021, arXiv 2102.01344 name a metric of the
margin; no public text gives its formula, so these are reconstructions.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exact_sums import Step, steps
from ..layers import UINT8_MAX, Layer
from ..network import Network, check_images
from .flip_law import fire_probability
from .margins import LayerMargins, margins_of

_SURVIVED = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class LayerTolerance:
    """What a hidden layer tolerates, means over images (windows) and live neurons.

    Attributes:
        n_inputs: fan-in, the flips that could happen to one neuron.
        dead_share: neurons that decide alike on all images; left out of everything else.
        margin, noise_margin, stability, critical_ber: the metrics, see the module.
        flip_probability: 1 - stability.
        method: of the flip probability: exact, or a normal approximation.
        mean_tolerated: flips that a decision survives wherever they are.
        tolerated_at_most: share of decisions that survive no more than 0, 1, 2, 4, 8 flips.
    """

    name: str
    n_inputs: int
    dead_share: float
    margin: float
    noise_margin: float
    stability: float
    flip_probability: float
    method: str
    critical_ber: float
    mean_tolerated: float
    tolerated_at_most: dict[int, float]

    def as_json(self) -> dict[str, Any]:
        """JSON values of one row."""
        values = asdict(self)
        shares = values.pop("tolerated_at_most")
        return values | {f"share_le_{k}": share for k, share in shares.items()}


def layer_tolerances(
    network: Network,
    images: NDArray[np.generic],
    p01: float,
    p10: float,
    max_rows: int = 100_000,
) -> list[LayerTolerance]:
    """The metrics of every hidden layer.

    Args:
        images: a sample, as `golden.scores` takes them.
        p01, p10: rates of the flip probability.
        max_rows: images or windows of a layer, evenly chosen where there are more.

    Raises:
        InputError: a rate is not 0..1.
    """
    u8 = check_images(network, images)
    return [
        layer_tolerance(step, p01, p10, max_rows)
        for step in steps(network, u8)
        if step.layer.thresholds is not None
    ]


def layer_tolerance(step: Step, p01: float, p10: float, max_rows: int) -> LayerTolerance:
    """The metrics of one hidden layer on the images of a step."""
    layer = step.layer
    skip = -(-step.x.shape[0] * step.x.shape[1] // max_rows)
    x = step.x.reshape(-1, layer.n_inputs)[::skip]
    margins = margins_of(step.rows, x, step.sums.reshape(-1, layer.n_outputs)[::skip])
    live = ~margins.is_dead
    if not live.any():
        return LayerTolerance(
            name=layer.name,
            n_inputs=layer.n_inputs,
            dead_share=1.0,
            margin=0.0,
            noise_margin=0.0,
            stability=1.0,
            flip_probability=0.0,
            method="all dead",
            critical_ber=0.5,
            mean_tolerated=layer.n_inputs,
            tolerated_at_most=dict.fromkeys(_SURVIVED, 0.0),
        )
    fires, method = fire_probability(layer, x, p01, p10)
    flips = np.where(margins.margin >= 0, 1 - fires, fires)[:, live].mean()
    distance = np.abs(margins.distance[:, live])
    is_pixels = layer.input == "uint8"
    unit = UINT8_MAX if is_pixels else 1
    energy = (x.astype(np.float64) ** 2).sum(axis=1) if is_pixels else np.full(len(x), x.shape[1])
    lit = energy > 0
    tolerated = margins.tolerated[:, live]
    return LayerTolerance(
        name=layer.name,
        n_inputs=layer.n_inputs,
        dead_share=float(margins.is_dead.mean()),
        margin=float(distance.mean() / (unit * layer.n_inputs**0.5)),
        noise_margin=float((distance[lit] / np.sqrt(energy[lit])[:, None]).mean()),
        stability=float(1 - flips),
        flip_probability=float(flips),
        method=method,
        critical_ber=float(_critical(layer, margins)[:, live].mean()),
        mean_tolerated=float(tolerated.mean()),
        tolerated_at_most={k: float((tolerated <= k).mean()) for k in _SURVIVED},
    )


def _critical(layer: Layer, margins: LayerMargins) -> NDArray[np.float64]:
    assert layer.thresholds is not None
    limit = layer.thresholds.astype(np.float64)
    limit = limit - 1 if layer.input == "uint8" else 2 * limit - layer.n_inputs - 1
    total = margins.distance + limit  # the sum itself
    ratio = np.divide(limit, total, out=np.zeros_like(total, np.float64), where=total != 0)
    return np.where((ratio > 0) & (ratio < 1), (1 - ratio) / 2, 0.5)
