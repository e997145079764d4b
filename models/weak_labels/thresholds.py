"""Thresholds on any score from weak labels: by significance, and the rules it is set beside.

A rule is an objective of four counts: selected on, selected off, all on, all off. It changes
only where the selection does, so a scan of all selections finds its exact maximum in O(n log n).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ...sim.exceptions import InputError
from .noise import Noise, alpha_of, rate_of
from .significance import Floats, significance

Objective = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Cut:
    """A threshold and what it selects: events whose score is above it.

    Attributes:
        threshold: between two scores; the highest score, which selects nothing, where all are
            equal.
        value: of the objective at it; minus infinity where all scores are equal.
        n_on, n_off: selected counts; expected ones where it was given chances.
    """

    threshold: float
    value: float
    n_on: float
    n_off: float


def scan(scores: ArrayLike, is_on: ArrayLike, objective: Objective) -> Cut:
    """The cut of highest objective, of all that select some events and not all; of equal ones
    that which selects fewest.

    Args:
        scores: (n,) finite.
        is_on: (n,) weak labels, or chances to be on, 0 to 1.
        objective: of the counts (k,) that are on and off in k selections.

    Raises:
        InputError: other shapes, no event, a score that is not finite, or a chance that is none.
    """
    found, on = np.asarray(scores, np.float64), np.asarray(is_on, np.float64)
    if found.ndim != 1 or found.shape != on.shape or not len(found):
        raise InputError(f"scores and labels must be (n,) alike, not {found.shape}, {on.shape}")
    if not np.isfinite(found).all():
        raise InputError("scores must be finite")
    if not ((on >= 0) & (on <= 1)).all():
        raise InputError("labels must be truth values, or chances from 0 to 1")
    order = np.argsort(-found, kind="stable")
    ranked, ranked_on = found[order], on[order]
    last = np.flatnonzero(ranked[1:] < ranked[:-1])  # of those that a cut selects
    if not len(last):
        return Cut(float(ranked[0]), -np.inf, 0, 0)
    n_on = np.cumsum(ranked_on)[last]
    n_off = last + 1 - n_on
    values = objective(n_on, n_off)
    best = int(np.argmax(values))
    above, below = float(ranked[last[best]]), float(ranked[last[best] + 1])
    middle = above / 2 + below / 2
    threshold = middle if below <= middle < above else below  # neighbours have no middle
    return Cut(threshold, float(values[best]), float(n_on[best]), float(n_off[best]))


def by_significance(scores: ArrayLike, is_on: ArrayLike, alpha: float) -> Cut:
    """The cut of highest significance, which is its value.

    Never quote that value: it is a maximum over cuts, and well above 0 without any source.
    """
    return scan(scores, is_on, lambda on, off: significance(on, off, alpha))


def by_expected_significance(odds: ArrayLike, alpha: float) -> Cut:
    """The cut of highest significance of the counts that a model expects: less noisy than any of
    the counts themselves, where the model is right.

    Args:
        odds: (n,) logarithm of the odds that each event is a gamma; all gammas are on.
    """
    rate = rate_of(alpha)
    on = rate + (1 - rate) * expit(np.asarray(odds, np.float64))
    return scan(odds, on, lambda on, off: significance(on, off, alpha))


def by_default_f1(scores: ArrayLike, is_on: ArrayLike) -> Cut:
    """The cut of highest F1 of the weak labels, taken for the truth."""
    n_on = float(np.sum(is_on))
    return scan(scores, is_on, lambda on, off: 2 * on / (on + off + n_on))


def by_menon_f1(probabilities: ArrayLike, is_on: ArrayLike, noise: Noise) -> Cut:
    """The cut of highest F1 of the classes, corrected for class-conditional noise.

    A selection of n events of which n_on are labelled on holds (n_on - p_minus n) / (1 - p_minus -
    p_plus) gammas. A rate that is not known is read from the scores: the 1 % quantile of
    P(on | x) is p_minus, the 99 % quantile 1 - p_plus.

    Args:
        probabilities: (n,) scores that estimate P(on | x).

    Source: Menon et al. 2015, ICML, sections 6.2 and 6.3 and appendix A.3; one rate known as in
    Bunse et al. 2023.
    """
    low, high = np.quantile(np.asarray(probabilities, np.float64), [0.01, 0.99])
    low = low if noise.p_minus is None else noise.p_minus
    high = high if noise.p_plus is None else 1 - noise.p_plus
    width = max(float(high - low), 1e-9)  # where the scores know no class, no event counts
    n, n_on = float(np.size(is_on)), float(np.sum(is_on))
    n_gammas = max((n_on - low * n) / width, 0.0)

    def objective(on: Floats, off: Floats) -> Floats:
        return 2 * (on - low * (on + off)) / width / (on + off + n_gammas)

    return scan(probabilities, is_on, objective)


def by_mithal(scores: ArrayLike, is_on: ArrayLike) -> Cut:
    """The cut of highest G-measure; the 5 % of lowest score tell the rate of on among hadrons.

    Source: Mithal et al. 2017, RAPT, IEEE TKDE 29 (11), p. 2489, as restated in the code of Bunse
    et al. 2023.
    """
    found, on = np.asarray(scores, np.float64), np.asarray(is_on, np.bool_)
    rate = float(on[found <= np.quantile(found, 0.05)].mean())

    def objective(n_on: Floats, n_off: Floats) -> Floats:
        return (n_on / (n_on + n_off) - rate) ** 2 * (n_on + n_off)

    return scan(found, on, objective)


RULES = ("significance", "menon-f1", "mithal", "default-f1")


def choose(rule: str, scores: NDArray[np.float64], is_on: NDArray[np.bool_], noise: Noise) -> Cut:
    """The cut by a rule of `RULES`.

    Raises:
        InputError: no such rule, or significance without a known p_minus.
    """
    if rule == "significance":
        if noise.p_minus is None:
            raise InputError(
                "significance needs p_minus, which geometry gives as alpha/(1 + alpha)"
            )
        return by_significance(scores, is_on, alpha_of(noise.p_minus))
    if rule == "menon-f1":
        return by_menon_f1(scores, is_on, noise)
    if rule == "mithal":
        return by_mithal(scores, is_on)
    if rule == "default-f1":
        return by_default_f1(scores, is_on)
    raise InputError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
