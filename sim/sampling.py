"""Random numbers of chips: the cell field, sampled lazily, and plain uniforms.

Every cell of a chip is born with one uniform number u (see `cell_field`, which defines it). Cells
are numbered within a bank, and a key names the bank of a chip: `join(key("...", seed, chip, event),
key(bank.name))`. Everything here is a pure function of the key and the number of the cell.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from . import cell_field
from .bits import Words, pack, unpack
from .cell_field import Key, join
from .exceptions import InputError

__all__ = ["Key", "below", "join", "key", "plane", "planes", "uniforms", "uniforms_at"]


def key(*parts: str | int) -> Key:
    """The key of these parts: 128 bits of the SHA-256 of them, each with its length before it."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return Key(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little"))


def plane(key: Key, n_cells: int, p: float) -> Words:
    """(n_words(n_cells),) uint64: bit c is u_c < p; pads 0.

    Raises:
        InputError: p is not 0..1, or a negative number of cells.
    """
    _check(n_cells, p)
    return pack(cell_field.field(key, n_cells, p) < p)


def below(key: Key, n_cells: int, limit: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(cells, u) of all cells with u < limit, the cells ascending; of the field of `plane`.

    Raises:
        InputError: limit is not 0..1, or a negative number of cells.
    """
    _check(n_cells, limit)
    u = cell_field.field(key, n_cells, limit)
    cells = np.flatnonzero(u < limit)
    return cells, u[cells]


def uniforms(key: Key, n: int) -> NDArray[np.float64]:
    """(n,) independent uniform numbers, multiples of 2^-53 in [0, 1); not of any cell."""
    return uniforms_at(key, np.arange(n))


def uniforms_at(key: Key, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The numbers of `uniforms` with these indices, in any order, whichever others are drawn."""
    words = cell_field.draw(key, cell_field.UNIFORMS, index.astype(np.uint64))
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def planes(
    root: Key,
    names: Sequence[Key],
    first_cells: Iterable[int],
    n_cells: Iterable[int],
    p: float,
    n_total: int,
) -> Words:
    """(n_words(n_total),) the planes of many banks, each at its first cell; 0 between them.

    Bank b has the key `join(root, names[b])`.
    """
    cells = np.zeros(n_total, np.uint8)
    for name, first, n in zip(names, first_cells, n_cells, strict=True):
        cells[first : first + n] = unpack(plane(join(root, name), n, p), n)
    return pack(cells)


def _check(n_cells: int, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise InputError(f"a rate must be 0..1, not {p!r}")
    if n_cells < 0:
        raise InputError(f"the number of cells must be 0 or more, not {n_cells}")
