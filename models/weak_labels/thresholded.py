"""Any scorer of scikit-learn, trained on weak labels, with a threshold chosen for the classes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_random_state

from .classifier import WeakClassifier
from .noise import Noise
from .thresholds import RULES, choose

Floats = NDArray[np.float64]


class Thresholded(WeakClassifier):
    """A scorer that ranks events by P(on | x), and so by P(gamma | x), cut by a rule.

    The rule sees scores that each event got from scorers trained without it: out of bag where the
    scorer has them (`oob_score=True`), else out of fold.

    Args:
        scorer: any classifier with predict_proba; logistic regression if None.
        rule: one of `thresholds.RULES`.
        p_minus, p_plus: rates of the noise, None where unknown.
        n_folds: without out-of-bag scores.
        random_state: of the folds, and of the scorer if it has one.

    Source: Bunse et al. 2023, proposition 2: P(on | x) = (1 - p_plus - p_minus) P(gamma | x) +
    p_minus, so only the threshold has to change.
    """

    def __init__(
        self,
        scorer: Any = None,
        rule: str = "significance",
        p_minus: float | None = 0.5,
        p_plus: float | None = None,
        n_folds: int = 5,
        random_state: int | None = None,
    ) -> None:
        self.scorer = scorer
        self.rule = rule
        self.p_minus = p_minus
        self.p_plus = p_plus
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "Thresholded":
        """Train on features (n, n_features) and weak labels (n,), then choose the threshold."""
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        noise = Noise(self.p_minus, self.p_plus)
        events, is_on = self._checked(X, y)
        rng = check_random_state(self.random_state)
        self.scorer_ = self._trained(events, is_on, rng)
        scores = getattr(self.scorer_, "oob_decision_function_", None)
        unseen = self._out_of_fold(events, is_on, rng) if scores is None else scores[:, 1]
        voted = np.isfinite(unseen)  # an event may be in the bag of every tree
        self.threshold_ = choose(self.rule, unseen[voted], is_on[voted], noise).threshold
        return self

    def _trained(self, X: Floats, is_on: NDArray[np.bool_], rng: np.random.RandomState) -> Any:
        scorer: Any = LogisticRegression() if self.scorer is None else clone(self.scorer)
        if "random_state" in scorer.get_params():
            scorer.set_params(random_state=rng.randint(2**31 - 1))
        return scorer.fit(X, is_on)

    def _out_of_fold(
        self, X: Floats, is_on: NDArray[np.bool_], rng: np.random.RandomState
    ) -> Floats:
        n_folds = min(self.n_folds, int(is_on.sum()), int((~is_on).sum()))
        if n_folds < 2:
            raise ValueError("each class needs two events for out-of-fold scores, and n_folds >= 2")
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=rng)
        scores = np.empty(len(X))
        for seen, unseen in folds.split(X, is_on):
            scores[unseen] = self._trained(X[seen], is_on[seen], rng).predict_proba(X[unseen])[:, 1]
        return scores

    def _decide(self, X: Floats) -> Floats:
        return np.asarray(self.scorer_.predict_proba(X)[:, 1], np.float64) - self.threshold_
