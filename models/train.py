"""The training loop: one for every recipe, exact to resume, the same for equal seeds.

Deterministic given recipe, seed, data, one thread, CPU model and the versions of torch and numpy;
other CPUs may round a sum of floats differently and end in another, equally good network.
"""

import io
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..sim.container import write_whole
from ..sim.exceptions import InputError
from . import losses, validation
from .augment import augment
from .calibration import calibrate
from .checkpoint import Checkpoint, save_checkpoint
from .data import CACHE, Images, load
from .margins import scores_and_margins
from .nets import BinaryNet, encode, to_checkpoint
from .noise import TrainingErrors, layout_of_model, set_memories
from .recipe import Recipe, to_values
from .topology import layer_shapes

log = logging.getLogger(__name__)

Row = dict[str, Any]
SEEDS = 2 << 32
"""Populations of chips that training uses, one for each of its seeds: from here on."""
_CALIBRATION = 1 << 40
"""Number of the first draw that calibration uses; steps count from 0."""
_LEAST_SCALE = 1e-6


@dataclass
class _Run:
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


def train(
    recipe: Recipe,
    seed: int,
    out: Path,
    root: Path | None = None,
    cache: Path = CACHE,
    report: Callable[[Row], None] = lambda row: None,
    device: str = "cpu",
) -> Checkpoint:
    """Train on the data set of the recipe; writes <out>/<name>.ckpt and <out>/log.jsonl.

    A run that was killed goes on after the last epoch it finished, and ends with the same file.

    Args:
        root, cache: where data sets are, see `data.load`; measured faults are in `root` too.
        report: is told each row of the log, those of a resumed run too.
        device: of torch. Only on "cpu" do equal seeds give equal files.
    """
    return fit(
        recipe,
        seed,
        load(recipe.data, "train", root, cache),
        load(recipe.data, "validation", root, cache),
        out,
        report,
        device,
        root,
    )


def fit(
    recipe: Recipe,
    seed: int,
    training: Images,
    held_out: Images,
    out: Path,
    report: Callable[[Row], None] = lambda row: None,
    device: str = "cpu",
    root: Path | None = None,
) -> Checkpoint:
    """As `train`, on these images."""
    state, log_path = out / f"{recipe.name}.state", out / "log.jsonl"
    key = {"recipe": to_values(recipe), "seed": seed, "n_images": len(training.images)}
    with _one_thread():
        run = _start(recipe, seed, training, _device(device))
        _resume(run, state, key)
        for row in run.rows:
            report(row)
        errors = TrainingErrors(recipe, layout_of_model(run.model), SEEDS + seed, root)
        check = validation.make(errors, held_out)
        while run.epoch < recipe.epochs:
            start = time.process_time(), time.perf_counter()
            loss = _epoch(run, recipe, errors, training)
            row = {
                "epoch": run.epoch,
                "loss": loss,
                "validation_accuracy": check.accuracies(run.model),
                "cpu_s": round(time.process_time() - start[0], 2),
                "wall_s": round(time.perf_counter() - start[1], 2),
            }
            if _score(check, row) > max((_score(check, r) for r in run.rows), default=-1.0):
                run.best = {k: v.clone() for k, v in run.model.state_dict().items()}
            run.rows.append(row)
            _save(run, state, key)
            write_whole(log_path, "".join(json.dumps(r) + "\n" for r in run.rows).encode())
            report(row)
        run.model.load_state_dict(run.best)
        _calibrate(run.model, recipe, errors, training)
        chosen = max(run.rows, key=lambda r: _score(check, r))
        results = {
            "epoch": chosen["epoch"],
            "validation_accuracy": check.accuracies(run.model),
        }
    checkpoint = to_checkpoint(run.model, recipe.name, to_values(recipe), seed, results)
    save_checkpoint(checkpoint, out / f"{recipe.name}.ckpt")
    state.unlink(missing_ok=True)
    return checkpoint


def _score(check: validation.Validation, row: Row) -> float:
    return check.score(row["validation_accuracy"])


def _calibrate(model: BinaryNet, recipe: Recipe, errors: TrainingErrors, training: Images) -> None:
    """One table of statistics that serves the trained rates, evenly."""
    n = recipe.n_calibrations
    maps = [
        errors.draw(_CALIBRATION + k, 1.0 if recipe.rates == "fixed" else (k + 0.5) / n, model)
        if recipe.has_errors
        else None
        for k in range(n)
    ]
    images = torch.from_numpy(training.images[:20_000]).flatten(1).to(_device_of(model))
    calibrate(model, maps, images, errors.layers)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here: {reason}") from error
    return device


def _device_of(model: BinaryNet) -> torch.device:
    return model.binary_layers[0].weight.device


def _start(recipe: Recipe, seed: int, training: Images, device: torch.device) -> _Run:
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
    model.to(device)
    scale = None
    if recipe.scale == "learned":
        scale = torch.nn.Parameter(torch.tensor(recipe.first_scale, device=device))
    parameters = [*model.parameters(), *([] if scale is None else [scale])]
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)
    rng = np.random.Generator(np.random.SFC64(streams[2]))
    return _Run(model, scale, optimizer, order, rng)


def _epoch(run: _Run, recipe: Recipe, errors: TrainingErrors, training: Images) -> float:
    """Mean loss of one pass over the training images."""
    run.model.train()
    device = _device_of(run.model)
    images = torch.from_numpy(training.images).flatten(1)
    labels = torch.from_numpy(training.labels).long()
    n_steps = len(images) // recipe.batch
    n_all = n_steps * recipe.epochs
    perm = torch.randperm(len(images), generator=run.order)
    total = 0.0
    for k in range(n_steps):
        done = run.n_steps / n_all
        rise = min(1.0, (run.n_steps + 1) / (recipe.warm_up * n_all)) if recipe.warm_up else 1.0
        rate = recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))
        run.optimizer.param_groups[0]["lr"] = rate
        if done >= recipe.running_norm_from:
            for norm in run.model.norm_layers:
                norm.on_running, norm.momentum = True, recipe.running_momentum
        batch = perm[k * recipe.batch : (k + 1) * recipe.batch]
        given = augment(images[batch], training.images.shape[1:], recipe.augment, run.rng)
        x = encode(given.to(device), recipe.input, run.model.shapes[0])
        total += _step(run, recipe, errors, x, labels[batch].to(device), done)
        run.n_steps += 1
    set_memories(run.model, None)
    run.epoch += 1
    return round(total / n_steps, 6)


def _step(
    run: _Run, recipe: Recipe, errors: TrainingErrors, x: Tensor, target: Tensor, done: float
) -> float:
    share = {"uniform": run.rng.random(), "fixed": 1.0, "rising": done}[recipe.rates]
    loss = torch.zeros(())
    if recipe.clean_weight:
        set_memories(run.model, None)
        clean = _objective(run, recipe, x, target)
        run.lies |= not recipe.clean_below or float(clean.detach()) < recipe.clean_below
        loss = clean * (recipe.clean_weight if run.lies else 1.0)
    if run.lies or not recipe.clean_weight:
        if recipe.has_errors:
            errors.put(run.model, run.n_steps, share)
        loss = loss + _objective(run, recipe, x, target) * (1.0 - recipe.clean_weight)
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    with torch.no_grad():
        for layer in run.model.binary_layers:
            layer.weight.clamp_(-1, 1)
        if run.scale is not None:
            run.scale.clamp_(min=_LEAST_SCALE)
    for norm in run.model.norm_layers:
        norm.project()
    return float(loss.detach())


def _objective(run: _Run, recipe: Recipe, x: Tensor, target: Tensor) -> Tensor:
    """The loss of the weights as they read now, mean over the batch."""
    margins: list[Tensor] = []
    if recipe.tolerance_weight:
        logits, margins = scores_and_margins(run.model, x)
    else:
        logits = run.model(x)  # (batch, n_classes)
    if run.scale is not None:
        logits = logits * run.scale
    if recipe.loss == "margin_hinge":
        loss = losses.margin_hinge(logits, target, recipe.margin)
    elif recipe.loss == "cross_entropy":
        loss = losses.cross_entropy(logits, target, recipe.temperature)
    else:
        loss = losses.margin_cross_entropy(
            logits, target, recipe.margin, recipe.limit, recipe.temperature
        )
    if margins:
        short = losses.margin_shortfall(margins, recipe.tolerance_margin)
        return loss.mean() + recipe.tolerance_weight * short
    return loss.mean()


def _save(run: _Run, path: Path, key: Row) -> None:
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


def _resume(run: _Run, path: Path, key: Row) -> None:
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: sums in a fixed order, and no spinning against the twin on another core."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n)
