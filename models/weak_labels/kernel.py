"""A likelihood on a kernel: smooth scores from few events, whose labels are on by chance.

P(on | x) = rate + (1 - rate) P(gamma | x), where geometry knows the rate at which hadrons are on;
at rate 0 labels are classes. The logarithm of P(gamma | x)'s odds is a sum over landmarks. Each
event's score by the fit without it is approximated from the fit's curvature: what chooses the
setting and the threshold has seen, to first order, no event that it judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import expit
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from ...sim.exceptions import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_N_QUANTILES = 200
_MOST_STEPS = 200
_TOLERANCE = 1e-3  # of the logarithm of the likelihood, which tells settings apart by whole units


@dataclass(frozen=True, eq=False)
class Basis:
    """Training events by their likeness to landmarks.

    Attributes:
        events: (n, d) coordinates, the last one 1.
        place: coordinates (m, d) of other events (m, n_features).
        width: of the kernel, see `bases`.
    """

    events: Floats
    place: Callable[[Floats], Floats]
    width: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A scorer of events by the logarithm of the odds that they are gammas.

    Attributes:
        unseen: (n,) score of each training event by the fit without it, approximately.
        error: mean of -log P(label) by `unseen`.
        score: (m,) scores of other events.
        width, penalty: the setting.
    """

    unseen: Floats
    error: float
    score: Callable[[Floats], Floats]
    width: float
    penalty: float


def bases(X: Floats, widths: Sequence[float], n_landmarks: int, seed: int) -> list[Basis]:
    """One basis for each width.

    Features are made normal by their quantiles; the kernel is exp(-width |x - y|²), by its values
    at some of the events (Williams and Seeger 2001, NIPS).

    Raises:
        InputError: X is not (n, n_features) of finite numbers, or there is no landmark.
    """
    if X.ndim != 2 or not len(X) or not np.isfinite(X).all():
        raise InputError(f"events must be (n, n_features) of finite numbers, not {X.shape}")
    if n_landmarks < 1:
        raise InputError(f"a kernel needs a landmark at least, not {n_landmarks}")
    found = []
    for width in widths:
        placed = make_pipeline(
            QuantileTransformer(
                n_quantiles=min(_N_QUANTILES, len(X)),
                output_distribution="normal",
                random_state=seed,
            ),
            Nystroem(gamma=width, n_components=min(n_landmarks, len(X)), random_state=seed),
        )
        events = _with_one(placed.fit_transform(X))

        def place(given: Floats, placed: Any = placed) -> Floats:
            return _with_one(placed.transform(given))

        found.append(Basis(events, place, width))
    return found


def _with_one(coordinates: Any) -> Floats:
    return np.asarray(np.c_[coordinates, np.ones(len(coordinates))], np.float64)


def fit(bases: Sequence[Basis], labels: Bools, penalties: Sequence[float], rate: float) -> Fit:
    """The fit that gives labels of events left out the highest likelihood, of all settings.

    Args:
        labels: (n,) of the events of the bases.
        penalties: of the sum of the squares of the slopes, each halved.
        rate: at which hadrons are labelled on, below 1: alpha/(1 + alpha); 0 where labels are
            classes.

    Raises:
        InputError: the rate is not 0 or more and below 1, a penalty not above 0, there is nothing
            to choose from, labels are not as many as events, or a penalty is too small to fit.

    Source: the loss is corrected forward, Patrini et al. 2017, CVPR; events are left out as in Rad
    and Maleki 2020, J. R. Stat. Soc. B 82, with expected curvatures.
    """
    if not 0 <= rate < 1:
        raise InputError(f"the rate must be 0 or more and below 1, not {rate!r}")
    if not bases or not penalties or not all(0 < penalty < np.inf for penalty in penalties):
        raise InputError(f"a fit needs bases and penalties above 0, not {list(penalties)}")
    if labels.shape != (n := len(bases[0].events),) or labels.dtype != np.bool_:
        raise InputError(f"labels must be {n} truth values, not {labels.shape} {labels.dtype}")
    found = []
    for basis in bases:
        slopes = np.zeros(basis.events.shape[1])
        for penalty in sorted(penalties, reverse=True):
            slopes, unseen = _climb(basis.events, labels, penalty, rate, slopes)
            error = -float(np.mean(_log_chances(unseen, labels, rate)))
            found.append((error, unseen, basis, penalty, slopes))
    error, unseen, basis, penalty, slopes = min(found, key=lambda made: made[0])
    return Fit(unseen, error, lambda given: basis.place(given) @ slopes, basis.width, penalty)


def _climb(
    events: Floats, labels: Bools, penalty: float, rate: float, slopes: Floats
) -> tuple[Floats, Floats]:
    """Slopes of highest penalised likelihood by Fisher scoring, and scores of events left out."""

    def goal(slopes: Floats) -> float:
        chances = _log_chances(events @ slopes, labels, rate)
        return float(chances.sum()) - penalty / 2 * float(slopes @ slopes)

    reached = goal(slopes)
    for _ in range(_MOST_STEPS):
        scores = events @ slopes
        gamma, hadron = expit(scores), expit(-scores)
        share = gamma / (rate + (1 - rate) * gamma) if rate else np.ones(len(scores))
        pull = np.where(labels, (1 - rate) * share * hadron, -gamma)
        curvature = (1 - rate) * share * gamma * hadron
        rooted = events * np.sqrt(curvature)[:, None]
        curve = rooted.T @ rooted
        curve[np.diag_indices_from(curve)] += penalty
        factor = cho_factor(curve, lower=True)
        uphill = events.T @ pull - penalty * slopes
        step = cho_solve(factor, uphill)  # type: ignore[no-untyped-call]
        gain = float(uphill @ step)
        if gain < _TOLERANCE:
            break
        length = 1.0
        while (ahead := goal(slopes + length * step)) < reached + 1e-4 * length * gain:
            length /= 2
        slopes, reached = slopes + length * step, ahead
    else:
        raise InputError(f"no fit in {_MOST_STEPS} steps at penalty {penalty:g}: make it larger")
    leverage = (solve_triangular(factor[0], events.T, lower=True) ** 2).sum(0)
    return slopes, scores - leverage * pull / (1 - leverage * curvature)


def _log_chances(scores: Floats, labels: Bools, rate: float) -> Floats:
    """Logarithm of the probability of each label."""
    on = np.log(rate + (1 - rate) * expit(scores)) if rate else -np.logaddexp(0, -scores)
    return np.where(labels, on, np.log1p(-rate) - np.logaddexp(0, scores))
