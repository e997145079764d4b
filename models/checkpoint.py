"""The checkpoint: all that is kept of a trained network, as one small file (`*.ckpt`).

Sign bits of the weights, packed; batch norms as float32, exactly as training left them; the recipe
and seed that remake it. numpy only, so that a reader needs no torch.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import container
from ..sim.bits import Words, n_words
from ..sim.exceptions import ArtefactError, InputError
from ..sim.layers import INPUTS, Input, Pool, Window
from .topology import LayerShape

FORMAT = "stoic-checkpoint"
VERSION = 1
NORM_ARRAYS = ("gamma", "beta", "mean", "var")


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """gamma (s - mean) / sqrt(var + eps) + beta, each (n_outputs,) float32.

    eps is rounded to float32 too, as an ONNX file keeps it: exact thresholds depend on its value.
    """

    gamma: NDArray[np.float32]
    beta: NDArray[np.float32]
    mean: NDArray[np.float32]
    var: NDArray[np.float32]
    eps: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", float(np.float32(self.eps)))


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer without bias; a hidden one ends in batch norm and sign.

    Attributes:
        n_inputs: fan-in of a row.
        weights: (n_outputs, n_words(n_inputs)) uint64, bit 1 is +1, pad bits 0; lanes in the order
            of the integer network, maps channel-last.
        norm: None for the layer of scores.
        window: of a convolution; None is a dense layer.
        pool: of its signs, or None.
    """

    name: str
    n_inputs: int
    weights: Words
    norm: BatchNorm | None
    window: Window | None = None
    pool: Pool | None = None

    def __post_init__(self) -> None:
        width = n_words(self.n_inputs)
        if self.weights.dtype != np.uint64 or self.weights.shape[1:] != (width,):
            raise InputError(
                f"layer {self.name!r}: weights must be uint64 (n_outputs, {width}), "
                f"not {self.weights.dtype} {self.weights.shape}"
            )
        if self.window is not None and self.norm is None:
            raise InputError(f"layer {self.name!r}: a convolution cannot give the scores")
        LayerShape(self.n_inputs, self.n_outputs, self.window, self.pool)  # refuses what misfits
        for name in NORM_ARRAYS if self.norm else ():
            values = getattr(self.norm, name)
            if values.dtype != np.float32 or values.shape != (len(self.weights),):
                raise InputError(
                    f"layer {self.name!r}: {name} must be float32 ({len(self.weights)},), "
                    f"not {values.dtype} {values.shape}"
                )

    @property
    def n_outputs(self) -> int:
        """Neurons of the layer, or channels."""
        return len(self.weights)

    @property
    def shape(self) -> LayerShape:
        """Fan-in, rows and where they look."""
        return LayerShape(self.n_inputs, self.n_outputs, self.window, self.pool)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network.

    Attributes:
        name: of the model, e.g. "fashion-sfc".
        input: what one input carries, as in the integer network.
        layers: first to last; only the last has no batch norm.
        recipe: JSON values; with `seed` they remake the file.
        results: JSON values measured on the validation split when it was made.
    """

    name: str
    input: Input
    layers: tuple[Layer, ...]
    recipe: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.input not in INPUTS:
            raise InputError(f"input must be one of {INPUTS}, not {self.input!r}")
        has_norm = [layer.norm is not None for layer in self.layers]
        if not has_norm or has_norm != [True] * (len(has_norm) - 1) + [False]:
            raise InputError("every layer but the last must have a batch norm, and only those")
        for before, layer in zip(self.layers, self.layers[1:], strict=False):
            given, made = layer.shape.given, before.shape.made
            if given != (made if layer.window else (math.prod(made),)):
                raise InputError(
                    f"layer {layer.name!r} takes {_sizes(given)} inputs, "
                    f"but {before.name!r} gives {_sizes(made)}"
                )

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Of the layers."""
        return tuple(layer.shape for layer in self.layers)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of an image, then neurons or channels of every layer."""
        first = math.prod(self.layers[0].shape.given)
        return (first, *(layer.n_outputs for layer in self.layers))

    @property
    def sha256(self) -> str:
        """Hash of input kind, shapes, weight bits and batch norms."""
        digest = hashlib.sha256(f"{self.input};{self.sizes};".encode())
        for layer in self.layers:
            if layer.window is not None:
                digest.update(f"{layer.window},{layer.pool};".encode())
            digest.update(layer.weights.astype("<u8").tobytes())
            if layer.norm is not None:
                digest.update(f"{layer.norm.eps!r};".encode())
                for name in NORM_ARRAYS:
                    digest.update(getattr(layer.norm, name).astype("<f4").tobytes())
        return digest.hexdigest()


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `*.ckpt`; it appears whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(checkpoint.layers):
        arrays[f"{i}.weights"] = layer.weights
        if layer.norm is not None:
            arrays |= {f"{i}.{name}": getattr(layer.norm, name) for name in NORM_ARRAYS}
    header = {
        **{f.name: getattr(checkpoint, f.name) for f in fields(checkpoint) if f.name != "layers"},
        "stored_sha256": checkpoint.sha256,
        "layers": [_entry(layer) for layer in checkpoint.layers],
    }
    container.write(path, FORMAT, VERSION, header, arrays)


def _entry(layer: Layer) -> dict[str, Any]:
    entry = {
        "name": layer.name,
        "n_inputs": layer.n_inputs,
        "n_outputs": layer.n_outputs,
        "eps": None if layer.norm is None else layer.norm.eps,
    }
    if layer.window is not None:
        entry["window"] = asdict(layer.window)
        entry["pool"] = layer.pool and asdict(layer.pool)
    return entry


def _layer(entry: dict[str, Any], i: int, arrays: dict[str, NDArray[Any]]) -> Layer:
    norm = window = pool = None
    if entry["eps"] is not None:
        norm = BatchNorm(**{n: arrays[f"{i}.{n}"] for n in NORM_ARRAYS}, eps=entry["eps"])
    if "window" in entry:
        sizes = [*entry["window"].values(), *(entry["pool"] or {}).values()]
        if not all(type(size) is int for size in sizes):
            raise InputError(f"sizes of a convolution must be integers, not {sizes}")
        window = Window(**entry["window"])
        pool = Pool(**entry["pool"]) if entry["pool"] else None
    return Layer(entry["name"], entry["n_inputs"], arrays[f"{i}.weights"], norm, window, pool)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read `*.ckpt`.

    Raises:
        ArtefactError: not there, corrupt, truncated, foreign, newer, or not what its hash says.
    """
    header, arrays = container.read(path, FORMAT, VERSION)
    try:
        layers = tuple(_layer(entry, i, arrays) for i, entry in enumerate(header["layers"]))
        checkpoint = Checkpoint(
            header["name"],
            header["input"],
            layers,
            header["recipe"],
            header["seed"],
            header["results"],
        )
        stored = header["stored_sha256"]
    except (KeyError, TypeError, AttributeError, ValueError, InputError) as error:
        raise ArtefactError(f"{path}: not a valid checkpoint: {error}") from error
    if checkpoint.sha256 != stored:
        raise ArtefactError(
            f"{path}: stored bits hash to {checkpoint.sha256[:12]}, header says {stored[:12]}"
        )
    return checkpoint
