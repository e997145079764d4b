"""Images/s through a virtual board behind TCP: `python -m stoic.hw.bench NET.stoic --json FILE`.

Board and driver share one core. The rows, one a network and folding:

    name, layers, image_bytes       of the network; "bits" ones have random weights and images
    folding, cycles_per_image       PE x SIMD of every layer; between images at full load
    n_images, window                streamed; frames in flight
    images_per_s                    by the clock on the wall
    images_per_cpu_s                by the processor time of board and driver together: on one core
                                    of a machine on which nothing else runs
    board_cpu_us, driver_cpu_us     per image
    simulated_mhz                   clock cycles in a second of the board's processor time
    n_scores_differ                 from the engine's
"""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import network as networks
from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core, core_of, image_bytes, image_cycles
from ..sim.engine import EngineDevice
from ..sim.entry import exit_with
from ..sim.memory import Fold, layout_of
from ..sim.network import Network
from ..sim.random_network import random_network
from . import boards, fold
from .device import BoardDevice
from .virtual import DEFAULT_CLOCK_HZ, VirtualBoard
from .virtual_device import BUILD_DIR, WINDOW

SEED = 1
# of 784-256-256-256-10 on bits: about as many cycles an image as its frame has bytes, 107, and
# words as wide as a processor's, so that the simulation has the fewest elements to step
WIDE = (Fold(32, 64), Fold(16, 64), Fold(16, 64), Fold(1, 64))


def measure(name: str, network: Network, core: Core, board: boards.Board | None, n: int) -> Any:
    """One row; board and driver on the processor that this process was bound to."""
    images = np.random.default_rng(SEED).integers(
        0, network.image_max + 1, (n, network.n_inputs), np.uint8
    )
    reference = EngineDevice(threads=1)
    reference.load(network)
    wanted = reference.infer(images)
    clock_hz = board.core_hz if board else DEFAULT_CLOCK_HZ
    target = board.target if board else "generic"
    with VirtualBoard(core, BUILD_DIR, clock_hz=clock_hz, target=target) as running:
        device = BoardDevice(running.url, core, window=WINDOW)
        device.load(network)
        device.infer(images[:WINDOW])
        before, cpu, wall = _cpu_s(running.pid), time.process_time(), time.perf_counter()
        cycles = device.counters()["busy_cycles"]
        scores = device.infer(images)
        cycles = device.counters()["busy_cycles"] - cycles
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        board_s = _cpu_s(running.pid) - before
        device.close()
    return {
        "name": name,
        "layers": [network.n_inputs, *(s.n_outputs for s in core.layout.shapes)],
        "image_bytes": image_bytes(core),
        "folding": [f"{f.pe}x{f.simd}" for f in core.layout.folds],
        "cycles_per_image": image_cycles(core),
        "n_images": n,
        "window": WINDOW,
        "images_per_s": round(n / wall),
        "images_per_cpu_s": round(n / (board_s + cpu)),
        "board_cpu_us": round(1e6 * board_s / n, 1),
        "driver_cpu_us": round(1e6 * cpu / n, 1),
        "simulated_mhz": round(cycles / board_s / 1e6, 3),
        "n_scores_differ": _n_differ(scores, wanted),
    }


def _n_differ(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    return int((a != b).sum())


def _cpu_s(pid: int) -> float:
    """Processor time of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="stoic.hw.bench", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("--board", default="ulx3s-25f")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    writable(options.json)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    board, net = boards.load(options.board), networks.load(options.network)
    bits = random_network((784, 256, 256, 256, 10), "bits", np.random.default_rng(SEED))
    rows = [
        measure("sfc on bits", bits, core_of(bits, layout_of(bits, WIDE)), None, 20_000),
        measure(f"{net.name} on {board.name}", net, fold.fold(core_of(net), board), board, 2_000),
    ]
    for row in rows:
        print({k: v for k, v in row.items() if k != "layers"})
    made = {
        "command": shlex.join(["python", "-m", "stoic.hw.bench", *arguments]),
        "kit_version": kit_version(),
        "seeds": [SEED],
        "rows": rows,
    }
    write_whole(options.json, (json.dumps(made, indent=1) + "\n").encode())
    if any(row["n_scores_differ"] for row in rows):
        sys.exit("scores of a virtual board are not the engine's")


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
