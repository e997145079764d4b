"""The trigger on hardware: `python -m stoic.hw.trigger_signoff NET.stoic --json FILE`.

Takes the lowered network of the recipe `magic-trigger`, gives it the threshold that can be set,
and runs every event of the test split on a virtual board, at several thresholds and under faults;
every score beside golden's. Wrong networks must be noticed. Then cycles and latency of the core,
simulated, and place and route. Of `make trigger`; keys of the JSON object:

    network_sha256, board, folds: [[SIMD, PE] of each layer], clock_mhz
    events, thresholds: set on the board; conditions: of the weight memory
    scores_compared, mismatches   on the virtual board, over thresholds and conditions
    network_mutants, network_mutants_caught
    significance                  of the test split, at threshold 0, without faults
    fired                         share of events
    cycles_per_event              between events, simulated
    latency_cycles, latency_us    from the first byte of an event to its last score, at the clock
    events_per_s                  at the clock
    synth                         what `stoic synth` tells; estimates, nothing from silicon
    command, kit_version
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.event_images import load_splits
from ..models.weak_labels import significance, trigger
from ..sim import agreement, golden, operating_points
from ..sim import network as networks
from ..sim.container import kit_version, write_whole
from ..sim.core import Core, core_of
from ..sim.entry import exit_with
from ..sim.network import Network
from ..sim.rtl import RtlDevice
from . import boards, synth
from .fold import fold
from .virtual_device import VirtualDevice
from .wish import Wish

EVENTS_PER_S = 2e6
"""Asked of the folding: twice what a trigger of this kind must do, and a third of the chip."""
THRESHOLDS = (0, -64, 16)
CONDITIONS = ("iid-1%", "rram-low-energy")
_N_TIMED = 200


def sign_off(lowered: Network, board_name: str, folder: Path, root: Path | None) -> dict[str, Any]:
    """All figures, and the programmable network as <folder>/trigger.stoic.

    Args:
        lowered: of the recipe, from its QONNX file.

    Raises:
        ToolError: a tool is missing or fails.
    """
    board = boards.load(board_name)
    network = replace(trigger.programmable(lowered), name="trigger")
    networks.save(network, folder / "trigger.stoic")
    core = fold(core_of(network), board, Wish(images_per_s=EVENTS_PER_S))
    test = load_splits(root)["test"]
    fired = trigger.score(golden.scores(network, test.values)) > 0
    n_on, n_off = int((fired & test.is_on).sum()), int((fired & ~test.is_on).sum())
    cycles, latency = timed(core, network, test.values)
    clock_mhz = board.core_hz / 1e6
    return {
        "network_sha256": network.sha256,
        "board": board.name,
        "folds": [[f.simd, f.pe] for f in core.layout.folds],
        "clock_mhz": clock_mhz,
        "events": len(fired),
        "thresholds": THRESHOLDS,
        "conditions": CONDITIONS,
        **compared(core, board, network, test.values),
        "significance": float(significance(n_on, n_off, test.alpha)),
        "fired": float(fired.mean()),
        "cycles_per_event": cycles,
        "latency_cycles": latency,
        "latency_us": round(latency / clock_mhz, 2),
        "events_per_s": round(clock_mhz * 1e6 / cycles),
        "synth": synth.build(network.name, core, board, folder / board.name, jobs=1).row(),
    }


def compared(
    core: Core, board: boards.Board, network: Network, events: NDArray[np.uint8]
) -> dict[str, int]:
    """Every score of a virtual board beside golden's; and networks that must differ."""
    device = VirtualDevice(core, board)
    try:
        points = [operating_points.parse(name) for name in CONDITIONS]
        maps = [point.model(0, None).sample(core.layout, 0) for point in points]
        rows = []
        for threshold in THRESHOLDS:
            at = trigger.at_threshold(network, threshold)
            under = [None, *maps] if threshold == THRESHOLDS[0] else [None]
            reference = agreement.reference_scores(at, under, events)
            rows += agreement.agree(reference, device, at, under, events)
        few = events[: agreement.N_MUTANT_IMAGES]
        wrong = agreement.find_mutants(network, maps[0], few)
        trials = agreement.try_mutants(wrong, device, network, few)
    finally:
        device.close()
    return {
        "scores_compared": sum(row.n_scores for row in rows),
        "mismatches": sum(row.n_mismatches for row in rows),
        "network_mutants": len(trials),
        "network_mutants_caught": sum(t.is_caught and not t.n_unexpected for t in trials),
    }


def timed(core: Core, network: Network, events: NDArray[np.uint8]) -> tuple[float, int]:
    """Cycles between events, and of one event alone, of the simulated core."""
    device = RtlDevice(core.layout)
    device.load(network)
    cycles = []
    for n in (1, _N_TIMED, 2 * _N_TIMED):
        before = device.counters()["cycles"]
        device.infer(events[:n])
        cycles.append(device.counters()["cycles"] - before)
    device.close()
    return (cycles[2] - cycles[1]) / _N_TIMED, cycles[0]


def main() -> int:
    """0 when every score agrees and every wrong network is noticed."""
    parser = argparse.ArgumentParser(prog="python -m stoic.hw.trigger_signoff")
    parser.add_argument("network", type=Path, metavar="NET.stoic")
    parser.add_argument("--board", default="ulx3s-25f")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    lowered = networks.load(given.network)
    found = sign_off(lowered, given.board, given.network.parent, given.data_root)
    found |= {
        "kit_version": kit_version(),
        "command": shlex.join(["python", "-m", "stoic.hw.trigger_signoff", *sys.argv[1:]]),
    }
    write_whole(given.json, (json.dumps(found, indent=1, default=str) + "\n").encode())
    made = found["synth"]
    print(
        f"{found['scores_compared']:,} scores of {found['events']:,} events on the virtual board, "
        f"{found['mismatches']} differ; wrong networks noticed: "
        f"{found['network_mutants_caught']} of {found['network_mutants']}\n"
        f"{found['events_per_s']:,} events/s at {found['clock_mhz']:g} MHz, latency "
        f"{found['latency_us']} us (Fmax {made['fmax_mhz_median']} MHz, median of seeds; estimates)"
    )
    return int(
        bool(found["mismatches"] or found["network_mutants_caught"] < found["network_mutants"])
    )


if __name__ == "__main__":
    exit_with(main)
