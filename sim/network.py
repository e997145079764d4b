"""The integer network: what a trained network has become once only bits and integers are left.

A network is a chain of dense layers. A layer stores one row of weight bits per neuron; hidden
layers fire where an integer reaches a threshold, the last layer gives integer scores:

    on bits:   P = popcount(XNOR(w, x)) over the n real lanes,   s = 2P - n,   bit = (P >= theta)
    on uint8:  s = sum_i w_i u_i with w_i = +-1, u_i = 0..255,                 bit = (s >= theta)

The file (`*.stoic`) is a safetensors container; its metadata holds one JSON header with the format
version, the kit version, the hash of the QONNX file it was lowered from and a SHA-256 of every
stored bit and integer. A reader refuses what it does not know.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import container
from .bits import Words, lane_mask, n_words, pack
from .exceptions import ArtefactError, InputError

FORMAT = "stoic-network"
VERSION = 1
UINT8_MAX = 255
MAX_INPUTS = (2**31 - 2) // UINT8_MAX  # so that every sum and every threshold is an int32

Input = Literal["bits", "uint8"]
INPUTS: tuple[Input, ...] = ("bits", "uint8")


@dataclass(frozen=True, eq=False)
class Dense:
    """A fully connected layer; the one without thresholds gives the scores.

    Attributes:
        name: unique in the network.
        n_inputs: fan-in n, 1..MAX_INPUTS.
        weights: (n_outputs, n_words(n_inputs)) uint64, packed, pad bits 0.
        thresholds: (n_outputs,) int32, or None for the layer of scores. Canonical range 0..n+1 on
            bits (0 always fires, n+1 never does) and -255n..255n+1 on uint8.
        negated: (n_outputs,) bool, rows stored negated because their batch-norm scale was negative.
        input: what one lane carries.
    """

    name: str
    n_inputs: int
    weights: Words
    thresholds: NDArray[np.int32] | None
    negated: NDArray[np.bool_]
    input: Input = "bits"

    def __post_init__(self) -> None:
        if not 1 <= self.n_inputs <= MAX_INPUTS:
            raise InputError(
                f"layer {self.name!r}: fan-in must be 1..{MAX_INPUTS}, not {self.n_inputs}"
            )
        if self.input not in INPUTS:
            raise InputError(f"layer {self.name!r}: input is {self.input!r}, not one of {INPUTS}")
        shape = (len(self.weights), n_words(self.n_inputs))
        if self.weights.dtype != np.uint64 or self.weights.shape != shape or not shape[0]:
            raise InputError(
                f"layer {self.name!r}: weights must be uint64 (n_outputs, {shape[1]}), "
                f"not {self.weights.dtype} {self.weights.shape}"
            )
        if (self.weights & ~lane_mask(self.n_inputs)).any():
            raise InputError(f"layer {self.name!r}: pad bits of the weights must be 0")
        if self.negated.dtype != np.bool_ or self.negated.shape != shape[:1]:
            raise InputError(f"layer {self.name!r}: negated must be bool ({shape[0]},)")
        if self.thresholds is not None:
            low, high = self.threshold_range
            t = self.thresholds
            if t.dtype != np.int32 or t.shape != shape[:1]:
                raise InputError(f"layer {self.name!r}: thresholds must be int32 ({shape[0]},)")
            if t.min() < low or t.max() > high:
                raise InputError(
                    f"layer {self.name!r}: thresholds must lie in {low}..{high}, "
                    f"not {t.min()}..{t.max()}"
                )

    @property
    def n_outputs(self) -> int:
        """Neurons of the layer."""
        return len(self.weights)

    @property
    def threshold_range(self) -> tuple[int, int]:
        """Least and greatest canonical threshold: always fires, never fires."""
        if self.input == "uint8":
            return -UINT8_MAX * self.n_inputs, UINT8_MAX * self.n_inputs + 1
        return 0, self.n_inputs + 1


@dataclass(frozen=True, eq=False)
class Network:
    """An exact integer network.

    Attributes:
        name: of the model, for people.
        layers: first to last; only the last has no thresholds, only the first may take uint8.
        source_sha256: of the QONNX file that it was lowered from, or "" when it was made by hand.
        notes: what the import had to say (ties met, rows negated, ...), JSON values.
    """

    name: str
    layers: tuple[Dense, ...]
    source_sha256: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a network needs at least one layer")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise InputError(f"layer names must differ: {[layer.name for layer in self.layers]}")
        for before, layer in zip(self.layers, self.layers[1:], strict=False):
            if before.thresholds is None:
                raise InputError(f"layer {before.name!r} is not the last but has no thresholds")
            if layer.input != "bits":
                raise InputError(f"layer {layer.name!r} is not the first but takes {layer.input}")
            if layer.n_inputs != before.n_outputs:
                raise InputError(
                    f"layer {layer.name!r} takes {layer.n_inputs} inputs, "
                    f"but {before.name!r} gives {before.n_outputs}"
                )
        if self.layers[-1].thresholds is not None:
            raise InputError(f"the last layer {self.layers[-1].name!r} must give scores")

    @property
    def n_inputs(self) -> int:
        """Elements of one image."""
        return self.layers[0].n_inputs

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
            digest.update(layer.weights.astype("<u8").tobytes())
            if layer.thresholds is not None:
                digest.update(layer.thresholds.astype("<i4").tobytes())
        return digest.hexdigest()


def check_images(network: Network, images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Images as (n_images, n_inputs) uint8, checked against what the network takes.

    Args:
        images: (n_images, ...) integers; 0..255 for uint8 input, 0 or 1 for bits.

    Raises:
        InputError: wrong element count, not integers, or a value out of range.
    """
    if images.ndim < 2 or images[:1].size != network.n_inputs * min(1, len(images)):
        raise InputError(
            f"images must be (n, {network.n_inputs}) or as many elements each, not {images.shape}"
        )
    if images.dtype.kind not in "uib":
        raise InputError(f"images must be integers, not {images.dtype}")
    high = UINT8_MAX if network.layers[0].input == "uint8" else 1
    is_full_range = images.dtype == np.uint8 and high == UINT8_MAX
    if images.size and not is_full_range and (images.min() < 0 or images.max() > high):
        raise InputError(f"images must lie in 0..{high}, not {images.min()}..{images.max()}")
    flat = images.reshape(len(images), network.n_inputs)
    return np.ascontiguousarray(flat.astype(np.uint8, copy=False))


def random_network(sizes: tuple[int, ...], first_input: Input, rng: np.random.Generator) -> Network:
    """A network of random weights, for benches and tests; neurons fire both ways.

    Args:
        sizes: elements of an image, neurons of every hidden layer, classes.
        first_input: what the first layer takes.
    """
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        kind: Input = first_input if i == 0 else "bits"
        middle, spread = (0, 100.0) if kind == "uint8" else (n / 2, 0.5)
        wanted = np.rint(middle + spread * n**0.5 * rng.standard_normal(m))
        layer = Dense(
            name=f"L{i}",
            n_inputs=n,
            weights=pack(rng.integers(0, 2, (m, n), dtype=np.uint8)),
            thresholds=None,
            negated=np.zeros(m, np.bool_),
            input=kind,
        )
        if i < len(sizes) - 2:
            thresholds = wanted.clip(*layer.threshold_range).astype(np.int32)
            layer = replace(layer, thresholds=thresholds)
        layers.append(layer)
    return Network("random", tuple(layers))


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
        "layers": [
            {
                "kind": "scores" if layer.thresholds is None else "dense",
                "name": layer.name,
                "input": layer.input,
                "n_inputs": layer.n_inputs,
                "n_outputs": layer.n_outputs,
                "n_negated": int(layer.negated.sum()),
            }
            for layer in network.layers
        ],
    }
    container.write(path, FORMAT, VERSION, header, arrays)


def load(path: Path) -> Network:
    """Read `*.stoic`.

    Raises:
        ArtefactError: not there, corrupt, truncated, foreign, newer, or not what its hash says.
    """
    header, arrays = container.read(path, FORMAT, VERSION)
    try:
        layers = []
        for i, entry in enumerate(header["layers"]):
            if entry["kind"] not in ("dense", "scores"):
                raise ArtefactError(f"{path}: layer kind {entry['kind']!r} is unknown to this kit")
            layers.append(
                Dense(
                    name=entry["name"],
                    n_inputs=entry["n_inputs"],
                    weights=arrays[f"{i}.weights"],
                    thresholds=arrays[f"{i}.thresholds"] if entry["kind"] == "dense" else None,
                    negated=arrays[f"{i}.negated"].astype(np.bool_),
                    input=entry["input"],
                )
            )
        network = Network(header["name"], tuple(layers), header["source_sha256"], header["notes"])
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


def summary(network: Network) -> list[dict[str, Any]]:
    """One JSON-able row per layer: kind, shape, stored bits, threshold range, negated rows."""
    return [
        {
            "name": layer.name,
            "kind": "scores" if layer.thresholds is None else "dense",
            "input": layer.input,
            "n_inputs": layer.n_inputs,
            "n_outputs": layer.n_outputs,
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
