"""What threshold tables are worth: a network's own thresholds beside each way to fit others.

`python -m stoic.models.bench_tables NET.stoic... --json FILE` measures accuracy on all test images
of Fashion-MNIST, on the same chips for every method, and prints a Markdown table for each network.
Tables are fitted on the first training images and on chips of another population; those of one
chip, on the chip they are for. Keys of the JSON object:

    rows        one a network, condition and method: {"network", "network_sha256", "condition",
                "method", "chips": accuracy of each, "accuracy": their mean, "low", "high": its 95 %
                interval, "gain", "gain_low", "gain_high": over own thresholds, chip by chip,
                "fit_s": CPU seconds of one fit}
    data, n_images, n_calibration, calibration_chips, seeds, command, kit_version
"""

import argparse
import json
import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import golden
from ..sim import network as networks
from ..sim.container import kit_version, write_whole
from ..sim.engine import Engine
from ..sim.entry import exit_with
from ..sim.faults import FaultMap
from ..sim.intervals import over_chips, paired
from ..sim.memory import layout_of
from ..sim.network import Network, check_images, select, with_tables
from ..sim.operating_points import parse
from ..sim.protection import fitting
from ..sim.protection.thresholds import METHODS, Method
from ..sim.report.memory_tables import table_lines
from ..sim.tables import Table
from . import data as data_sets

DATA = "fashion-mnist"
CONDITIONS = ("iid-5%", "iid-10%", "iid-15%", "iid-p01=0.02-p10=0.1")
N_CHIPS, SEED = 10, 1
N_CALIBRATION = 2000
OWN = "own thresholds"
OF_CHIP: tuple[Method, ...] = ("data", "statistics")

Row = dict[str, Any]
Fit = Callable[[FaultMap], Table]


def measure(
    network: Network, train: data_sets.Images, test: data_sets.Images, condition: str
) -> Iterator[Row]:
    """A row for every method, own thresholds first, on the same chips."""
    point, layout = parse(condition), layout_of(network)
    model = point.model(SEED)
    maps = [model.sample(layout, chip) for chip in range(N_CHIPS)]
    images = check_images(network, train.images[:N_CALIBRATION])
    tested = check_images(network, test.images)
    own: list[float] = []
    for method, fit, is_of_chip in _methods(network, images, condition):
        chips, engine, start = [], Engine(network), time.process_time()
        n_fits, fit_s = 0, 0.0
        for faults in maps:
            if fit is not None and (is_of_chip or not n_fits):
                start = time.process_time()
                table = fit(faults)
                fit_s, n_fits = fit_s + time.process_time() - start, n_fits + 1
                engine = Engine(select(with_tables(network, [table]), table.name))
            scores = engine.with_faults(faults).scores(tested)
            chips.append(float((golden.classify(scores) == test.labels).mean()))
        own = own or chips
        interval = over_chips(chips, len(tested))
        gains = [a - b for a, b in zip(chips, own, strict=True)]
        gained = paired(gains, len(tested))
        yield {
            "network": network.name,
            "network_sha256": network.sha256,
            "condition": condition,
            "method": method,
            "chips": chips,
            "accuracy": float(np.mean(chips)),
            "low": interval.low,
            "high": interval.high,
            "gain": float(np.mean(gains)),
            "gain_low": gained.low,
            "gain_high": gained.high,
            "fit_s": fit_s / n_fits if n_fits else None,
        }


def _methods(
    network: Network, images: NDArray[np.uint8], condition: str
) -> Iterator[tuple[str, Fit | None, bool]]:
    """(name, how to fit, whether to each chip)."""
    point = parse(condition)
    yield OWN, None, False

    def of_point(by: Method, faults: FaultMap) -> Table:
        return fitting.of_point(network, point, images, by)

    def of_chip(by: Method, faults: FaultMap) -> Table:
        return fitting.of_chip(network, "chip", faults, images, by)

    for by in METHODS:
        yield by, partial(of_point, by), False
    for by in OF_CHIP:
        yield f"one chip, {by}", partial(of_chip, by), True


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("networks", nargs="+", type=Path, metavar="NET.stoic")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data-root", type=Path)
    args = parser.parse_args()
    train = data_sets.load(DATA, "train", args.data_root)
    test = data_sets.load(DATA, "test", args.data_root)
    rows: list[Row] = []
    for path in args.networks:
        network = networks.load(path)
        for condition in CONDITIONS:
            rows += measure(network, train, test, condition)
    shown = [str(path) for path in args.networks]
    values = {
        "rows": rows,
        "data": DATA,
        "n_images": len(test.images),
        "n_calibration": N_CALIBRATION,
        "calibration_chips": fitting.CHIPS,
        "seeds": [SEED, fitting.SEED],
        "command": shlex.join(["python", "-m", "stoic.models.bench_tables", *shown]),
        "kit_version": kit_version(),
    }
    write_whole(args.json, f"{json.dumps(values, indent=1)}\n".encode())
    print("\n".join(table_lines(values)))


if __name__ == "__main__":
    exit_with(main)
