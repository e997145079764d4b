"""SRAM below its nominal voltage: the rate grows exponentially as the voltage falls.

The seven published points of a KC705's block RAM (`bram_maps.FAULTS`), and between them the
straight line through the logarithms. Outside nothing is known: it is refused, unless asked for and
then provisional.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, log
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Kind, Layout
from .bram_maps import FAULTS, N_BITS, NOMINAL_V
from .lines import Lines
from .model import Persistence, check_sample, provenance

LOW_V, HIGH_V = min(FAULTS), max(FAULTS)
COLUMN_SIGMA = 2.94
"""Standard deviation of the logarithm of how bit lines differ. Source: our match to the map of
0.53 V, in which 306 of 7,120 bit lines (one byte, see `bram_maps`) hold all faults; a log-normal
law of that spread hits as many. Computed again by the tests."""


def rate_of(voltage: float, extrapolate: bool = False) -> float:
    """P(read 0 | stored 1) at a voltage; the rate of a published point is exact.

    Args:
        voltage: V.
        extrapolate: beyond the published points go on as between the nearest two.

    Raises:
        InputError: outside 0.53..0.59 V, or, extrapolated, outside 0..1 V.
    """
    if not (LOW_V <= voltage <= HIGH_V or extrapolate and 0 < voltage <= NOMINAL_V):
        measured = f"{LOW_V}..{HIGH_V}, which were measured"
        legal = f"above 0, at most {NOMINAL_V}" if extrapolate else measured
        asked = "" if extrapolate else " (or ask to extrapolate)"
        raise InputError(f"voltage must be {legal}, not {voltage!r}{asked}")
    if voltage in FAULTS:
        return FAULTS[voltage] / N_BITS
    spans = list(pairwise(sorted(FAULTS)))
    low, high = next(((a, b) for a, b in spans if voltage < b), spans[-1])
    part = (voltage - low) / (high - low)
    faults = exp((1 - part) * log(FAULTS[low]) + part * log(FAULTS[high]))
    return round(min(faults / N_BITS, 1.0), 15)


def relative_energy(voltage: float) -> float:
    """Dynamic energy of an access over that at the nominal voltage: the square of the voltage.

    Source: Stutz et al. 2021, MLSys, section 1: dynamic energy goes with the square of the voltage.
    """
    return round((voltage / NOMINAL_V) ** 2, 4)


@dataclass(frozen=True)
class Sram:
    """Persistent errors of undervolted SRAM, nested in the voltage, most on a few bit lines.

    Every bank has the same mean rate; on the measured board block RAMs differ as well, which the
    replay has and this law has not.

    Attributes:
        voltage: V.
        zeros: p01 over p10. 0: only ones were written in the measurement.
        column_sigma: how bit lines differ, see `Lines`; 0: not at all, faults are independent.
        extrapolate: allow a voltage that was not measured.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "sram"
    needs_data: ClassVar[bool] = False

    voltage: float
    zeros: float = 0.0
    column_sigma: float = COLUMN_SIGMA
    extrapolate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        rate_of(self.voltage, self.extrapolate)  # refuses what is not known
        if self.zeros < 0:
            raise InputError(f"zeros must be 0 or more, not {self.zeros!r}")
        self._lines()  # refuses a spread out of range

    def _lines(self) -> Lines:
        return Lines(*self.rates(), column_sigma=self.column_sigma, seed=self.seed)

    @property
    def provisional(self) -> str:
        """What has no source: a voltage beyond the measured ones."""
        return "" if LOW_V <= self.voltage <= HIGH_V else "extrapolated rates"

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        p10 = rate_of(self.voltage, self.extrapolate)
        return min(1.0, self.zeros * p10), p10

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of one chip, see `ErrorModel.sample`."""
        kinds = check_sample(where, chip, event)
        drawn = self._lines().sample(layout, chip, kinds)
        return replace(drawn, provenance=provenance(self, chip, kinds))
