"""Batch norms measured anew, on training images under the memories that the network will meet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim.faults import FaultMap
from ..sim.network import Network
from .checkpoint import Checkpoint
from .frozen import integers
from .nets import BinaryNet, build_model, encode, to_checkpoint
from .noise import weight_cells

_N_IMAGES = 20_000
_MAX_BYTES = 1 << 28  # of the widest map of all those images


@torch.no_grad()
def calibrate(
    model: BinaryNet,
    maps: Sequence[FaultMap | None],
    images: Tensor,
    layers: Iterable[int] | None = None,
) -> None:
    """Measure the statistics of every batch norm, as the mean over these fault maps.

    One table of statistics serves all of them. A layer is measured behind layers that are final.

    Args:
        maps: each gets an equal share of the images; None is a memory that tells the truth.
        images: (n, n_inputs) integers, of which the first are used: at most 20,000, fewer where
            maps are large.
        layers: whose memories lie; None for all.
    """
    model.eval()
    n = len(maps)
    n_images = min(_N_IMAGES, max(n, _MAX_BYTES // widest(model)))
    first = model.shapes[0]
    given = [encode(part, model.input, first) for part in images[:n_images].chunk(n)]
    lies = set(range(len(model.shapes)) if layers is None else layers)
    for i, norm in enumerate(model.norm_layers):
        layer = model.binary_layers[i]
        stored = layer.rows() >= 0
        read = [
            _Held(
                stored
                if m is None or i not in lies
                else weight_cells(m, i, stored.device).read(stored)
            )
            for m in maps[: len(given)]
        ]
        found = []
        for x, held in zip(given, read, strict=True):
            layer.memory = held
            found.append(_var_mean(model.compared(i, model.sums(i, x.float()))))
        var, mean = (torch.stack(t).mean(0) for t in zip(*found, strict=True))
        cast(Tensor, norm.running_mean).copy_(mean)
        cast(Tensor, norm.running_var).copy_(var)
        for k, held in enumerate(read):  # once more: all sums at once would be too many
            layer.memory = held
            given[k] = model.fired(i, model.sums(i, given[k].float())).to(torch.int8)
        layer.memory = None


def recalibrated(
    checkpoint: Checkpoint, maps: Sequence[FaultMap | None], images: NDArray[np.generic]
) -> Network:
    """The integer network with batch norms measured under these maps: a table for a condition.

    Args:
        images: (n, ...) training images.
    """
    model = build_model(checkpoint)
    calibrate(model, maps, torch.from_numpy(images.reshape(len(images), -1)))
    return integers(to_checkpoint(model, checkpoint.name, {}, checkpoint.seed, {}))


def widest(model: BinaryNet) -> int:
    """Sums of an image in the layer that makes most of them."""
    return max(
        s.n_outputs * (s.window.rows * s.window.columns if s.window else 1) for s in model.shapes
    )


@dataclass(frozen=True, eq=False)
class _Held:
    """A memory that returns the same bits at every read."""

    bits: Tensor

    def read(self, stored: Tensor) -> Tensor:
        return self.bits


def _var_mean(sums: Tensor) -> tuple[Tensor, Tensor]:
    return torch.var_mean(sums.movedim(1, -1).flatten(0, -2), 0, correction=0)
