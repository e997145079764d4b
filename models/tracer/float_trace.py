"""The trace of a float network: what every step, or every example of a step, did to its weights.

A folder of numbered shards, container files, written by `float_recorder.py`: 00000.shard holds the
weights before training, end.shard those after it, the others consecutive steps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...sim import container
from ...sim.exceptions import ArtefactError
from .updates import DenseUpdates, FactoredUpdates, JoinedUpdates, Updates

FORMAT = "stoic-trace"
VERSION = 1
END = "end.shard"

Arrays = dict[str, NDArray[np.float32]]
Numbers = NDArray[np.uint32]
_KEYS = ("left", "right", "change", "rest")


@dataclass(frozen=True, eq=False)
class FloatChunk:
    """A shard.

    Attributes:
        examples: for each step (or example of one) the numbers of its training images; none for
            what arithmetic rounded away.
        updates: by layer.
    """

    examples: list[Numbers]
    updates: list[Updates]


@dataclass(frozen=True, eq=False)
class FloatTrace:
    """A trace as its folder holds it.

    Attributes:
        names: of the layers.
        first, last: weights before and after training, by name.
    """

    folder: Path
    names: list[str]
    first: Arrays
    last: Arrays
    n_shards: int
    run: Mapping[str, Any]

    def chunks(self) -> Iterator[FloatChunk]:
        """Shards in order.

        Raises:
            ArtefactError: one is missing, damaged or of another training.
        """
        for number in range(1, self.n_shards + 1):
            path = shard_path(self.folder, number)
            _, arrays = read_shard(path, self.run)
            try:
                ends = np.cumsum(arrays["examples.counts"])
                examples = np.split(arrays["examples"], ends[:-1])
                updates = [updates_of(name, arrays) for name in self.names]
            except (KeyError, ValueError) as error:
                raise ArtefactError(f"{path}: not a valid shard of a trace: {error}") from error
            if any(isinstance(of, JoinedUpdates) for of in updates):
                examples.append(np.zeros(0, np.uint32))
            yield FloatChunk(examples, updates)

    @property
    def n_bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.glob("*.shard"))


def load_trace(folder: Path) -> FloatTrace:
    """The trace in a folder.

    Raises:
        ArtefactError: there is none, it is not finished, or damaged.
    """
    if not (folder / END).is_file():
        raise ArtefactError(f"{folder}: no finished trace of a training")
    end, last = container.read(folder / END, FORMAT, VERSION)
    _, first = read_shard(shard_path(folder, 0), end.get("run"))
    try:
        return FloatTrace(folder, list(first), first, last, int(end["n_shards"]), end["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{folder}: not a valid trace: lacks {error}") from error


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"{number:05d}.shard"


def read_shard(path: Path, run: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a shard.

    Raises:
        ArtefactError: it is missing, damaged, or of another run.
    """
    header, arrays = container.read(path, FORMAT, VERSION)
    if header.get("run") != run:
        raise ArtefactError(f"{path}: of another training than the other files of the trace")
    return header, arrays


def updates_of(name: str, arrays: Mapping[str, NDArray[Any]]) -> Updates:
    """What the arrays of a shard keep of a layer."""
    of = {
        key: torch.from_numpy(arrays[f"{name}.{key}"]) for key in _KEYS if f"{name}.{key}" in arrays
    }
    if "left" in of:
        main: Updates = FactoredUpdates(of["left"], of["right"])
    else:
        main = DenseUpdates(of["change"].flatten(2))
    return JoinedUpdates((main, DenseUpdates(of["rest"]))) if "rest" in of else main
