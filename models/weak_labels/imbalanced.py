"""KEEL's imbalanced sets under class-conditional noise: thresholds with known and unknown rates.

Weak labels are the classes with noise of both kinds; what is trained and chosen on them is counted
by the classes (F1) and by the weak labels (S) of events left out, of all folds together.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from ..event_tables import Table, load_keel
from .noise import Noise, alpha_of, inject_noise
from .significance import significance
from .thresholds import choose
from .tree import SignificanceForest

Bools = NDArray[np.bool_]
Row = dict[str, Any]

TITLE = "Thresholds for rare classes under label noise"
CLAIM = """
Bunse et al. 2023 (ECML PKDD), Li and Ma's significance as a threshold beside those of Menon
(knowing one rate of the noise, PK, both, CK, or none, CU), Mithal and the default: means over six
noises and 27 sets of imbalanced-learn."""
PROTOCOL = """
Other sets than theirs, so averages are beside each other and not equal: KEEL's with 50 rare events
or more, 2.5 or more others to each, and 2,000 events at most. Their six noises, their forests'
depth of 6, scores out of bag; 50 trees where they had more, 10 in the forest of Li and Ma trees;
three folds, two repetitions where they had ten and 20. F1 is of the classes, S of the weak labels,
both of events left out. ± is half of a 95 % interval over sets (Student's t), each a mean over
noises and repetitions; a verdict is "partly" where 0 is within it."""

NOISES = ((0.5, 0.1), (0.5, 0.25), (0.2, 0.2), (0.4, 0.4), (0.1, 0.3), (0.3, 0.1))
"""(p_minus, p_plus). Source: code of Bunse et al. 2023."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        least_rare, least_imbalance, most_events: of the sets that are taken.
        seeds: one repetition each: other noise, folds and trees.
        n_trees, n_significance_trees, max_depth: of the forests.
    """

    least_rare: int = 50
    least_imbalance: float = 2.5
    most_events: int = 2000
    noises: tuple[tuple[float, float], ...] = NOISES
    n_folds: int = 3
    seeds: tuple[int, ...] = (1, 2)
    n_trees: int = 50
    n_significance_trees: int = 10
    max_depth: int = 6

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def chosen(tables: dict[str, Table], plan: Plan) -> dict[str, Table]:
    """The sets that the plan takes."""
    found = {}
    for name, table in tables.items():
        n, n_rare = len(table.is_positive), int(table.is_positive.sum())
        is_rare = n_rare >= plan.least_rare and n - n_rare >= plan.least_imbalance * n_rare
        if is_rare and n <= plan.most_events:
            found[name] = table
    return found


def repeat(plan: Plan, seed: int, root: Path | None) -> list[Row]:
    """Rows of one repetition on KEEL's sets, see `rows_of`."""
    tables = chosen(load_keel(root), plan).items()
    return [row for name, table in tables for row in rows_of(name, table, plan, seed)]


def rows_of(name: str, table: Table, plan: Plan, seed: int) -> Iterator[Row]:
    """Rows of one set: set, p_minus, p_plus, method, seed, significance, f1, cpu_s.

    The methods are "significance-forest", and the rules of `thresholds.choose` on one random
    forest: "significance", "menon-pk", "menon-ck", "menon-cu", "mithal", "default".
    """
    for p_minus, p_plus in plan.noises:
        start = time.process_time()
        rng = np.random.default_rng(seed)
        is_on = inject_noise(table.is_positive, p_minus, p_plus, rng)
        selected = _selected(table, is_on, p_minus, p_plus, plan, seed)
        cpu_s = (time.process_time() - start) / len(selected)
        for method, by in selected.items():
            n_on, n_off = int((by & is_on).sum()), int((by & ~is_on).sum())
            n_true = int((by & table.is_positive).sum())
            yield {
                "set": name,
                "p_minus": p_minus,
                "p_plus": p_plus,
                "method": method,
                "seed": seed,
                "significance": float(significance(n_on, n_off, alpha_of(p_minus))),
                "f1": 2 * n_true / (int(by.sum()) + int(table.is_positive.sum())),
                "cpu_s": cpu_s,
            }


def _selected(
    table: Table, is_on: Bools, p_minus: float, p_plus: float, plan: Plan, seed: int
) -> dict[str, Bools]:
    """What each method selects of events that it has not seen."""
    known = Noise(p_minus)
    rules = {
        "significance": ("significance", known),
        "menon-pk": ("menon-f1", known),
        "menon-ck": ("menon-f1", Noise(p_minus, p_plus)),
        "menon-cu": ("menon-f1", Noise()),
        "mithal": ("mithal", known),
        "default": ("default-f1", known),
    }
    found = {name: np.zeros(len(is_on), np.bool_) for name in ("significance-forest", *rules)}
    folds = StratifiedKFold(plan.n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(table.features, table.is_positive):
        seen, unseen = table.features[train], table.features[test]
        trees = SignificanceForest(
            plan.n_significance_trees, alpha_of(p_minus), plan.max_depth, random_state=seed
        ).fit(seen, is_on[train])
        found["significance-forest"][test] = trees.decision_function(unseen) > 0
        forest = RandomForestClassifier(
            plan.n_trees, max_depth=plan.max_depth, oob_score=True, random_state=seed
        ).fit(seen, is_on[train])
        left_out = forest.oob_decision_function_[:, 1]
        voted = np.isfinite(left_out)  # an event may be in the bag of every tree
        scores = forest.predict_proba(unseen)[:, 1]
        for name, (rule, noise) in rules.items():
            cut = choose(rule, left_out[voted], is_on[train][voted], noise)
            found[name][test] = scores > cut.threshold
    return found
