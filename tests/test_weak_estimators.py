"""Estimators of weak labels: scikit-learn's own checks, exact splits, and what they learn."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.estimator_checks import check_estimator

from stoic.models.commands import gamma_study
from stoic.models.event_tables import Table
from stoic.models.studies.judgement import MISSED, REACHED
from stoic.models.studies.judges.gamma import judge
from stoic.models.weak_labels import (
    draw_regions,
    half_square,
    half_square_gradient,
    significance,
)
from stoic.models.weak_labels.classifier import WeakClassifier
from stoic.models.weak_labels.gamma import Plan, observe, repeat
from stoic.models.weak_labels.network import SignificanceNetwork, significance_loss, soft_counts
from stoic.models.weak_labels.thresholded import Thresholded
from stoic.models.weak_labels.tree import SignificanceForest, SignificanceTree, best_split
from stoic.sim.exceptions import InputError

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
ESTIMATORS = [
    SignificanceTree(),
    SignificanceForest(n_trees=8),
    Thresholded(),
    SignificanceNetwork(hidden=(8,), n_warm_up=30, n_steps=10),
]


@pytest.mark.filterwarnings("ignore")  # the checks warn of what they skip
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_scikit_learn_accepts_them(estimator: WeakClassifier) -> None:
    results = check_estimator(estimator)
    assert len(results) > 40
    assert {r["status"] for r in results} <= {"passed", "skipped"}


def test_a_split_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        x = rng.integers(0, 9, 40).astype(float)
        is_on = rng.random(40) < 0.4
        found, cut = best_split(x, is_on, 0.2, 3)
        sides = [x > value for value in np.unique(x)[:-1]]
        best = max(
            float(half_square((s & is_on).sum(), (s & ~is_on).sum(), 0.2))
            for right in sides
            if min(right.sum(), (~right).sum()) >= 3
            for s in (right, ~right)
        )
        side = x > cut
        assert found == best
        assert found == max(
            float(half_square((s & is_on).sum(), (s & ~is_on).sum(), 0.2)) for s in (side, ~side)
        )


def test_the_loss_is_half_the_square_and_its_slope_the_gradient() -> None:
    n_on = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
    n_off = torch.tensor(300.0, dtype=torch.float64, requires_grad=True)
    loss = significance_loss(n_on, n_off, 0.2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert n_on.grad is not None and n_off.grad is not None
    assert -loss.item() == pytest.approx(float(half_square(100, 300, 0.2)))
    slopes = [float(value) for value in half_square_gradient(100, 300, 0.2)]
    assert [-n_on.grad.item(), -n_off.grad.item()] == pytest.approx(slopes)
    assert significance_loss(torch.tensor(1.0), torch.tensor(9.0), 0.2) > 0
    hard = soft_counts(torch.tensor([2.0, 1.0, -1.0]), torch.tensor([True, False, True]), 1e-3)
    assert [float(count) for count in hard] == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize(
    "estimator",
    [
        SignificanceTree(alpha=0.2, random_state=1),
        SignificanceForest(n_trees=20, alpha=0.2, random_state=1),
        SignificanceNetwork(alpha=0.2, random_state=1),
        Thresholded(p_minus=1 / 6, random_state=1),
        Thresholded(
            RandomForestClassifier(30, max_depth=6, oob_score=True), p_minus=1 / 6, random_state=1
        ),
    ],
    ids=["tree", "forest", "network", "logistic", "oob"],
)
def test_a_source_is_found_in_unseen_events_and_no_source_is_not(
    estimator: WeakClassifier,
) -> None:
    rng = np.random.default_rng(2)
    n = 4000
    is_gamma = rng.random(n) < 0.08
    X = rng.normal(0, 1, (n, 4)) + 1.5 * is_gamma[:, None] * [1, 1, 0, 0]
    is_on = draw_regions(is_gamma, 5, 0.0, rng) == 0
    seen, unseen = np.arange(n) < n // 2, np.arange(n) >= n // 2

    def found(labels: np.ndarray) -> float:
        chosen = estimator.fit(X[seen], labels[seen]).predict(X[unseen])
        on = labels[unseen]
        return float(significance((chosen & on).sum(), (chosen & ~on).sum(), 0.2))

    blind = float(significance(is_on[unseen].sum(), (~is_on[unseen]).sum(), 0.2))
    assert found(is_on) > blind + 1.5
    assert found(draw_regions(np.zeros(n, bool), 5, 0.0, rng) == 0) < 3


def _small(n_gammas: int, n_hadrons: int) -> Table:
    rng = np.random.default_rng(4)
    is_gamma = np.arange(n_gammas + n_hadrons) < n_gammas
    features = rng.normal(0, 1, (len(is_gamma), 3)) + 2.0 * is_gamma[:, None] * [1, 1, 0]
    return Table(features, is_gamma)


def test_an_observation_has_its_gammas_on_and_a_fake_source_has_none() -> None:
    table, plan = _small(3000, 6000), Plan()
    seen = observe(table, plan, True, np.random.default_rng(1))
    assert (len(seen.is_gamma), seen.is_gamma.sum()) == (6600, 600)
    assert seen.is_on[seen.is_gamma].all() and seen.alpha == 0.2
    assert seen.is_on[~seen.is_gamma].mean() == pytest.approx(1 / 6, abs=0.02)
    fake = observe(table, plan, False, np.random.default_rng(1))
    assert not fake.is_gamma.any() and fake.alpha == 0.25
    assert len(fake.is_on) == (~seen.is_on).sum()


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")
def test_the_study_tells_labels_that_find_a_source_from_those_that_do_not() -> None:
    plan = Plan(seeds=(1, 2), n_trees=10, max_features=2, min_leaves=(30,), n_folds=2)
    table = _small(300, 800)
    rows = [row for seed in plan.seeds for row in repeat(table, plan, seed)]
    assert rows[:3] == [
        r | {"cpu_s": row["cpu_s"]} for r, row in zip(repeat(table, plan, 1), rows[:3], strict=True)
    ]
    for row in rows:
        alpha = 0.25 if row["labels"] == "fake" else 0.2
        assert row["significance"] == significance(row["n_on"], row["n_off"], alpha)
    found = judge(rows, vars(plan))
    same, own, _ = found.findings
    assert same.result == own.result  # of one size of leaves
    worse = [
        r | {"significance": 0.9 * r["significance"]} if r["labels"] == "weak" else r for r in rows
    ]
    assert judge(worse, vars(plan)).findings[0].verdict == MISSED
    alarmed = [r | {"significance": 1.1} if r["labels"] == "fake" else r for r in rows]
    assert judge(alarmed, vars(plan)).findings[-1].verdict == MISSED
    quiet = [r | {"significance": 0.4} if r["labels"] == "fake" else r for r in rows]
    assert judge(quiet, vars(plan)).findings[-1].verdict == REACHED


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")
def test_the_study_writes_a_page(tmp_path: Path) -> None:
    small = Plan(seeds=(1, 2), n_trees=3, min_leaves=(60,))
    try:
        result = gamma_study(small, tmp_path, 1, tmp_path, ROOT)
    except InputError as error:
        pytest.skip(str(error))
    rows = json.loads((tmp_path / "gamma.json").read_text())
    assert [row["labels"] for row in rows] == ["weak", "clean", "fake"] * 2
    page = (tmp_path / "gamma.md").read_text()
    for finding in result["findings"]:
        assert finding["result"] in page
