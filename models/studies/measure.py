"""What is measured of a trained network: accuracy over bit error rates and operating points."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...sim import operating_points
from ...sim.engine import EngineDevice
from ...sim.errors import ErrorModel, Iid
from ...sim.memory import layout_of
from ...sim.network import Network
from ..calibration import recalibrated
from ..checkpoint import Checkpoint
from ..data import CACHE, Images, load
from ..evaluate import chip_accuracies
from ..frozen import integers
from ..noise import TrainingErrors
from ..recipe import from_values
from ..train import SEEDS
from .plan import Measure

Curve = dict[str, list[float]]
"""Accuracy 0..1 of every chip by rate or operating point, as text."""

_CALIBRATION_IMAGES = 2000
_CALIBRATION_CHIPS = 16
_CALIBRATION_SEED = 1 << 20
"""Of chips that are not those on which accuracy is measured."""


def measure(
    checkpoint: Checkpoint, plan: Measure, root: Path | None, folder: Path = CACHE
) -> dict[str, Any]:
    """All of `plan`, JSON values.

    Returns:
        network_sha256, n_weight_bits, and curves: fixed (all layers lie), spared (all but the
        first), tables (thresholds for each rate), chip_tables (thresholds for each chip), errors
        (operating points), own (the very chips of training, where a recipe has some).
    """
    network = integers(checkpoint)
    data = checkpoint.recipe["data"]
    test, training, held_out = (
        load(data, s, root, folder) for s in ("test", "train", "validation")
    )
    hidden = range(1, len(network.layers))
    spots = {e: operating_points.parse(e).model(plan.seed, root) for e in plan.errors}

    def curve(
        rates: Sequence[float],
        layers: range | None = None,
        adapted: Callable[[float, int], Network] | None = None,
    ) -> Curve:
        return {
            f"{rate:g}": _accuracies(network, test, _iid(rate, plan.seed), chips, layers, adapted)
            for rate in rates
            for chips in [range(plan.chips if rate else 1)]
        }

    images = training.images[:_CALIBRATION_IMAGES]
    layout = layout_of(network)

    @cache
    def for_rate(rate: float) -> Network:
        drawn = Iid(rate, rate, _CALIBRATION_SEED)
        maps = [drawn.sample(layout, chip) for chip in range(_CALIBRATION_CHIPS)]
        return recalibrated(checkpoint, maps, images)

    def for_chip(rate: float, chip: int) -> Network:
        return recalibrated(checkpoint, [Iid(rate, rate, plan.seed).sample(layout, chip)], images)

    found: dict[str, Any] = {
        "network_sha256": network.sha256,
        "n_weight_bits": network.n_weight_bits,
        "n_first_layer_bits": network.layers[0].n_inputs * network.layers[0].n_outputs,
        "fixed": curve(plan.rates),
        "spared": curve(plan.spared_rates, hidden),
        "tables": curve(plan.table_rates, adapted=lambda rate, chip: for_rate(rate)),
        "chip_tables": curve(plan.chip_rates, adapted=for_chip),
        "errors": {
            name: _accuracies(network, test, model, range(1, plan.chips + 1))
            for name, model in spots.items()
        },
    }
    recipe = from_values(checkpoint.recipe)
    if recipe.n_chips:
        met = TrainingErrors(recipe, layout, SEEDS + checkpoint.seed, root)
        found["own"] = _accuracies(network, test, met.model(1.0), range(recipe.n_chips))
    return found


def _iid(rate: float, seed: int) -> Iid | None:
    return Iid(rate, rate, seed) if rate else None


def _accuracies(
    network: Network,
    test: Images,
    model: ErrorModel | None,
    chips: range,
    layers: range | None = None,
    adapted: Callable[[float, int], Network] | None = None,
) -> list[float]:
    device = EngineDevice(threads=1)
    if adapted is None:
        device.load(network)
        return chip_accuracies(device, network, test, model, chips, layers)
    rate, found = model.rates()[0] if model is not None else 0.0, []
    for chip in chips:
        fitted = adapted(rate, chip)
        device.load(fitted)
        found += chip_accuracies(device, fitted, test, model, range(chip, chip + 1), layers)
    return found
