"""Estimators of weak labels: scikit-learn's own checks, exact splits, and what they learn."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.estimator_checks import check_estimator

from stoic.models.weak_labels import (
    draw_regions,
    half_square,
    half_square_gradient,
    significance,
)
from stoic.models.weak_labels.classifier import WeakClassifier
from stoic.models.weak_labels.network import SignificanceNetwork, significance_loss, soft_counts
from stoic.models.weak_labels.thresholded import Thresholded
from stoic.models.weak_labels.tree import SignificanceForest, SignificanceTree, best_split

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
