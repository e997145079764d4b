"""FaultMap: which stored bits read wrong, addressed as the memory stores them.

A cell can flip, be stuck at 0 or be stuck at 1. That is closed under composition, and with it an
asymmetric error rate needs no knowledge of the data: a cell that turns 0 into 1 but keeps a 1 *is*
stuck at 1. So one map is exact for whatever is written to the memory.

The file (`*.faults`) carries its layout, its model with parameters, seed and chip, and a hash.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import container
from .bits import Words, n_words, pack, unpack
from .exceptions import ArtefactError, InputError
from .layers import Layer
from .memory import Kind, Layout, shapes_of, stored_bits, to_json
from .network import Network
from .physical import from_json

FORMAT = "stoic-faults"
VERSION = 2  # 1 hashed empty planes in full, and its maps were drawn from another field
PLANES = ("flip", "stuck0", "stuck1")


@dataclass(frozen=True, eq=False)
class FaultMap:
    """Faults of one chip.

    Attributes:
        layout: whose cells the planes address.
        flip, stuck0, stuck1: (n_words(n_cells),) uint64, bit c is cell c; no cell is in two planes.
        provenance: model, parameters, seed, chip, ... as JSON values.
    """

    layout: Layout
    flip: Words
    stuck0: Words
    stuck1: Words
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in PLANES:
            plane = getattr(self, name)
            if plane.dtype != np.uint64 or plane.shape != (n_words(self.layout.n_cells),):
                raise InputError(
                    f"{name} must be uint64 ({n_words(self.layout.n_cells)},), "
                    f"not {plane.dtype} {plane.shape}"
                )
            if (plane & ~self.layout.stored_mask).any():
                raise InputError(f"{name} has a fault in a cell that stores no bit")
        if (self.flip & self.stuck0 | self.flip & self.stuck1 | self.stuck0 & self.stuck1).any():
            raise InputError("a cell can be in one of flip, stuck0 and stuck1 only")

    @property
    def n_faults(self) -> int:
        """Cells in which something is wrong."""
        return sum(_count(getattr(self, name)) for name in PLANES)

    @cached_property
    def sha256(self) -> str:
        """Hash of layout and planes that are not empty; the provenance does not count."""
        digest = hashlib.sha256(self.layout.sha256.encode())
        for name in PLANES:
            plane = getattr(self, name)
            if not is_empty(plane):
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(plane, "<u8").data)
        return digest.hexdigest()

    def cells(self, plane: str) -> NDArray[np.uint8]:
        """(n_cells,) 0 or 1 of one of the planes."""
        return unpack(getattr(self, plane), self.layout.n_cells)

    def read(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(n_cells,) bits as read back when `stored` was written."""
        words = (pack(stored) ^ self.flip) & ~self.stuck0 | self.stuck1
        return unpack(words, self.layout.n_cells)


def trusted(
    layout: Layout,
    provenance: dict[str, Any],
    *,
    flip: Words | None = None,
    stuck0: Words | None = None,
    stuck1: Words | None = None,
) -> FaultMap:
    """The map of planes that are right by construction: nothing is checked, None is empty.

    For the kit's own samplers, whose planes are disjoint and clear in pads: the checks of
    `FaultMap` take longer than drawing a map of few faults.
    """
    empty = empty_plane(n_words(layout.n_cells))
    faults = object.__new__(FaultMap)
    planes = {"flip": flip, "stuck0": stuck0, "stuck1": stuck1}
    faults.__dict__.update(
        layout=layout,
        **{name: empty if plane is None else plane for name, plane in planes.items()},
        provenance=provenance,
    )
    return faults


@lru_cache(maxsize=16)
def empty_plane(n: int) -> Words:
    """(n,) words without a fault, shared and read-only."""
    plane = np.zeros(n, np.uint64)
    plane.flags.writeable = False
    return plane


def no_faults(layout: Layout) -> FaultMap:
    """The map of a memory that tells the truth."""
    return trusted(layout, {"model": "none"})


def compose(first: FaultMap, then: FaultMap) -> FaultMap:
    """What is read when the bits pass through `first` and then through `then`."""
    _same_layout(first, then)
    stuck = then.stuck0 | then.stuck1
    return trusted(
        first.layout,
        {"model": "compose", "of": [first.provenance, then.provenance]},
        flip=(first.flip ^ then.flip) & ~stuck & ~(first.stuck0 | first.stuck1),
        stuck0=then.stuck0 | (~stuck & (first.stuck0 & ~then.flip | first.stuck1 & then.flip)),
        stuck1=then.stuck1 | (~stuck & (first.stuck1 & ~then.flip | first.stuck0 & then.flip)),
    )


def is_nested(small: FaultMap, large: FaultMap) -> bool:
    """Whether every faulty cell of `small` is also faulty in `large`."""
    _same_layout(small, large)
    return not (
        (small.flip | small.stuck0 | small.stuck1) & ~(large.flip | large.stuck0 | large.stuck1)
    ).any()


def restrict(
    faults: FaultMap,
    *,
    layers: Iterable[int] | None = None,
    where: Iterable[Kind] | None = None,
    banks: Iterable[str] | None = None,
) -> FaultMap:
    """Only the faults in these layers, kinds of memory and banks by name; None keeps all."""
    numbers = None if layers is None else tuple(sorted(set(layers)))
    kinds = None if where is None else tuple(sorted(set(where)))
    names = None if banks is None else tuple(sorted(set(banks)))
    mask = _cells_of(faults.layout, numbers, kinds, names)
    kept = {"layers": numbers, "where": kinds, "banks": names}
    return trusted(
        faults.layout,
        {**faults.provenance, **{k: list(v) for k, v in kept.items() if v is not None}},
        **{n: p & mask for n in PLANES if not is_empty(p := getattr(faults, n))},
    )


@lru_cache(maxsize=16)
def _cells_of(
    layout: Layout,
    layers: tuple[int, ...] | None,
    kinds: tuple[Kind, ...] | None,
    names: tuple[str, ...] | None,
) -> Words:
    """(n_words(n_cells),) the cells of banks in all three, packed."""
    keep = np.zeros(layout.n_cells, np.uint8)
    for bank in layout.banks:
        if (
            (layers is None or bank.layer in layers)
            and (kinds is None or bank.kind in kinds)
            and (names is None or bank.name in names)
        ):
            keep[bank.first_cell : bank.first_cell + bank.n_words * bank.width] = 1
    return pack(keep)


def readdress(faults: FaultMap, layout: Layout) -> FaultMap:
    """The same faults of the same logical bits in another layout of the same network.

    Raises:
        InputError: the layouts are of different networks.
    """
    if faults.layout == layout:
        return faults
    if faults.layout.shapes != layout.shapes:
        raise InputError("the fault map is of a network with other layer shapes")
    planes = {}
    for name in PLANES:
        if is_empty(getattr(faults, name)):
            continue
        old, new = faults.cells(name), np.zeros(layout.n_cells, np.uint8)
        for memory in layout.memories:
            layout.put_rows(new, *memory, faults.layout.rows(old, *memory))
        planes[name] = pack(new)
    return trusted(layout, faults.provenance, **planes)


def apply(network: Network, faults: FaultMap) -> Network:
    """The network that the datapath sees when `network` was written to this memory.

    A threshold that reads outside its canonical range decides like the nearest end of that range.

    Raises:
        InputError: the map is of a network with other layer shapes.
    """
    read = faults.read(stored_bits(network, faults.layout))
    return of_cells(network, faults.layout, read)


def of_cells(network: Network, layout: Layout, read: NDArray[np.uint8]) -> Network:
    """The network whose weights and thresholds are what the memories of a plain layout read.

    Args:
        read: (n_cells,) 0 or 1.
    """
    layers: list[Layer] = []
    for i, layer in enumerate(network.layers):
        thresholds = layer.thresholds
        if thresholds is not None:
            bits = layout.rows(read, i, "thresholds").astype(np.int64)
            place = np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)
            if layer.input == "uint8":
                place[-1] = -place[-1]
            thresholds = np.clip(bits @ place, *layer.threshold_range).astype(np.int32)
        weights = pack(layout.rows(read, i, "weights"))
        layers.append(replace(layer, weights=weights, thresholds=thresholds))
    return replace(network, layers=tuple(layers))


def n_changed(network: Network, faults: FaultMap) -> int:
    """Stored bits of this network that read wrong."""
    check_for(network, faults)
    if is_empty(faults.stuck0) and is_empty(faults.stuck1):
        return _count(faults.flip)  # whatever is stored
    stored = _stored_words(network, faults.layout)
    return sum(map(_count, (faults.flip, faults.stuck0 & stored, faults.stuck1 & ~stored)))


@lru_cache(maxsize=2)
def _stored_words(network: Network, layout: Layout) -> Words:
    return pack(stored_bits(network, layout))


def is_empty(plane: Words) -> bool:
    """Whether a plane has no fault."""
    return plane is empty_plane(len(plane)) or not plane.any()


def _count(plane: Words) -> int:
    return 0 if plane is empty_plane(len(plane)) else int(np.bitwise_count(plane).sum())


def check_for(network: Network, faults: FaultMap) -> None:
    """Refuse a map of another network.

    Raises:
        InputError: the layer shapes differ.
    """
    if faults.layout.shapes != shapes_of(network):
        raise InputError(f"the fault map is not for the layer shapes of network {network.name!r}")


def save(faults: FaultMap, path: Path) -> None:
    """Write `*.faults`."""
    header = {
        "layout": to_json(faults.layout),
        "provenance": faults.provenance,
        "stored_sha256": faults.sha256,
    }
    container.write(path, FORMAT, VERSION, header, {name: getattr(faults, name) for name in PLANES})


def load(path: Path) -> FaultMap:
    """Read `*.faults`.

    Raises:
        ArtefactError: not there, corrupt, truncated, foreign, newer, or not what its hash says.
    """
    header, arrays = container.read(path, FORMAT, VERSION, "sample the map again")
    try:
        faults = FaultMap(
            from_json(header["layout"]),
            **{name: arrays[name] for name in PLANES},
            provenance=header["provenance"],
        )
        stored = header["stored_sha256"]
        if not isinstance(faults.provenance, dict):
            raise InputError("its provenance must be a JSON object")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, InputError) as error:
        raise ArtefactError(f"{path}: not a valid fault map: {error}") from error
    if faults.sha256 != stored:
        raise ArtefactError(
            f"{path}: faults hash to {faults.sha256[:12]}, header says {stored[:12]}"
        )
    return faults


def _same_layout(a: FaultMap, b: FaultMap) -> None:
    if a.layout != b.layout:
        raise InputError("the maps are of different layouts; readdress one of them first")
