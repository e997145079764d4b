"""Where the rows of neurons stand in a memory whose words are still words of one neuron."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..memory import Layout
from ..physical import Physical
from ..physical_steps import Interleave

Rows = tuple[tuple[int, ...], ...]
"""For every layer the rows that were chosen, rising."""


def require_words(layout: Layout, who: str) -> None:
    """Refuse a memory in whose words several neurons are mixed.

    Raises:
        InputError: words were interleaved before.
    """
    steps = layout.steps if isinstance(layout, Physical) else ()
    if any(isinstance(step, Interleave) and max(step.degrees) > 1 for step in steps):
        raise InputError(f"{who!r} works on whole rows; put it before 'interleave'")


def row_banks(layout: Layout) -> Iterator[tuple[int, int, int]]:
    """(bank, layer, PE) of every weight bank of the network itself, checked by its place."""
    i = 0
    for layer, fold in enumerate(layout.folds):
        for pe in range(fold.pe):
            yield i, layer, pe
            i += 1


def blocks(layout: Layout, rows: Rows) -> tuple[tuple[int, int, int], ...]:
    """(bank, first address, words) of each row, by bank and address."""
    found = []
    for i, layer, pe in row_banks(layout):
        n_steps = layout.n_steps(layer)
        own = [row for row in rows[layer] if row % layout.folds[layer].pe == pe]
        found += [(i, row // layout.folds[layer].pe * n_steps, n_steps) for row in own]
    return tuple(found)


def of_rows(layout: Layout, cells: NDArray[np.uint8], bank: int, layer: int) -> NDArray[np.uint8]:
    """(n_folds, cells of a row) view of the cells of a weight bank, row after row."""
    b = layout.banks[bank]
    n_folds = layout.n_folds(layer)
    n = n_folds * layout.n_steps(layer) * b.width
    return cells[b.first_cell : b.first_cell + n].reshape(n_folds, -1)


def check_rows(rows: Rows, layout: Layout, who: str) -> None:
    """Refuse rows that the network does not have.

    Raises:
        InputError: other layers, rows out of range, or named twice.
    """
    sizes = [shape.n_outputs for shape in layout.shapes]
    if len(rows) != len(sizes) or any(
        list(own) != sorted(set(own)) or (own and not 0 <= own[0] <= own[-1] < n)
        for own, n in zip(rows, sizes, strict=False)
    ):
        raise InputError(f"{who!r}: rows must rise within layers of {sizes} rows")
