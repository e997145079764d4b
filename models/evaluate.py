"""Accuracy over bit error rate of checkpoints, chip by chip, as one table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..sim import golden
from ..sim.device import Device
from ..sim.errors import ErrorModel, Iid
from ..sim.exceptions import InputError
from ..sim.faults import restrict
from ..sim.intervals import over_chips
from ..sim.memory import layout_of, stored_bits
from ..sim.network import Network
from .checkpoint import Checkpoint
from .data import Images
from .frozen import float_disagreements, integers
from .noise import event_of

BERS = (0.0, 0.001, 0.01, 0.033, 0.05, 0.10, 0.15)
N_CHIPS = 5

Row = dict[str, Any]


def accuracy_table(
    checkpoints: Sequence[Checkpoint],
    test: Images,
    device: Device,
    bers: Sequence[float] = BERS,
    n_chips: int = N_CHIPS,
    seed: int = 0,
    report: Callable[[Row], None] = lambda row: None,
) -> dict[str, Any]:
    """Accuracy of each checkpoint's frozen integers under symmetric flips in all weight memories.

    All checkpoints meet the same chips (population `seed`, chips 0..n_chips-1), whose faults nest
    in the rate.

    Args:
        test: images on which nothing was selected.
        report: is told each point.

    Returns:
        JSON values: device, n_images, n_chips, seeds, and `models`, one entry each:
        name, sizes, n_weight_bits, seed, checkpoint_sha256, validation (the checkpoint's results),
        float_disagreements (see `frozen.Disagreements`), and `points`, one for each rate:
        {model, ber, accuracy_percent (mean over chips), interval_percent (95 %, of the mean; null
        where nothing is drawn), chips_percent}.
    """
    if n_chips < 2:
        raise InputError(f"chips must be 2 or more, for an interval, not {n_chips}")
    models = []
    for checkpoint in checkpoints:
        network = integers(checkpoint)
        device.load(network)
        points = []
        for ber in bers:
            model = Iid(ber, ber, seed) if ber else None
            chips = chip_accuracies(device, network, test, model, range(n_chips))
            interval = over_chips(chips, len(test.images)) if ber else None
            point = {
                "model": checkpoint.name,
                "ber": ber,
                "accuracy_percent": _percent(float(np.mean(chips))),
                "interval_percent": interval and [_percent(interval.low), _percent(interval.high)],
                "chips_percent": [_percent(c) for c in chips],
            }
            report(point)
            points.append(point)
        models.append(
            {
                "name": checkpoint.name,
                "sizes": list(checkpoint.sizes),
                "n_weight_bits": network.n_weight_bits,
                "seed": checkpoint.seed,
                "checkpoint_sha256": checkpoint.sha256,
                "validation": checkpoint.results,
                "float_disagreements": asdict(float_disagreements(checkpoint, test.images)),
                "points": points,
            }
        )
    return {
        "device": device.name,
        "n_images": len(test.images),
        "n_chips": n_chips,
        "seeds": {"chips": seed, "training": {c.name: c.seed for c in checkpoints}},
        "models": models,
    }


def chip_accuracies(
    device: Device,
    network: Network,
    test: Images,
    model: ErrorModel | None,
    chips: range,
    layers: range | None = None,
) -> list[float]:
    """Accuracy 0..1 of each chip; of one value when there is no error model.

    Args:
        device: has loaded the network.
        chips: each after another programming, where the model draws anew for it.
        layers: whose weight memories lie; None for all.
    """
    layout, found = layout_of(network), []
    stored = stored_bits(network, layout) if model is not None and model.needs_data else None
    for chip in chips if model is not None else range(1):
        faults = None
        if model is not None:
            faults = model.sample(layout, chip, event=event_of(model, chip), stored=stored)
        if faults is not None and layers is not None:
            faults = restrict(faults, layers=layers)
        device.inject(faults)
        hits = golden.classify(device.infer(test.images)) == test.labels
        found.append(float(hits.mean()))
    return found


def training_cost(log_path: Path) -> dict[str, float] | None:
    """{epochs, cpu_s, wall_s} of a training's log.jsonl; None if there is no such file."""
    if not log_path.is_file():
        return None
    rows = [json.loads(line) for line in log_path.read_text().splitlines()]
    return {
        "epochs": len(rows),
        "cpu_s": round(sum(row["cpu_s"] for row in rows), 1),
        "wall_s": round(sum(row["wall_s"] for row in rows), 1),
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 3)
