"""Trees whose splits are chosen by the significance of what they separate."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from .classifier import WeakClassifier
from .significance import check_alpha, half_square
from .thresholds import by_significance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MaxFeatures = str | int | None
_LEAF = -1


@dataclass(frozen=True, eq=False)
class Nodes:
    """A tree as arrays (n_nodes,): events whose feature is above the cut go right.

    Attributes:
        feature: -1 in a leaf.
        value: share of the node's events that are on.
    """

    feature: NDArray[np.int64]
    cut: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: Floats

    def scores(self, X: Floats) -> Floats:
        """(n,) values of the leaves that the events (n, n_features) fall into."""
        at = np.zeros(len(X), np.int64)
        while len(inside := np.flatnonzero(self.feature[at] != _LEAF)):
            node = at[inside]
            goes_right = X[inside, self.feature[node]] > self.cut[node]
            at[inside] = np.where(goes_right, self.right[node], self.left[node])
        return self.value[at]


def grow(
    X: Floats,
    is_on: Bools,
    alpha: float,
    max_depth: int,
    min_leaf: int,
    n_tried: int,
    rng: np.random.RandomState,
) -> Nodes:
    """A tree on these events.

    A split is as good as the more significant of its two sides, and made if that is more
    significant than the node; of the tried features every cut is looked at, not a sample.

    Args:
        n_tried: features drawn for each node.

    Source: Bunse et al. 2023, ECML PKDD (their search draws cuts at random).
    """
    feature: list[int] = []
    cut: list[float] = []
    left: list[int] = []
    right: list[int] = []
    value: list[float] = []

    def add(events: NDArray[np.int64], depth: int) -> int:
        node = len(feature)
        on = is_on[events]
        feature.append(_LEAF)
        cut.append(0.0)
        left.append(_LEAF)
        right.append(_LEAF)
        value.append(float(on.mean()))
        if depth == max_depth:
            return node
        best = float(half_square(on.sum(), (~on).sum(), alpha))
        for tried in rng.permutation(X.shape[1])[:n_tried]:
            found, where = best_split(X[events, tried], on, alpha, min_leaf)
            if found > best:
                best, feature[node], cut[node] = found, int(tried), where
        if feature[node] != _LEAF:
            is_right = X[events, feature[node]] > cut[node]
            left[node] = add(events[~is_right], depth + 1)
            right[node] = add(events[is_right], depth + 1)
        return node

    add(np.arange(len(X)), 0)
    return Nodes(np.array(feature), np.array(cut), np.array(left), np.array(right), np.array(value))


def best_split(x: Floats, is_on: Bools, alpha: float, min_leaf: int) -> tuple[float, float]:
    """(S²/2 of the better side, cut) of the best split of one feature; -inf where there is none."""
    order = np.argsort(x, kind="stable")
    ranked, on = x[order], np.cumsum(is_on[order])
    n_left = np.arange(1, len(x))
    legal = (ranked[1:] > ranked[:-1]) & (n_left >= min_leaf) & (len(x) - n_left >= min_leaf)
    at = np.flatnonzero(legal)
    if not len(at):
        return -np.inf, 0.0
    left_on, n_left = on[at], at + 1
    right_on, n_right = on[-1] - left_on, len(x) - n_left
    values = np.maximum(
        half_square(left_on, n_left - left_on, alpha),
        half_square(right_on, n_right - right_on, alpha),
    )
    best = int(np.argmax(values))
    below, above = float(ranked[at[best]]), float(ranked[at[best] + 1])
    middle = below / 2 + above / 2
    return float(values[best]), middle if below <= middle < above else below


def n_features_tried(max_features: MaxFeatures, n_features: int) -> int:
    """Features that a node tries.

    Raises:
        ValueError: neither None (all), "sqrt" nor a number above 0.
    """
    if max_features is None:
        return n_features
    if max_features == "sqrt":
        return max(1, math.isqrt(n_features))
    if isinstance(max_features, int) and max_features > 0:
        return min(max_features, n_features)
    raise ValueError(f"max_features must be None, 'sqrt' or a number above 0, not {max_features!r}")


class SignificanceTree(WeakClassifier):
    """One tree, cut at the leaf value of highest significance on its own training events.

    Args:
        alpha: exposure of the on region over that of all off regions.
        max_depth: splits from the root to a leaf at most.
        min_leaf: events that a leaf must hold.
        max_features: tried in each node: all (None), "sqrt" of them, or a number.
        random_state: of the tried features.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        max_depth: int = 6,
        min_leaf: int = 5,
        max_features: MaxFeatures = None,
        random_state: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.max_depth = max_depth
        self.min_leaf = min_leaf
        self.max_features = max_features
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "SignificanceTree":
        """Grow on features (n, n_features) and weak labels (n,)."""
        check_alpha(self.alpha)
        events, is_on = self._checked(X, y)
        self.nodes_ = grow(
            events,
            is_on,
            self.alpha,
            self.max_depth,
            self.min_leaf,
            n_features_tried(self.max_features, events.shape[1]),
            check_random_state(self.random_state),
        )
        cut = by_significance(self.nodes_.scores(events), is_on, self.alpha)
        self.threshold_ = cut.threshold
        return self

    def _decide(self, X: Floats) -> Floats:
        return self.nodes_.scores(X) - self.threshold_


class SignificanceForest(WeakClassifier):
    """Trees on bootstrap samples; the threshold is the most significant one out of bag.

    Args:
        n_trees: that vote with the values of their leaves.
        alpha, max_depth, min_leaf, max_features: as of `SignificanceTree`.
        random_state: of samples and tried features.
    """

    def __init__(
        self,
        n_trees: int = 50,
        alpha: float = 1.0,
        max_depth: int = 8,
        min_leaf: int = 5,
        max_features: MaxFeatures = "sqrt",
        random_state: int | None = None,
    ) -> None:
        self.n_trees = n_trees
        self.alpha = alpha
        self.max_depth = max_depth
        self.min_leaf = min_leaf
        self.max_features = max_features
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "SignificanceForest":
        """Grow on features (n, n_features) and weak labels (n,)."""
        check_alpha(self.alpha)
        events, is_on = self._checked(X, y)
        n_tried = n_features_tried(self.max_features, events.shape[1])
        rng = check_random_state(self.random_state)
        total, n_votes = np.zeros(len(events)), np.zeros(len(events))
        self.trees_ = []
        for _ in range(self.n_trees):
            bag = rng.randint(0, len(events), len(events))
            tree = grow(
                events[bag], is_on[bag], self.alpha, self.max_depth, self.min_leaf, n_tried, rng
            )
            self.trees_.append(tree)
            outside = np.setdiff1d(np.arange(len(events)), bag)
            total[outside] += tree.scores(events[outside])
            n_votes[outside] += 1
        voted = n_votes > 0
        if not voted.any():
            raise ValueError(f"no event is out of bag of any of {self.n_trees} trees")
        cut = by_significance(total[voted] / n_votes[voted], is_on[voted], self.alpha)
        self.threshold_ = cut.threshold
        return self

    def _decide(self, X: Floats) -> Floats:
        scores: Floats = np.mean([tree.scores(X) for tree in self.trees_], axis=0)
        return scores - self.threshold_
