"""Least squares on a kernel: smooth scores from few events, and what each event gets without it.

The fit is linear, so one eigendecomposition gives it at every penalty, and each event's score by
the fit without that event in closed form: what chooses the setting and the threshold has seen no
event that it judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_N_QUANTILES = 200


@dataclass(frozen=True, eq=False)
class Basis:
    """Training events in the eigenvectors of a kernel's landmarks.

    Attributes:
        events: (n, d) centred coordinates, of which each has `squares` (d,) in sum.
        place: coordinates (m, d) of other events (m, n_features).
        width: of the kernel, see `bases`.
    """

    events: Floats
    squares: Floats
    place: Callable[[Floats], Floats]
    width: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A scorer that estimates the probability of a label.

    Attributes:
        unseen: (n,) score of each training event by the fit without it.
        error: mean square of what `unseen` misses the labels by.
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
    """
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
        made = np.asarray(placed.fit_transform(X), np.float64)
        mean = made.mean(0)
        squares, vectors = np.linalg.eigh((made - mean).T @ (made - mean))

        def place(
            given: Floats, placed: Any = placed, mean: Floats = mean, vectors: Floats = vectors
        ) -> Floats:
            return np.asarray((placed.transform(given) - mean) @ vectors, np.float64)

        found.append(Basis((made - mean) @ vectors, np.maximum(squares, 0.0), place, width))
    return found


def fit(bases: Sequence[Basis], labels: Bools, penalties: Sequence[float]) -> Fit:
    """The fit whose errors on events left out are least, over all bases and penalties.

    Source: leave-one-out residuals of least squares are (y - f) / (1 - h), h the leverage.
    """
    y = labels.astype(np.float64)
    found = []
    for basis in bases:
        products = basis.events.T @ (y - y.mean())
        for penalty in penalties:
            shrunk = 1 / (basis.squares + penalty)
            fitted = y.mean() + basis.events @ (shrunk * products)
            leverage = basis.events**2 @ shrunk + 1 / len(y)
            unseen = (fitted - leverage * y) / (1 - leverage)
            error = float(np.mean((unseen - y) ** 2))
            found.append((error, unseen, basis, penalty, shrunk * products))
    error, unseen, basis, penalty, slopes = min(found, key=lambda made: made[0])
    return Fit(
        unseen,
        error,
        lambda given: np.asarray(y.mean() + basis.place(given) @ slopes, np.float64),
        basis.width,
        penalty,
    )
