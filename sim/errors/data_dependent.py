"""Errors that depend on the data: on what the cell holds, and on what its neighbours hold."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words
from ..exceptions import InputError
from ..faults import FaultMap
from ..geometry import array_of, check_words_per_row, plane_of
from ..memory import Bank, Kind, Layout
from .mean_rate import scale_of_levels
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

MAX_COUPLING = 100.0


@dataclass(frozen=True)
class DataDependent:
    """A cell fails the likelier the more of its four neighbours hold the opposite of it.

    With i opposite neighbours on its word line (left, right) and j on its bit line (above, below)
    a cell that holds v fails with the chance

        min(1, t_v row_coupling^i column_coupling^j)

    where t_0 (t_1) is such that the mean over the stored cells of the bank that hold 0 (1) is
    exactly p01 (p10): a comparison with `Iid` at the same rates is one at the same number of
    errors. Pads hold 0 and count as neighbours; beyond the edge there is nothing. Both couplings 1
    is `Iid`, cell for cell.

    The map is of the data it was drawn for, whose hash its provenance carries: its cells are those
    that read wrong, stuck at the opposite of what they hold.

    Source: EDEN error model 3, Koppula et al. 2019, MICRO, arXiv 1910.05340: failures depend on the
    stored value; the coupling to neighbours is known of DRAM (data pattern dependence, Liu et al.
    2013, ISCA). The product form and all values are a reconstruction and provisional.

    Attributes:
        p01: mean P(read 1 | stored 0), 0..1.
        p10: mean P(read 0 | stored 1), 0..1.
        row_coupling: how many times likelier each opposite neighbour on the word line makes a
            failure, 0.01 to 100.
        column_coupling: the same for neighbours on the bit line.
        words_per_row: words on one word line, see `geometry`.
        seed: of the population of chips.
        persistence: of the faults.
    """

    name: ClassVar[str] = "data-dependent"
    needs_data: ClassVar[bool] = True
    provisional: ClassVar[str] = "coupling to stored bits"

    p01: float
    p10: float
    row_coupling: float = 2.0
    column_coupling: float = 1.0
    words_per_row: int = 1
    seed: int = 0
    persistence: Persistence = "chip"

    def __post_init__(self) -> None:
        check_rates(p01=self.p01, p10=self.p10)
        for name in ("row_coupling", "column_coupling"):
            if not 1 / MAX_COUPLING <= getattr(self, name) <= MAX_COUPLING:
                raise InputError(
                    f"{name} must be {1 / MAX_COUPLING:g}..{MAX_COUPLING:g}, "
                    f"not {getattr(self, name)!r}"
                )
        check_words_per_row(self.words_per_row)
        check_persistence(self.persistence)

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

    @property
    def factors(self) -> NDArray[np.float64]:
        """(9,) factor of a cell of class 3 i + j."""
        of_row = self.row_coupling ** np.arange(3.0)
        of_column = self.column_coupling ** np.arange(3.0)
        return np.asarray(np.outer(of_row, of_column).ravel(), np.float64)

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of one chip, see `ErrorModel.sample`.

        Raises:
            InputError: as there; `stored` is missing or not of this layout.
        """
        kinds = check_sample(where, chip, event)
        if stored is None or stored.shape != (layout.n_cells,) or stored.dtype != np.uint8:
            what = "nothing" if stored is None else f"{stored.dtype} {stored.shape}"
            raise InputError(
                f"model {self.name} must know what the cells hold: stored must be uint8 "
                f"({layout.n_cells},), not {what}"
            )
        held = stored
        root = chip_key(self, "stoic.cell/2", chip, event)

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            array = array_of(bank, self.words_per_row)
            part = slice(bank.first_cell, bank.first_cell + array.n_cells)
            holds = held[part]
            kinds_of = self._classes(bank, holds) | holds << np.uint8(4)
            counted = kinds_of | (~layout.is_stored[part]).view(np.uint8) << np.uint8(5)
            counts = np.array([np.count_nonzero(counted == k) for k in range(32)])
            f = self.factors
            rate = np.zeros(32)  # of a cell of this class (4 bits) that holds this value (1 bit)
            for first, p in ((0, self.p01), (16, self.p10)):
                t = scale_of_levels(p, f, counts[first : first + 9])
                rate[first : first + 9] = np.minimum(1.0, t * f)
            cells, u = sampling.below(bank_key(root, bank), array.n_cells, rate.max())
            wrong = cells[u < rate[kinds_of[cells]]]
            ones = holds[wrong] == 1
            return plane_of(wrong[~ones], array.n_cells), plane_of(wrong[ones], array.n_cells)

        where_from = provenance(self, chip, kinds, event)
        where_from["stored_sha256"] = hashlib.sha256(held.tobytes()).hexdigest()
        return assemble(layout, kinds, planes_of, where_from)

    def _classes(self, bank: Bank, held: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(n_cells,) 3 i + j of every cell."""
        array = array_of(bank, self.words_per_row)
        rows = array.as_rows(held)
        across, along = rows[:, 1:] ^ rows[:, :-1], rows[1:] ^ rows[:-1]
        if array.n_cells < rows.size:  # the last row lacks words
            exists = array.as_rows(np.ones(array.n_cells, np.uint8))
            across &= exists[:, 1:] & exists[:, :-1]
            along &= exists[1:] & exists[:-1]
        classes = np.zeros_like(rows)
        classes[:, 1:] += across
        classes[:, :-1] += across
        classes *= np.uint8(3)
        classes[1:] += along
        classes[:-1] += along
        return array.as_cells(classes)
