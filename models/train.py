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
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..sim.container import write_whole
from ..sim.errors import Iid
from ..sim.faults import FaultMap
from ..sim.memory import Fold, Layout
from . import losses
from .checkpoint import Checkpoint, save_checkpoint
from .data import CACHE, Images, load
from .nets import BinaryNet, encode, to_checkpoint
from .noise import FreshFlips, apply_faults, shapes_of_model
from .recipe import Recipe, to_values
from .topology import layer_shapes

log = logging.getLogger(__name__)

Row = dict[str, Any]
_N_VALIDATION_CHIPS = 2
_VALIDATION_SEED = 1 << 32
"""Population of the chips that validation uses; campaigns count their seeds from 0."""
_N_CALIBRATION_IMAGES = 20_000
_MAX_CALIBRATION_BYTES = 1 << 28  # of the widest map of all those images
_MAX_MAP_BYTES = 1 << 24  # of the widest map of the images that are evaluated at once


@dataclass
class _Run:
    """What a resumed run needs; it changes with every epoch."""

    model: BinaryNet
    optimizer: torch.optim.Adam
    order: torch.Generator
    rng: np.random.Generator
    epoch: int = 0
    rows: list[Row] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def train(
    recipe: Recipe,
    seed: int,
    out: Path,
    root: Path | None = None,
    cache: Path = CACHE,
    report: Callable[[Row], None] = lambda row: None,
) -> Checkpoint:
    """Train on the data set of the recipe; writes <out>/<name>.ckpt and <out>/log.jsonl.

    A run that was killed goes on after the last epoch it finished, and ends with the same file.

    Args:
        root, cache: where data sets are, see `data.load`.
        report: is told each row of the log, those of a resumed run too.
    """
    return fit(
        recipe,
        seed,
        load(recipe.data, "train", root, cache),
        load(recipe.data, "validation", root, cache),
        out,
        report,
    )


def fit(
    recipe: Recipe,
    seed: int,
    training: Images,
    validation: Images,
    out: Path,
    report: Callable[[Row], None] = lambda row: None,
) -> Checkpoint:
    """As `train`, on these images."""
    state, log_path = out / f"{recipe.name}.state", out / "log.jsonl"
    key = {"recipe": to_values(recipe), "seed": seed, "n_images": len(training.images)}
    with _one_thread():
        run = _start(recipe, seed, training)
        _resume(run, state, key)
        for row in run.rows:
            report(row)
        maps = validation_maps(run.model, recipe)
        images = torch.from_numpy(training.images).flatten(1)
        labels = torch.from_numpy(training.labels).long()
        while run.epoch < recipe.epochs:
            start = time.process_time(), time.perf_counter()
            loss = _epoch(run, recipe, images, labels)
            row = {
                "epoch": run.epoch,
                "loss": loss,
                "validation_accuracy": accuracies(run.model, validation, maps),
                "cpu_s": round(time.process_time() - start[0], 2),
                "wall_s": round(time.perf_counter() - start[1], 2),
            }
            if _score(recipe, row) > max((_score(recipe, r) for r in run.rows), default=-1.0):
                run.best = {k: v.clone() for k, v in run.model.state_dict().items()}
            run.rows.append(row)
            _save(run, state, key)
            write_whole(log_path, "".join(json.dumps(r) + "\n" for r in run.rows).encode())
            report(row)
        run.model.load_state_dict(run.best)
        calibrate(run.model, recipe, images, run.rng)
        chosen = max(run.rows, key=lambda r: _score(recipe, r))
        results = {
            "epoch": chosen["epoch"],
            "validation_accuracy": accuracies(run.model, validation, maps),
        }
    checkpoint = to_checkpoint(run.model, recipe.name, to_values(recipe), seed, results)
    save_checkpoint(checkpoint, out / f"{recipe.name}.ckpt")
    state.unlink(missing_ok=True)
    return checkpoint


def validation_maps(model: BinaryNet, recipe: Recipe) -> dict[float, list[FaultMap | None]]:
    """Chips to validate on: BER 0, the highest trained rate, those that the recipe selects on."""
    shapes = shapes_of_model(model)
    layout = Layout(shapes, tuple(Fold(1, 64) for _ in shapes))
    trained = (recipe.p01_max + recipe.p10_max) / 2
    asymmetry = recipe.p01_max / trained if trained else 1.0
    maps: dict[float, list[FaultMap | None]] = {0.0: [None]}
    for rate in sorted({trained, *recipe.select_rates} - {0.0}):
        errors = Iid(rate * asymmetry, rate * (2 - asymmetry), _VALIDATION_SEED)
        maps[rate] = [errors.sample(layout, chip) for chip in range(_N_VALIDATION_CHIPS)]
    return maps


@torch.no_grad()
def accuracies(
    model: BinaryNet, data: Images, maps: dict[float, list[FaultMap | None]]
) -> dict[str, float]:
    """{bit error rate as text: accuracy on `data`, 0..1, mean over the chips of that rate}."""
    model.eval()
    labels = torch.from_numpy(data.labels)
    # in parts, as the maps of a convolution are large; a float sum of integers does not mind
    n = max(1, _MAX_MAP_BYTES // (4 * _widest(model)))
    parts = torch.split(torch.from_numpy(data.images), n)
    found = {}
    for rate, chips in maps.items():
        hits = []
        for faults in chips:
            apply_faults(model, faults)
            classes = [model(encode(x, model.input, model.shapes[0])).argmax(1) for x in parts]
            hits.append(float((torch.cat(classes) == labels).float().mean()))
        found[f"{rate:g}"] = round(sum(hits) / len(hits), 6)
    apply_faults(model, None)
    return found


def _widest(model: BinaryNet) -> int:
    """Sums of an image in the layer that makes most of them."""
    return max(
        s.n_outputs * (s.window.rows * s.window.columns if s.window else 1) for s in model.shapes
    )


@torch.no_grad()
def calibrate(model: BinaryNet, recipe: Recipe, images: Tensor, rng: np.random.Generator) -> None:
    """Measure the batch norms anew, on training images under the flips of training.

    One table of statistics has to serve every rate, so it is the mean over sets of fresh flips
    whose rates cover the trained range evenly. A layer is measured behind layers that are final.

    Args:
        images: (n, n_inputs) uint8, of which the first are used: at most
            20,000, fewer where maps are large.
    """
    model.eval()
    n = recipe.n_calibrations
    n_images = min(_N_CALIBRATION_IMAGES, max(n, _MAX_CALIBRATION_BYTES // _widest(model)))
    given = [encode(part, recipe.input, model.shapes[0]) for part in images[:n_images].chunk(n)]
    shares = [(k + 0.5) / n for k in range(len(given))]
    for i, norm in enumerate(model.norm_layers):
        layer = model.binary_layers[i]
        flips = [FreshFlips(s * recipe.p01_max, s * recipe.p10_max, rng) for s in shares]
        read = [_Held(memory.read(_signs(layer.rows()))) for memory in flips]
        found = []
        for x, held in zip(given, read, strict=True):
            layer.memory = held
            found.append(_var_mean(model.sums(i, x.float())))
        var, mean = (torch.stack(t).mean(0) for t in zip(*found, strict=True))
        cast(Tensor, norm.running_mean).copy_(mean)
        cast(Tensor, norm.running_var).copy_(var)
        for k, held in enumerate(read):  # once more: all sums at once would be too many
            layer.memory = held
            given[k] = model.fired(i, model.sums(i, given[k].float())).to(torch.int8)
        layer.memory = None


@dataclass(frozen=True, eq=False)
class _Held:
    """A memory that returns the same weights at every read."""

    weights: Tensor

    def read(self, weights: Tensor) -> Tensor:
        return self.weights


def _signs(latent: Tensor) -> Tensor:
    return torch.where(latent >= 0, 1.0, -1.0)


def _var_mean(sums: Tensor) -> tuple[Tensor, Tensor]:
    return torch.var_mean(sums.movedim(1, -1).flatten(0, -2), 0, correction=0)


def _start(recipe: Recipe, seed: int, training: Images) -> _Run:
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
            layer.matmul_dtype = getattr(torch, recipe.matmul)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    return _Run(model, optimizer, order, np.random.Generator(np.random.SFC64(streams[2])))


def _epoch(run: _Run, recipe: Recipe, images: Tensor, labels: Tensor) -> float:
    """Mean loss of one pass over the training images."""
    run.model.train()
    n_steps = len(images) // recipe.batch
    perm = torch.randperm(len(images), generator=run.order)
    total = 0.0
    for k in range(n_steps):
        done = (run.epoch * n_steps + k) / (recipe.epochs * n_steps)
        after = done + 1 / (recipe.epochs * n_steps)
        rise = min(1.0, after / recipe.warm_up) if recipe.warm_up else 1.0
        rate = recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))
        run.optimizer.param_groups[0]["lr"] = rate
        if done >= recipe.running_norm_from:
            for norm in run.model.norm_layers:
                norm.on_running, norm.momentum = True, recipe.running_momentum
        if recipe.p01_max or recipe.p10_max:
            share = run.rng.random()
            flips = FreshFlips(share * recipe.p01_max, share * recipe.p10_max, run.rng)
            for layer in run.model.binary_layers:
                layer.memory = flips
        batch = perm[k * recipe.batch : (k + 1) * recipe.batch]
        x = encode(images[batch], recipe.input, run.model.shapes[0])
        total += _step(run, recipe, x, labels[batch])
    for layer in run.model.binary_layers:
        layer.memory = None
    run.epoch += 1
    return round(total / n_steps, 6)


def _step(run: _Run, recipe: Recipe, x: Tensor, target: Tensor) -> float:
    logits = run.model(x)  # (batch, n_classes)
    if recipe.loss == "margin_hinge":
        loss = losses.margin_hinge(logits, target, recipe.margin).mean()
    else:
        loss = losses.cross_entropy(logits, target, recipe.temperature).mean()
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    with torch.no_grad():
        for layer in run.model.binary_layers:
            layer.weight.clamp_(-1, 1)
    for norm in run.model.norm_layers:
        norm.project()
    return float(loss.detach())


def _score(recipe: Recipe, row: Row) -> float:
    found: dict[str, float] = row["validation_accuracy"]
    return sum(found[f"{rate:g}"] for rate in recipe.select_rates) / len(recipe.select_rates)


def _save(run: _Run, path: Path, key: Row) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "key": json.dumps(key, sort_keys=True),
            "model": run.model.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "order": run.order.get_state(),
            "rng": json.dumps(run.rng.bit_generator.state, default=lambda a: a.tolist()),
            "epoch": run.epoch,
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
