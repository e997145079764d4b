"""The trigger under faults: a binary network beside the float one that taught it."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim import operating_points
from ...sim.engine import EngineDevice
from ...sim.memory import layout_of, stored_bits
from ...sim.network import Network
from ..event_images import SKY, Events, split_events
from ..event_tables import load_magic
from ..frozen import integers
from ..recipe import load_recipe
from ..train import fit
from . import trigger
from .significance import significance

Row = dict[str, Any]

TITLE = "A trigger on memory that lies"
CLAIM = """
Ours: a float network that learned from on and off regions alone can be turned into a binary one
that an FPGA runs at millions of events a second, finds the source as significantly, and still does
when bits of its memory read wrong."""
PROTOCOL = f"""
MAGIC as an on/off observation, one gamma to {SKY.imbalance} hadrons, {SKY.n_off_regions} off
regions; 40 % of the events train, 20 % choose the epoch, S is of the other 40 %, which nothing
has seen. Both networks fire above 0, where training put the threshold. The binary one, recipe
`magic-trigger`, is taught by the float one's decisions on the training events, moved a little,
under flips of 0 to 10 %. Each repetition is another observation, other splits and weights;
recipe and protocol were chosen on seeds 0 and 1. At each condition S is a mean over chips,
faults in all weights; an energy is that of one stored bit. ± is half of a 95 % interval over
repetitions (Student's t)."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        recipe: of the binary network.
        seeds: one repetition each.
        conditions: operating points of the memory.
        chips: of each condition.
        thresholds: of the programmed score, without faults.
    """

    recipe: str = "magic-trigger"
    seeds: tuple[int, ...] = tuple(range(2, 14))
    conditions: tuple[str, ...] = (
        *(f"iid-{p}%" for p in ("0.1", "1", "2", "5", "10")),
        *("rram-low-energy", "rram-strong"),
        *(f"rram-2t2r-{n}cycles" for n in (1, 100, 300)),
        *(f"rram-1t1r-{n}cycles" for n in (1, 100, 300)),
        *(f"rram-set-{v}V-2t2r" for v in ("2.40", "2.50", "2.60")),
    )
    chips: int = 10
    thresholds: tuple[int, ...] = (-64, -32, -16, 0, 16, 32, 64)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def repeat(plan: Plan, seed: int, root: Path | None) -> list[Row]:
    """Rows of one repetition: network, condition, threshold, chip, seed, n_on, n_off, significance,
    cpu_s. Without faults the condition is ""; the network "none" keeps every event."""
    start = time.process_time()
    splits = split_events(load_magic(root), seed)
    teacher = trigger.float_network(splits["train"], seed)
    training, held_out = (
        trigger.taught(teacher, splits[name].values, trigger.N_COPIES[name], seed)
        for name in ("train", "validation")
    )
    with tempfile.TemporaryDirectory() as folder:
        made = fit(load_recipe(plan.recipe), seed, training, held_out, Path(folder))
    test = splits["test"]
    fired = trigger.float_scores(teacher, test.values) > 0
    rows = [
        _counted("none", np.ones_like(fired), test),
        _counted("float", fired, test),
        *measured(trigger.programmable(integers(made)), test, plan, root),
    ]
    cpu_s = (time.process_time() - start) / len(rows)
    return [row | {"seed": seed, "cpu_s": cpu_s} for row in rows]


def measured(network: Network, test: Events, plan: Plan, root: Path | None) -> Iterator[Row]:
    """Rows of a programmable network: at every threshold, and at 0 on every chip of a condition."""
    device = EngineDevice(threads=1)
    for threshold in plan.thresholds:
        device.load(trigger.at_threshold(network, threshold))
        fired = trigger.score(device.infer(test.values)) > 0
        yield _counted("binary", fired, test) | {"threshold": threshold}
    device.load(network)
    layout = layout_of(network)
    for name in plan.conditions:
        errors = operating_points.parse(name).model(0, root)
        stored = stored_bits(network, layout) if errors.needs_data else None
        for chip in range(plan.chips):
            device.inject(errors.sample(layout, chip, stored=stored))
            fired = trigger.score(device.infer(test.values)) > 0
            yield _counted("binary", fired, test) | {"condition": name, "chip": chip}


def _counted(network: str, fired: NDArray[np.bool_], test: Events) -> Row:
    n_on, n_off = int((fired & test.is_on).sum()), int((fired & ~test.is_on).sum())
    return {
        "network": network,
        "condition": "",
        "threshold": 0,
        "chip": 0,
        "n_on": n_on,
        "n_off": n_off,
        "n_events": len(fired),
        "significance": float(significance(n_on, n_off, test.alpha)),
    }
