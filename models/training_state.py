"""The state of a training: all that decides how it goes on, and its file."""

import io
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..sim.container import write_whole
from ..sim.exceptions import InputError
from .data import Images
from .nets import BinaryNet
from .recipe import Recipe
from .topology import layer_shapes

log = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass
class State:
    """What a resumed run needs; it changes with every epoch.

    Attributes:
        scale: of the scores, where it is learned.
        n_steps: made so far.
        lies: whether training under errors has begun, see `Recipe.clean_below`.
    """

    model: BinaryNet
    scale: torch.nn.Parameter | None
    optimizer: torch.optim.Adam
    order: torch.Generator
    rng: np.random.Generator
    epoch: int = 0
    n_steps: int = 0
    lies: bool = False
    rows: list[Row] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here: {reason}") from error
    return device


def start(recipe: Recipe, seed: int, training: Images, device: str) -> State:
    """The state before the first step; what is random comes from the seed.

    Raises:
        InputError: torch cannot use the device here.
    """
    where = _device(device)
    n_classes = int(training.labels.max()) + 1
    shapes = layer_shapes(training.images.shape[1:], recipe.convs, (*recipe.hidden, n_classes))
    model = BinaryNet(shapes, recipe.input)
    streams = np.random.SeedSequence(seed).spawn(3)
    weights, order = (
        torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0] >> 1))
        for s in streams[:2]
    )
    with torch.no_grad():
        for layer, shape in zip(model.binary_layers, shapes, strict=True):
            fan_out = shape.n_outputs * (shape.window.kernel**2 if shape.window else 1)
            bound = math.sqrt(6 / (shape.n_inputs + fan_out))  # Glorot
            layer.weight.uniform_(-bound, bound, generator=weights)
            layer.gradient = recipe.gradient
    model.set_matmul(getattr(torch, recipe.matmul))
    model.to(where)
    scale = None
    if recipe.scale == "learned":
        scale = torch.nn.Parameter(torch.tensor(recipe.first_scale, device=where))
    parameters = [*model.parameters(), *([] if scale is None else [scale])]
    betas = (recipe.momentum, 0.999)
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, betas=betas, fused=True)
    rng = np.random.Generator(np.random.SFC64(streams[2]))
    return State(model, scale, optimizer, order, rng)


def save(run: State, path: Path, key: Row) -> None:
    """Write the state.

    Args:
        key: recipe, seed and size of the data set, by which `resume` knows it.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "key": json.dumps(key, sort_keys=True),
            "model": run.model.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "order": run.order.get_state(),
            "rng": json.dumps(run.rng.bit_generator.state, default=lambda a: a.tolist()),
            "scale": run.scale,
            "epoch": run.epoch,
            "n_steps": run.n_steps,
            "lies": run.lies,
            "rows": json.dumps(run.rows),
            "best": run.best,
        },
        buffer,
    )
    write_whole(path, buffer.getvalue())


def resume(run: State, path: Path, key: Row) -> None:
    """Take up the state in `path`, if there is one and it is of this very run."""
    if not path.is_file():
        return
    try:
        state = torch.load(path, weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets
        log.warning("%s is unreadable (%s): training starts anew", path, error)
        return
    if state["key"] != json.dumps(key, sort_keys=True):
        log.warning("%s is of another recipe, seed or data: training starts anew", path)
        return
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.order.set_state(state["order"])
    rng_state = json.loads(state["rng"])
    rng_state["state"]["state"] = np.array(rng_state["state"]["state"], np.uint64)
    run.rng.bit_generator.state = rng_state
    if run.scale is not None:
        run.scale.data.copy_(state["scale"])
    run.n_steps, run.lies = state["n_steps"], state["lies"]
    run.epoch, run.rows, run.best = state["epoch"], json.loads(state["rows"]), state["best"]
    log.info("going on after epoch %d of %s", run.epoch, path)
