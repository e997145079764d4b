"""The cell field, stated plainly: one uniform number u for every cell a chip is born with.

A cell is faulty in the direction whose rate exceeds its u, so faults nest in the rate and one field
serves every error model. It must be lazy, or a rate of 1e-6 would cost as much as one of a half. So
u is put together from what is rare and what is common:

    below 2^-13     hits at rate 2^-13, each with a mark uniform in [0, 2^-13)
    levels [b, a)   [2^-13, 2^-12) .. [2^-8, 2^-7) and [2^-7, 1.5 2^-7): hits at the rate
                    q = (a - b) / (1 - b), each with a mark uniform in [b, a)
    above C         C = 1.5 2^-7:  C + (1 - C) u', and u' is read from random bit planes, MSB first

u is the least mark of a cell, and the last line in a cell without one. All hits are independent, so
u < p, for b <= p < a and f = (p - b) / (a - b), has the chance

    1 - (1 - q f) (1 - b)  =  p

since 1 - q = (1 - a) / (1 - b) telescopes over the levels below to 1 - b. This holds for all p
at once, so u is uniform; and for u < p nothing of the levels above p is ever drawn.

Hits are found by geometric skips: floor(log(U) / log(1 - q)) cells are passed over. The logarithm
is made of IEEE additions, multiplications and one division in a fixed order, each rounded to
double, so the field is the same on every machine. Its relative error is below 2e-13, U is an odd
multiple of 2^-53, and q > 2^-14: no chance is off by more than 1e-11 of itself. A mark has 52 or 53
significant bits, u' has 53.

Random bits are counter-based: `draw` is a Weyl sequence through a finaliser of two multiplications.
The second word of the key is XORed into the sequence: under one word all keys would walk the same
cycle from different places, and long streams would meet; of two words, both have to agree. Every
bit of counter and key turns every bit of the word with a chance of one half (tests). Streams (gaps
and marks of each level, planes, plain uniforms) are disjoint ranges of the counter. A key should
come from `sampling.key` or `join`, which make both words random.

This module is slow; `sampling` is the same field in C++, and the tests hold it to this one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bits import n_words, unpack

U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]

RARE = 2.0**-13
COMMON = 1.5 * 2.0**-7
LEVELS = (*((2.0**-k, 2.0 ** (1 - k)) for k in range(13, 7, -1)), (2.0**-7, COMMON))
"""(b, a) of the levels between RARE and COMMON, the rarest first."""
SKIPS = (
    8190.499989825611,
    4094.4999796474945,
    2046.499959280071,
    1022.4999185004023,
    510.49983676130336,
    254.49967256023928,
    253.499671268561,
)
"""-1 / log(1 - q) of the levels; tests/test_sampling.py computes them again."""
RARE_SKIP = 8191.499989826853
"""-1 / log(1 - RARE)."""

_LN2 = 0.6931471805599453
_SERIES = (  # atanh(s) / s in powers of s^2, interpolated over |s| < 0.1716 at Chebyshev's points
    0.0968132779733789,
    0.11095700366762518,
    0.1428587726871944,
    0.1999999939866506,
    0.3333333333368755,
    1.0,
)
_SQRT_HALF = np.uint64(0x3FE6A09E00000000)  # the bits of a double just below sqrt(1/2)
_ONE = np.uint64(0x3FF0000000000000)
_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0x3C79AC492BA7B653)
_SECOND = np.uint64(0x1C69B3F74AC4AE35)

_WORD = (1 << 64) - 1

_STREAM_BITS = 56  # the counter below the number of the stream
GAPS, MARKS, PLANES, UNIFORMS = 0, 16, 32, 33
"""Streams: gaps and marks of the hits below RARE (+ 0), of the levels (+ 1 ..), and the rest."""
PLANE_BITS = 53


class Key(NamedTuple):
    """128 bits that name a field."""

    first: int
    second: int


def draw(key: Key, stream: int, index: U64) -> U64:
    """Random words number `index` of a stream.

    Source: shifts and multipliers of the finaliser: P. Evensen 2019, "moremur"; the Weyl step:
    G. Steele et al. 2014, OOPSLA, "Fast splittable pseudorandom number generators". Both use one
    key word; the second one is ours.
    """
    x = index | np.uint64(stream << _STREAM_BITS)
    x = (x * _WEYL + np.uint64(key.first)) ^ np.uint64(key.second)
    x = (x ^ (x >> np.uint64(27))) * _FIRST
    x = (x ^ (x >> np.uint64(33))) * _SECOND
    return np.asarray(x ^ (x >> np.uint64(27)), np.uint64)


def join(key: Key, other: Key) -> Key:
    """The key of a part, e.g. of a bank: the words of `other`, chained by `draw` under `key`."""
    x = _draw_one(key, other.first)
    y = _draw_one(key, other.second ^ x)
    return Key(y, _draw_one(key, x ^ y))


def _draw_one(key: Key, index: int) -> int:
    """`draw` of one word, in whole numbers of Python, which are faster for a single one."""
    x = (index * int(_WEYL) + key.first) & _WORD ^ key.second
    x = ((x ^ (x >> 27)) * int(_FIRST)) & _WORD
    x = ((x ^ (x >> 33)) * int(_SECOND)) & _WORD
    return x ^ (x >> 27)


def minus_log(u: F64) -> F64:
    """-log(u) of odd multiples of 2^-53 in (0, 1), of one value on every IEEE machine."""
    bits = u.view(np.uint64) + (_ONE - _SQRT_HALF)  # u = 2^exponent m with m near 1
    exponent = (bits >> np.uint64(52)).astype(np.float64) - 1023.0
    m = ((bits & _MANTISSA) + _SQRT_HALF).view(np.float64)
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    series = np.full_like(z, _SERIES[0])
    for coefficient in _SERIES[1:]:
        series = series * z + coefficient
    return np.asarray(-(exponent * _LN2 + (s + s) * series), np.float64)


def hits(key: Key, stream: int, skip: float, n_cells: int) -> NDArray[np.int64]:
    """Cells hit, ascending: each with the chance 1 - exp(-1 / skip), independently."""
    n = int(n_cells / skip * 1.1) + 64
    while True:
        words = draw(key, GAPS + stream, np.arange(n, dtype=np.uint64))
        u = ((words >> np.uint64(12)) | _ONE).view(np.float64) - (1.0 - 2.0**-53)
        gaps = (minus_log(u) * skip).astype(np.int64)
        cells = np.cumsum(gaps + 1) - 1
        if cells[-1] >= n_cells:
            return np.asarray(cells[cells < n_cells], np.int64)
        n *= 2


def field(key: Key, n_cells: int, limit: float = 1.0) -> F64:
    """(n_cells,) u of every cell; where it is not below `limit` it may be given as 1.

    Cell c is the same for every n_cells above c.
    """
    u = np.ones(n_cells)
    if limit > COMMON:
        planes = [
            draw(key, PLANES, np.arange(n_words(n_cells), dtype=np.uint64) * np.uint64(64) + j)
            for j in np.arange(PLANE_BITS, dtype=np.uint64)
        ]
        whole = np.zeros(n_cells, np.uint64)
        for plane in planes:
            whole = whole << np.uint64(1) | unpack(plane, n_cells)
        u = COMMON + (1.0 - COMMON) * (whole.astype(np.float64) * 2.0**-PLANE_BITS)
    for i in reversed(range(len(LEVELS))):
        low, high = LEVELS[i]
        if limit > low:
            cells = hits(key, i + 1, SKIPS[i], n_cells)
            words = draw(key, MARKS + i + 1, np.arange(len(cells), dtype=np.uint64))
            shift = np.uint64(12 if high == 2 * low else 13)  # low .. 2 low, or low .. 1.5 low
            u[cells] = ((words >> shift) | _ONE).view(np.float64) * low
    if limit > 0.0:
        cells = hits(key, 0, RARE_SKIP, n_cells)
        words = draw(key, MARKS, np.arange(len(cells), dtype=np.uint64))
        u[cells] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53 * RARE
    return np.asarray(np.where(u < limit, u, 1.0), np.float64)
