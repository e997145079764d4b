"""Sign-off of netlists: `python -m stoic.hw.netlist_signoff NET.stoic:BOARD ...`.

Every score of the netlist that is placed beside golden's, without faults and under maps; wrong
networks that the comparison must notice; and wrong netlists, in each one entry of one truth table
inverted. An entry of inputs that never come changes nothing, so not every one of these can be
noticed; that none is would be a failure.

The JSON file (`make netlist`; counts have no units):

    mismatches, scores_compared   of all networks, boards and maps
    injected_flips                stored bits that the maps changed, summed over networks
    seconds                       of all, as it ran
    network_mutants, network_mutants_caught
    netlist_mutants, netlist_mutants_caught
    comparisons                   one for each network, board and map
    command, kit_version, seed, images
"""

import argparse
import json
import logging
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import agreement, operating_points
from ..sim import faults as fault_maps
from ..sim import network as networks
from ..sim.container import kit_version, write_whole
from ..sim.entry import exit_with
from ..sim.exceptions import BoardError
from ..sim.faults import FaultMap
from ..sim.memory import KINDS
from . import boards, inputs, settings
from .netlist_device import NetlistDevice, netlist_program
from .netlist_program import Program, mutant

POINTS = ("iid-3.3%", "iid-p01=0.02-p10=0.10")
_log = logging.getLogger(__name__)


def sign_off(
    network_file: Path, board_name: str, data: str, n: int, n_mutants: int, seed: int
) -> dict[str, Any]:
    """Counts and comparisons of one network on one board.

    Raises:
        ToolError: a tool is missing or fails.
    """
    network = networks.load(network_file)
    at = settings.setting(network_file, network, board_name)
    images = inputs.images(network, data, "test", n, None, None).values
    maps: list[FaultMap | None] = [None]
    for name in POINTS:
        maps.append(operating_points.parse(name).model(seed, None).sample(at.layout, 0, KINDS))
    reference = agreement.reference_scores(network, maps, images)
    board = boards.load(board_name)
    core = settings.hardware(at)
    program = netlist_program(network.name, core, board, network_file.parent / board.name)
    device = NetlistDevice(program, core)
    rows = agreement.agree(reference, device, network, maps, images, _say)
    few = images[: agreement.N_MUTANT_IMAGES]
    wrong = agreement.find_mutants(network, maps[1], few)
    trials = agreement.try_mutants(wrong, device, network, few)
    device.close()
    caught = 0
    rng = np.random.default_rng(seed)
    for _ in range(n_mutants):
        which = int(rng.choice(np.flatnonzero(program.tables["memory"] < 0)))
        caught += _is_caught(mutant(program, which, int(rng.integers(16))), at, few, reference[0])
    return {
        "mismatches": sum(r.n_mismatches for r in rows),
        "scores_compared": sum(r.n_scores for r in rows),
        "injected_flips": sum(fault_maps.n_changed(network, m) for m in maps if m),
        "network_mutants": len(trials),
        "network_mutants_caught": sum(t.is_caught and not t.n_unexpected for t in trials),
        "netlist_mutants": n_mutants,
        "netlist_mutants_caught": caught,
        "comparisons": [
            {"network": network.name, "board": board_name, "tables": len(program.tables),
             "registers": len(program.registers), **asdict(r)} for r in rows
        ],
    }  # fmt: skip


def _is_caught(
    wrong: Program, at: settings.Setting, images: NDArray[np.generic], expected: agreement.Scores
) -> bool:
    try:
        device = NetlistDevice(wrong, settings.hardware(at))
        try:
            device.load(at.network)
            return agreement.compare(expected[: len(images)], device.infer(images))[0] > 0
        finally:
            device.close()
    except BoardError:
        return True  # it does not answer, or its memory is not what was written


def _say(row: agreement.Comparison) -> None:
    what = (row.map_sha256[:12], row.n_mismatches, row.n_scores, row.seconds)
    _log.info("faults %s: %d of %d scores differ (%.0f s)", *what)


def main() -> int:
    """0 when every score agrees, every wrong network and some wrong netlist of each is noticed."""
    parser = argparse.ArgumentParser(prog="python -m stoic.hw.netlist_signoff")
    parser.add_argument("pairs", nargs="+", metavar="NET.stoic:BOARD")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--n", type=int, default=1000, help="images, the first so many")
    parser.add_argument("--mutants", type=int, default=8, help="of each netlist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start, found = time.monotonic(), []
    for pair in given.pairs:
        path, _, board = pair.rpartition(":")
        _log.info("%s on %s", path, board)
        found.append(sign_off(Path(path), board, given.data, given.n, given.mutants, given.seed))
    total: dict[str, Any] = {
        key: sum((f[key] for f in found), start=type(found[0][key])()) for key in found[0]
    }
    total |= {
        "seconds": round(time.monotonic() - start, 1),
        "images": f"{given.data} test, first {given.n}",
        "seed": given.seed,
        "kit_version": kit_version(),
        "command": shlex.join(["python", "-m", "stoic.hw.netlist_signoff", *sys.argv[1:]]),
    }
    write_whole(given.json, (json.dumps(total, indent=1) + "\n").encode())
    head = ("network on board", "tables", "registers", "faults", "images", "differ", "seconds")
    print("{:32}{:>8}{:>11}  {:12}{:>8}{:>8}{:>9}".format(*head))
    for c in total["comparisons"]:
        name = f"{c['network']} on {c['board']}"
        print(
            f"{name:32}{c['tables']:>8,}{c['registers']:>11,}  {c['map_sha256'][:12]:12}"
            f"{c['n_images']:>8,}{c['n_mismatches']:>8}{c['seconds']:>9.0f}"
        )
    for kind in ("network", "netlist"):
        n, n_caught = total[f"{kind}_mutants"], total[f"{kind}_mutants_caught"]
        print(f"wrong {kind}s noticed: {n_caught} of {n}")
    escaped = total["network_mutants"] - total["network_mutants_caught"]
    blind = [f for f in found if not f["netlist_mutants_caught"]]
    return int(bool(total["mismatches"] or escaped or blind))


if __name__ == "__main__":
    exit_with(main)
