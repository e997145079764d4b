"""Running a study: every network trained and measured once, in processes, whatever is killed."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...sim.container import write_whole
from ..checkpoint import load_checkpoint
from ..evaluate import training_cost
from ..train import train
from .measure import measure
from .plan import FORMAT, Measure, Net, Study

log = logging.getLogger(__name__)

Row = dict[str, Any]


def run(study: Study, folder: Path, workers: int, root: Path | None) -> list[Row]:
    """Rows of all networks, in the order of the study; what is in `folder` already is not redone.

    Args:
        folder: of all studies' networks; equal networks of two studies are one.
        workers: processes, each with one thread.
        root: folder of data sets.
    """
    rows: dict[str, Row] = {}
    waiting = dict(_waiting(study, folder, rows))
    log.info(
        "%s: %d networks, %d to be made or measured", study.name, len(study.nets), len(waiting)
    )
    if waiting:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = {
                pool.submit(_make, net, study.measure, folder / key, root): net
                for key, net in waiting.items()
            }
            for n, job in enumerate(as_completed(jobs), 1):
                net = jobs[job]
                rows[net.key] = job.result()
                fixed = rows[net.key]["fixed"]
                mean = {rate: 100 * sum(found) / len(found) for rate, found in fixed.items()}
                log.info(
                    "%d of %d: %s, seed %d: %s",
                    n,
                    len(jobs),
                    net.label,
                    net.seed,
                    ", ".join(f"{value:.2f} % at {rate}" for rate, value in mean.items()),
                )
    return [{"label": net.label, "varied": net.varied, **rows[net.key]} for net in study.nets]


def _waiting(study: Study, folder: Path, rows: dict[str, Row]) -> Iterator[tuple[str, Net]]:
    for net in study.nets:
        path = _path(folder / net.key, study.measure)
        if path.is_file():
            rows[net.key] = json.loads(path.read_text())
        else:
            yield net.key, net


def _make(net: Net, plan: Measure, folder: Path, root: Path | None) -> Row:
    """Train the network unless it is there, and measure it."""
    path = folder / "net.ckpt"
    if not path.is_file():
        train(net.recipe, net.seed, folder, root)
    checkpoint = load_checkpoint(path)
    row = {
        "key": net.key,
        "seed": net.seed,
        "recipe": checkpoint.recipe,
        "checkpoint": str(path),
        "checkpoint_sha256": checkpoint.sha256,
        "validation": checkpoint.results,
        "training": training_cost(folder / "log.jsonl"),
        **measure(checkpoint, plan, root),
    }
    write_whole(_path(folder, plan), json.dumps(row).encode())
    return row


def _path(folder: Path, plan: Measure) -> Path:
    text = json.dumps([FORMAT, vars(plan)], sort_keys=True)
    return folder / f"measured-{sha256(text.encode()).hexdigest()[:16]}.json"
