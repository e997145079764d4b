"""MAGIC as an on/off observation: what weak labels reach, beside clean ones and beside no source.

All hadrons are spread over the on region and R off regions, the gammas of the observation are on.
Each part of the events is counted by scorers and thresholds that the other parts made, and the
significance is that of all counts together.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from ..event_tables import Table, load_magic
from .kernel import Basis, bases, fit
from .noise import rate_of
from .observation import Observation, Sky, observe
from .significance import significance
from .thresholds import by_expected_significance

Row = dict[str, Any]

TITLE = "Gammas found without a class"
CLAIM = """
Bunse et al. 2021 (arXiv 2108.13396) and 2023 (ECML PKDD): a classifier that is trained to tell
the on region of a telescope from its off regions detects a source about as well as one that is
trained on classes, which only a simulation knows."""
PROTOCOL = """
MAGIC (19,020 simulated events) as an on/off observation: all 6,688 hadrons spread over one on
region and R off regions, gammas on. Five parts; each is counted by a scorer and a threshold from
the other four, and S is of all counts together. The scorer is a kernel's logistic likelihood on 200
landmarks, which for weak labels knows that one hadron in R + 1 is on; weak and clean labels have
the same events, landmarks and folds, and each kind chooses width and penalty by the likelihood of
its own labels on events left out, which one fit approximates. The threshold is that of the highest
significance that the scores of events left out expect, for both. "Half" is clean labels on every
second training event. No source: the on region is put away and an off region takes its place.
Everything was chosen on seeds above 100. MAGIC's hadrons are few, 115 of them stand there twice;
repetitions share them, so ±, half of a 95 % interval over repetitions (Student's t), is that of
regions, chosen gammas, folds and landmarks."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        skies: the first one is judged, and has controls; the others are beside it.
        n_folds: parts of an observation.
        seeds: one repetition each: another choice of gammas, other regions, folds and landmarks.
        n_landmarks, widths, penalties: of `kernel`.
    """

    skies: tuple[Sky, ...] = (
        Sky(),
        *(Sky(imbalance=n) for n in (30, 100, 1000)),
        *(Sky(n_off_regions=n) for n in (2, 10, 20)),
    )
    n_folds: int = 5
    seeds: tuple[int, ...] = tuple(range(1, 21))
    n_landmarks: int = 200
    widths: tuple[float, ...] = (0.02, 0.05)
    penalties: tuple[float, ...] = (0.002, 0.005, 0.02, 0.1, 1.0)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "skies": [vars(sky) for sky in self.skies]}


def counts(
    seen: Observation, trained_on: Sequence[str], plan: Plan, seed: int
) -> dict[str, tuple[int, int]]:
    """(N_on, N_off) that are selected, for each name of labels: every event by a scorer and a
    threshold without it.

    Args:
        trained_on: "weak", "clean" or "half".
    """
    found = {name: np.zeros(2, np.int64) for name in trained_on}
    folds = KFold(plan.n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(seen.features):
        whole = _bases(seen, train, plan, seed)
        for name in trained_on:
            part, based = train, whole
            if name == "half":
                part = train[::2]  # of either class, as they stand in order
                based = _bases(seen, part, plan, seed)
            labels, rate = seen.is_gamma, 0.0
            if name == "weak":
                labels, rate = seen.is_on, rate_of(seen.alpha)
            made = fit(based, labels[part], plan.penalties, rate)
            cut = by_expected_significance(made.unseen, seen.alpha)
            selected = made.score(seen.features[test]) > cut.threshold
            is_on = seen.is_on[test]
            found[name] += [(selected & is_on).sum(), (selected & ~is_on).sum()]
    return {name: (int(n_on), int(n_off)) for name, (n_on, n_off) in found.items()}


def _bases(seen: Observation, part: NDArray[np.int64], plan: Plan, seed: int) -> list[Basis]:
    return bases(seen.features[part], plan.widths, plan.n_landmarks, seed)


def repeat(plan: Plan, seed: int, root: Path | None) -> list[Row]:
    """Rows of one repetition on MAGIC, see `rows_of`."""
    return rows_of(load_magic(root), plan, seed)


def rows_of(table: Table, plan: Plan, seed: int) -> list[Row]:
    """Rows of one repetition: sky, labels, seed, n_on, n_off, significance, excess, cpu_s."""
    rows: list[Row] = []
    for i, sky in enumerate(plan.skies):
        judged = i == 0
        kinds: dict[bool, tuple[str, ...]] = {
            True: ("weak", "clean", "half") if judged else ("weak", "clean")
        }
        if judged:
            kinds[False] = ("weak",)
        for has_source, trained_on in kinds.items():
            start = time.process_time()
            seen = observe(table, sky, has_source, np.random.default_rng(seed))
            found = counts(seen, trained_on, plan, seed)
            cpu_s = (time.process_time() - start) / len(found)
            rows += [
                {
                    **vars(sky),
                    "labels": name if has_source else "fake",
                    "seed": seed,
                    "n_on": n_on,
                    "n_off": n_off,
                    "significance": float(significance(n_on, n_off, seen.alpha)),
                    "excess": n_on - seen.alpha * n_off,
                    "cpu_s": cpu_s,
                }
                for name, (n_on, n_off) in found.items()
            ]
    return rows
