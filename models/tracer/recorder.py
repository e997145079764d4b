"""What writes a flip ledger while `models/train.py` trains."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...sim.exceptions import InputError
from ..binary import Binary
from ..checkpoint import Checkpoint
from ..nets import BinaryNet, batch_norms
from . import ledger

MB = 1_000_000


class Recorder:
    """Compares the stored bits after every step with those before; writes a shard an epoch.

    Args:
        folder: of the ledger.
        limit_mb: the most that it may hold. A training that would exceed it stops after its last
            whole epoch, and goes on under a higher limit.

    Attributes:
        cpu_s: time that it took since it began.
    """

    def __init__(self, folder: Path, limit_mb: float = 1000.0) -> None:
        self.folder = folder
        self.limit_mb = limit_mb
        self.cpu_s = 0.0

    def begin(
        self, model: BinaryNet, run: dict[str, Any], labels: NDArray[np.uint8], n_epochs: int
    ) -> None:
        """Take up the bits as they are before the next epoch.

        Args:
            run: what decides the training.
            labels: (n_images,) classes of the training images.
            n_epochs: that were made already.

        Raises:
            InputError: they were made without a ledger.
            ArtefactError: their shards are not all there, or of another training.
        """
        if n_epochs and not ledger.shard_path(self.folder, 0).is_file():
            raise InputError(
                f"{self.folder}: {n_epochs} epochs were trained without a ledger; remove the "
                "*.state file of the training to start anew"
            )
        ledger.drop_after(self.folder, n_epochs)
        self._run: dict[str, Any] = json.loads(json.dumps(run))
        self._bits = [_stored(layer) for layer in model.binary_layers]
        if n_epochs == 0:
            rows = [
                bits.reshape(layer.rows().shape)
                for bits, layer in zip(self._bits, model.binary_layers, strict=True)
            ]
            ledger.write_start(self.folder, self._run, rows, batch_norms(model), labels)
        self._n_bytes = ledger.check_shards(self.folder, n_epochs, self._run)
        self._forget()

    def step(self, model: BinaryNet, examples: Tensor) -> None:
        """Note which bits a step flipped, and by which training images."""
        begun = time.process_time()
        self._examples.append(examples.numpy().astype(np.uint32))
        for i, layer in enumerate(model.binary_layers):
            now = _stored(layer)
            self._places[i].append(np.flatnonzero(now != self._bits[i]))
            self._bits[i] = now
        self.cpu_s += time.process_time() - begun

    def end_epoch(self, model: BinaryNet, number: int, n_steps: int) -> None:
        """Write the shard of an epoch.

        Args:
            number: of the epoch, from 1.
            n_steps: of the training so far.

        Raises:
            InputError: the ledger is larger than it may be.
        """
        begun = time.process_time()
        path = ledger.shard_path(self.folder, number)
        ledger.write_epoch(
            path,
            self._run,
            n_steps - len(self._examples),
            self._examples,
            self._places,
            batch_norms(model),
        )
        self._forget()
        self.cpu_s += time.process_time() - begun
        self._n_bytes += path.stat().st_size
        if self._n_bytes > self.limit_mb * MB:
            path.unlink()
            raise InputError(
                f"{self.folder}: the ledger would have {self._n_bytes / MB:.1f} MB after epoch "
                f"{number}, more than its limit of {self.limit_mb:g} MB; raise it to go on"
            )

    def finish(self, checkpoint: Checkpoint, n_epochs: int) -> None:
        """Close the ledger: the checkpoint is what the first `n_epochs` made."""
        ledger.write_end(self.folder, self._run, n_epochs, checkpoint)

    def _forget(self) -> None:
        self._examples: list[NDArray[np.uint32]] = []
        self._places: list[list[NDArray[np.int64]]] = [[] for _ in self._bits]


def _stored(layer: Binary) -> NDArray[np.bool_]:
    """(n_outputs * n_inputs,) bits of a layer as memory stores them."""
    return np.asarray(layer.rows().cpu().numpy().ravel() >= 0)
