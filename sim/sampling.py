"""Random numbers of chips: the cell field, sampled lazily, and plain uniforms.

Every cell of a chip is born with one uniform number u. `cell_field` says which, plainly and slowly;
here `_sampler.cpp` draws the same field, bit for bit, at the cost of the cells that are hit. Cells
are numbered within a bank, and a key names the bank of a chip: `join(key("...", seed, chip, event),
key(bank.name))`, so that a chip costs one SHA-256 and a bank of it three multiplications of words.
Everything is a pure function of the key and the number of the cell, whatever else is drawn.
"""

import ctypes
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import cell_field
from .bits import Words, n_words
from .cell_field import Key, join
from .exceptions import InputError
from .native import NUMBERS, library

__all__ = [
    "Banks",
    "CBanks",
    "Key",
    "available_paths",
    "bank_table",
    "below",
    "join",
    "key",
    "plane",
    "planes",
    "uniforms",
    "uniforms_at",
]

Limits = float | NDArray[np.float64]
_BANK = np.dtype([("name", np.uint64, 2), ("first_cell", np.int64), ("n_cells", np.int64)])
"""Mirror of `StoicBank` in _sampler.h."""
_PAD = np.dtype([("word", np.int64), ("kept", np.uint64)])
"""Mirror of `StoicPad` in _sampler.h."""
_FULL = np.uint64(2**64 - 1)


class _Key(ctypes.Structure):
    """Mirror of `StoicKey` in _sampler.h."""

    _fields_ = (("first", ctypes.c_uint64), ("second", ctypes.c_uint64))


class CBanks(ctypes.Structure):
    """Mirror of `StoicBanks` in _sampler.h."""

    _fields_ = (
        ("banks", ctypes.c_void_p),
        ("n_banks", ctypes.c_int64),
        ("pads", ctypes.c_void_p),
        ("n_pads", ctypes.c_int64),
    )


@dataclass(frozen=True, eq=False)
class Banks:
    """Banks as the library takes them.

    Attributes:
        table: (n,) of each bank its name, its first cell and its number of cells.
        pads: (m,) words in which not every cell of a bank can be set, and which can.
    """

    table: NDArray[np.void]
    pads: NDArray[np.void]

    @cached_property
    def struct(self) -> CBanks:
        """The same for a call; it must not outlive this."""
        table, pads = self.table, self.pads
        return CBanks(table.ctypes.data, len(table), pads.ctypes.data, len(pads))

    @cached_property
    def end(self) -> int:
        """The cell after the last one."""
        return int((self.table["first_cell"] + self.table["n_cells"]).max(initial=0))


def key(*parts: str | int) -> Key:
    """The key of these parts: 128 bits of the SHA-256 of them, each with its length before it."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return Key(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little"))


def plane(key: Key, n_cells: int, p: float, *, path: str = "auto") -> Words:
    """(n_words(n_cells),) uint64: bit c is u_c < p; pads 0.

    Args:
        path: "avx512", "avx2", "portable" or "auto" for the best; they give the same bits.

    Raises:
        InputError: p is not 0..1, a negative number of cells, or no such path here.
    """
    _check(n_cells, p)
    banks = Banks(np.array([(key, 0, n_cells)], _BANK), np.empty(0, _PAD))
    return _planes(None, banks, p, n_cells, path)


def planes(root: Key, banks: Banks, p: float, n_cells: int, *, path: str = "auto") -> Words:
    """(n_words(n_cells),) the planes of many banks in one call, each from its first cell on.

    Args:
        root: of the chip; each bank has the key `join(root, its name)`.
        banks: of `bank_table`.
        n_cells: of all banks.

    Raises:
        InputError: as `plane`.
    """
    _check(n_cells, p)
    return _planes(root, banks, p, n_cells, path)


def bank_table(banks: Iterable[tuple[str, int, int]], mask: Words | None = None) -> Banks:
    """Banks as `planes` takes them: of each its name, its first cell and its number of cells.

    Args:
        mask: a bit for each cell; where it is 0, as for pads, the cell is never set.

    Raises:
        InputError: two banks overlap, or one starts below cell 0.
    """
    table = np.array([(key(name), first, n) for name, first, n in banks], _BANK)
    ordered = table[np.lexsort((table["n_cells"], table["first_cell"]))]  # empty banks first
    ends = ordered["first_cell"] + ordered["n_cells"]
    if (table["first_cell"] < 0).any() or (ordered["first_cell"][1:] < ends[:-1]).any():
        raise InputError("banks must not overlap, nor start below cell 0")
    if mask is None:
        return Banks(table, np.empty(0, _PAD))
    in_banks = np.zeros(len(mask), np.bool_)
    for first, end in zip(ordered["first_cell"], ends, strict=True):
        in_banks[first // 64 : n_words(end)] = True
    words = np.flatnonzero(in_banks & (mask != _FULL))
    pads = np.empty(len(words), _PAD)
    pads["word"], pads["kept"] = words, mask[words]
    return Banks(table, pads)


def below(
    key: Key, n_cells: int, limits: Limits, run: int | None = None, *, path: str = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(cells, u) of all cells with u below a limit, the cells ascending; of the field of `plane`.

    Args:
        limits: one for all cells, or an array of one for every `run` cells, as far as they go.

    Raises:
        InputError: a limit is not 0..1, there are too few, a negative number of cells, or no such
            path here.
    """
    run = max(1, n_cells) if run is None else run
    each = np.array(limits, np.float64, ndmin=1)
    for limit in (each.min(initial=1.0), each.max(initial=0.0)):
        _check(n_cells, float(limit))
    if run < 1 or len(each) * run < n_cells:
        raise InputError(f"{len(each)} limits of {run} cells each are too few for {n_cells} cells")
    mean = run * each.sum()
    room = min(n_cells, int(mean + 6 * mean**0.5) + 16)
    while True:
        cells, u = np.empty(room, np.int64), np.empty(room, np.float64)
        found = _library().stoic_sample_below(
            _number(path),
            _Key(*key),
            n_cells,
            each.ctypes.data,
            run,
            cells.ctypes.data,
            u.ctypes.data,
            room,
        )
        if found < 0:
            raise MemoryError(f"no memory for the faults of {n_cells} cells")
        if found <= room:
            return cells[:found], u[:found]
        room = found


def uniforms(key: Key, n: int) -> NDArray[np.float64]:
    """(n,) independent uniform numbers, multiples of 2^-53 in [0, 1); not of any cell."""
    return uniforms_at(key, np.arange(n))


def uniforms_at(key: Key, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The numbers of `uniforms` with these indices, in any order, whichever others are drawn."""
    words = cell_field.draw(key, cell_field.UNIFORMS, index.astype(np.uint64))
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def available_paths() -> tuple[str, ...]:
    """Paths that this processor can run; "portable" is always among them."""
    return tuple(p for p, number in NUMBERS.items() if _library().stoic_sampler_supports(number))


def _planes(root: Key | None, banks: Banks, p: float, n_cells: int, path: str) -> Words:
    out = np.empty(n_words(n_cells), np.uint64)
    assert banks.end <= n_cells
    _library().stoic_sample_planes(
        _number(path),
        None if root is None else _Key(*root),
        banks.struct,
        p,
        out.ctypes.data,
        len(out),
    )
    return out


def _number(path: str) -> int:
    if path == "auto":
        return int(_library().stoic_sampler_best())
    if path not in available_paths():
        raise InputError(f"no path {path!r} here; use one of {('auto', *available_paths())}")
    return NUMBERS[path]


@cache
def _library() -> Any:
    found = library()
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    found.stoic_sample_planes.argtypes = (
        ctypes.c_int,
        ctypes.POINTER(_Key),
        ctypes.POINTER(CBanks),
        ctypes.c_double,
        pointer,
        whole,
    )
    found.stoic_sample_planes.restype = None
    found.stoic_sample_below.argtypes = (
        ctypes.c_int,
        _Key,
        whole,
        pointer,
        whole,
        pointer,
        pointer,
        whole,
    )
    found.stoic_sample_below.restype = whole
    return found


def _check(n_cells: int, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise InputError(f"a rate must be 0..1, not {p!r}")
    if n_cells < 0:
        raise InputError(f"the number of cells must be 0 or more, not {n_cells}")
