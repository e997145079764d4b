"""The flip ledger of a training: which stored bits every step flipped, exact and compressed.

A folder of numbered shards, one container file each, so every one appears whole or not at all:

    00000.shard   the bits before the first step, the classes of the training images
    00001.shard   of the first epoch: flips, batches, batch norms at its end
    ...
    end.shard     which epoch was kept, and the checkpoint that it became

The flips of a step in a layer are rising places in its stored bits, row after row, written as gaps:
a 16-bit code c < 65535 skips c bits and names the next one, 65535 skips as many and names none. A
bit that is named has turned over, so direction needs no room: it follows from the bits before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim import container
from ...sim.bits import Words, pack, unpack
from ...sim.exceptions import ArtefactError
from ..checkpoint import NORM_ARRAYS, BatchNorm, Checkpoint, Layer
from .updates import FlipUpdates

FORMAT = "stoic-ledger"
VERSION = 1
_SKIP = 0xFFFF
_END = "end.shard"

Codes = NDArray[np.uint16]
Places = NDArray[np.int64]


def encode(places: Places) -> Codes:
    """Codes of rising places.

    >>> encode(np.array([0, 5, 70000])).tolist()
    [0, 4, 65535, 4459]
    """
    gaps = np.diff(places, prepend=-1) - 1
    n_skips = gaps // _SKIP
    codes = np.full(len(gaps) + int(n_skips.sum()), _SKIP, np.uint16)
    codes[np.arange(len(gaps)) + np.cumsum(n_skips)] = gaps % _SKIP
    return codes


def decode(codes: Codes, counts: NDArray[np.integer[Any]]) -> tuple[Places, Places]:
    """Places of many steps at once, and how many each step has.

    Args:
        codes: of the steps, one after the other.
        counts: (n_steps,) codes of each.
    """
    names = codes != _SKIP
    moves = codes.astype(np.int64) + names
    reached = np.concatenate([[0], np.cumsum(moves)])
    ends = np.cumsum(counts)
    places = reached[1:] - np.repeat(reached[ends - counts], counts) - 1
    named = np.concatenate([[0], np.cumsum(names)])
    return places[names], named[ends] - named[ends - counts]


@dataclass(frozen=True, eq=False)
class Epoch:
    """What the ledger keeps of an epoch.

    Attributes:
        first_step: number of its first step in the training.
        examples: for each step the numbers of its training images.
        updates: by layer, the flips of its steps.
        norms: of hidden layers, as they were at its end.
    """

    first_step: int
    examples: list[NDArray[np.uint32]]
    updates: list[FlipUpdates]
    norms: list[BatchNorm]


@dataclass(frozen=True, eq=False)
class Ledger:
    """A ledger as its folder holds it; flips are read epoch by epoch.

    Attributes:
        checkpoint: what the training became.
        first: by layer, (n_outputs, n_words) the bits before the first step.
        first_norms: of hidden layers, before the first step.
        labels: (n_images,) uint8 classes of the training images, as training saw them.
        n_epochs: up to the one that was kept.
        run: what decides the training, JSON values.
    """

    folder: Path
    checkpoint: Checkpoint
    first: list[Words]
    first_norms: list[BatchNorm]
    labels: NDArray[np.uint8]
    n_epochs: int
    run: Mapping[str, Any]

    @property
    def n_bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.glob("*.shard"))

    def epochs(self) -> Iterator[Epoch]:
        """Epochs in order; after the last one the bits must be those of the checkpoint.

        Raises:
            ArtefactError: a shard is missing, damaged or of another training, or flips are missing.
        """
        layers = self.checkpoint.layers
        bits = [unpack(w, of.n_inputs).ravel() for w, of in zip(self.first, layers, strict=True)]
        n_steps = 0
        for number in range(1, self.n_epochs + 1):
            path = shard_path(self.folder, number)
            header, arrays = _read(path, self.run)
            try:
                if header["first_step"] != n_steps:
                    raise ValueError(f"begins at step {header['first_step']}, not at {n_steps}")
                epoch = _epoch(header, arrays, layers, bits)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise ArtefactError(f"{path}: not a valid shard of a ledger: {error}") from error
            n_steps += len(epoch.examples)
            yield epoch
        for layer, found in zip(layers, bits, strict=True):
            wanted = unpack(layer.weights, layer.n_inputs).ravel()
            if n_wrong := int((found != wanted).sum()):
                raise ArtefactError(
                    f"{self.folder}: its flips do not lead to the checkpoint: {n_wrong} bits of "
                    f"layer {layer.name!r} differ"
                )


def _epoch(
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    layers: Sequence[Layer],
    bits: list[NDArray[np.uint8]],
) -> Epoch:
    """An epoch of its shard; `bits`, by layer those before it, become those after it."""
    n_each = np.cumsum(arrays["examples.counts"])
    return Epoch(
        header["first_step"],
        np.split(arrays["examples"], n_each[:-1]),
        [
            _flips(layer, arrays[f"{i}.codes"], arrays[f"{i}.counts"], of)
            for i, (layer, of) in enumerate(zip(layers, bits, strict=True))
        ],
        _norms(header, arrays),
    )


def _norms(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> list[BatchNorm]:
    return [
        BatchNorm(**{name: arrays[f"norm{i}.{name}"] for name in NORM_ARRAYS}, eps=eps)
        for i, eps in enumerate(header["eps"])
    ]


def _norm_arrays(norms: Sequence[BatchNorm]) -> dict[str, NDArray[Any]]:
    return {
        f"norm{i}.{name}": getattr(norm, name)
        for i, norm in enumerate(norms)
        for name in NORM_ARRAYS
    }


def _flips(
    layer: Layer, codes: Codes, n_codes: NDArray[np.int64], bits: NDArray[np.uint8]
) -> FlipUpdates:
    places, counts = decode(codes, n_codes)
    signs = np.empty(len(places), np.float32)
    ends = np.cumsum(counts)
    for start, end in zip(ends - counts, ends, strict=True):
        turned = places[start:end]
        bits[turned] ^= 1
        signs[start:end] = 4.0 * bits[turned] - 2.0
    return FlipUpdates(layer.n_inputs, layer.n_outputs, places, signs, counts)


def shard_path(folder: Path, number: int) -> Path:
    """The file of an epoch; number 0 is the start."""
    return folder / f"{number:05d}.shard"


def drop_after(folder: Path, number: int) -> None:
    """Remove the end and what follows shard `number`: of a training that this one replaces."""
    for path in folder.glob("*.shard"):
        if path.name == _END or (path.stem.isdecimal() and int(path.stem) > number):
            path.unlink()


def write_start(
    folder: Path,
    run: Mapping[str, Any],
    bits: list[NDArray[np.bool_]],
    norms: list[BatchNorm],
    labels: NDArray[np.uint8],
) -> None:
    """Write the shard before the first step.

    Args:
        run: what decides the training, JSON values; every shard repeats it.
        bits: by layer, (n_outputs, n_inputs).
        norms: of hidden layers.
    """
    arrays: dict[str, NDArray[Any]] = {f"{i}.bits": pack(of) for i, of in enumerate(bits)}
    arrays |= _norm_arrays(norms) | {"labels": labels}
    header = {"run": run, "eps": [norm.eps for norm in norms]}
    container.write(shard_path(folder, 0), FORMAT, VERSION, header, arrays)


def write_epoch(
    path: Path,
    run: Mapping[str, Any],
    first_step: int,
    examples: list[NDArray[np.uint32]],
    places: list[list[Places]],
    norms: list[BatchNorm],
) -> None:
    """Write the shard of an epoch.

    Args:
        places: by layer and step, rising.
    """
    arrays: dict[str, NDArray[Any]] = {
        "examples": np.concatenate(examples),
        "examples.counts": np.array([len(e) for e in examples], np.uint32),
    }
    for i, steps in enumerate(places):
        codes = [encode(step) for step in steps]
        arrays[f"{i}.codes"] = np.concatenate(codes)
        arrays[f"{i}.counts"] = np.array([len(c) for c in codes], np.int64)
    header = {"run": run, "first_step": first_step, "eps": [norm.eps for norm in norms]}
    container.write(path, FORMAT, VERSION, header, arrays | _norm_arrays(norms))


def write_end(folder: Path, run: Mapping[str, Any], n_epochs: int, checkpoint: Checkpoint) -> None:
    """Write the shard that closes a ledger."""
    header = {"run": run, "n_epochs": n_epochs, "checkpoint_sha256": checkpoint.sha256}
    container.write(folder / _END, FORMAT, VERSION, header, {"none": np.zeros(0, np.uint8)})


def check_shards(folder: Path, n_epochs: int, run: Mapping[str, Any]) -> int:
    """Size in bytes of the start and of so many epochs.

    Raises:
        ArtefactError: a shard is missing, damaged, or not of this run.
    """
    paths = [shard_path(folder, number) for number in range(n_epochs + 1)]
    for path in paths:
        _read(path, run)
    return sum(path.stat().st_size for path in paths)


def _read(
    path: Path, run: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    header, arrays = container.read(path, FORMAT, VERSION)
    if run is not None and header.get("run") != run:
        raise ArtefactError(f"{path}: of another training than the other files of the ledger")
    return header, arrays


def load_ledger(folder: Path, checkpoint: Checkpoint) -> Ledger:
    """The ledger of a checkpoint's training.

    Raises:
        ArtefactError: no ledger, one that is not finished, damaged, or of another network.
    """
    if not folder.is_dir():
        raise ArtefactError(f"{folder}: no such ledger; stoic train --ledger makes one")
    if not (folder / _END).is_file():
        raise ArtefactError(f"{folder}: the ledger has no {_END}; its training is not finished")
    end, _ = _read(folder / _END, None)
    header, arrays = _read(shard_path(folder, 0), end.get("run"))
    try:
        made = end["checkpoint_sha256"]
        first = [arrays[f"{i}.bits"] for i in range(len(checkpoint.layers))]
        if made == checkpoint.sha256 and [f.shape for f in first] != [
            layer.weights.shape for layer in checkpoint.layers
        ]:
            raise ValueError("its first bits are not of the shapes of the checkpoint")
        found = Ledger(
            folder,
            checkpoint,
            first,
            _norms(header, arrays),
            arrays["labels"],
            int(end["n_epochs"]),
            header["run"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{folder}: not a valid ledger: {error}") from error
    if made != checkpoint.sha256:
        raise ArtefactError(
            f"{folder}: is the ledger of checkpoint {str(made)[:12]}, not of "
            f"{checkpoint.sha256[:12]}"
        )
    return found
