"""Weak labels: the region of the sky that an event comes from instead of its class.

A hadron comes from any of the R + 1 regions alike, a gamma from the on region. Taken for a class,
the region is a label with class-conditional noise, of which geometry tells one rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...sim.exceptions import InputError
from .significance import check_alpha, significance

Bools = NDArray[np.bool_]
ON = 0
"""Number of the on region; off regions are 1 .. R."""


@dataclass(frozen=True)
class Noise:
    """Rates of class-conditional noise, as far as they are known.

    Attributes:
        p_minus: P(labelled on | hadron), or None.
        p_plus: P(labelled off | gamma), or None.

    Source: both known (CK), none (CU), one (PK-CCN): Bunse et al. 2023, ECML PKDD.
    """

    p_minus: float | None = None
    p_plus: float | None = None

    def __post_init__(self) -> None:
        for name, rate in vars(self).items():
            if rate is not None and not 0 <= rate < 1:
                raise InputError(f"{name} must be in [0, 1), not {rate!r}")
        if (self.p_minus or 0.0) + (self.p_plus or 0.0) >= 1:
            raise InputError(
                f"p_minus + p_plus must be below 1, not {self.p_minus} + {self.p_plus}: "
                "such labels say nothing"
            )

    @classmethod
    def of_regions(cls, alpha: float) -> "Noise":
        """What an on/off observation knows: hadrons fall into the on region in proportion."""
        return cls(p_minus=rate_of(alpha))


def rate_of(alpha: float) -> float:
    """Rate at which hadrons are labelled on at this ratio of exposures: p_minus."""
    check_alpha(alpha)
    return alpha / (1 + alpha)


def alpha_of(p_minus: float) -> float:
    """Ratio of exposures at which hadrons are labelled on at this rate."""
    if not 0 < p_minus < 1:
        raise InputError(f"p_minus must be in (0, 1), not {p_minus!r}")
    return p_minus / (1 - p_minus)


def inject_noise(is_gamma: Bools, p_minus: float, p_plus: float, rng: np.random.Generator) -> Bools:
    """Weak labels (n,): each clean label turned with the rate of its class."""
    Noise(p_minus, p_plus)
    turned = rng.random(len(is_gamma)) < np.where(is_gamma, p_plus, p_minus)
    return is_gamma ^ turned


def draw_regions(
    is_gamma: Bools, n_off_regions: int, p_plus: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The region (n,) of each event in an on/off observation: 0 is on, 1 .. R are off.

    Args:
        is_gamma: (n,) clean labels.
        n_off_regions: R, each as large as the on region.
        p_plus: share of gammas that are reconstructed into an off region, any of them alike.
    """
    if n_off_regions < 1:
        raise InputError(f"an observation needs an off region at least, not {n_off_regions}")
    Noise(1 / (n_off_regions + 1), p_plus)
    anywhere = rng.integers(0, n_off_regions + 1, len(is_gamma))
    leaked = np.where(
        rng.random(len(is_gamma)) < p_plus, rng.integers(1, n_off_regions + 1, len(is_gamma)), ON
    )
    return np.where(is_gamma, leaked, anywhere)


def fake_source(regions: NDArray[np.int64]) -> tuple[Bools, Bools]:
    """The negative control: the on region is put away, and the first off region plays it.

    Returns:
        (n,) which events remain; (n_remaining,) which of them are labelled on. Alpha is then
        1/(R-1).
    """
    if regions.max() < 2:
        raise InputError("a fake source needs two off regions at least")
    remain = regions != ON
    return remain, regions[remain] == 1


def evidence_of_labels(n_labelled_on: int, n_gammas: int, p_minus: float) -> float:
    """Standard deviations by which known gammas are labelled on more often than hadrons are.

    p_minus + p_plus < 1, without which nothing can be learnt, is that 1 - p_plus > p_minus: a test
    of Li and Ma on a sample of known gammas.

    Source: Bunse et al. 2023, theorem 1.
    """
    if not 0 <= n_labelled_on <= n_gammas:
        raise InputError(f"{n_labelled_on} of {n_gammas} gammas cannot be labelled on")
    return float(significance(n_labelled_on, n_gammas - n_labelled_on, alpha_of(p_minus)))
