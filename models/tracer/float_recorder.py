"""What writes the trace of a float network while its owner trains it.

Any optimiser: `StepRecorder` keeps dW_t = W_after - W_before of every step, whatever made it:
momentum, decay, schedules. A step on one class is attributed to it (see `models/batches.py`).

Plain SGD: `ExampleRecorder` keeps a share for every example, dW_tb = -rate g_tb, in a dense layer
as the two vectors whose product it is, in a convolution whole. What float arithmetic rounded away
in the steps of a shard is kept as one more entry, of no example, so that nothing is missing.

A shard is written as soon as it has `shard_mb`, and whenever the owner keeps its own state
(`flush`), from which it can go on (`begin`).

Source: WrappedSGD and WrappedOptimizer of Whadup/xai_tracking, code of arXiv 2109.05880.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...sim import container
from ...sim.exceptions import ArtefactError, InputError
from .float_trace import END, FORMAT, VERSION, Arrays, Numbers, read_shard, shard_path, updates_of
from .gradients import Captured, Traced, check_traced
from .ledger import drop_after

MB = 1_000_000


class _Recorder:
    """Shards of some layers.

    Args:
        folder: of the trace.
        layers: by name; without bias.
        run: what decides the training, JSON values; every shard repeats it.
        shard_mb: of a shard, about.
        limit_mb: the most that all shards may hold.

    Raises:
        InputError: a layer cannot be traced, see `gradients.check_traced`.
    """

    def __init__(
        self,
        folder: Path,
        layers: Mapping[str, Traced],
        run: Mapping[str, Any],
        shard_mb: float = 32.0,
        limit_mb: float = 1000.0,
    ) -> None:
        for name, layer in layers.items():
            check_traced(name, layer)
        self.folder, self.layers, self.run = folder, layers, json.loads(json.dumps(run))
        self.shard_mb, self.limit_mb = shard_mb, limit_mb

    def begin(self, n_steps: int = 0) -> None:
        """Start before the first step, or go on after so many, which were flushed.

        Raises:
            ArtefactError: the shards of those steps are not all there, or of another training.
        """
        self._before = self._weights()
        self._n_steps, self._number, self._n_bytes = n_steps, 1, 0
        path = shard_path(self.folder, 0)
        if n_steps == 0:
            container.write(path, FORMAT, VERSION, {"run": self.run}, self._before)
        done = 0
        while done < n_steps:
            path = shard_path(self.folder, self._number)
            done = read_shard(path, self.run)[0]["n_steps"]
            self._n_bytes += path.stat().st_size
            self._number += 1
        if done != n_steps:
            raise ArtefactError(f"{path}: ends after step {done}; nothing ends after {n_steps}")
        drop_after(self.folder, self._number - 1)
        self._forget()

    def flush(self) -> None:
        """Write what is not written yet; the caller keeps its own state now.

        Raises:
            InputError: the trace is larger than it may be.
        """
        if not self._examples:
            return
        arrays: dict[str, NDArray[Any]] = {
            "examples": np.concatenate(self._examples),
            "examples.counts": np.array([len(e) for e in self._examples], np.uint32),
            **self._joined(),
            **self._rest(),
        }
        path = shard_path(self.folder, self._number)
        header = {"run": self.run, "n_steps": self._n_steps}
        container.write(path, FORMAT, VERSION, header, arrays)
        self._n_bytes += path.stat().st_size
        if self._n_bytes > self.limit_mb * MB:
            path.unlink()
            raise InputError(
                f"{self.folder}: the trace would have {self._n_bytes / MB:.1f} MB after step "
                f"{self._n_steps}, more than its limit of {self.limit_mb:g} MB"
            )
        self._number += 1
        self._forget()

    def finish(self) -> None:
        """Write the rest and close the trace."""
        self.flush()
        end = {"run": self.run, "n_shards": self._number - 1}
        container.write(self.folder / END, FORMAT, VERSION, end, self._weights())

    def _weights(self) -> Arrays:
        return {n: layer.weight.detach().cpu().numpy().copy() for n, layer in self.layers.items()}

    def _add(self, examples: Sequence[Tensor], arrays: Arrays) -> None:
        self._examples += [e.numpy().astype(np.uint32) for e in examples]
        for name, array in arrays.items():
            self._parts.setdefault(name, []).append(array)
            self._n_waiting += array.nbytes

    def _end_step(self) -> None:
        self._n_steps += 1
        if self._n_waiting >= self.shard_mb * MB:
            self.flush()

    def _joined(self) -> Arrays:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def _rest(self) -> Arrays:
        """What the entries of a shard leave out of the change of the weights."""
        return {}

    def _forget(self) -> None:
        self._examples: list[Numbers] = []
        self._parts: dict[str, list[NDArray[np.float32]]] = {}
        self._n_waiting = 0


class StepRecorder(_Recorder):
    """Keeps what every step of any optimiser did to the weights of some layers."""

    def step(self, examples: Tensor) -> None:
        """Note what a step of the optimiser on these training images changed."""
        now = self._weights()
        self._add([examples], {f"{n}.change": (now[n] - self._before[n])[None] for n in now})
        self._before = now
        self._end_step()


class ExampleRecorder(_Recorder):
    """Keeps what every example of a step of plain SGD did, see above."""

    def step(
        self, examples: Tensor, captured: Mapping[str, Captured], optimizer: torch.optim.Optimizer
    ) -> None:
        """Note a step.

        Args:
            captured: of the batch, under a loss that is the sum or mean over its examples.
            optimizer: that made it.

        Raises:
            InputError: it is not plain SGD, so that a step is not the sum of its examples.
        """
        rate = _plain_rate(optimizer)
        arrays: Arrays = {}
        for name, of in captured.items():
            if of.left.shape[1] == 1:
                arrays[f"{name}.left"] = of.left[:, 0].float().numpy()
                arrays[f"{name}.right"] = (-rate * of.right[:, 0]).float().numpy()
            else:
                arrays[f"{name}.change"] = (-rate * of.gradients).float().numpy()
        self._add(list(examples[:, None]), arrays)
        self._end_step()

    def _rest(self) -> Arrays:
        now, rest = self._weights(), {}
        for name, weights in now.items():
            known = updates_of(name, self._joined()).summed().numpy()
            change = weights.astype(np.float64) - self._before[name]
            rest[f"{name}.rest"] = (change.reshape(known.shape) - known)[None].astype(np.float32)
        self._before = now
        return rest


def _plain_rate(optimizer: torch.optim.Optimizer) -> float:
    groups = optimizer.param_groups
    if (
        not isinstance(optimizer, torch.optim.SGD)
        or any(of["momentum"] or of["weight_decay"] or of["maximize"] for of in groups)
        or len({float(of["lr"]) for of in groups}) > 1
    ):
        raise InputError(
            "examples are traced under plain SGD that descends at one rate, without momentum and "
            "weight decay; trace the steps of others"
        )
    return float(groups[0]["lr"])
