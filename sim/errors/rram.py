"""RRAM from the resistances of its two states: log10 R is normal in each.

1 is the low resistance state (LRS, after SET), 0 the high one (HRS, after RESET).

    1T1R    R against a reference r:    p01 = P((r - mH) / sH)     p10 = 1 - P((r - mL) / sL)
    2T2R    two devices, opposite:      p01 = p10 = P((mL - mH) / sqrt(sL^2 + sH^2))

with P the normal distribution function: a reference off the middle makes a 1T1R cell asymmetric,
a 2T2R cell is symmetric whatever the states are.

A device that is weak once tends to be weak again. Part of the variance of log R stays with the
device, the rest is drawn anew at every programming; `normal_field` samples exactly that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from math import log10, sqrt
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Kind, Layout
from . import normal_field
from .model import Persistence, cell_plane, check_sample, chip_key, from_turns, provenance
from .rram_radar import N_CYCLES, SET_FAILURES, SWEEP_P01, SWEEP_PULSES, Read, check_read

_NORMAL = NormalDist()

HRS_MEAN, HRS_SIGMA = (5.2525, -0.16516), (0.32526, 0.08589)
LRS_MEAN, LRS_SIGMA = (3.7674, -0.03002), (0.15876, -0.03753)
"""(a, b) of a + b log10(cycle), cycles 1..300: mean and standard deviation of log10 R over 256
cells. Residuals 0.024, 0.013, 0.012, 0.018. Source: our least-squares fit to the measured cycling
of `rram_radar.CYCLING`, computed again by the tests. Both states have heavier or lighter tails than
the normal: at cycles 200 to 300 p01 is 0.194 measured and 0.152 by this law."""
HRS_SHARE, LRS_SHARE = 0.61, 0.26
"""Share of the variance of log10 R that belongs to the device: variance components of the same
data, the mean of each cycle taken out. Computed again by the tests."""


@dataclass(frozen=True)
class Rram:
    """Log-normal states, with a part of the variance that belongs to the device.

    Attributes:
        hrs_mean, hrs_sigma, lrs_mean, lrs_sigma: log10 of ohms; what a programming condition is.
        read: "1T1R" or "2T2R".
        reference: of a 1T1R read, log10 of ohms; None: half way between the means.
        hrs_share, lrs_share: of the variance that belongs to the device, 0..1.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "rram"
    needs_data: ClassVar[bool] = False

    hrs_mean: float
    hrs_sigma: float
    lrs_mean: float
    lrs_sigma: float
    read: Read = "2T2R"
    reference: float | None = None
    hrs_share: float = 0.0
    lrs_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_read(self.read)
        if self.hrs_sigma <= 0 or self.lrs_sigma <= 0:
            raise InputError(f"sigmas must be above 0, not {self.hrs_sigma}, {self.lrs_sigma}")
        if self.hrs_mean <= self.lrs_mean:
            raise InputError(
                f"hrs_mean must be above lrs_mean, not {self.hrs_mean} and {self.lrs_mean}"
            )
        if self.reference is not None and self.read == "2T2R":
            raise InputError("a 2T2R read has no reference; leave it out")
        for name in ("hrs_share", "lrs_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be 0..1, not {getattr(self, name)!r}")

    @property
    def persistence(self) -> Persistence:
        """Drawn anew at every programming."""
        return "programming"

    def rates(self) -> tuple[float, float]:
        """(p01, p10) by the formulas above, to 12 digits."""
        if self.read == "2T2R":
            gap = self.hrs_mean - self.lrs_mean
            both = _rate(-gap / sqrt(self.hrs_sigma**2 + self.lrs_sigma**2))
            return both, both
        middle = (self.hrs_mean + self.lrs_mean) / 2
        reference = middle if self.reference is None else self.reference
        return (
            _rate((reference - self.hrs_mean) / self.hrs_sigma),
            _rate((self.lrs_mean - reference) / self.lrs_sigma),
        )

    @property
    def shares(self) -> tuple[float, float]:
        """Share of the variance of the margin that belongs to the device, for a stored (0, 1)."""
        if self.read == "1T1R":
            return self.hrs_share, self.lrs_share
        own = self.hrs_share * self.hrs_sigma**2 + self.lrs_share * self.lrs_sigma**2
        share = own / (self.hrs_sigma**2 + self.lrs_sigma**2)
        return share, share

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of chip number `chip` after its programming number `event`."""
        return programmed(self, self.shares, layout, chip, where, event)


def after_cycles(cycles: float, read: Read = "2T2R", seed: int = 0) -> Rram:
    """RRAM as measured after so many SETs and RESETs, 1..300.

    Raises:
        InputError: cycles beyond what was measured.
    """
    if not 1 <= cycles <= N_CYCLES:
        raise InputError(f"cycles must be 1..{N_CYCLES}, which were measured, not {cycles}")

    def at(law: tuple[float, float]) -> float:
        return round(law[0] + law[1] * log10(cycles), 6)

    return Rram(
        at(HRS_MEAN),
        at(HRS_SIGMA),
        at(LRS_MEAN),
        at(LRS_SIGMA),
        read,
        hrs_share=HRS_SHARE,
        lrs_share=LRS_SHARE,
        seed=seed,
    )


@dataclass(frozen=True)
class RramSet:
    """RRAM whose SET pulses are weak: the failures measured at a word-line voltage.

    Independent from cell to cell and from programming to programming; 14 cells are too few to say
    more.

    Attributes:
        voltage: V at the word line, one of `SET_FAILURES`.
        read: "1T1R" against 20 kOhm or "2T2R".
        seed: of the population of chips.
    """

    name: ClassVar[str] = "rram-set"
    needs_data: ClassVar[bool] = False

    voltage: float
    read: Read = "1T1R"
    seed: int = 0

    def __post_init__(self) -> None:
        check_read(self.read)
        if self.voltage not in SET_FAILURES:
            raise InputError(f"voltage must be one of {list(SET_FAILURES)} V, not {self.voltage!r}")

    @property
    def persistence(self) -> Persistence:
        """Drawn anew at every programming."""
        return "programming"

    def rates(self) -> tuple[float, float]:
        """(p01, p10): a 0 fails by its RESET, which is the same at all of these voltages."""
        single, pairs = SET_FAILURES[self.voltage]
        if self.read == "1T1R":
            return SWEEP_P01, single / SWEEP_PULSES
        return pairs / SWEEP_PULSES**2, pairs / SWEEP_PULSES**2

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of chip number `chip` after its programming number `event`."""
        return programmed(self, (0.0, 0.0), layout, chip, where, event)


def programmed(
    model: Rram | RramSet,
    shares: tuple[float, float],
    layout: Layout,
    chip: int,
    where: Iterable[Kind],
    event: int,
) -> FaultMap:
    """Faults at the model's rates, of which a share stays with the device over programmings."""
    kinds = check_sample(where, chip, event)
    anew = partial(cell_plane, chip_key(model, "stoic.cell/2", chip, event), layout, kinds)
    own = partial(cell_plane, sampling.key("stoic.device/1", model.seed, chip), layout, kinds)
    turns1, turns0 = (
        normal_field.plane(own, anew, rate, share)
        for rate, share in zip(model.rates(), shares, strict=True)
    )
    return from_turns(layout, turns1, turns0, provenance(model, chip, kinds, event))


def _rate(z: float) -> float:
    return round(_NORMAL.cdf(z), 12)
