"""An ensemble that one engine runs: fully binary members on black-and-white Fashion-MNIST.

`python -m stoic.models.ensembles.black_white FOLDER` trains it and writes

    ensemble.stoic   the integer network: 4 x 784-64-64-10 on bits, 1 where a pixel is 128 or more
    test.npy         (10,000, 784) uint8, the test images as it takes them
    ensemble.json    command, kit_version, seed; accuracy of the ensemble and mean of its members
                     on the test set; n_weight_bits, network_sha256, train_cpu_s

Training takes a minute: 50,000 training images, 20 times, GNCL's upper bound at lambda 0.5,
flips of 0 to 10 % of the bits at every step. Nothing was tuned.
"""

import argparse
import io
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...sim import golden, network
from ...sim.container import kit_version, write_whole
from ...sim.engine import Engine
from ...sim.entry import exit_with
from ...sim.network import Network
from ..data import load
from .integers import Flips, calibrated, network_of
from .members import DenseMembers
from .methods import Gncl, Schedule, fit
from .objective import CROSS_ENTROPY

LEVEL = 128
N_MEMBERS, SIZES = 4, (784, 64, 64, 10)
SCHEDULE, LAMBDA, P_MAX = Schedule(20, 256), 0.5, 0.1
_N_KNOWN = 20_000


def black_white(split: str, root: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(n, 784) 0 or 1, and (n,) classes, of Fashion-MNIST."""
    found = load("fashion-mnist", split, root)
    return (found.images.reshape(len(found.images), -1) >= LEVEL).astype(np.uint8), found.labels


def trained(seed: int, root: Path | None) -> Network:
    """The ensemble as one integer network."""
    images, labels = black_white("train", root)
    rng = torch.Generator().manual_seed(seed)
    members = DenseMembers(N_MEMBERS, SIZES, "binary", rng, "bits")
    signs = torch.from_numpy(images.astype(np.int8)) * 2 - 1
    classes = torch.from_numpy(labels.astype(np.int64))
    hook = Flips(P_MAX, seed).hook(members)
    fit(members, Gncl(CROSS_ENTROPY, LAMBDA), signs, classes, SCHEDULE, rng, hook)
    members.set_memories(None)
    known = torch.from_numpy(images[:_N_KNOWN])
    return network_of(calibrated(members, known, P_MAX, seed), "ensemble")


def accuracy(net: Network, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Share of images that a network classifies right."""
    return float((golden.classify(Engine(net).scores(images)) == labels).mean())


def main() -> int:
    """Train, and write what the module says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-root", type=Path)
    args = parser.parse_args()
    begun = time.process_time()
    net = trained(args.seed, args.data_root)
    cpu_s = time.process_time() - begun
    images, labels = black_white("test", args.data_root)
    alone = [Network("member", chain) for chain in net.chains]
    row: dict[str, Any] = {
        "accuracy": accuracy(net, images, labels),
        "member_accuracy": float(np.mean([accuracy(one, images, labels) for one in alone])),
        "n_weight_bits": net.n_weight_bits,
        "network_sha256": net.sha256,
        "seed": args.seed,
        "train_cpu_s": round(cpu_s, 1),
        "command": shlex.join(
            ["python", "-m", "stoic.models.ensembles.black_white", *sys.argv[1:]]
        ),
        "kit_version": kit_version(),
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    network.save(net, args.folder / "ensemble.stoic")
    buffer = io.BytesIO()
    np.save(buffer, images)
    write_whole(args.folder / "test.npy", buffer.getvalue())
    write_whole(args.folder / "ensemble.json", f"{json.dumps(row, indent=1)}\n".encode())
    return 0


if __name__ == "__main__":
    exit_with(main)
