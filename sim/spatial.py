"""Spatial statistics of a fault map: do faults keep to lines, and do they keep together?

Everything is measured in the cell array of each bank (see `geometry`), over cells that store a bit,
and compared with independent cells of the same rate, for which every number here is 1 (Moran's I:
0) in expectation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import unpack
from .faults import PLANES, FaultMap
from .geometry import MAX_WORDS_PER_ROW, array_of
from .memory import Bank

Map = NDArray[np.bool_]


@dataclass(frozen=True)
class Spread:
    """How the faults of some banks lie; counts, so that banks add up.

    Attributes:
        n_stored, n_faults: cells.
        row_chi2, column_chi2: sum over lines of (faults - expected)^2 / binomial variance.
        row_dof, column_dof: lines that store anything, less one for each bank.
        pairs, pairs_expected: sum over neighbours (left-right, above-below) of the products of
            their deviations from the rate, and what it would be if neighbours were alike.
    """

    n_stored: int
    n_faults: int
    row_chi2: float
    row_dof: int
    column_chi2: float
    column_dof: int
    pairs: float
    pairs_expected: float

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def row_dispersion(self) -> float | None:
        """Variance of the faults of a word line over the binomial one; None without faults."""
        return self.row_chi2 / self.row_dof if self.row_dof and self.row_chi2 else None

    @property
    def column_dispersion(self) -> float | None:
        """Variance of the faults of a bit line over the binomial one; None without faults."""
        return self.column_chi2 / self.column_dof if self.column_dof and self.column_chi2 else None

    @property
    def morans_i(self) -> float | None:
        """Correlation of neighbours, -1..1; None without faults.

        Source: Moran 1950, Biometrika 37, with weight 1 for the four neighbours.
        """
        return self.pairs / self.pairs_expected if self.pairs_expected else None


def faulty_cells(faults: FaultMap) -> Map:
    """(n_cells,) True where something is wrong."""
    words = reduce(np.bitwise_or, (getattr(faults, name) for name in PLANES))
    return unpack(words, faults.layout.n_cells).view(np.bool_)


def rows_of(cells: Map, bank: Bank, words_per_row: int = 1) -> Map:
    """(n_rows, n_columns) of one bank, out of all cells of a layout."""
    array = array_of(bank, words_per_row)
    return array.as_rows(cells[bank.first_cell : bank.first_cell + array.n_cells])


def spread(faulty: Map, stored: Map) -> Spread:
    """Statistics of one array.

    Args:
        faulty, stored: (n_rows, n_columns); no fault where nothing is stored.
    """
    n, k = int(stored.sum()), int(faulty.sum())
    rate = k / n if n else 0.0
    variance = rate * (1 - rate)
    chi2, dof = [], []
    for axis in (1, 0):
        n_line, k_line = stored.sum(axis=axis), faulty.sum(axis=axis)
        used = n_line > 0
        deviation = k_line[used] - rate * n_line[used]
        chi2.append(float((deviation**2 / n_line[used]).sum() / variance) if variance else 0.0)
        dof.append(max(int(used.sum()) - 1, 0))
    pairs = expected = 0.0
    for rows, columns in ((0, 1), (1, 0)):
        n_pairs, n_first, n_second, n_both = _pairs(faulty, stored, rows, columns)
        pairs += n_both - rate * (n_first + n_second) + rate**2 * n_pairs
        expected += variance * n_pairs
    return Spread(n, k, chi2[0], dof[0], chi2[1], dof[1], pairs, expected)


def pair_correlation(faulty: Map, stored: Map, rows: int, columns: int) -> float:
    """P(both faulty) over rate^2 of stored cells so many rows and columns apart; nan without."""
    n_pairs, _, _, n_both = _pairs(faulty, stored, rows, columns)
    rate = faulty.sum() / stored.sum()
    return n_both / (n_pairs * float(rate) ** 2) if n_pairs and rate else float("nan")


def run_lengths(faulty: Map) -> NDArray[np.int64]:
    """(longest + 1,) number of runs of each length of faulty cells along the last axis.

    >>> run_lengths(np.array([[1, 1, 0, 1], [1, 0, 0, 0]], bool))
    array([0, 2, 1])
    """
    edges = np.diff(np.pad(faulty, ((0, 0), (1, 1))).astype(np.int8), axis=1).ravel()
    return np.bincount(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1), minlength=1)


def _pairs(faulty: Map, stored: Map, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Pairs of stored cells so far apart: all, first faulty, second faulty, both faulty."""
    low, high = (
        tuple(slice(max(-d, 0), n - max(d, 0)) for d, n in zip(offset, faulty.shape, strict=True))
        for offset in ((rows, columns), (-rows, -columns))
    )
    first, second = faulty[low], faulty[high]
    both_stored = stored[low] & stored[high]
    return (
        int(np.count_nonzero(both_stored)),
        int(np.count_nonzero(first & both_stored)),
        int(np.count_nonzero(second & both_stored)),
        int(np.count_nonzero(first & second)),
    )


def spread_of(faults: FaultMap, banks: Iterable[Bank], words_per_row: int = 1) -> Spread:
    """Statistics of several banks, each against its own rate."""
    faulty, stored = faulty_cells(faults), faults.layout.is_stored
    parts = [
        spread(rows_of(faulty, bank, words_per_row), rows_of(stored, bank, words_per_row))
        for bank in banks
    ]
    return reduce(Spread.__add__, parts)


def summary(faults: FaultMap, banks: list[Bank]) -> dict[str, Any]:
    """What `faults show` says of some banks, in the array that the map's model assumed."""
    words_per_row = faults.provenance.get("words_per_row")
    if not isinstance(words_per_row, int) or not 1 <= words_per_row <= MAX_WORDS_PER_ROW:
        words_per_row = 1
    found = spread_of(faults, banks, words_per_row)
    return {
        "row_dispersion": found.row_dispersion,
        "column_dispersion": found.column_dispersion,
        "morans_i": found.morans_i,
    }
