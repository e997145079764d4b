"""Significance of a detection: how unlikely so many counts on the source are without a source."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from ...sim.exceptions import InputError

Floats = NDArray[np.float64]


def half_square(n_on: ArrayLike, n_off: ArrayLike, alpha: float) -> Floats:
    """S²/2 of the significance S, whose slope is finite everywhere; 0 where there is no excess.

    Args:
        n_on, n_off: counts in the on region and in all off regions; any shapes that broadcast.
            Real numbers are taken too: soft counts.
        alpha: exposure of the on region over that of all off regions; 1/R for R equal ones.

    Raises:
        InputError: a count is negative or not finite, or alpha is not above 0.

    Source: Li and Ma 1983, ApJ 272, eq. 17, with 0 ln 0 = 0. With an on count below alpha times
    the off count S is 0: a lack of events is no detection.
    """
    on, off = _counts(n_on, n_off, alpha)
    total = np.maximum(on + off, np.finfo(np.float64).tiny)
    found = xlogy(on, (1 + alpha) / alpha * on / total) + xlogy(off, (1 + alpha) * off / total)
    return np.where(on > alpha * off, np.maximum(found, 0.0), 0.0)


def significance(n_on: ArrayLike, n_off: ArrayLike, alpha: float) -> Floats:
    """Significance S in standard deviations; arguments, errors and source as `half_square`.

    >>> [round(float(significance(on, off, 0.2)), 4) for on, off in [(100, 300), (10, 50)]]
    [4.2281, 0.0]
    """
    return np.sqrt(2 * half_square(n_on, n_off, alpha))


def half_square_gradient(n_on: ArrayLike, n_off: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """Slopes of S²/2 along the on and the off count; 0 where S is 0.

    Without any off count the slope along it is minus infinity: the first one weighs most.
    """
    on, off = _counts(n_on, n_off, alpha)
    is_excess = on > alpha * off
    total = np.where(is_excess, on + off, 1.0)
    with np.errstate(divide="ignore"):
        along_on = np.log(np.where(is_excess, (1 + alpha) / alpha * on / total, 1.0))
        along_off = np.log(np.where(is_excess, (1 + alpha) * off / total, 1.0))
    return along_on, along_off


def check_alpha(alpha: float) -> None:
    """Refuse an alpha that is no ratio of exposures.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if not 0 < alpha < np.inf:
        raise InputError(f"alpha must be a finite number above 0, not {alpha!r}")


def _counts(n_on: ArrayLike, n_off: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    check_alpha(alpha)
    on, off = np.broadcast_arrays(np.asarray(n_on, np.float64), np.asarray(n_off, np.float64))
    for name, values in (("n_on", on), ("n_off", off)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise InputError(f"{name} must be finite and not negative, not {values.min()!r}")
    return on, off
