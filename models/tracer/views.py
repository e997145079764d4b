"""What a layer of the finished network meets on some images, and how training refined its answer.

With W_0 and W_T the weights before and after training and a(x) what the finished network hands to
the layer, z(x) = W_T a = W_0 a + p(x), and p = (W_T - W_0) a is the refinement that is explained.
Of binary layers only weights are in it: what batch norms did to thresholds is in `thresholds.py`.

Source: xai.py of Whadup/xai_tracking, code of arXiv 2109.05880.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...sim.bits import Words, unpack
from ...sim.exact_sums import steps
from ...sim.exceptions import InputError
from ...sim.network import check_images
from ..checkpoint import Checkpoint
from ..frozen import integers
from .gradients import Traced, windows_of


@dataclass(frozen=True, eq=False)
class View:
    """One layer and some images.

    Attributes:
        name: for tables.
        layer: number of the layer among those that are traced.
        inputs: (n, n_windows, n_inputs) a(x), floating; a dense layer has one window. Of a binary
            layer -1, +1 or pixels, so every sum is an integer that float32 holds.
        refinement: (n, n_windows, n_outputs) p(x).
        direction: of the same shape, along which contributions are measured, see `along` and
            `toward`.
    """

    name: str
    layer: int
    inputs: Tensor
    refinement: Tensor
    direction: Tensor

    @property
    def total(self) -> Tensor:
        """(n,) float64 <p, direction>, to which the scores of an image add up."""
        return (self.refinement.double() * self.direction.double()).flatten(1).sum(1)

    @property
    def length(self) -> Tensor:
        """(n,) float64 |p|, positive."""
        return _lengths(self.refinement)

    def of(self, images: slice | NDArray[np.int64]) -> "View":
        """The view of some of the images."""
        parts = (self.inputs, self.refinement, self.direction)
        return View(self.name, self.layer, *(part[images] for part in parts))


def along(name: str, layer: int, inputs: Tensor, refinement: Tensor) -> View:
    """A view along the refinement itself: its direction is p / |p|, its total |p|."""
    unit = refinement.double() / _lengths(refinement)[:, None, None]
    return View(name, layer, inputs, refinement, unit.to(refinement.dtype))


def toward(view: View, classes: NDArray[np.integer[Any]], name: str = "decision") -> View:
    """The view of a last layer along what a decision hangs on: the score of a class less the mean.

    A step that raises all scores alike decides nothing, and has score 0 here.

    Args:
        classes: (n,) one an image.
    """
    n_classes = view.refinement.shape[2]
    wanted = F.one_hot(torch.from_numpy(np.asarray(classes, np.int64)), n_classes)
    direction = (wanted - 1 / n_classes).to(view.refinement.dtype)[:, None]
    return View(name, view.layer, view.inputs, view.refinement, direction)


def _lengths(refinement: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(refinement.double().flatten(1), dim=1)
    return torch.clamp(norms, min=torch.finfo(torch.float64).tiny)


def binary_views(
    checkpoint: Checkpoint, first: Sequence[Words], images: NDArray[np.generic]
) -> list[View]:
    """By layer, on images as the network takes them.

    Args:
        first: by layer, (n_outputs, n_words) its bits before training.

    Raises:
        InputError: a batch-norm scale is negative, so that stored rows are not the model's.
    """
    network = integers(checkpoint)
    if any(layer.negated.any() for layer in network.layers):
        raise InputError(f"{checkpoint.name}: a batch-norm scale is negative; it has no ledger")
    found = []
    for i, step in enumerate(steps(network, check_images(network, images))):
        n_inputs = step.layer.n_inputs
        seen = torch.from_numpy(step.x).float()
        inputs = seen if step.layer.input == "uint8" else 2 * seen - 1
        change = weight_change(first[i], checkpoint, i)
        refinement = inputs @ change.reshape(-1, n_inputs).T
        found.append(along(step.layer.name, i, inputs, refinement))
    return found


def weight_change(first: Words, checkpoint: Checkpoint, i: int) -> Tensor:
    """(n_outputs, n_inputs) of -2, 0 and 2: what training added to the weights of a layer."""
    layer = checkpoint.layers[i]
    before, after = (unpack(w, layer.n_inputs).astype(np.int8) for w in (first, layer.weights))
    return torch.from_numpy(2 * (after - before)).float()


@torch.no_grad()
def float_views(
    model: nn.Module,
    traced: Mapping[str, Traced],
    first: Mapping[str, NDArray[np.float32]],
    x: Tensor,
) -> list[View]:
    """By traced layer, float64, in evaluation mode.

    Args:
        first: weights before training, (n_outputs, ...) as of the layers.
        x: (n, ...) as the model takes it.
    """
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, given, __, name=name: seen.update({name: given[0]}))
        for name, layer in traced.items()
    ]
    was_training = model.training
    model.eval()
    model(x)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    found = []
    for i, (name, layer) in enumerate(traced.items()):
        inputs = windows_of(layer, seen[name]).double()
        change = layer.weight.double() - torch.from_numpy(first[name]).double()
        found.append(along(name, i, inputs, inputs @ change.flatten(1).T))
    return found
