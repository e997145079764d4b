"""Accuracy while training: the exact integers of the network, on images held out, under chips."""

from dataclasses import dataclass

import numpy as np

from ..sim import golden
from ..sim.engine import EngineDevice
from ..sim.errors import ErrorModel, Iid
from ..sim.faults import restrict
from ..sim.memory import stored_bits
from .data import Images
from .frozen import integers
from .nets import BinaryNet, to_checkpoint
from .noise import TrainingErrors

N_CHIPS = 2
SEED = 1 << 32
"""Population of the chips that validation uses; campaigns count their seeds from 0."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Images and conditions on which an epoch is chosen.

    Attributes:
        conditions: error model and chips by label: "0", a bit error rate, or the name of the
            operating point that is trained under.
        chosen_by: labels whose mean accuracy decides.
    """

    images: Images
    errors: TrainingErrors
    conditions: dict[str, tuple[ErrorModel | None, range]]
    chosen_by: tuple[str, ...]

    def accuracies(self, model: BinaryNet) -> dict[str, float]:
        """{label: accuracy 0..1, mean over its chips} of what the model is in integers."""
        network = integers(to_checkpoint(model, "validated", {}, 0, {}))
        device = EngineDevice(threads=1)
        device.load(network)
        labels, found = self.images.labels, {}
        for label, (errors, chips) in self.conditions.items():
            hits = []
            for chip in chips:
                faults = None
                if errors is not None:
                    layout = self.errors.layout
                    stored = stored_bits(network, layout) if errors.needs_data else None
                    faults = errors.sample(layout, chip, stored=stored)
                    if self.errors.recipe.exposed != "all":
                        faults = restrict(faults, layers=self.errors.layers)
                device.inject(faults)
                hits.append((golden.classify(device.infer(self.images.images)) == labels).mean())
            found[label] = round(float(np.mean(hits)), 6)
        return found

    def score(self, found: dict[str, float]) -> float:
        """What the best epoch has most of."""
        return sum(found[label] for label in self.chosen_by) / len(self.chosen_by)


def make(errors: TrainingErrors, images: Images) -> Validation:
    """BER 0, the highest trained rate, the rates the recipe selects on, its operating point."""
    recipe = errors.recipe
    trained = (recipe.p01_max + recipe.p10_max) / 2
    asymmetry = recipe.p01_max / trained if trained else 1.0
    conditions: dict[str, tuple[ErrorModel | None, range]] = {"0": (None, range(1))}
    for rate in sorted({trained, *recipe.select_rates} - {0.0}):
        model = Iid(rate * asymmetry, rate * (2 - asymmetry), SEED)
        conditions[f"{rate:g}"] = (model, range(N_CHIPS))
    chosen_by = tuple(f"{rate:g}" for rate in recipe.select_rates)
    if recipe.errors:
        # the chips that come again are what such a network is for; else chips it has never seen
        seed = errors.seed if recipe.n_chips else SEED
        chips = range(min(N_CHIPS, recipe.n_chips or N_CHIPS))
        conditions[recipe.errors] = (
            TrainingErrors(recipe, errors.layout, seed, errors.data_root).model(1.0),
            chips,
        )
        chosen_by = (*chosen_by, recipe.errors)
    return Validation(images, errors, conditions, chosen_by)
