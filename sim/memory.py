"""The layout: which stored bit of which memory holds which logical bit.

A folding (PE, SIMD) fixes it for every layer, as the datapath reads it. Neuron j = f * PE + p is
fold f of processing element p, and lane i = w * SIMD + b is bit b of word w:

    weight bank of PE p:     address f * n_steps + w,  bit b        n_steps = ceil(n_inputs / SIMD)
    threshold bank of PE p:  address f,                bit b of the two's complement threshold

Banks are numbered weights first (layer by layer, PE by PE), then thresholds in the same order; the
host link uses these numbers. A *cell* is (bank, address, bit) as one index over all banks; cells of
pad lanes and of neurons past the last one exist in memory but hold no stored bit.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bits import Words, pack, unpack
from .exceptions import InputError
from .layers import UINT8_MAX, Input, Layer
from .network import Network

Kind = Literal["weights", "thresholds"]
KINDS: tuple[Kind, ...] = ("weights", "thresholds")
MAX_WIDTH = 64
MAX_B = 64
MAX_PE = 1 << 16  # a forged file must not make memories without end
Cell = TypeVar("Cell", bound=np.generic)


@dataclass(frozen=True)
class Fold:
    """Processing elements, lanes a cycle, images that share a weight word (B)."""

    pe: int
    simd: int
    b: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.pe <= MAX_PE or not 1 <= self.simd <= MAX_WIDTH:
            raise InputError(
                f"PE must be 1..{MAX_PE} and SIMD 1..{MAX_WIDTH}, not {self.pe}, {self.simd}"
            )
        if not 1 <= self.b <= MAX_B:
            raise InputError(f"B must be 1..{MAX_B}, not {self.b}")


@dataclass(frozen=True)
class Shape:
    """What of a layer decides its layout."""

    n_inputs: int
    n_outputs: int
    input: Input
    has_thresholds: bool

    @property
    def threshold_bits(self) -> int:
        """Bits of a stored threshold: unsigned 0..n+1 on bits, two's complement on uint8."""
        if self.input == "uint8":
            return (UINT8_MAX * self.n_inputs + 1).bit_length() + 1
        return (self.n_inputs + 1).bit_length()


@dataclass(frozen=True)
class Bank:
    """One memory.

    Attributes:
        name: e.g. "L0.P03.weights".
        n_words: its depth.
        width: bits of a word, 1..64.
        first_cell: index of address 0, bit 0.
    """

    name: str
    kind: Kind
    layer: int
    pe: int
    n_words: int
    width: int
    first_cell: int


@dataclass(frozen=True)
class Layout:
    """Where every stored bit of a network of these shapes stands under these foldings."""

    shapes: tuple[Shape, ...]
    folds: tuple[Fold, ...]

    def __post_init__(self) -> None:
        if len(self.shapes) != len(self.folds):
            raise InputError(f"{len(self.shapes)} layers need as many folds, not {len(self.folds)}")
        if len({fold.b for fold in self.folds}) > 1:
            raise InputError(f"B must be the same in all layers, not {[f.b for f in self.folds]}")

    def n_steps(self, layer: int) -> int:
        """Weight words of one neuron."""
        return -(-self.shapes[layer].n_inputs // self.folds[layer].simd)

    def n_folds(self, layer: int) -> int:
        """Neurons of one processing element."""
        return -(-self.shapes[layer].n_outputs // self.folds[layer].pe)

    @cached_property
    def banks(self) -> tuple[Bank, ...]:
        """Every memory, in the order in which the host link numbers them."""
        found: list[Bank] = []
        cell = 0
        for kind in KINDS:
            for i, (shape, fold) in enumerate(zip(self.shapes, self.folds, strict=True)):
                if kind == "thresholds" and not shape.has_thresholds:
                    continue
                words = self.n_folds(i) * (self.n_steps(i) if kind == "weights" else 1)
                width = fold.simd if kind == "weights" else shape.threshold_bits
                for pe in range(fold.pe):
                    found.append(Bank(f"L{i}.P{pe:02d}.{kind}", kind, i, pe, words, width, cell))
                    cell += words * width
        return tuple(found)

    @cached_property
    def n_cells(self) -> int:
        """Bits of all memories, pads included."""
        last = self.banks[-1]
        return last.first_cell + last.n_words * last.width

    def _bank_starts(self, layer: int, kind: Kind) -> NDArray[np.int64]:
        return np.array(
            [b.first_cell for b in self.banks if b.layer == layer and b.kind == kind], np.int64
        )

    def weight_cells(self, layer: int) -> NDArray[np.int64]:
        """(n_outputs, n_inputs) cell of each weight bit."""
        shape, fold = self.shapes[layer], self.folds[layer]
        j, i = np.arange(shape.n_outputs)[:, None], np.arange(shape.n_inputs)[None]
        address = (j // fold.pe) * self.n_steps(layer) + i // fold.simd
        start = self._bank_starts(layer, "weights")[j % fold.pe]
        return np.asarray(start + address * fold.simd + i % fold.simd, np.int64)

    def threshold_cells(self, layer: int) -> NDArray[np.int64]:
        """(n_outputs, threshold_bits) cell of each threshold bit, LSB first."""
        shape, fold = self.shapes[layer], self.folds[layer]
        j, b = np.arange(shape.n_outputs)[:, None], np.arange(shape.threshold_bits)[None]
        start = self._bank_starts(layer, "thresholds")[j % fold.pe]
        return np.asarray(start + (j // fold.pe) * shape.threshold_bits + b, np.int64)

    @cached_property
    def logical_cells(self) -> NDArray[np.int64]:
        """Cells of all stored bits in logical order: weights of each layer, then thresholds.

        The order does not depend on the folding, so it carries a map from one layout to another.
        """
        parts = [self.weight_cells(i).ravel() for i in range(len(self.shapes))]
        parts += [
            self.threshold_cells(i).ravel() for i, s in enumerate(self.shapes) if s.has_thresholds
        ]
        return np.concatenate(parts)

    def rows(self, cells: NDArray[Cell], layer: int, kind: Kind) -> NDArray[Cell]:
        """(n_outputs, n_inputs or threshold_bits) cells of each neuron, in logical order.

        The same as `cells[self.weight_cells(layer)]` (or `threshold_cells`), without an index
        array: the lanes of a neuron follow each other in its bank, so this transposes rows.

        Args:
            cells: (n_cells,) of any type.
        """
        memory, n_lanes = self._memory(layer, kind)
        banks = cells[memory].reshape(self.folds[layer].pe, self.n_folds(layer), -1)
        by_neuron = banks.transpose(1, 0, 2).reshape(-1, banks.shape[2])
        return by_neuron[: self.shapes[layer].n_outputs, :n_lanes]

    def put_rows(self, cells: NDArray[Cell], layer: int, kind: Kind, rows: NDArray[Cell]) -> None:
        """Write what `rows` reads; clears the pads of these banks."""
        memory, n_lanes = self._memory(layer, kind)
        banks = cells[memory].reshape(self.folds[layer].pe, self.n_folds(layer), -1)
        n_folds, pe, width = banks.transpose(1, 0, 2).shape
        padded = np.zeros((n_folds * pe, width), cells.dtype)
        padded[: self.shapes[layer].n_outputs, :n_lanes] = rows
        banks.transpose(1, 0, 2)[:] = padded.reshape(n_folds, pe, width)

    def _memory(self, layer: int, kind: Kind) -> tuple[slice, int]:
        """The cells of all banks of a layer, and how many of a row are stored."""
        banks = [b for b in self.banks if b.layer == layer and b.kind == kind]
        shape, last = self.shapes[layer], banks[-1]
        end = last.first_cell + last.n_words * last.width
        n_lanes = shape.n_inputs if kind == "weights" else shape.threshold_bits
        return slice(banks[0].first_cell, end), n_lanes

    @cached_property
    def memories(self) -> tuple[tuple[int, Kind], ...]:
        """(layer, kind) of all memories, in logical order."""
        return tuple(dict.fromkeys((b.layer, b.kind) for b in self.banks))

    @cached_property
    def is_stored(self) -> NDArray[np.bool_]:
        """(n_cells,) True where the cell holds a stored bit, False for pads."""
        stored = np.zeros(self.n_cells, np.bool_)
        for layer, kind in self.memories:
            self.put_rows(stored, layer, kind, np.ones((1, 1), np.bool_))
        return stored

    @cached_property
    def stored_mask(self) -> Words:
        """`is_stored`, packed."""
        return pack(self.is_stored)

    def locate(self, cell: int) -> tuple[Bank, int, int]:
        """(bank, address, bit) of a cell."""
        if not 0 <= cell < self.n_cells:
            raise InputError(f"cell must be 0..{self.n_cells - 1}, not {cell}")
        bank = [b for b in self.banks if b.first_cell <= cell][-1]
        return (bank, *divmod(cell - bank.first_cell, bank.width))

    @cached_property
    def sha256(self) -> str:
        """Hash of shapes and folds."""
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()


def to_json(layout: Layout) -> dict[str, Any]:
    """JSON values from which `from_json` makes the same layout."""
    return asdict(layout)


def from_json(values: dict[str, Any]) -> Layout:
    """The layout that `to_json` wrote of a plain one; `physical.from_json` reads the others.

    Raises:
        InputError: it holds more than a plain layout has.
    """
    if unknown := sorted(set(values) - {"shapes", "folds"}):
        raise InputError(f"a plain layout has shapes and folds, but no {unknown}")
    return Layout(
        tuple(Shape(**shape) for shape in values["shapes"]),
        tuple(Fold(**fold) for fold in values["folds"]),
    )


def shapes_of(network: Network) -> tuple[Shape, ...]:
    """What of a network decides its layout."""
    return tuple(
        Shape(la.n_inputs, la.n_outputs, la.input, la.thresholds is not None)
        for la in network.layers
    )


def layout_of(network: Network, folds: tuple[Fold, ...] | None = None) -> Layout:
    """Layout of a network; without folds one processing element of 64 lanes a layer."""
    shapes = shapes_of(network)
    return Layout(shapes, folds or tuple(Fold(1, MAX_WIDTH) for _ in shapes))


def threshold_bits(layer: Layer, n_bits: int) -> NDArray[np.uint8]:
    """(n_outputs, n_bits) two's complement bits of the thresholds, LSB first."""
    if layer.thresholds is None:
        raise InputError(f"layer {layer.name!r} has no thresholds")
    return ((layer.thresholds.astype(np.int64)[:, None] >> np.arange(n_bits)) & 1).astype(np.uint8)


def stored_bits(network: Network, layout: Layout) -> NDArray[np.uint8]:
    """(n_cells,) what every cell holds once the network is written; pads hold 0.

    Raises:
        InputError: the layout is of another network's shapes.
    """
    if layout.shapes != shapes_of(network):
        raise InputError(f"the layout is not for the shapes of network {network.name!r}")
    cells = np.zeros(layout.n_cells, np.uint8)
    for i, layer in enumerate(network.layers):
        layout.put_rows(cells, i, "weights", unpack(layer.weights, layer.n_inputs))
        if layer.thresholds is not None:
            bits = threshold_bits(layer, layout.shapes[i].threshold_bits)
            layout.put_rows(cells, i, "thresholds", bits)
    return cells


def bank_words(cells: NDArray[np.uint8], layout: Layout) -> list[Words]:
    """What the host writes: for every bank its (n_words,) uint64 words.

    Args:
        cells: (n_cells,) 0 or 1.
    """
    words = []
    for bank in layout.banks:
        rows = cells[bank.first_cell : bank.first_cell + bank.n_words * bank.width]
        words.append(pack(rows.reshape(bank.n_words, bank.width))[:, 0])
    return words
