"""The integer network: what a trained network has become once only bits and integers are left.

A network is a chain of layers (`layers.py`), or an ensemble of chains that see the same image and
whose scores add. The file (`*.stoic`) is a safetensors container; its metadata holds one JSON
header with the format version, the kit version, the hash of the QONNX file it was lowered from and
a SHA-256 of every stored bit and integer. A reader refuses what it does not know.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import container
from .exceptions import ArtefactError, InputError
from .layers import UINT8_MAX, Conv, Dense, Layer, Pool, Window

FORMAT = "stoic-network"
VERSION = 2


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
    """

    name: str
    layers: tuple[Layer, ...]
    source_sha256: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    thermometer: tuple[int, ...] = ()

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
        """Hash of everything that decides the scores: shapes, inputs, weight bits, thresholds."""
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


def require_plain(network: Network, who: str) -> None:
    """Refuse what only runs in software so far: convolution, thermometer input, ensembles.

    Args:
        who: cannot run it, for the message.

    Raises:
        InputError: the network is not one chain of dense layers on bits or uint8.
    """
    for layer in network.layers:
        if not isinstance(layer, Dense):
            raise InputError(f"{who} takes dense layers only; {layer.name!r} is a convolution")
    require_one_chain(network, who)


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


def save(network: Network, path: Path) -> None:
    """Write `*.stoic`."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(network.layers):
        arrays[f"{i}.weights"] = layer.weights
        arrays[f"{i}.negated"] = layer.negated.astype(np.uint8)
        if layer.thresholds is not None:
            arrays[f"{i}.thresholds"] = layer.thresholds
    header = {
        "name": network.name,
        "source_sha256": network.source_sha256,
        "stored_sha256": network.sha256,
        "notes": network.notes,
        "members": network.members,
        "thermometer": network.thermometer,
        "layers": [_entry(layer) for layer in network.layers],
    }
    container.write(path, FORMAT, VERSION, header, arrays)


def kind(layer: Layer) -> str:
    """What a layer is called in files and tables: "conv", "dense" or "scores"."""
    if isinstance(layer, Conv):
        return "conv"
    return "scores" if layer.thresholds is None else "dense"


def _entry(layer: Layer) -> dict[str, Any]:
    entry = {
        "kind": kind(layer),
        "name": layer.name,
        "input": layer.input,
        "n_inputs": layer.n_inputs,
        "n_outputs": layer.n_outputs,
        "n_negated": int(layer.negated.sum()),
    }
    if isinstance(layer, Conv):
        entry["window"] = asdict(layer.window)
        entry["pool"] = layer.pool and asdict(layer.pool)
    return entry


def load(path: Path) -> Network:
    """Read `*.stoic`.

    Raises:
        ArtefactError: not there, corrupt, truncated, foreign, newer, or not what its hash says.
    """
    header, arrays = container.read(path, FORMAT, VERSION)
    try:
        layers = [_layer(entry, i, arrays) for i, entry in enumerate(header["layers"])]
        network = Network(
            header["name"],
            tuple(layers),
            header["source_sha256"],
            header["notes"],
            _integers(header["members"]),
            _integers(header["thermometer"]),
        )
        stored = header["stored_sha256"]
        if not isinstance(network.notes, dict) or not isinstance(network.name, str):
            raise InputError("its name must be text and its notes a JSON object")
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise ArtefactError(f"{path}: not a valid integer network: {error}") from error
    if network.sha256 != stored:
        raise ArtefactError(
            f"{path}: stored bits hash to {network.sha256[:12]}, header says {stored[:12]}"
        )
    return network


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(v) is int for v in values):
        raise InputError(f"{values!r} is not a list of integers")
    return tuple(values)


def _layer(entry: dict[str, Any], i: int, arrays: dict[str, NDArray[Any]]) -> Layer:
    if entry["kind"] not in ("conv", "dense", "scores"):
        raise InputError(f"layer kind {entry['kind']!r} is unknown to this kit")
    name, n_inputs, weights = entry["name"], entry["n_inputs"], arrays[f"{i}.weights"]
    thresholds = None if entry["kind"] == "scores" else arrays[f"{i}.thresholds"]
    negated, lane = arrays[f"{i}.negated"].astype(np.bool_), entry["input"]
    if entry["kind"] != "conv":
        return Dense(name, n_inputs, weights, thresholds, negated, lane)
    sizes = [entry["window"], entry["pool"] or {}]
    _integers([value for size in sizes for value in size.values()])
    pool = Pool(**entry["pool"]) if entry["pool"] else None
    window = Window(**entry["window"])
    return Conv(name, n_inputs, weights, thresholds, negated, lane, window=window, pool=pool)


def summary(network: Network) -> list[dict[str, Any]]:
    """One JSON-able row per layer: kind, shape, stored bits, threshold range, negated rows."""
    return [
        {
            "name": layer.name,
            "kind": kind(layer),
            "input": layer.input,
            "n_inputs": layer.n_inputs,
            "n_outputs": layer.n_outputs,
            "n_windows": layer.n_windows,
            "weight_bits": layer.n_inputs * layer.n_outputs,
            "threshold_min": None if layer.thresholds is None else int(layer.thresholds.min()),
            "threshold_max": None if layer.thresholds is None else int(layer.thresholds.max()),
            "n_constant": 0
            if layer.thresholds is None
            else int(np.isin(layer.thresholds, layer.threshold_range).sum()),
            "n_negated": int(layer.negated.sum()),
        }
        for layer in network.layers
    ]
