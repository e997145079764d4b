"""What a ledger costs: time beside the training that it traces, bytes, time to score images."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoint import load_checkpoint
from ..data import load
from ..recipe import Recipe
from ..train import train
from .influence import trace
from .ledger import load_ledger, shard_path
from .recorder import Recorder
from .views import binary_views

RECIPE = Recipe(
    name="fc1024",
    data="fashion-mnist",
    hidden=(1024, 1024),
    epochs=30,
    loss="cross_entropy",
    temperature=64,
)
N_SCORED = 1000


def cost(folder: Path, n_epochs: int, root: Path | None) -> dict[str, Any]:
    """Train a dense network of 784-1024-1024-10 with its ledger, unless it is there, and score.

    Returns:
        n_epochs, n_bytes, epoch_bytes of each; n_kept_epochs, n_steps, n_flips up to the epoch that
        was kept; training_cpu_s without, and tracing_cpu_s of, the recorder; scoring_cpu_s,
        scoring_wall_s of `n_scored` test images; residual of their scores.
    """
    path, ledger_path = folder / f"{RECIPE.name}.ckpt", folder / "ledger"
    if not path.is_file():
        recipe = replace(RECIPE, epochs=n_epochs)
        train(recipe, 1, folder, root, recorder=Recorder(ledger_path))
    training_cpu_s, tracing_cpu_s = cpu_seconds(folder / "log.jsonl")
    ledger = load_ledger(ledger_path, load_checkpoint(path))
    n_flips = sum(len(of.places) for epoch in ledger.epochs() for of in epoch.updates)
    images = load(RECIPE.data, "test", root).images[:N_SCORED]
    cpu, wall = time.process_time(), time.perf_counter()
    found = trace(ledger.epochs(), binary_views(ledger.checkpoint, ledger.first, images))
    return {
        "part": "cost",
        "n_epochs": n_epochs,
        "epoch_bytes": [shard_path(ledger_path, k).stat().st_size for k in range(1, n_epochs + 1)],
        "n_kept_epochs": ledger.n_epochs,
        "n_steps": len(found.examples),
        "n_flips": n_flips,
        "n_bytes": ledger.n_bytes,
        "training_cpu_s": training_cpu_s,
        "tracing_cpu_s": tracing_cpu_s,
        "n_scored": N_SCORED,
        "scoring_cpu_s": time.process_time() - cpu,
        "scoring_wall_s": time.perf_counter() - wall,
        "residual": max(found.residuals),
    }


def cpu_seconds(log: Path) -> tuple[float, float]:
    """CPU time of a traced training without, and of, its recorder."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    tracing = sum(row["tracing_cpu_s"] for row in rows)
    return sum(row["cpu_s"] for row in rows) - tracing, tracing
