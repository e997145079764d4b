"""Physical memory: a layout to which check bits, copies, flags or threshold tables were added, or
whose words were interleaved.

A `Physical` is a `Layout` for everything that looks at banks and cells: error models sample on it,
fault maps address it, are saved and hashed. It is a plain layout and a chain of steps
(`physical_steps.py`). What a network's rows are is a question for the plain layout under it:
`Protection.effective` brings faults down to that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import memory
from .exceptions import InputError
from .memory import KINDS, Bank, Cell, Kind, Layout
from .physical_steps import STEPS, Copy, Flags, Interleave, Step, Tables, Widen, banks_after, check


@dataclass(frozen=True)
class Alike:
    """Neighbouring banks that a step treats in the same way.

    Attributes:
        first: index of the first bank.
        n_banks: how many.
        under, over: the first bank before and after the step.
    """

    first: int
    n_banks: int
    under: Bank
    over: Bank

    def old(self, cells: NDArray[Cell]) -> NDArray[Cell]:
        """(n_banks, n_words, width) view of cells under the step."""
        return _banks(cells, self.under, self.n_banks)

    def new(self, cells: NDArray[Cell]) -> NDArray[Cell]:
        """(n_banks, n_words, width) view of cells above the step."""
        return _banks(cells, self.over, self.n_banks)


def _banks(cells: NDArray[Cell], first: Bank, n_banks: int) -> NDArray[Cell]:
    n = n_banks * first.n_words * first.width
    return cells[first.first_cell : first.first_cell + n].reshape(
        n_banks, first.n_words, first.width
    )


@dataclass(frozen=True)
class Physical(Layout):
    """A layout after the steps."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps:
            raise InputError("a physical layout needs at least one step")
        check(self.last, self.under)

    @property
    def last(self) -> Step:
        """The step that makes this layout of the one under it."""
        return self.steps[-1]

    @cached_property
    def under(self) -> Layout:
        """The layout before the last step."""
        plain = Layout(self.shapes, self.folds)
        return extend(plain, *self.steps[:-1])

    @cached_property
    def banks(self) -> tuple[Bank, ...]:
        """Every memory; those of the plain layout first, under their names."""
        cell, found = 0, []
        for bank in banks_after(self.last, self.under):
            found.append(replace(bank, first_cell=cell))
            cell += bank.n_words * bank.width
        return tuple(found)

    @cached_property
    def is_stored(self) -> NDArray[np.bool_]:
        """(n_cells,) True where a bit is stored: of the network, a check, a copy or a flag."""
        stored = self.put(self.under.is_stored)
        match self.last:
            case Widen(checks, group):
                for alike in self.alike():
                    if n := checks[alike.first]:
                        words = alike.new(stored)
                        width = alike.under.width
                        codes = words.reshape(-1, group, words.shape[2])
                        is_used = np.asarray(codes[:, :, :width].any(axis=(1, 2)))
                        columns = words.shape[2] - width
                        used = np.arange(group * columns).reshape(group, columns) < n
                        codes[:, :, width:] = is_used[:, None, None] & used
            case Tables(tables):
                for t in range(1, tables):
                    self.put_table(stored, t, self.under.is_stored)
            case Flags(banks):
                for bank, (_, _, n_stored, _) in zip(
                    self.banks[len(self.under.banks) :], banks, strict=True
                ):
                    stored[bank.first_cell : bank.first_cell + n_stored] = True
        return stored

    def alike(self) -> Iterator[Alike]:
        """The banks of the layout under this one, in runs that the last step treats alike."""
        match self.last:
            case Widen(each) | Interleave(each):
                keys: list[Any] = list(each)
            case Tables():
                keys = [bank.kind for bank in self.under.banks]
            case _:
                keys = [0] * len(self.under.banks)
        first = 0
        old, new = self.under.banks, self.banks
        shapes = [(b.n_words, b.width, key) for b, key in zip(old, keys, strict=True)]
        for i in range(1, len(old) + 1):
            if i == len(old) or shapes[i] != shapes[first]:
                yield Alike(first, i - first, old[first], new[first])
                first = i

    def put(self, cells: NDArray[Cell]) -> NDArray[Cell]:
        """(n_cells,) the cells of the layout under this one in their places and copies; else 0.

        Args:
            cells: (under.n_cells,) of any type.
        """
        if isinstance(self.last, Copy):
            return np.concatenate([cells, *[cells[self.copied]] * self.last.n_copies])
        out = np.zeros(self.n_cells, cells.dtype)
        for alike in self.alike():
            old, new = alike.old(cells), alike.new(out)
            n_banks, n_words, width = old.shape
            if isinstance(self.last, Interleave):
                degree = self.last.degrees[alike.first]
                rows = np.zeros((n_banks, new.shape[1], degree, width), cells.dtype)
                rows.reshape(n_banks, -1, width)[:, :n_words] = old
                new.reshape(n_banks, -1, width, degree)[:] = rows.transpose(0, 1, 3, 2)
            else:
                new[:, :n_words, :width] = old
        return out

    def get(self, cells: NDArray[Cell]) -> NDArray[Cell]:
        """(under.n_cells,) the cells that `put` placed; checks, copies and flags are left out."""
        n_old = self.under.n_cells
        if isinstance(self.last, Copy | Flags):
            return cells[:n_old]
        out = np.empty(n_old, cells.dtype)
        for alike in self.alike():
            old, new = alike.old(out), alike.new(cells)
            n_banks, n_words, width = old.shape
            if isinstance(self.last, Interleave):
                degree = self.last.degrees[alike.first]
                rows = new.reshape(n_banks, -1, width, degree).transpose(0, 1, 3, 2)
                old[:] = rows.reshape(n_banks, -1, width)[:, :n_words]
            else:
                old[:] = new[:, :n_words, :width]
        return out

    def put_table(self, cells: NDArray[Cell], table: int, own: NDArray[Cell]) -> None:
        """Write the thresholds among the cells of the layout under this one as those of a table.

        Args:
            cells: (n_cells,) of this layout, whose last step is `Tables`.
            own: (under.n_cells,).
        """
        for alike in self._threshold_banks():
            n = alike.under.n_words
            alike.new(cells)[:, table * n : (table + 1) * n] = alike.old(own)

    def get_table(self, cells: NDArray[Cell], table: int) -> NDArray[Cell]:
        """(under.n_cells,) what `get` gives, with the thresholds of a table."""
        out = self.get(cells)
        for alike in self._threshold_banks():
            n = alike.under.n_words
            alike.old(out)[:] = alike.new(cells)[:, table * n : (table + 1) * n]
        return out

    def _threshold_banks(self) -> Iterator[Alike]:
        return (alike for alike in self.alike() if alike.under.kind == KINDS[1])

    @cached_property
    def copied(self) -> NDArray[np.int64]:
        """Cells of the layout under this one that a `Copy` copies, in the order of their copies."""
        if not isinstance(self.last, Copy):
            raise InputError(f"a step {self.last.name!r} makes no copies")
        spans = []
        for i, address, words in self.last.blocks:
            bank = self.under.banks[i]
            start = bank.first_cell + address * bank.width
            spans.append(np.arange(start, start + words * bank.width))
        return np.concatenate(spans)

    def _memory(self, layer: int, kind: Kind) -> tuple[slice, int]:
        raise InputError(
            "a physical layout has no rows of a network; take Protection.effective of its faults"
        )

    def weight_cells(self, layer: int) -> NDArray[np.int64]:
        """Refused, as `rows`: a weight may stand in more than one cell."""
        self._memory(layer, "weights")
        raise AssertionError

    def threshold_cells(self, layer: int) -> NDArray[np.int64]:
        """Refused, as `rows`."""
        self._memory(layer, "thresholds")
        raise AssertionError


@lru_cache(maxsize=32)
def extend(layout: Layout, *steps: Step) -> Layout:
    """The layout after the steps; itself without any. Equal calls share what they worked out."""
    if not steps:
        return layout
    before = layout.steps if isinstance(layout, Physical) else ()
    return Physical(layout.shapes, layout.folds, (*before, *steps))


def from_json(values: dict[str, Any]) -> Layout:
    """The layout, plain or physical, that `memory.to_json` wrote."""
    plain = memory.from_json({k: v for k, v in values.items() if k != "steps"})
    steps = []
    for entry in values.get("steps", ()):
        if entry["step"] not in STEPS:
            raise InputError(f"step {entry['step']!r} of a layout is unknown to this kit")
        steps.append(STEPS[entry["step"]](**{k: _tuples(v) for k, v in entry.items()}))
    return extend(plain, *steps)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
