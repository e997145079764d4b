"""Running a study: every network trained and measured once, in processes, whatever is killed."""

import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from ...sim.container import write_whole
from ...sim.exceptions import ArtefactError
from ..checkpoint import Checkpoint, load_checkpoint
from ..evaluate import training_cost
from ..train import train
from .measure import measure
from .plan import MEASURING, Measure, Net, Study
from .uninjected import uninjected

log = logging.getLogger(__name__)

Row = dict[str, Any]


def run(study: Study, folder: Path, workers: int, root: Path | None) -> list[Row]:
    """Rows of all networks, in the order of the study; what is in `folder` already is not redone.

    Args:
        folder: of all studies' networks; equal networks of two studies are one.
        workers: processes, each with one thread.
        root: folder of data sets.

    Raises:
        StoicError: a network cannot be made or measured; the others stop, and can go on.
    """
    parts: list[tuple[str, Callable[..., Row]]] = [(_name("measured", study.measure), _measured)]
    if study.measure.predicted_rates:
        parts.append((_name("uninjected", study.measure), _uninjected))
    waiting = [
        (net, name, make)
        for name, make in parts
        for net in study.nets
        if not (folder / net.key / name).is_file()
    ]
    log.info("%s: %d networks, %d things to do", study.name, len(study.nets), len(waiting))
    jobs = [
        (_make, (make, net, study.measure, folder / net.key, name, root))
        for net, name, make in waiting
    ]
    in_processes(study.name, jobs, workers)
    return [
        {k: v for name, _ in parts for k, v in read_row(folder / net.key / name).items()}
        | {"label": net.label, "varied": net.varied, "key": net.key}
        for net in study.nets
    ]


def in_processes(
    name: str, jobs: Sequence[tuple[Callable[..., str], tuple[Any, ...]]], workers: int
) -> None:
    """Do all jobs in processes of one thread that end with this one; each says what it found.

    Raises:
        StoicError: a job failed; the others stop.
    """
    if not jobs:
        return
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    with ProcessPoolExecutor(workers, context, _stay_with, (theirs,)) as pool:
        waiting = [pool.submit(make, *arguments) for make, arguments in jobs]
        try:
            for n, job in enumerate(as_completed(waiting), 1):
                log.info("%s: %d of %d: %s", name, n, len(waiting), job.result())
        except BaseException:  # Ctrl-C too: do not wait for all that is left, which takes hours
            ours.close()
            raise
    ours.close()


def network_row(row: Row) -> Row:
    """What a network is, without what was measured of it: a line of a table."""
    return {
        "label": row["label"],
        "seed": row["seed"],
        "weight_bits": row["n_weight_bits"],
        "epoch": row["validation"]["epoch"],
        "epochs": row["training"]["epochs"],
        "training_cpu_s": row["training"]["cpu_s"],
        "folder": row["key"],
        "checkpoint_sha256": row["checkpoint_sha256"],
        "network_sha256": row["network_sha256"],
    }


def _stay_with(parent: Connection) -> None:
    """What a worker does first; sums in a fixed order need one thread, and so does sharing."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """End this process when the other end of the connection is closed, by whatever death."""
    parent.poll(None)
    os._exit(1)


def _make(
    make: Callable[..., Row], net: Net, plan: Measure, folder: Path, name: str, root: Path | None
) -> str:
    """Train the network unless it is there, make one file about it, and say what it holds."""
    path = folder / "net.ckpt"
    if not path.is_file():
        train(net.recipe, net.seed, folder, root)
    row = make(net, load_checkpoint(path), plan, folder, root)
    write_whole(folder / name, json.dumps(row).encode())
    what = f"{net.label}, seed {net.seed}"
    if "fixed" not in row:
        return f"{what}, metrics"
    means = {rate: 100 * sum(found) / len(found) for rate, found in row["fixed"].items()}
    return f"{what}: " + ", ".join(f"{mean:.2f} % at {rate}" for rate, mean in means.items())


def _measured(
    net: Net, checkpoint: Checkpoint, plan: Measure, folder: Path, root: Path | None
) -> Row:
    return {
        "seed": net.seed,
        "recipe": checkpoint.recipe,
        "checkpoint_sha256": checkpoint.sha256,
        "validation": checkpoint.results,
        "training": training_cost(folder / "log.jsonl"),
        **measure(checkpoint, plan, root),
    }


def _uninjected(
    net: Net, checkpoint: Checkpoint, plan: Measure, folder: Path, root: Path | None
) -> Row:
    return uninjected(checkpoint, plan, root)


def _name(what: str, plan: Measure) -> str:
    text = json.dumps([MEASURING, vars(plan)], sort_keys=True)
    return f"{what}-{sha256(text.encode()).hexdigest()[:16]}.json"


def read_row(path: Path) -> Row:
    """A row that a study wrote.

    Raises:
        ArtefactError: it is no JSON object.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArtefactError(
            f"{path}: not a JSON object ({error}); remove it to make it again"
        ) from error
