"""The cell array of a bank: rows are word lines, columns are bit lines.

Memories put several words side by side on one word line and read one of them through a column
multiplexer. Bit b of the `words_per_row` words of a row stand next to each other, so that
neighbouring columns belong to different words:

    row = address // words_per_row,  column = bit * words_per_row + address % words_per_row
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bits import Words, pack
from .exceptions import InputError
from .memory import Bank, Cell

Index = NDArray[np.int64]
MAX_WORDS_PER_ROW = 64


def check_words_per_row(words_per_row: int) -> None:
    """Refuse what no memory has.

    Raises:
        InputError: it is not 1..64.
    """
    if not 1 <= words_per_row <= MAX_WORDS_PER_ROW:
        raise InputError(f"words_per_row must be 1..{MAX_WORDS_PER_ROW}, not {words_per_row!r}")


@dataclass(frozen=True)
class CellArray:
    """Rows and columns of one bank; the last row may lack words.

    Attributes:
        n_words, width: of the bank.
        words_per_row: words that share a word line.
    """

    n_words: int
    width: int
    words_per_row: int = 1

    @property
    def n_cells(self) -> int:
        """Cells that exist."""
        return self.n_words * self.width

    @property
    def n_rows(self) -> int:
        """Word lines."""
        return -(-self.n_words // self.words_per_row)

    @property
    def n_columns(self) -> int:
        """Bit lines."""
        return self.width * self.words_per_row

    def place(self, cells: Index) -> tuple[Index, Index]:
        """(row, column) of cells, numbered as in the bank: address * width + bit."""
        address, bit = np.divmod(cells, self.width)
        if self.words_per_row == 1:
            return address, bit
        row, word = np.divmod(address, self.words_per_row)
        return row, bit * self.words_per_row + word

    def cells_at(self, row: Index, column: Index) -> tuple[Index, NDArray[np.bool_]]:
        """(cells, exists) of these places; the cell of a place that does not exist is no cell."""
        bit, word = np.divmod(column, self.words_per_row)
        address = row * self.words_per_row + word
        exists = (row >= 0) & (column >= 0) & (column < self.n_columns) & (address < self.n_words)
        return address * self.width + bit, exists

    def as_rows(self, cells: NDArray[Cell]) -> NDArray[Cell]:
        """(n_rows, n_columns) of (n_cells,); 0 where no cell exists.

        >>> CellArray(3, 2, 2).as_rows(np.array([1, 2, 3, 4, 5, 6]))
        array([[1, 3, 2, 4],
               [5, 0, 6, 0]])
        """
        if self.words_per_row == 1:
            return cells.reshape(self.n_rows, self.n_columns)
        whole = np.zeros(self.n_rows * self.n_columns, cells.dtype)
        whole[: len(cells)] = cells
        words = whole.reshape(self.n_rows, self.words_per_row, self.width)
        return words.transpose(0, 2, 1).reshape(self.n_rows, self.n_columns)

    def as_cells(self, rows: NDArray[Cell]) -> NDArray[Cell]:
        """(n_cells,) of (n_rows, n_columns); the inverse of `as_rows`."""
        words = rows.reshape(self.n_rows, self.width, self.words_per_row)
        return words.transpose(0, 2, 1).reshape(-1)[: self.n_cells]


def array_of(bank: Bank, words_per_row: int = 1) -> CellArray:
    """The array of a bank."""
    return CellArray(bank.n_words, bank.width, words_per_row)


def plane_of(cells: Index, n_cells: int) -> Words:
    """(n_words(n_cells),) with the bits of these cells set."""
    bits = np.zeros(n_cells, np.uint8)
    bits[cells] = 1
    return pack(bits)
