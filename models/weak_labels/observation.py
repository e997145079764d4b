"""An on/off observation of a table of events: hadrons anywhere, gammas from the on region."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..event_tables import Table
from .noise import ON, draw_regions, fake_source

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sky:
    """How hard an observation is.

    Attributes:
        imbalance: hadrons to one gamma, over all regions together.
        n_off_regions: R; alpha is 1/R.
    """

    imbalance: int = 10
    n_off_regions: int = 5


@dataclass(frozen=True, eq=False)
class Observation:
    """Features (n, n_features), classes (n,), which events (n,) are on, ratio of exposures."""

    features: NDArray[np.float64]
    is_gamma: Bools
    is_on: Bools
    alpha: float


def observe(table: Table, sky: Sky, has_source: bool, rng: np.random.Generator) -> Observation:
    """All hadrons and as many gammas as the imbalance leaves; without a source, the on region of
    the same observation is put away and an off region stands in for it."""
    gammas, hadrons = np.flatnonzero(table.is_positive), np.flatnonzero(~table.is_positive)
    chosen = rng.choice(gammas, round(len(hadrons) / sky.imbalance), replace=False)
    events = np.concatenate([hadrons, chosen])
    is_gamma = table.is_positive[events]
    regions = draw_regions(is_gamma, sky.n_off_regions, 0.0, rng)
    if has_source:
        return Observation(table.features[events], is_gamma, regions == ON, 1 / sky.n_off_regions)
    remain, is_on = fake_source(regions)
    events, is_gamma = events[remain], is_gamma[remain]
    return Observation(table.features[events], is_gamma, is_on, 1 / (sky.n_off_regions - 1))
