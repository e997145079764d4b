"""The integer network: what a trained network has become once only bits and integers are left.

A network is a chain of layers (`layers.py`), or an ensemble of chains that see the same image and
whose scores add. The file (`*.stoic`) is a safetensors container; its metadata holds one JSON
header with the format version, the kit version, the hash of the QONNX file it was lowered from and
a SHA-256 of every stored bit and integer. A reader refuses what it does not know.

Beside its own thresholds a network may carry tables of others, for operating conditions
(`tables.py`). Nothing that runs a network looks at them: `select` first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import container, layer_entries, tables
from .exceptions import ArtefactError, InputError
from .layers import UINT8_MAX, Conv, Layer
from .tables import Table

FORMAT = "stoic-network"
VERSION = 3  # 2 had no threshold tables


@dataclass(frozen=True, eq=False)
class Network:
    """An exact integer network.

    Attributes:
        name: of the model, for people.
        layers: first to last, member after member; of a member only the last has no thresholds
            and only the first may take uint8.
        source_sha256: of the QONNX file that it was lowered from, or "" when it was made by hand.
        notes: what the import had to say (ties met, rows negated, ...), JSON values.
        members: layers of each member of an ensemble; () stands for one member.
        thermometer: levels 1..255, rising, or () for none. Then an image is uint8 and bit j of its
            element i, lane i * len(levels) + j of the first layers, is 1 where it reaches level j.
        tables: other thresholds, each for a condition; `select` makes one of them its own.
    """

    name: str
    layers: tuple[Layer, ...]
    source_sha256: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    thermometer: tuple[int, ...] = ()
    tables: tuple[Table, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a network needs at least one layer")
        if not self.members:
            object.__setattr__(self, "members", (len(self.layers),))
        if min(self.members) < 1 or sum(self.members) != len(self.layers):
            raise InputError(f"members must share {len(self.layers)} layers, not {self.members}")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise InputError(f"layer names must differ: {[layer.name for layer in self.layers]}")
        for chain in self.chains:
            _check_chain(chain)
        ends = {(c[0].n_elements_in, c[0].input, c[-1].n_outputs) for c in self.chains}
        if len(ends) > 1:
            raise InputError(
                "members must take the same images and give the same classes, not (elements, "
                f"input, classes) {sorted(ends)}"
            )
        _check_levels(self)
        tables.check(self.tables, self.layers)

    @property
    def chains(self) -> tuple[tuple[Layer, ...], ...]:
        """The layers of each member."""
        ends = [sum(self.members[: i + 1]) for i in range(len(self.members))]
        return tuple(self.layers[e - n : e] for e, n in zip(ends, self.members, strict=True))

    @property
    def n_inputs(self) -> int:
        """Elements of one image."""
        return self.layers[0].n_elements_in // max(1, len(self.thermometer))

    @property
    def image_max(self) -> int:
        """Highest value of an image's element: 1 for bits, else 255."""
        return UINT8_MAX if self.layers[0].input == "uint8" or self.thermometer else 1

    @property
    def n_classes(self) -> int:
        """Scores of one image."""
        return self.layers[-1].n_outputs

    @property
    def n_weight_bits(self) -> int:
        """Stored weight bits; pad lanes are not stored."""
        return sum(layer.n_inputs * layer.n_outputs for layer in self.layers)

    @property
    def sha256(self) -> str:
        """Hash of what decides the scores: shapes, inputs, weight bits, thresholds, tables."""
        digest = hashlib.sha256()
        for layer in self.layers:
            digest.update(f"{layer.n_inputs},{layer.n_outputs},{layer.input};".encode())
            if isinstance(layer, Conv):
                digest.update(f"{layer.window},{layer.pool};".encode())
            digest.update(layer.weights.astype("<u8").tobytes())
            if layer.thresholds is not None:
                digest.update(layer.thresholds.astype("<i4").tobytes())
        if self.thermometer or len(self.members) > 1:
            digest.update(f"{self.members},{self.thermometer};".encode())
        for table in self.tables:
            digest.update(f"table {table.name};".encode())
            for values in table.thresholds:
                digest.update(b"" if values is None else values.astype("<i4").tobytes())
        return digest.hexdigest()


def _check_chain(chain: tuple[Layer, ...]) -> None:
    for before, layer in zip(chain, chain[1:], strict=False):
        if before.thresholds is None:
            raise InputError(f"layer {before.name!r} is not the last but has no thresholds")
        if layer.input != "bits":
            raise InputError(f"layer {layer.name!r} is not the first but takes {layer.input}")
        if layer.n_elements_in != before.n_elements_out:
            raise InputError(
                f"layer {layer.name!r} takes {layer.n_elements_in} inputs, "
                f"but {before.name!r} gives {before.n_elements_out}"
            )
        if isinstance(layer, Conv):
            given = before.out_shape if isinstance(before, Conv) else None
            window = layer.window
            if given != (window.height, window.width, window.channels):
                raise InputError(
                    f"layer {layer.name!r} takes a map of {window.height} x {window.width} x "
                    f"{window.channels}, but {before.name!r} gives {given or 'no map'}"
                )
    if chain[-1].thresholds is not None:
        raise InputError(f"the last layer {chain[-1].name!r} must give scores")


def _check_levels(network: Network) -> None:
    levels = network.thermometer
    if not levels:
        return
    first = network.layers[0]
    if list(levels) != sorted(set(levels)) or not 1 <= levels[0] <= levels[-1] <= UINT8_MAX:
        raise InputError(f"thermometer levels must rise within 1..{UINT8_MAX}, not {levels}")
    lanes = first.window.channels if isinstance(first, Conv) else first.n_inputs
    if first.input != "bits" or lanes % len(levels):
        raise InputError(
            f"{len(levels)} thermometer levels need a first layer on bits with a multiple of "
            f"{len(levels)} lanes or channels, not {lanes} on {first.input}"
        )


def ensemble(name: str, members: Sequence[Network]) -> Network:
    """One network whose scores are the sums of those of networks that take the same images.

    It names no QONNX file, as it was made of several; its notes name those of the members.

    Raises:
        InputError: there are none, they do not fit each other, or one carries threshold tables.
    """
    if not members or any(member.tables for member in members):
        raise InputError("an ensemble needs members, and of members without threshold tables")
    if len({member.thermometer for member in members}) > 1:
        raise InputError("members must take the same images, not codes of other thermometers")
    layers = [
        replace(layer, name=f"M{m}.{layer.name}")
        for m, member in enumerate(c for n in members for c in n.chains)
        for layer in member
    ]
    of = [{"sha256": m.sha256, "source_sha256": m.source_sha256} for m in members]
    counts = tuple(n for member in members for n in member.members)
    levels = members[0].thermometer
    return Network(name, tuple(layers), notes={"of": of}, members=counts, thermometer=levels)


def require_one_chain(network: Network, who: str) -> None:
    """Refuse thermometer input and ensembles.

    Args:
        who: cannot run it, for the message.

    Raises:
        InputError: the network is not one chain of layers on bits or uint8.
    """
    if network.thermometer or len(network.members) > 1:
        what = "a thermometer input" if network.thermometer else f"{len(network.members)} members"
        raise InputError(f"{who} takes one chain on bits or uint8; {network.name!r} has {what}")


def check_images(network: Network, images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Images as (n_images, n_inputs) uint8, checked against what the network takes.

    Args:
        images: (n_images, ...) integers, channel-last; 0 or 1 for bits, else 0..255.

    Raises:
        InputError: wrong element count, not integers, or a value out of range.
    """
    if images.ndim < 2 or images[:1].size != network.n_inputs * min(1, len(images)):
        raise InputError(
            f"images must be (n, {network.n_inputs}) or as many elements each, not {images.shape}"
        )
    if images.dtype.kind not in "uib":
        raise InputError(f"images must be integers, not {images.dtype}")
    high = network.image_max
    is_full_range = images.dtype == np.uint8 and high == UINT8_MAX
    if images.size and not is_full_range and (images.min() < 0 or images.max() > high):
        raise InputError(f"images must lie in 0..{high}, not {images.min()}..{images.max()}")
    flat = images.reshape(len(images), network.n_inputs)
    return np.ascontiguousarray(flat.astype(np.uint8, copy=False))


def select(network: Network, name: str) -> Network:
    """The network whose thresholds are those of a table, and which carries none.

    It is no longer what its QONNX file says, so it does not name that file; its notes say of which
    network and table it is.

    Raises:
        InputError: there is no such table; with the names of those there are.
    """
    found = {table.name: table for table in network.tables}.get(name)
    if found is None:
        names = ", ".join(table.name for table in network.tables)
        has = f"its tables are {names}" if names else "it has none"
        raise InputError(f"network {network.name!r} has no table {name!r}; {has}")
    layers = [
        replace(layer, thresholds=values)
        for layer, values in zip(network.layers, found.thresholds, strict=True)
    ]
    notes = {
        "of": {"sha256": network.sha256, "source_sha256": network.source_sha256},
        "table": tables.entry(found),
    }
    return replace(
        network,
        name=f"{network.name}@{name}",
        layers=tuple(layers),
        source_sha256="",
        notes=notes,
        tables=(),
    )


def with_tables(network: Network, added: Sequence[Table]) -> Network:
    """The network with more tables; one of a name that it has already takes its place."""
    found = {table.name: table for table in (*network.tables, *added)}
    return replace(network, tables=tuple(found.values()))


def save(network: Network, path: Path) -> None:
    """Write `*.stoic`."""
    arrays: layer_entries.Arrays = {}
    for i, layer in enumerate(network.layers):
        arrays |= layer_entries.arrays(layer, i)
    for t, table in enumerate(network.tables):
        arrays |= tables.arrays(table, t)
    header = {
        "name": network.name,
        "source_sha256": network.source_sha256,
        "stored_sha256": network.sha256,
        "notes": network.notes,
        "members": network.members,
        "thermometer": network.thermometer,
        "layers": [layer_entries.entry(layer) for layer in network.layers],
        "tables": [tables.entry(table) for table in network.tables],
    }
    container.write(path, FORMAT, VERSION, header, arrays)


def load(path: Path) -> Network:
    """Read `*.stoic`.

    Raises:
        ArtefactError: not there, corrupt, truncated, foreign, newer, or not what its hash says.
    """
    header, arrays = container.read(path, FORMAT, VERSION, "export or import the model again")
    try:
        layers = [layer_entries.layer_of(v, i, arrays) for i, v in enumerate(header["layers"])]
        found = [tables.table_of(v, t, layers, arrays) for t, v in enumerate(header["tables"])]
        network = Network(
            header["name"],
            tuple(layers),
            header["source_sha256"],
            header["notes"],
            layer_entries.integers(header["members"]),
            layer_entries.integers(header["thermometer"]),
            tuple(found),
        )
        stored = header["stored_sha256"]
        if not isinstance(network.notes, dict) or not isinstance(network.name, str):
            raise InputError("its name must be text and its notes a JSON object")
        if arrays:
            raise InputError(f"arrays {sorted(arrays)} are unknown to this kit")
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise ArtefactError(f"{path}: not a valid integer network: {error}") from error
    if network.sha256 != stored:
        raise ArtefactError(
            f"{path}: stored bits hash to {network.sha256[:12]}, header says {stored[:12]}"
        )
    return network


def summary(network: Network) -> list[dict[str, Any]]:
    """One JSON-able row per layer: kind, shape, stored bits, threshold range, negated rows."""
    return [layer_entries.row(layer) for layer in network.layers]
