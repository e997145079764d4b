"""Small float networks of the study, and their training under a recorder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import batches
from ..binary import PositiveBatchNorm
from ..data import Images
from ..recipe import Recipe
from .float_recorder import ExampleRecorder, StepRecorder
from .gradients import Traced, capturing

Body = Literal["dense", "conv"]


@dataclass(frozen=True)
class Floats:
    """What is trained.

    Attributes:
        body: of the network, for images of 28 x 28.
        by_example: plain SGD without batch norm, every example kept; otherwise Adam with batch
            norm, class-pure batches and ghosts, every step kept.
        recipe: its batches, epochs and learning rate.
    """

    body: Body
    by_example: bool
    recipe: Recipe


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of it.

    Attributes:
        layers: that were traced, by name.
        snapshots: state at the end of each epoch, for TracIn.
        training_cpu_s, tracing_cpu_s: without, and of, the recorder.
    """

    model: nn.Module
    layers: dict[str, Traced]
    snapshots: list[dict[str, Tensor]]
    training_cpu_s: float
    tracing_cpu_s: float


def network(body: Body, has_norm: bool, rng: torch.Generator) -> nn.Sequential:
    """784-32-10, or two convolutions and a dense layer; ReLU, no bias."""

    def norm(n: int) -> list[nn.Module]:
        return [PositiveBatchNorm(n)] if has_norm else []

    if body == "dense":
        parts: list[nn.Module] = [nn.Flatten(), nn.Linear(784, 32, bias=False), *norm(32)]
        parts += [nn.ReLU(), nn.Linear(32, 10, bias=False)]
    else:
        parts = [nn.Conv2d(1, 6, 5, stride=3, bias=False), *norm(6), nn.ReLU()]
        parts += [nn.Conv2d(6, 12, 3, stride=2, bias=False), *norm(12), nn.ReLU()]
        parts += [nn.Flatten(), nn.Linear(108, 10, bias=False)]
    found = nn.Sequential(*parts)
    with torch.no_grad():
        for layer in found:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                bound = (6 / layer.weight[0].numel()) ** 0.5
                layer.weight.uniform_(-bound, bound, generator=rng)
    return found


def as_input(images: Images) -> Tensor:
    """(n, 1, 28, 28) in 0..1."""
    return torch.from_numpy(images.images).float()[:, None] / 255


def train_floats(what: Floats, images: Images, seed: int, folder: Path | None = None) -> Trained:
    """Train on the images.

    Args:
        folder: of the trace, or None for none.
    """
    rng = torch.Generator().manual_seed(seed)
    model = network(what.body, not what.by_example, rng)
    layers: dict[str, Traced] = {
        name: layer for name, layer in model.named_children() if isinstance(layer, Traced)
    }
    x, y = as_input(images), torch.from_numpy(images.labels).long()
    optimizer: torch.optim.Optimizer = torch.optim.SGD(
        model.parameters(), lr=what.recipe.learning_rate
    )
    if not what.by_example:
        optimizer = torch.optim.Adam(
            model.parameters(), lr=what.recipe.learning_rate, betas=(what.recipe.momentum, 0.999)
        )
    for norm in model.modules():
        if isinstance(norm, PositiveBatchNorm):
            norm.n_ghosts = what.recipe.n_ghosts
    recorder = None
    if folder is not None:
        run = {"body": what.body, "by_example": what.by_example, "seed": seed}
        recorder = (ExampleRecorder if what.by_example else StepRecorder)(folder, layers, run)
        recorder.begin()
    snapshots, begun, tracing = [], time.process_time(), 0.0
    with capturing(layers if recorder is not None and what.by_example else {}) as captured:
        for _ in range(what.recipe.epochs):
            for batch in batches.draw(what.recipe, y, rng):
                optimizer.zero_grad()
                logits = model(x[batch.all])[: len(batch.examples)]
                loss = F.cross_entropy(logits, y[batch.examples])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                paused = time.process_time()
                if isinstance(recorder, ExampleRecorder):
                    recorder.step(batch.examples, captured, optimizer)
                elif recorder is not None:
                    recorder.step(batch.examples)
                tracing += time.process_time() - paused
            snapshots.append({k: v.clone() for k, v in model.state_dict().items()})
    if recorder is not None:
        recorder.finish()
    whole = time.process_time() - begun
    return Trained(model.eval(), layers, snapshots, whole - tracing, tracing)
