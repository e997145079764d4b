"""Bursts: runs of faulty cells along a word line or a bit line, of geometric length."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words, pack
from ..exceptions import InputError
from ..faults import FaultMap
from ..geometry import CellArray, Index, array_of, check_words_per_row
from ..memory import Bank, Kind, Layout
from .model import (
    Persistence,
    assemble,
    bank_key,
    check_persistence,
    check_rates,
    check_sample,
    chip_key,
    provenance,
)

Along = Literal["row", "column"]
ALONG: tuple[Along, ...] = ("row", "column")


@dataclass(frozen=True)
class Bursts:
    """Faults run along a line: a cell is faulty if a burst starts there or runs on into it.

    A burst starts at a cell with the chance s; a fault runs on into the next cell of the line with
    the chance k = 1 - 1 / length. Both are numbers of the cell, so faults nest in s. Along a line
    the cells are a Markov chain of two states, in equilibrium from the first cell on; so are the
    parts of a last row that lacks words:

        p = s + (1 - s) k p,  so  s = p (1 - k) / (1 - k p)
        runs of faulty cells have the geometric law of continuation q = 1 - (1 - s) (1 - k)
        the covariance of cells d apart on the line is  p (1 - p) (k (1 - s))^d

    s is solved for p01 (p10). `length` is that of one burst; runs are longer where bursts meet.

    Source: Gilbert 1960, Bell Syst. Tech. J. 39, "Capacity of a burst-noise channel"; here the
    bad state is a fault for sure, and the nesting is ours. The default length is provisional.

    Attributes:
        p01: mean P(read 1 | stored 0), 0..1.
        p10: mean P(read 0 | stored 1), 0..1.
        length: mean number of cells of a burst, at least 1.
        along: row runs along a word line, column along a bit line.
        words_per_row: words on one word line, see `geometry`.
        seed: of the population of chips.
        persistence: of the faults.
    """

    name: ClassVar[str] = "bursts"
    needs_data: ClassVar[bool] = False
    provisional: ClassVar[str] = "length of bursts"

    p01: float
    p10: float
    length: float = 4.0
    along: Along = "row"
    words_per_row: int = 1
    seed: int = 0
    persistence: Persistence = "chip"

    def __post_init__(self) -> None:
        check_rates(p01=self.p01, p10=self.p10)
        if not 1.0 <= self.length <= 1e6:
            raise InputError(f"length must be 1..1e6, not {self.length!r}")
        if self.along not in ALONG:
            raise InputError(f"along must be among {ALONG}, not {self.along!r}")
        check_words_per_row(self.words_per_row)
        check_persistence(self.persistence)

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

    @property
    def runs_on(self) -> float:
        """k, the chance that a burst runs on into the next cell."""
        return 1.0 - 1.0 / self.length

    def start_rate(self, p: float) -> float:
        """s, the chance that a burst starts at a cell, at the mean rate p."""
        return p * (1.0 - self.runs_on) / (1.0 - self.runs_on * p)

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
        starts = chip_key(self, "stoic.cell/2", chip, event)
        steps = chip_key(self, "stoic.bursts/1", chip, event)

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            array = array_of(bank, self.words_per_row)
            cells, u = sampling.below(
                bank_key(starts, bank), array.n_cells, max(self.p01, self.p10)
            )
            row, column = array.place(cells)
            back = (row, column - 1) if self.along == "row" else (row - 1, column)
            is_first = ~array.cells_at(*back)[1]  # of the line, or after a gap in the last row
            step_key = bank_key(steps, bank)

            def plane(p: float) -> Words:
                begins = u < np.where(is_first, p, self.start_rate(p))
                return self._run(array, row[begins], column[begins], step_key)

            turns1 = plane(self.p01)
            return turns1, turns1 if self.p10 == self.p01 else plane(self.p10)

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds, event))

    def _run(self, array: CellArray, row: Index, column: Index, key: sampling.Key) -> Words:
        """(n_words(n_cells),) the cells of all bursts that start at these places."""
        faulty = np.zeros(array.n_cells, np.uint8)
        faulty[array.cells_at(row, column)[0]] = 1
        while len(row):
            row, column = (row, column + 1) if self.along == "row" else (row + 1, column)
            cells, goes_on = array.cells_at(row, column)
            goes_on[goes_on] = faulty[cells[goes_on]] == 0  # else the burst met there takes over
            cells, row, column = cells[goes_on], row[goes_on], column[goes_on]
            goes_on = sampling.uniforms_at(key, cells) < self.runs_on
            row, column = row[goes_on], column[goes_on]
            faulty[cells[goes_on]] = 1
        return pack(faulty)
