"""RRAM that forgets: bit error rate of programmed cells over temperature and time, as measured.

The cells of this measurement hold two or three bits each; a network stored that way meets these
rates. Which of 0 and 1 is lost more often was not published; both are taken alike.

Source: Levy et al. 2021, "RADAR", IEEE TED, doi 10.1109/TED.2021.3097975; data in github
akashlevy/RRAM-RADAR-Tuning, retention/data/ber-time-temp.csv. The times reach 300 years, so the
file holds an extrapolation of its authors, not readings only.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Kind, Layout
from . import measured
from .iid import Iid
from .model import Persistence, check_sample, provenance

FILE = measured.File(
    "rram-radar",
    "ber-time-temp.csv",
    "retention.tar.xz",
    "6b8d9df59ad5ca14adcb29dd535c4132f6e92be5bae6485d020528ace7dfc12e",
    "github akashlevy/RRAM-RADAR-Tuning, retention/data",
)
BER: dict[tuple[int, int], dict[float, float]] = {
    (2, 338): {
        5e7: 0.000335258,
        1e8: 0.000427543,
        2e8: 0.000634101,
        5e8: 0.00137728,
        1e9: 0.00298292,
        2e9: 0.00929113,
        5e9: 0.0498652,
        1e10: 0.122853,
    },
    (2, 358): {
        2e6: 0.000526761,
        5e6: 0.00104764,
        1e7: 0.00210191,
        2e7: 0.00547839,
        5e7: 0.0306572,
        1e8: 0.0881177,
    },
    (2, 373): {
        2e5: 0.000819597,
        5e5: 0.00196062,
        1e6: 0.0049309,
        2e6: 0.0179992,
        5e6: 0.0813305,
    },
    (3, 338): {
        1e8: 2.44e-06,
        2e8: 4.67515e-05,
        5e8: 0.00227202,
        1e9: 0.0183136,
        2e9: 0.0701524,
    },
    (3, 358): {
        1e6: 9.75248e-07,
        2e6: 1.30693e-05,
        5e6: 0.000732066,
        1e7: 0.00851061,
        2e7: 0.0430409,
        5e7: 0.154866,
    },
    (3, 373): {
        1e5: 9.9464e-06,
        2e5: 0.00021345,
        5e5: 0.00707097,
        1e6: 0.0382294,
        2e6: 0.112188,
    },
}
"""(bits a cell, kelvin) -> {seconds: bit error rate}; all of FILE, read again by the tests."""


def read_table(data_root: Path | None) -> dict[tuple[int, int], dict[float, float]]:
    """BER as the authors' file has it.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    table: dict[tuple[int, int], dict[float, float]] = {}
    rows = csv.reader(measured.read(FILE, data_root).decode("utf-8-sig").splitlines())
    next(rows)  # BPC, Temperature (K), Time (s), BER
    for bits, kelvin, seconds, ber in rows:
        table.setdefault((int(bits), int(kelvin)), {})[float(seconds)] = float(ber)
    return table


@lru_cache(maxsize=64)
def rate_of(bits_per_cell: int, kelvin: int, seconds: float) -> float:
    """Bit error rate; between two times the logarithms of both are interpolated.

    Raises:
        InputError: not a measured kind of cell or temperature, or outside the measured times.
    """
    if (bits_per_cell, kelvin) not in BER:
        raise InputError(
            f"retention is known of (bits a cell, kelvin) {sorted(BER)}, "
            f"not of {(bits_per_cell, kelvin)}"
        )
    known = BER[bits_per_cell, kelvin]
    low, high = min(known), max(known)
    if not low <= seconds <= high:
        raise InputError(
            f"seconds must be {low:g}..{high:g} at {kelvin} K with {bits_per_cell} bits a cell, "
            f"not {seconds:g}"
        )
    if seconds in known:
        return known[seconds]
    before, after = next((a, b) for a, b in pairwise(sorted(known)) if a < seconds < b)
    part = log(seconds / before) / log(after / before)
    return round(exp((1 - part) * log(known[before]) + part * log(known[after])), 12)


@dataclass(frozen=True)
class RramRetention:
    """Independent errors of multi-level RRAM some time after it was programmed.

    A cell that is lost after some time is lost at any later one: the faults nest in the time.

    Attributes:
        bits_per_cell: 2 or 3.
        kelvin: 338, 358 or 373.
        seconds: since programming.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "rram-retention"
    needs_data: ClassVar[bool] = False

    bits_per_cell: int
    kelvin: int
    seconds: float
    seed: int = 0

    def __post_init__(self) -> None:
        rate_of(self.bits_per_cell, self.kelvin, self.seconds)  # refuses what was not measured

    @property
    def persistence(self) -> Persistence:
        """Drawn anew at every programming."""
        return "programming"

    def rates(self) -> tuple[float, float]:
        """(p01, p10), taken alike."""
        rate = rate_of(self.bits_per_cell, self.kelvin, self.seconds)
        return rate, rate

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of one programming of one chip, see `ErrorModel.sample`."""
        kinds = check_sample(where, chip, event)
        drawn = Iid(*self.rates(), self.seed, self.persistence)
        faults = drawn.sample(layout, chip, kinds, event=event)
        return replace(faults, provenance=provenance(self, chip, kinds, event))
