"""The code of SECDED: Hsiao's odd-weight-column code for any number of data bits.

A code word has k data bits and r check bits. Every bit owns a column, its syndrome, an integer of r
bits: check bit m owns 1 << m; data bits own odd-weight integers of weight 3 or more, all different.
Check bit m is the parity of the data bits whose column has bit m. Reading, the syndrome is the XOR
of the check bits read with those computed from the data read:

    0                              no error seen
    the column of a bit            that bit is inverted (a single error; a triple may look like one)
    an odd weight without a bit    detected, not correctable
    an even weight                 detected, not correctable (every double error is among these)

r is the least with 2^(r-1) - r >= k. The columns of data bits 0, 1, 2, ... are chosen one by one:
of the unused integers of least odd weight >= 3 the one that makes the sum over check bits of the
square of (data bits in that parity) least, and of those the smallest integer. So parities stay as
short and as even as they can; (72, 64) has Hsiao's 216 ones, 27 in each row.

Source: Hsiao 1970, "A class of optimal minimum odd-weight-column SEC-DED codes", IBM J. Res. Dev.
14(4), for the class of codes; the order of columns is ours.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ..bits import Words, n_words, pack
from ..exceptions import InputError

MAX_DATA_BITS = 1024


@dataclass(frozen=True)
class Code:
    """One code, by the columns of its data bits.

    Attributes:
        columns: syndrome of each data bit.
        n_checks: check bits r.
    """

    columns: tuple[int, ...]
    n_checks: int

    @property
    def n_data(self) -> int:
        """Data bits k."""
        return len(self.columns)

    @property
    def packed_columns(self) -> int:
        """All columns in one integer, that of data bit i in bits n_checks * i and up."""
        return sum(column << (self.n_checks * i) for i, column in enumerate(self.columns))

    @cached_property
    def parities(self) -> Words:
        """(n_checks, n_words(n_data)) data bits in each parity, packed."""
        columns = np.array(self.columns)
        return pack(((columns >> np.arange(self.n_checks)[:, None]) & 1).astype(np.uint8))

    @cached_property
    def corrections(self) -> Words:
        """(2^n_checks, n_words(n_data)) data bits to invert for each syndrome, packed."""
        table = np.zeros((1 << self.n_checks, n_words(self.n_data)), np.uint64)
        for i, column in enumerate(self.columns):
            table[column, i // 64] ^= np.uint64(1) << np.uint64(i % 64)
        return table

    @cached_property
    def is_detected(self) -> NDArray[np.bool_]:
        """(2^n_checks,) True for a syndrome that says wrong but not where."""
        seen = np.ones(1 << self.n_checks, np.bool_)
        seen[[0, *self.columns, *(1 << m for m in range(self.n_checks))]] = False
        return seen

    def checks(self, data: Words) -> NDArray[np.uint16]:
        """(n,) check bits of each word, bit m is check bit m.

        Args:
            data: (n, n_words(n_data)) packed data bits.
        """
        out = np.zeros(len(data), np.uint16)
        for m, parity in enumerate(self.parities):
            ones = data[:, 0] & parity[0]
            for word in range(1, data.shape[1]):
                ones ^= data[:, word] & parity[word]
            out |= (np.bitwise_count(ones) & np.uint8(1)).astype(np.uint16) << np.uint16(m)
        return out

    def decode(
        self, data: Words, checks: NDArray[np.uint16]
    ) -> tuple[Words, NDArray[np.bool_], NDArray[np.bool_]]:
        """What the decoder makes of words as they were read.

        Args:
            data, checks: as for and from `checks`.

        Returns:
            (n, n_words) data with single errors corrected; (n,) True where an error was corrected,
            in data or check bits; (n,) True where one was detected that cannot be.
        """
        syndrome = self.checks(data) ^ checks
        detected = self.is_detected[syndrome]
        return data ^ self.corrections[syndrome], (syndrome != 0) & ~detected, detected


def n_checks(n_data: int) -> int:
    """Check bits of the code for so many data bits.

    >>> [n_checks(k) for k in (1, 4, 8, 16, 32, 64, 128)]
    [3, 4, 5, 6, 7, 8, 9]
    """
    r = 3
    while 2 ** (r - 1) - r < n_data:
        r += 1
    return r


@lru_cache(maxsize=64)
def code(n_data: int) -> Code:
    """The code for so many data bits.

    Raises:
        InputError: fewer than 1 or more than MAX_DATA_BITS.

    >>> code(8).columns
    (7, 25, 14, 19, 28, 11, 21, 22)
    """
    if not 1 <= n_data <= MAX_DATA_BITS:
        raise InputError(f"a code word must have 1..{MAX_DATA_BITS} data bits, not {n_data}")
    r = n_checks(n_data)
    values = np.arange(1 << r)
    weights = np.bitwise_count(values)
    ones = (values[:, None] >> np.arange(r)) & 1
    is_left = (weights % 2 == 1) & (weights >= 3)
    in_parity = np.zeros(r, np.int64)
    columns = []
    for _ in range(n_data):
        left = values[is_left]
        left = left[weights[left] == weights[left].min()]
        cost = ((in_parity + ones[left]) ** 2).sum(axis=1)
        best = int(left[cost.argmin()])
        columns.append(best)
        is_left[best] = False
        in_parity += ones[best]
    return Code(tuple(columns), r)
