"""What the engine is worth: its rate beside torch float32 and beside the core's popcount limit.

`python -m stoic.models.bench_engine --json FILE` runs both on the same random network and images in
interleaved rounds, on one thread each, and takes medians; their scores must be equal or there is no
result. Seconds are CPU seconds of this process, so that a busy machine's other work does not count.
Torch gets its images as a float tensor ready made and the fastest of a few batch sizes; the engine
packs the images in its own time. Keys of the JSON object:

    engine_vs_torch           seconds of the faster torch kernel over engine seconds, whole network
    popcount_limit_fraction   bit products a second in the 2048 x 2048 layer over the limit
    engine_images_per_s, torch_images_per_s     784-2048-2048-10 on bits
    torch_kernel              the faster of "default" (torch's float32 linear) and "onednn" (the
                              same call on oneDNN tensors); the figures above are against it
    torch_default_images_per_s, torch_batch     of the default kernel; of the faster one
    layer_gbops, popcount_limit_gbops           1e9 operations a second, 2 per bit product; the
                              limit is a loop of XOR, popcount and add on registers alone
    trial_s, trial_sample_s   one Monte-Carlo trial on all images (write what the memory reads under
                              a fault map of BER 1 % into the engine, infer); drawing that map
    fashion_sfc_images_per_s  784-256-256-256-10 on uint8
    n_images, n_rounds, path, threads, processor, command, kit_version, seeds
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..sim.bits import unpack
from ..sim.container import kit_version, writable, write_whole
from ..sim.engine import Engine, popcount_limit
from ..sim.entry import exit_with
from ..sim.errors import Iid
from ..sim.exceptions import StoicError
from ..sim.layers import Layer
from ..sim.memory import layout_of
from ..sim.network import Network
from ..sim.random_network import random_network

SIZES = (784, 2048, 2048, 10)
FASHION_SFC = (784, 256, 256, 256, 10)
_LAYER = 1  # the 2048 x 2048 layer
_BATCHES = (256, 1000, 2500, 10000)
_BER = 0.01


@dataclass(frozen=True)
class EngineBench:
    """Results; the keys are explained above."""

    engine_vs_torch: float
    popcount_limit_fraction: float
    engine_images_per_s: float
    torch_images_per_s: float
    torch_kernel: str
    torch_default_images_per_s: float
    layer_gbops: float
    popcount_limit_gbops: float
    trial_s: float
    trial_sample_s: float
    fashion_sfc_images_per_s: float
    n_images: int
    n_rounds: int
    torch_batch: int
    path: str
    threads: int
    processor: str
    command: str
    kit_version: str
    seeds: list[int]


class TorchPeer:
    """The network on bits in torch float32; exact, since all sums stay far below 2^23.

    A bias half way between the last sum that does not fire and the first that does leaves nothing
    at 0, so a layer is one linear call and a sign in place, which is faster than a comparison and
    `torch.where`.
    """

    def __init__(self, network: Network, images: NDArray[np.uint8]) -> None:
        self.x = torch.from_numpy(images.astype(np.float32) * 2 - 1)
        dense = [_weight_and_bias(layer) for layer in network.layers]
        self.parameters: dict[str, list[tuple[Tensor, Tensor]]] = {
            "default": dense,
            # By name, since the BLAS behind the default is slow on processors of other makers.
            "onednn": [(weight.to_mkldnn(), bias.to_mkldnn()) for weight, bias in dense],
        }

    def scores(self, kernel: str, batch: int) -> Tensor:
        """(n_images, n_classes) float32."""
        *hidden, last = self.parameters[kernel]
        out = []
        with torch.inference_mode():
            for x in torch.split(self.x, batch):
                for weight, bias in hidden:
                    x = _linear(x, weight, bias).sign_()
                out.append(_linear(x, *last))
        return torch.cat(out)


def _weight_and_bias(layer: Layer) -> tuple[Tensor, Tensor]:
    weight = unpack(layer.weights, layer.n_inputs).astype(np.float32) * 2 - 1
    bias = np.zeros(layer.n_outputs, np.float32)
    if layer.thresholds is not None:  # P >= theta is the same as 2P - n + (n - 2 theta) >= 0
        bias += layer.n_inputs - 2 * layer.thresholds + 0.5
    return torch.from_numpy(weight), torch.from_numpy(bias)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.is_mkldnn:
        return functional.linear(x.to_mkldnn(), weight, bias).to_dense()
    return functional.linear(x, weight, bias)


def run(n_images: int, n_rounds: int, path: str, seed: int) -> EngineBench:
    """Measure everything.

    Raises:
        StoicError: engine and torch disagree, or the path is not available.
    """
    rng = np.random.default_rng(seed)
    network = random_network(SIZES, "bits", rng)
    images = rng.integers(0, 2, (n_images, SIZES[0]), dtype=np.uint8)
    engine = Engine(network, path=path)
    fashion = Engine(random_network(FASHION_SFC, "uint8", rng), path=path)
    pixels = rng.integers(0, 256, (n_images, FASHION_SFC[0]), dtype=np.uint8)
    layout, errors = layout_of(network), Iid(_BER, _BER, seed)
    faults = errors.sample(layout, chip=0)

    torch.set_num_threads(1)
    peer = TorchPeer(network, images)
    batches: dict[str, int] = {}
    for kernel in peer.parameters:
        trials = {b: _seconds(partial(peer.scores, kernel, b)) for b in _BATCHES}
        batches[kernel] = min(trials, key=trials.__getitem__)
        n_wrong = int((engine.scores(images) != peer.scores(kernel, _BATCHES[0]).numpy()).sum())
        if n_wrong:
            raise StoicError(f"engine and torch differ in {n_wrong} of {n_images * 10} scores")

    jobs: dict[str, Callable[[], object]] = {
        "default": partial(peer.scores, "default", batches["default"]),
        "onednn": partial(peer.scores, "onednn", batches["onednn"]),
        "engine": lambda: engine.scores(images),
        "sample": lambda: errors.sample(layout, chip=1),
        "trial": lambda: engine.with_faults(faults).scores(images),
        "fashion": lambda: fashion.scores(pixels),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    layer_rates, limits = [], []
    products = network.layers[_LAYER].n_inputs * network.layers[_LAYER].n_outputs * n_images
    for job in jobs.values():
        job()
    for _ in range(n_rounds):
        for name, job in jobs.items():
            times[name].append(_seconds(job))
        limits.append(popcount_limit(engine.path))
        layer_rates.append(products / engine.profile(images)[1][_LAYER])
    took = {name: median(values) for name, values in times.items()}
    limit, layer_rate = median(limits), median(layer_rates)
    fastest = min(peer.parameters, key=took.__getitem__)
    return EngineBench(
        engine_vs_torch=took[fastest] / took["engine"],
        popcount_limit_fraction=layer_rate / limit,
        engine_images_per_s=n_images / took["engine"],
        torch_images_per_s=n_images / took[fastest],
        torch_kernel=fastest,
        torch_default_images_per_s=n_images / took["default"],
        layer_gbops=2e-9 * layer_rate,
        popcount_limit_gbops=2e-9 * limit,
        trial_s=took["trial"],
        trial_sample_s=took["sample"],
        fashion_sfc_images_per_s=n_images / took["fashion"],
        n_images=n_images,
        n_rounds=n_rounds,
        torch_batch=batches[fastest],
        path=engine.path,
        threads=1,
        processor=processor(),
        command=" ".join(["python -m stoic.models.bench_engine", *sys.argv[1:]]),
        kit_version=kit_version(),
        seeds=[seed],
    )


def table(bench: EngineBench) -> str:
    """A few lines for people."""
    rows = [
        ("engine, 784-2048-2048-10 on bits", f"{bench.engine_images_per_s:,.0f} images/s"),
        ("torch float32, default kernel", f"{bench.torch_default_images_per_s:,.0f} images/s"),
        (
            f"torch float32, {bench.torch_kernel} kernel",
            f"{bench.torch_images_per_s:,.0f} images/s",
        ),
        ("engine over the faster torch", f"{bench.engine_vs_torch:.1f} x"),
        ("2048 x 2048 layer", f"{bench.layer_gbops:,.0f} Gbop/s"),
        ("popcount limit, measured", f"{bench.popcount_limit_gbops:,.0f} Gbop/s"),
        ("layer over limit", f"{100 * bench.popcount_limit_fraction:.0f} %"),
        (f"trial at BER {_BER:.0%}: inject and infer", f"{1e3 * bench.trial_s:.1f} ms"),
        ("drawing its fault map", f"{1e3 * bench.trial_sample_s:.1f} ms"),
        ("engine, 784-256-256-256-10 on uint8", f"{bench.fashion_sfc_images_per_s:,.0f} images/s"),
    ]
    head = f"{bench.n_images} images, {bench.threads} thread(s), {bench.path}, {bench.processor}"
    return "\n".join([head, *(f"  {name:40}{value:>22}" for name, value in rows)])


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stoic.models.bench_engine")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--path", default="auto", help="auto, avx512, avx2 or portable")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.json:
        writable(given.json)
    bench = run(given.images, given.rounds, given.path, given.seed)
    print(table(bench))
    if given.json:
        write_whole(given.json, f"{json.dumps(asdict(bench), indent=2)}\n".encode())
    return 0


def _seconds(job: Callable[[], object]) -> float:
    begin = time.process_time()
    job()
    return time.process_time() - begin


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    exit_with(main)
