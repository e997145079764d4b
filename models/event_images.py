"""MAGIC as images of a binary network: an on/off observation whose features are quantised.

Every feature becomes the number, 0..255, of the edges that it reaches, of 255 quantiles of the
training events; no label is needed. A thermometer of LEVELS turns it into bits, in hardware or
here, in the same order (`sim.golden`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .event_tables import Table, load_magic
from .weak_labels.observation import Sky, observe

LEVELS = tuple(range(16, 256, 16))
SKY = Sky()
SHARES = {"train": 0.4, "validation": 0.2, "test": 0.4}
N_EDGES = 255

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one split of an observation.

    Attributes:
        features: (n, n_features) float64 as the table has them.
        values: (n, n_features) uint8, quantised.
        is_on, is_gamma: (n,) the weak label, and the class that nobody knows.
        alpha: ratio of exposures.
    """

    features: NDArray[np.float64]
    values: Bytes
    is_on: Bools
    is_gamma: Bools
    alpha: float


def edges_of(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_features, N_EDGES) quantiles of events (n, n_features)."""
    return np.quantile(features, np.arange(1, N_EDGES + 1) / (N_EDGES + 1), axis=0).T


def quantise(features: NDArray[np.float64], edges: NDArray[np.float64]) -> Bytes:
    """(n, n_features) uint8: the number of its edges that each feature reaches."""
    reached = [
        np.searchsorted(of, x, side="right") for of, x in zip(edges, features.T, strict=True)
    ]
    return np.stack(reached, 1).astype(np.uint8)


def code(values: Bytes) -> Bytes:
    """(n, n_features * levels) bits 0 and 1: bit j of feature i says that it reaches level j."""
    return (
        (values[:, :, None] >= np.array(LEVELS, np.uint8)).reshape(len(values), -1).view(np.uint8)
    )


def split_events(table: Table, seed: int) -> dict[str, Events]:
    """An observation under SKY, in splits that share no event.

    Args:
        seed: of the chosen gammas, the regions and the splits.
    """
    rng = np.random.default_rng(seed)
    seen = observe(table, SKY, True, rng)
    order = rng.permutation(len(seen.is_on))
    ends = np.cumsum([round(share * len(order)) for share in SHARES.values()])[:-1]
    parts = dict(zip(SHARES, np.split(order, ends), strict=True))
    edges = edges_of(seen.features[parts["train"]])
    return {
        name: Events(
            seen.features[part],
            quantise(seen.features[part], edges),
            seen.is_on[part],
            seen.is_gamma[part],
            seen.alpha,
        )
        for name, part in parts.items()
    }


def load_splits(root: Path | None = None) -> dict[str, Events]:
    """The splits of the observation of seed 0 of MAGIC.

    Raises:
        InputError: MAGIC is nowhere.
    """
    return split_events(load_magic(root), 0)
