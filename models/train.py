"""The training loop: one for every recipe, exact to resume, the same for equal seeds.

Deterministic given recipe, seed, data, one thread, CPU model and the versions of torch and numpy;
other CPUs may round a sum of floats differently and end in another, equally good network.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ..sim.container import write_whole
from ..sim.exceptions import InputError
from . import validation
from .calibration import calibrate
from .checkpoint import Checkpoint, save_checkpoint
from .data import CACHE, Images, load
from .epoch import epoch
from .nets import BinaryNet, to_checkpoint
from .noise import TrainingErrors, layout_of_model
from .recipe import Recipe, to_values
from .tracer.recorder import Recorder
from .training_state import Row, resume, save, start

SEEDS = 2 << 32
"""Populations of chips that training uses, one for each of its seeds: from here on."""
_CALIBRATION = 1 << 40
"""Number of the first draw that calibration uses; steps count from 0."""


def train(
    recipe: Recipe,
    seed: int,
    out: Path,
    root: Path | None = None,
    cache: Path = CACHE,
    report: Callable[[Row], None] = lambda row: None,
    device: str = "cpu",
    recorder: Recorder | None = None,
) -> Checkpoint:
    """Train on the data set of the recipe; writes <out>/<name>.ckpt and <out>/log.jsonl.

    A run that was killed goes on after the last epoch it finished, and ends with the same file.

    Args:
        root, cache: where data sets are, see `data.load`; measured faults are in `root` too.
        report: is told each row of the log, those of a resumed run too.
        device: of torch. Only on "cpu" do equal seeds give equal files.
        recorder: writes a flip ledger of the training.
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
        recorder,
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
    recorder: Recorder | None = None,
) -> Checkpoint:
    """As `train`, on these images; both are trained on where the recipe holds out none.

    Raises:
        InputError: the recipe does not fit the images.
    """
    if not recipe.held_out:
        training = Images(
            np.concatenate([training.images, held_out.images]),
            np.concatenate([training.labels, held_out.labels]),
        )
    _check(recipe, training)
    state, log_path = out / f"{recipe.name}.state", out / "log.jsonl"
    key = {"recipe": to_values(recipe), "seed": seed, "n_images": len(training.images)}
    with one_thread():
        run = start(recipe, seed, training, device)
        resume(run, state, key)
        for row in run.rows:
            report(row)
        if recorder is not None:
            recorder.begin(run.model, key, training.labels, run.epoch)
        errors = TrainingErrors(recipe, layout_of_model(run.model), SEEDS + seed, root)
        check = validation.make(errors, held_out) if recipe.held_out else None
        while run.epoch < recipe.epochs:
            begun = time.process_time(), time.perf_counter()
            untraced = recorder.cpu_s if recorder else 0.0
            loss = epoch(run, recipe, errors, training, recorder)
            if recorder is not None:
                recorder.end_epoch(run.model, run.epoch, run.n_steps)
            row = {
                "epoch": run.epoch,
                "loss": loss,
                "validation_accuracy": check.accuracies(run.model) if check else {},
                "cpu_s": round(time.process_time() - begun[0], 2),
                "wall_s": round(time.perf_counter() - begun[1], 2),
            }
            if recorder is not None:
                row["tracing_cpu_s"] = round(recorder.cpu_s - untraced, 3)
            if _score(check, row) > max((_score(check, r) for r in run.rows), default=-1.0):
                run.best = {k: v.clone() for k, v in run.model.state_dict().items()}
            run.rows.append(row)
            write_whole(log_path, "".join(json.dumps(r) + "\n" for r in run.rows).encode())
            save(run, state, key)  # last: the log of a resumed run lacks no epoch
            report(row)
        run.model.load_state_dict(run.best)
        _calibrate(run.model, recipe, errors, training)
        chosen = max(run.rows, key=lambda r: _score(check, r))
        results = {
            "epoch": chosen["epoch"],
            "validation_accuracy": check.accuracies(run.model) if check else {},
        }
    checkpoint = to_checkpoint(run.model, recipe.name, to_values(recipe), seed, results)
    if recorder is not None:
        recorder.finish(checkpoint, chosen["epoch"])
    save_checkpoint(checkpoint, out / f"{recipe.name}.ckpt")
    state.unlink(missing_ok=True)
    return checkpoint


def _check(recipe: Recipe, training: Images) -> None:
    images = training.images
    if recipe.batches == "class_pure" and max(np.bincount(training.labels)) < (
        n := recipe.batch - recipe.n_ghosts
    ):
        raise InputError(f"recipe: no class has the {n} examples of a batch")
    if len(images) < recipe.batch:
        raise InputError(
            f"recipe: batch must be at most {len(images)}, the training images, not {recipe.batch}"
        )
    if recipe.input == "bits" and images.max() > 1:
        raise InputError(
            f"recipe: input must be 'uint8' for pixels of 0..{images.max()}, not 'bits'"
        )


def _score(check: validation.Validation | None, row: Row) -> float:
    """What the kept epoch has most of; without validation it is the last."""
    return check.score(row["validation_accuracy"]) if check else float(row["epoch"])


def _calibrate(model: BinaryNet, recipe: Recipe, errors: TrainingErrors, training: Images) -> None:
    """One table of statistics that serves the trained rates, evenly."""
    n = recipe.n_calibrations
    maps = [
        errors.draw(_CALIBRATION + k, 1.0 if recipe.rates == "fixed" else (k + 0.5) / n, model)
        if recipe.has_errors
        else None
        for k in range(n)
    ]
    images = torch.from_numpy(training.images[:20_000]).flatten(1).to(model.device)
    calibrate(model, maps, images, errors.layers)


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread: sums in a fixed order, and no spinning against the twin on another core."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n)
