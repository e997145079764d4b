"""MAGIC as an on/off observation: what weak labels reach, beside clean ones and beside no source.

All hadrons are spread over the on region and R off regions, the gammas of the observation are on.
Each part of the events is counted by scorers and thresholds that the other parts made, and the
significance is that of all counts together.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold

from ..event_tables import Table, load_magic
from .noise import ON, draw_regions, fake_source
from .significance import significance
from .thresholds import by_significance

Bools = NDArray[np.bool_]
Row = dict[str, Any]

TITLE = "Gammas found without a class"
CLAIM = """
Bunse et al. 2021 (arXiv 2108.13396) and 2023 (ECML PKDD): a classifier that is trained to tell
the on region of a telescope from its off regions detects a source about as well as one that is
trained on classes, which only a simulation knows."""
PROTOCOL = """
MAGIC (19,020 simulated events) as an on/off observation: all 6,688 hadrons spread over one on and
five off regions, one gamma to ten hadrons, all gammas on. Random forests of 40 trees, five
features a split, at least 30 or 60 events in a leaf; the same events, forests and folds for weak
and clean labels. Two halves, each counted by a forest and a threshold from the other; the
threshold is that of highest significance out of bag. S is of all counts together. The size of
leaves came from a look at three other seeds; of the two sizes each kind of label is also judged
at its better one, in mean significance over these repetitions, which favours both alike. No
source: the on region is put away and an off region takes its place. MAGIC's hadrons are few;
repetitions share them, so the interval is that of regions, chosen gammas, folds and trees."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        imbalance: hadrons to one gamma, over all regions together.
        n_off_regions: R; alpha is 1/R.
        n_folds: parts of an observation.
        seeds: one repetition each: another choice of gammas, other regions, folds and trees.
        n_trees, max_features, min_leaves: of the random forests; a forest for each size of leaf.
    """

    imbalance: int = 10
    n_off_regions: int = 5
    n_folds: int = 2
    seeds: tuple[int, ...] = tuple(range(1, 21))
    n_trees: int = 40
    max_features: int = 5
    min_leaves: tuple[int, ...] = (30, 60)


@dataclass(frozen=True, eq=False)
class Observation:
    """Features (n, n_features), classes (n,), which events (n,) are on, ratio of exposures."""

    features: NDArray[np.float64]
    is_gamma: Bools
    is_on: Bools
    alpha: float


def observe(table: Table, plan: Plan, has_source: bool, rng: np.random.Generator) -> Observation:
    """All hadrons and as many gammas as the imbalance leaves; without a source, the on region of
    the same observation is put away and an off region stands in for it."""
    gammas, hadrons = np.flatnonzero(table.is_positive), np.flatnonzero(~table.is_positive)
    chosen = rng.choice(gammas, round(len(hadrons) / plan.imbalance), replace=False)
    events = np.concatenate([hadrons, chosen])
    is_gamma = table.is_positive[events]
    regions = draw_regions(is_gamma, plan.n_off_regions, 0.0, rng)
    if has_source:
        return Observation(table.features[events], is_gamma, regions == ON, 1 / plan.n_off_regions)
    remain, is_on = fake_source(regions)
    events, is_gamma = events[remain], is_gamma[remain]
    return Observation(table.features[events], is_gamma, is_on, 1 / (plan.n_off_regions - 1))


def counts(
    seen: Observation, labels: Bools, plan: Plan, min_leaf: int, seed: int
) -> tuple[int, int]:
    """(N_on, N_off) that are selected: every event by a forest and a threshold without it.

    Args:
        labels: (n,) that the forests are trained on, weak or clean; thresholds come from the
            out-of-bag significance of the regions either way.
    """
    n_on = n_off = 0
    folds = KFold(plan.n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(seen.features):
        forest = RandomForestClassifier(
            plan.n_trees,
            min_samples_leaf=min_leaf,
            max_features=plan.max_features,
            oob_score=True,
            random_state=seed,
        ).fit(seen.features[train], labels[train])
        scores = forest.oob_decision_function_[:, 1]
        voted = np.isfinite(scores)
        cut = by_significance(scores[voted], seen.is_on[train][voted], seen.alpha)
        selected = forest.predict_proba(seen.features[test])[:, 1] > cut.threshold
        n_on += int((selected & seen.is_on[test]).sum())
        n_off += int((selected & ~seen.is_on[test]).sum())
    return n_on, n_off


def repeat(table: Table, plan: Plan, seed: int) -> list[Row]:
    """Rows of one repetition: labels, min_leaf, seed, n_on, n_off, significance, excess, cpu_s."""
    true = observe(table, plan, True, np.random.default_rng(seed))
    fake = observe(table, plan, False, np.random.default_rng(seed))
    rows = []
    for min_leaf in plan.min_leaves:
        for name, seen, labels in (
            ("weak", true, true.is_on),
            ("clean", true, true.is_gamma),
            ("fake", fake, fake.is_on),
        ):
            start = time.process_time()
            n_on, n_off = counts(seen, labels, plan, min_leaf, seed)
            rows.append(
                {
                    "labels": name,
                    "min_leaf": min_leaf,
                    "seed": seed,
                    "n_on": n_on,
                    "n_off": n_off,
                    "significance": float(significance(n_on, n_off, seen.alpha)),
                    "excess": n_on - seen.alpha * n_off,
                    "cpu_s": time.process_time() - start,
                }
            )
    return rows


def run(plan: Plan, workers: int, root: Path | None) -> list[Row]:
    """Rows of all repetitions, in processes of one thread."""
    table = load_magic(root)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(repeat, table, plan, seed) for seed in plan.seeds]
        return [row for job in jobs for row in job.result()]
