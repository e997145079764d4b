"""Approximate DRAM: faulty cache lines below the nominal voltage, and bits lost to rare refresh.

The uniform, bit-line, word-line and data-dependent error models of EDEN are models of this package
too (`iid`, `lines`, `data`); these two are fed by the measured tables of `dram_voltage`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words, pack
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Bank, Kind, Layout
from .dram_voltage import LINE_BITS, MODULE_BITS, RETENTION_ERRORS, VENDOR_LINES, read_lines
from .iid import Iid
from .model import HERE, Persistence, assemble, bank_key, check_sample, chip_key, provenance


@dataclass(frozen=True)
class DramLines:
    """Lines of 512 bits of which a share is faulty, at a reduced supply voltage.

    A line is 512 stored bits in a row of a bank. Each has one uniform number and is faulty when the
    measured share exceeds it, so faults nest in the voltage as the shares fall. The table says how
    many lines have a wrong bit and not how many wrong bits they have: with one each, the fewest,
    the rate is the least that the measurement allows.

    Attributes:
        module: a vendor "A", "B", "C" (mean over its modules), or a module of the file, e.g. "B7".
        voltage: V; nominal is 1.35.
        bits_per_line: draws of a wrong bit in a faulty line; not sourced.
        seed: of the population of chips.
        data_root: folder in which the file is found, for a module; no part of the description.
    """

    name: ClassVar[str] = "dram-lines"
    needs_data: ClassVar[bool] = False
    provisional: ClassVar[str] = "wrong bits of a faulty line"

    module: str
    voltage: float
    bits_per_line: int = 1
    seed: int = 0
    data_root: Path | None = field(default=None, compare=False, repr=False, metadata=HERE)

    def __post_init__(self) -> None:
        if not 1 <= self.bits_per_line <= LINE_BITS:
            raise InputError(f"bits_per_line must be 1..{LINE_BITS}, not {self.bits_per_line!r}")
        if self.module in VENDOR_LINES:
            self._share_in(VENDOR_LINES)

    def _share_in(self, table: dict[str, dict[float, float]]) -> float:
        if self.module not in table:
            known = ", ".join([*VENDOR_LINES, *table])
            raise InputError(f"module must be one of {known}, not {self.module!r}")
        if self.voltage not in table[self.module]:
            known = ", ".join(f"{v:g}" for v in table[self.module])
            raise InputError(f"{self.module} was measured at {known} V, not at {self.voltage!r} V")
        return table[self.module][self.voltage]

    @property
    def line_share(self) -> float:
        """Share of the lines that are faulty.

        Raises:
            InputError, ArtefactError: of a module, see `measured.read`; it was not measured there.
        """
        in_code = self.module in VENDOR_LINES
        return self._share_in(VENDOR_LINES if in_code else read_lines(self.data_root))

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10): a wrong bit is flipped, whatever it holds."""
        wrong = 1 - (1 - 1 / LINE_BITS) ** self.bits_per_line
        rate = round(self.line_share * wrong, 15)
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
        """Faults of one chip, see `ErrorModel.sample`."""
        kinds = check_sample(where, chip, event)
        root = chip_key(self, "stoic.dram-line/1", chip, event)
        share = self.line_share

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            n = bank.n_words * bank.width
            n_lines = -(-n // LINE_BITS)
            u = sampling.uniforms(bank_key(root, bank), n_lines * (1 + self.bits_per_line))
            lines = np.flatnonzero(u[:n_lines] < share)
            places = (u[n_lines:].reshape(-1, n_lines)[:, lines] * LINE_BITS).astype(np.int64)
            cells = (lines * LINE_BITS + places).ravel()
            wrong = np.zeros(n, np.bool_)
            wrong[cells[cells < n]] = True
            turns = pack(wrong)
            return turns, turns

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds))


@dataclass(frozen=True)
class DramRetention:
    """Independent bits lost because refresh comes too rarely.

    Which of 0 and 1 is lost depends on how a row is wired and was not published; both are taken
    alike.

    Attributes:
        celsius: 20 or 70.
        interval_ms: between refreshes: 512, 1024, 1536 or 2048; 64 is nominal.
        voltage: V: 1.15, 1.2 or 1.35.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "dram-retention"
    needs_data: ClassVar[bool] = False

    celsius: int
    interval_ms: int
    voltage: float
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.celsius, self.interval_ms) not in RETENTION_ERRORS:
            raise InputError(
                f"retention was measured at (celsius, ms) {sorted(RETENTION_ERRORS)}, "
                f"not at {(self.celsius, self.interval_ms)}"
            )
        known = RETENTION_ERRORS[self.celsius, self.interval_ms]
        if self.voltage not in known:
            raise InputError(f"voltage must be one of {list(known)} V, not {self.voltage!r}")

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10), taken alike."""
        errors = RETENTION_ERRORS[self.celsius, self.interval_ms][self.voltage]
        return errors / MODULE_BITS, errors / MODULE_BITS

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
        drawn = Iid(*self.rates(), self.seed).sample(layout, chip, kinds)
        return replace(drawn, provenance=provenance(self, chip, kinds))
