"""Bytes over the link for a chip of a campaign, images kept on the chip beside streamed.

    python -m stoic.hw.kept_bytes NET.stoic --board ulx3s-85f --json build/results/kept_bytes.json

A virtual board of the network keeps as many images as fit on the board. At every rate one chip is
measured both ways, and both must give the same confusion, golden's. Bytes are counted at the port,
both directions, so they depend on no clock. The JSON file:

    command, kit_version, network, board, seed, n_images
    load_bytes          to write images and labels and read them back, once
    points              rate p01 = p10; n_changed_bits; kept_bytes and streamed_bytes of a chip:
                        words that change, written and read back, and a run or all images
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..sim import faults as fault_maps
from ..sim import golden, network
from ..sim.campaign import confusion_matrix
from ..sim.container import kit_version, writable, write_whole
from ..sim.core import core_of
from ..sim.entry import exit_with
from ..sim.errors.iid import Iid
from ..sim.exceptions import ToolError
from . import boards, fold, images_on_chip
from .device import BoardDevice
from .port import SerialPort
from .virtual_device import TIMEOUT_S, WINDOW, boot

RATES = (0.0, 1e-4, 1e-3, 1e-2, 3.3e-2)
_SEED = 1


class CountingPort(SerialPort):
    """A port that counts the bytes of both directions."""

    n_bytes = 0

    def read(self, least: int, timeout_s: float) -> bytes:
        """As `SerialPort.read`."""
        data = super().read(least, timeout_s)
        self.n_bytes += len(data)
        return data

    def write(self, data: bytes) -> None:
        """As `SerialPort.write`."""
        self.n_bytes += len(data)
        super().write(data)

    def since(self) -> int:
        """Bytes since the last call."""
        n, self.n_bytes = self.n_bytes, 0
        return n


def measure(path: Path, board_name: str, build_dir: Path) -> dict[str, Any]:
    """The figures of a network on a board.

    Raises:
        ToolError: a confusion is not golden's.
    """
    net, board, rng = network.load(path), boards.load(board_name), np.random.default_rng(_SEED)
    core = images_on_chip.with_images(fold.fold(core_of(net), board), images_on_chip.MOST, board)
    images = rng.integers(0, net.image_max + 1, (core.store, net.n_inputs), np.uint8)
    labels = golden.classify(golden.scores(net, images))
    points = []
    with boot(core, board, build_dir) as running:
        port = CountingPort(running.url, board.baud, TIMEOUT_S)
        device = BoardDevice(port, core, timeout_s=TIMEOUT_S, window=WINDOW)
        try:
            device.load(net)
            port.since()
            device.keep(images, labels)
            load_bytes = port.since()
            for rate in RATES:
                faults = Iid(rate, rate, seed=_SEED).sample(core.layout, 0)
                faulty = fault_maps.apply(net, faults)
                device.inject(faults)
                write_bytes = port.since()
                kept = device.confusion()
                run_bytes = port.since()
                scores = device.infer(images)
                infer_bytes = port.since()
                given = golden.classify(golden.scores(faulty, images))
                wanted = confusion_matrix(given, labels, net.n_classes)
                streamed = confusion_matrix(golden.classify(scores), labels, net.n_classes)
                if (kept != wanted).any() or (streamed != wanted).any():
                    raise ToolError(f"the confusion at rate {rate:g} is not golden's")
                points.append(
                    {
                        "rate": rate,
                        "n_changed_bits": fault_maps.n_changed(net, faults),
                        "kept_bytes": write_bytes + run_bytes,
                        "streamed_bytes": write_bytes + infer_bytes,
                        "run_bytes": run_bytes,
                        "infer_bytes": infer_bytes,
                    }
                )
                device.inject(None)
                port.since()
            if device.counters()["retries"]:
                raise ToolError("frames were sent again, so the bytes are too many")
        finally:
            device.close()
    return {
        "network": net.name,
        "board": board.name,
        "seed": _SEED,
        "n_images": core.store,
        "load_bytes": load_bytes,
        "points": points,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--board", default="ulx3s-85f")
    parser.add_argument("--build", type=Path, default=Path("build/virtual"))
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    writable(args.json)
    result = measure(args.network, args.board, args.build)
    made = {
        "command": shlex.join(["python", "-m", "stoic.hw.kept_bytes", *sys.argv[1:]]),
        "kit_version": kit_version(),
    }
    write_whole(args.json, f"{json.dumps({**made, **result}, indent=2)}\n".encode())


if __name__ == "__main__":
    exit_with(main)
