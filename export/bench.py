"""Standard ONNX in onnxruntime beside the engine: the same scores, and what each takes.

`python -m stoic.export.bench --json FILE` runs random networks of known sizes on random images,
each in interleaved rounds on one thread, without faults and with them, and takes medians of CPU
seconds; onnxruntime's include its session. Scores must be equal or there is no result. Keys of the
JSON object:

    rows    for each network and map: n_images, n_scores, engine_images_per_s,
            onnxruntime_images_per_s, engine_vs_onnxruntime (how many times faster the engine is)
    n_rounds, threads, processor, command, kit_version, seeds
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import container
from ..sim.engine import Engine
from ..sim.entry import exit_with
from ..sim.errors import Iid
from ..sim.exceptions import StoicError
from ..sim.faults import apply
from ..sim.layers import Pool
from ..sim.memory import layout_of
from ..sim.network import Network
from ..sim.random_network import random_conv_network, random_network
from .executors import OnnxRuntimeDevice

Run = Callable[[NDArray[np.uint8]], NDArray[np.int32]]

_SEED = 1
_BER = 0.01


def networks() -> dict[str, tuple[Network, int]]:
    """Networks by name, and how many images each is given."""
    rng = np.random.default_rng(_SEED)
    half = Pool(2, 2)
    convs = ((32, 3, 1, 1, half), (64, 3, 1, 1, half))
    return {
        "784-256-256-256-10 on uint8": (
            random_network((784, 256, 256, 256, 10), "uint8", rng),
            10_000,
        ),
        "784-1024-1024-1024-10 on bits": (
            random_network((784, 1024, 1024, 1024, 10), "bits", rng),
            10_000,
        ),
        "28x28 C32 C64 F128 on uint8": (
            random_conv_network((28, 28, 1), convs, (128, 10), "uint8", rng),
            1_000,
        ),
    }


def measure(name: str, network: Network, n_images: int, n_rounds: int) -> list[dict[str, Any]]:
    """Rows of one network, without faults and with them.

    Raises:
        StoicError: scores differ.
    """
    rng = np.random.default_rng(_SEED)
    images = rng.integers(0, network.image_max + 1, (n_images, network.n_inputs)).astype(np.uint8)
    rows = []
    for rate in (0.0, _BER):
        device = OnnxRuntimeDevice()
        device.load(network)
        faulty = network
        if rate:
            faults = Iid(rate, rate).sample(layout_of(network), 0)
            faulty = apply(network, faults)
            device.inject(faults)
        # the engine itself: its Device would keep what it has computed of these images before
        runs: tuple[Run, ...] = (Engine(faulty).scores, device.infer)
        seconds: list[list[float]] = [[], []]
        for run in runs:
            run(images[:100])
        for _ in range(n_rounds):
            found = []
            for run, taken in zip(runs, seconds, strict=True):
                start = time.process_time()
                found.append(run(images))
                taken.append(time.process_time() - start)
            wrong = int((found[0] != found[1]).sum())
            if wrong:
                raise StoicError(f"{name}: {wrong} scores of onnxruntime differ from the engine's")
        engine, other = (median(taken) for taken in seconds)
        rows.append(
            {
                "network": name,
                "bit_error_rate": rate,
                "n_images": n_images,
                "n_scores": n_images * network.n_classes,
                "engine_images_per_s": n_images / engine,
                "onnxruntime_images_per_s": n_images / other,
                "engine_vs_onnxruntime": other / engine,
            }
        )
    return rows


def main() -> int:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description="onnxruntime beside the engine")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rows = []
    try:
        for name, (network, n_images) in networks().items():
            rows += measure(name, network, n_images, given.rounds)
            print(json.dumps(rows[-1]), flush=True)
    except StoicError as error:
        print(error, file=sys.stderr)
        return 2
    result = {
        "rows": rows,
        "n_rounds": given.rounds,
        "threads": 1,
        "processor": platform.processor() or platform.machine(),
        "command": " ".join(["python -m stoic.export.bench", *sys.argv[1:]]),
        "kit_version": container.kit_version(),
        "seeds": [_SEED],
    }
    container.write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    exit_with(main)
