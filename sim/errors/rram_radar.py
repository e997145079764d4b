"""Measured replay of RRAM: cycling and set voltages of the RADAR test chips, cell by cell.

    cycling     256 cells, SET and RESET 300 times: ohms of both states, per cell and cycle
    sweeps      14 cells: ohms before and after a SET pulse of each word-line voltage

1 is the low resistance state (LRS, after SET), 0 the high one (HRS, after RESET). A 1T1R cell reads
1 below a reference; a 2T2R cell is two devices in opposite states and reads 1 where the first is
the lower.

Source: Levy et al. 2021, "RADAR", IEEE TED, doi 10.1109/TED.2021.3097975, data in github
akashlevy/RRAM-RADAR-Tuning. That each row of a sweep starts from a fresh RESET is our reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words, pack
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Bank, Kind, Layout
from . import measured
from .model import HERE, Persistence, assemble, bank_key, check_sample, provenance

F64 = NDArray[np.float64]
Read = Literal["1T1R", "2T2R"]
READS: tuple[Read, ...] = ("1T1R", "2T2R")
ORIGIN = "github akashlevy/RRAM-RADAR-Tuning"
CYCLING = measured.File(
    "rram-radar",
    "cycling-4-24-20.csv",
    "cycling.tar.xz",
    "cf28ae8c6d4a7011a29de64a1a17502c2feea1b067f7696254126f7f91e8e4f6",
    f"{ORIGIN}, misc/cycling/data",
)
SWEEP = measured.File(
    "rram-radar",
    "set-sweep-wl-deeper-7-3-20.csv",
    "sweeps.tar.xz",
    "286979fa2e752f8c197ceb6a6fd790336f1e8725f0bc7b62c64d930809b7c61c",
    f"{ORIGIN}, sweeps/data",
)
N_DEVICES, N_CYCLES = 256, 300

WRONG = {"1T1R": (12_312, 191), "2T2R": (31_218, 31_218)}
TRIED = {"1T1R": N_DEVICES * N_CYCLES, "2T2R": N_CYCLES * N_DEVICES * (N_DEVICES - 1)}
"""Reads of CYCLING that are wrong when (0, 1) is stored: of every device and cycle, against a
reference half way between the medians of log R; of every ordered pair of devices in one cycle."""

SWEEP_OHM = 20_000.0
SWEEP_WINDOW_V = 0.02
SET_FAILURES = {
    2.40: (424, 58_610),
    2.45: (141, 15_200),
    2.50: (42, 4_959),
    2.55: (12, 1_595),
    2.60: (1, 234),
}
SWEEP_PULSES = 1325
SWEEP_P01 = 3753 / 53187
"""Word-line voltage of the SET pulse -> wrong reads of a 1: of SWEEP_PULSES single devices against
SWEEP_OHM, and of SWEEP_PULSES^2 pairs with a device in HRS before any of these pulses. Pulses
within SWEEP_WINDOW_V count as one voltage. SWEEP_P01: devices in HRS below SWEEP_OHM, of the whole
sweep. All from SWEEP. The 14 cells are few, and 2.60 V rests on one failure."""


@lru_cache(maxsize=4)
def cycling(data_root: Path | None) -> tuple[F64, F64]:
    """(HRS, LRS), each (256, 300) log10 of ohms, by device and cycle.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    text = measured.read(CYCLING, data_root).decode()
    rows = np.array([line.split() for line in text.splitlines()], np.float64)
    ohms = np.log10(rows[:, 1:])  # column 0 is the address; then HRS and LRS take turns
    return ohms[:, 0::2].copy(), ohms[:, 1::2].copy()


def sweep(data_root: Path | None) -> F64:
    """(n, 6): address, pulse ns, bit-line V, word-line V of SET, ohms before and after it.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    text = measured.read(SWEEP, data_root).decode()
    return np.array([line.split() for line in text.splitlines()], np.float64)


def reference(hrs: F64, lrs: F64) -> float:
    """Half way between the medians: where a 1T1R cell is told from the other state."""
    return float(np.median(hrs) + np.median(lrs)) / 2


def check_read(read: str) -> None:
    """Refuse a name that is no way to read.

    Raises:
        InputError: not one of READS.
    """
    if read not in READS:
        raise InputError(f"read must be one of {', '.join(READS)}, not {read!r}")


@dataclass(frozen=True)
class RramReplay:
    """Every stored bit is a measured device (2T2R: two), read in a measured cycle.

    Programming event e is measured cycle e, so all cells age together. Chip 0 takes the devices in
    order: cell c is device c mod 256 (2T2R: devices 2c and 2c + 1 mod 256). Any other chip draws
    devices with replacement, a bank at a time.

    Attributes:
        read: "1T1R" (asymmetric, against the reference) or "2T2R" (differential).
        seed: of the draws of chips 1, 2, ...
        data_root: folder in which the raw file is found; no part of the model's description.
    """

    name: ClassVar[str] = "rram-replay"
    needs_data: ClassVar[bool] = False

    read: Read
    seed: int = 0
    data_root: Path | None = field(default=None, compare=False, repr=False, metadata=HERE)

    def __post_init__(self) -> None:
        check_read(self.read)

    @property
    def persistence(self) -> Persistence:
        """Drawn anew at every programming."""
        return "programming"

    def rates(self) -> tuple[float, float]:
        """(p01, p10) over all devices and cycles; single events differ, since devices age."""
        n01, n10 = WRONG[self.read]
        return n01 / TRIED[self.read], n10 / TRIED[self.read]

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of chip number `chip` after programming event 0..299; `stored` changes nothing.

        Raises:
            InputError: an event that was not measured; see also `measured.read`.
            ArtefactError: see `measured.read`.
        """
        kinds = check_sample(where, chip, event)
        if event >= N_CYCLES:
            raise InputError(f"event must be 0..{N_CYCLES - 1}, the measured cycles, not {event}")
        hrs, lrs = cycling(self.data_root)
        limit = reference(hrs, lrs)
        high, low = hrs[:, event], lrs[:, event]

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            one, other = self.devices(bank, chip)
            if self.read == "1T1R":
                return pack(high[one] < limit), pack(low[one] >= limit)
            return pack(high[one] <= low[other]), pack(low[one] >= high[other])

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds, event))

    def devices(self, bank: Bank, chip: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The device of every cell of the bank, and its partner in a 2T2R cell."""
        n = bank.n_words * bank.width
        if chip == 0:
            cell = bank.first_cell + np.arange(n)
            one = cell if self.read == "1T1R" else 2 * cell
            return one % N_DEVICES, (one + 1) % N_DEVICES
        u = sampling.uniforms(bank_key(sampling.key("stoic.rram/1", self.seed, chip), bank), 2 * n)
        one = (u[:n] * N_DEVICES).astype(np.int64)
        step = 1 + (u[n:] * (N_DEVICES - 1)).astype(np.int64)  # never the device itself
        return one, (one + step) % N_DEVICES
