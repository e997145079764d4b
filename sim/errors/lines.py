"""Weak bit lines and word lines: cells of one line share how likely they are to fail."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .. import sampling
from ..bits import Words
from ..exceptions import InputError
from ..faults import FaultMap
from ..geometry import Index, array_of, check_words_per_row, plane_of
from ..memory import Bank, Kind, Layout
from .mean_rate import Factors, scale_of_lines
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

MAX_SIGMA = 4.0


@dataclass(frozen=True)
class Lines:
    """A cell fails with the chance min(1, t * row factor * column factor), of mean p01 or p10.

    The factor of a line is exp(sigma z), z standard normal, and `weakness` times that if the line
    is weak. t is solved for each bank and chip, over the stored cells, so the mean rate of every
    bank is exactly p01 (p10) however the factors fell; without spread the model is `Iid`, cell
    for cell. Lines are of the chip, whatever the persistence: what is drawn anew at a programming
    or a read are the faults on them.

    Source: EDEN error models 1 (bit lines) and 2 (word lines), Koppula et al. 2019, MICRO, arXiv
    1910.05340. The paper gives shares of weak cells and their failure rates for each line, fitted
    to one DRAM module; product form, log-normal law, weak lines and all values here are a
    reconstruction and provisional.

    Attributes:
        p01: mean P(read 1 | stored 0), 0..1.
        p10: mean P(read 0 | stored 1), 0..1.
        column_sigma, row_sigma: standard deviation of ln factor of bit lines and word lines, 0..4.
        weak_columns, weak_rows: share of lines that are weak, 0..1.
        weakness: how many times likelier a cell of a weak line fails, at least 1.
        words_per_row: words on one word line, see `geometry`.
        seed: of the population of chips.
        persistence: of the faults.
    """

    name: ClassVar[str] = "lines"
    needs_data: ClassVar[bool] = False
    provisional: ClassVar[str] = "how lines differ"

    p01: float
    p10: float
    column_sigma: float = 0.0
    row_sigma: float = 0.0
    weak_columns: float = 0.0
    weak_rows: float = 0.0
    weakness: float = 10.0
    words_per_row: int = 1
    seed: int = 0
    persistence: Persistence = "chip"

    def __post_init__(self) -> None:
        check_rates(
            p01=self.p01, p10=self.p10, weak_columns=self.weak_columns, weak_rows=self.weak_rows
        )
        for name in ("column_sigma", "row_sigma"):
            if not 0.0 <= getattr(self, name) <= MAX_SIGMA:
                raise InputError(f"{name} must be 0..{MAX_SIGMA:g}, not {getattr(self, name)!r}")
        if not 1.0 <= self.weakness <= 1e6:
            raise InputError(f"weakness must be 1..1e6, not {self.weakness!r}")
        check_words_per_row(self.words_per_row)
        check_persistence(self.persistence)

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

    def factors(self, bank: Bank, chip: int) -> tuple[Factors, Factors]:
        """((n_rows,), (n_columns,)) factors of the lines of a bank, before they are scaled."""
        array = array_of(bank, self.words_per_row)
        key = bank_key(sampling.key("stoic.lines/1", self.seed, chip), bank)
        rows = self._line(key, "row", array.n_rows, self.row_sigma, self.weak_rows)
        columns = self._line(key, "column", array.n_columns, self.column_sigma, self.weak_columns)
        return rows, columns

    def _line(
        self, key: sampling.Key, line: str, n: int, sigma: float, share_weak: float
    ) -> Factors:
        factors = np.ones(n)
        if sigma:
            u = sampling.uniforms(sampling.join(key, sampling.key(line, "factor")), n)
            factors = np.exp(sigma * ndtri(np.maximum(u, 2.0**-54)))
        if share_weak:
            u = sampling.uniforms(sampling.join(key, sampling.key(line, "weak")), n)
            factors = np.where(u < share_weak, self.weakness, 1.0) * factors
        return np.asarray(factors, np.float64)

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
        root = chip_key(self, "stoic.cell/2", chip, event)

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            array = array_of(bank, self.words_per_row)
            rows, columns = self.factors(bank, chip)
            absent = _absent(layout, bank, self.words_per_row)
            t01 = scale_of_lines(self.p01, rows, columns, absent)
            t10 = t01 if self.p10 == self.p01 else scale_of_lines(self.p10, rows, columns, absent)
            # The cells of a word line follow each other; only those that may be faulty are listed.
            highest = np.minimum(1.0, max(t01, t10) * (rows * columns.max()))
            cells, u = sampling.below(bank_key(root, bank), array.n_cells, highest, array.n_columns)
            row, column = array.place(cells)
            factor = rows[row] * columns[column]
            turns1 = plane_of(cells[u < t01 * factor], array.n_cells)
            if t10 == t01:
                return turns1, turns1
            return turns1, plane_of(cells[u < t10 * factor], array.n_cells)

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds, event))


def _absent(layout: Layout, bank: Bank, words_per_row: int) -> tuple[Index, Index]:
    """(row, column) of the places of a bank's array that store nothing."""
    array = array_of(bank, words_per_row)
    cells = slice(bank.first_cell, bank.first_cell + array.n_cells)
    stored = layout.is_stored[cells]
    if words_per_row == 1:
        return array.place(np.flatnonzero(~stored))
    row, column = np.nonzero(~array.as_rows(stored))
    return row, column
