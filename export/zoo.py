"""Brevitas' own binary networks, imported and compared with exact mathematics and with torch.

`python -m stoic.export.zoo NETWORK --json FILE` builds TFC, SFC, LFC or CNV 1W1A of
`brevitas_examples.bnn_pynq` (random, quickly trained, of both signs of every scale, and made to
tie), writes each with both exporters, imports the files and runs the images through the integer
network. The reference stands apart from lowering: it takes the module's float32 parameters,
multiplies +-1 by integers, and decides every sum in 200 decimal digits wherever float64 could be
wrong. Torch, which may decide ties otherwise, is given 1,000 images of a network that ties. Keys of
the JSON object:

    rows    for each kind of parameters and exporter: n_images, n_scores, import_s and import_cpu_s
            (wall and CPU time, medians of n_imports), n_weight_bits, n_ties, n_negated, network
            (name and sha256; what both exporters make the same is run once), the scores that
            differ: n_wrong_exact (from exact mathematics), n_wrong_torch of n_torch_scores,
            n_lanes_torch (input lanes that torch's float kernel quantises otherwise), and
            n_mutants, n_mutants_caught (wrong networks that the same comparison must notice)
    command, kit_version, seeds
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, localcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import brevitas_examples.bnn_pynq.models as brevitas_models
import numpy as np
import torch
from brevitas.export import export_qonnx
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ..sim import container
from ..sim.bits import pack, unpack
from ..sim.engine import Engine
from ..sim.entry import exit_with
from ..sim.network import Network
from .lower import Lowered, lower_file

NAMES = ("tfc_1w1a", "sfc_1w1a", "lfc_1w1a", "cnv_1w1a")
Kind = Literal["random", "trained", "signs", "ties"]
KINDS: tuple[Kind, ...] = ("random", "trained", "signs", "ties")
EXPORTERS = ("torchscript", "dynamo")
_SEED = 1
_BATCH = 50  # images of a convolution at a time
_FEW = 50  # images of a mutant
_IMPORTS = 5
_TORCH_AT_TIES = 1_000  # images
_DIGITS = 200

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """What one imported file was found to be; the keys are explained above."""

    network: str
    sha256: str
    kind: Kind
    exporter: str
    n_images: int
    n_scores: int
    import_s: float
    import_cpu_s: float
    n_weight_bits: int
    n_ties: int
    n_negated: int
    n_wrong_exact: int
    n_wrong_torch: int
    n_torch_scores: int
    n_lanes_torch: int
    n_imports: int
    n_mutants: int
    n_mutants_caught: int

    @property
    def is_right(self) -> bool:
        """No score differs that must not, and the comparison would have noticed."""
        n_wrong = self.n_wrong_exact + (0 if self.n_ties else self.n_wrong_torch)
        return not n_wrong and self.n_mutants_caught == self.n_mutants


def build(name: str, kind: Kind, images: Floats, labels: NDArray[np.generic]) -> nn.Module:
    """One of Brevitas' networks in evaluation mode.

    Args:
        images, labels: (n, channels, height, width) in 0..1 and their classes, to train on.
    """
    torch.manual_seed(_SEED)
    net: nn.Module = getattr(brevitas_models, name)(pretrained=False)
    rng = np.random.default_rng(_SEED)
    if kind == "trained":
        _train(net, images, labels)
    else:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                _set_norm(net, module, kind, rng)
        tail = _tail(net)
        turn = -1.0 if kind == "signs" else 1.0
        for parameter, value in (
            (tail.weight, turn * rng.uniform(0.5, 2)),
            (tail.bias, rng.normal()),
            (tail.running_mean, rng.normal()),
            (tail.running_var, rng.uniform(10, 900)),
        ):
            parameter.data.fill_(value)
    for layer in _layers(net):  # both zeros are stored too, and are +1
        flat = layer.weight.data.view(-1)
        flat[:: max(1, len(flat) // 7)] = 0.0
        flat[1 :: max(1, len(flat) // 5)] = -0.0
    return net.eval()


def _set_norm(net: nn.Module, norm: Any, kind: Kind, rng: np.random.Generator) -> None:
    layers = _layers(net)
    place = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)].index(norm)
    n, m = layers[place].weight[0].numel(), norm.num_features
    pixels = 40.0 / 128 if place == 0 and isinstance(norm, nn.BatchNorm2d) else 1.0
    spread = n**0.5 * pixels
    gamma, beta = rng.uniform(0.2, 2, m), rng.normal(size=m)
    mean, var = rng.normal(size=m) * spread, rng.uniform(0.2, 2, m) * spread**2
    if kind == "signs":
        gamma *= rng.choice([-1, 1], m)
        gamma[:: max(1, m // 3)] = 0
    if kind == "ties":
        gamma *= rng.choice([-1, 1], m)
        mean, beta = 2.0 * rng.integers(-int(spread), int(spread) + 1, m) + n % 2, np.zeros(m)
    for tensor, value in (
        (norm.weight, gamma),
        (norm.bias, beta),
        (norm.running_mean, mean),
        (norm.running_var, var),
    ):
        assert tensor is not None, (
            "batch norms of Brevitas' examples are affine and track statistics"
        )
        tensor.data.copy_(torch.from_numpy(value))


def _train(net: nn.Module, images: Floats, labels: NDArray[np.generic]) -> None:
    optimizer = torch.optim.Adam(net.parameters(), 2e-2)
    x, y = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    net.train()
    for start in range(0, len(x) - 99, 100):
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x[start : start + 100]), y[start : start + 100])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        net.clip_weights(-1, 1)  # type: ignore[operator]


def _layers(net: nn.Module) -> list[Any]:
    return [m for m in net.modules() if type(m).__name__ in ("QuantLinear", "QuantConv2d")]


def _tail(net: nn.Module) -> Any:
    return next(m for m in net.modules() if type(m).__name__ == "TensorNorm")


def write(net: nn.Module, path: Path, shape: tuple[int, ...], exporter: str) -> None:
    """The file that an exporter makes of a network."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            export_qonnx(  # type: ignore[no-untyped-call]
                net,
                args=torch.full((1, *shape), 0.25),
                export_path=str(path),
                dynamo=exporter == "dynamo",
            )
        finally:
            logging.disable(level)


def exact_scores(net: nn.Module, images: Floats) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Integer sums of the last layer, signed as the tail signs them, and lanes of the input.

    Args:
        images: (n, channels, height, width).
    """
    layers = _layers(net)
    norms: list[Any] = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    is_map = type(layers[0]).__name__ == "QuantConv2d"
    steps = []
    for layer, norm in zip(layers[:-1], norms, strict=True):
        n, is_first = layer.weight[0].numel(), layer is layers[0]
        low, high, step = (-128 * n, 127 * n, 128) if is_map and is_first else (-n, n, 1)
        table = torch.from_numpy(_fires(norm, low, high, step))
        steps.append((_rows(layer), table, low, _is_pooled(net, norm)))
    turn = 1 if float(_tail(net).weight.detach()) > 0 else -1
    scores, stored = [], []
    for part in _parts(torch.from_numpy(images)):
        x = 2 * part.numpy().astype(np.float64) - 1  # exact: 24 bits and a few more
        if is_map:
            lanes = np.clip(np.rint(128 * x), -128, 127)
        else:
            lanes = np.where(x >= 0, 1.0, -1.0).reshape(len(x), -1)
        values = torch.from_numpy(lanes.astype(np.float32))
        for rows, table, low, is_pooled in steps:
            values = _look_up(table, _sums(values, rows), low)
            values = functional.max_pool2d(values, 2) if is_pooled else values
        scores.append(turn * _sums(values, _rows(layers[-1])).to(torch.int64).numpy())
        stored.append((lanes + 128 if is_map else lanes > 0).astype(np.uint8))
    return np.concatenate(scores), np.concatenate(stored)


def _rows(layer: Any) -> torch.Tensor:
    return torch.where(layer.weight.detach() >= 0, 1.0, -1.0)


def _sums(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Of products with +-1: small integers, which float32 adds exactly."""
    return functional.conv2d(values, rows) if rows.ndim == 4 else values.flatten(1) @ rows.T


def _parts(values: torch.Tensor) -> list[torch.Tensor]:
    return [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]


def _is_pooled(net: nn.Module, norm: Any) -> bool:
    features = list(getattr(net, "conv_features", []))
    return norm in features and isinstance(
        features[min(features.index(norm) + 2, len(features) - 1)], nn.MaxPool2d
    )


def _look_up(table: torch.Tensor, sums: torch.Tensor, low: int) -> torch.Tensor:
    n, width = table.shape
    starts = torch.arange(n, dtype=torch.int32) * width - low
    places = sums.to(torch.int32) + starts.view(1, -1, *[1] * (sums.ndim - 2))
    return table.view(-1)[places.view(-1)].view(places.shape)


def _fires(norm: Any, low: int, high: int, step: int) -> Floats:
    """(channels, high - low + 1) +1 or -1 at every sum; a sum s means s / step."""
    columns = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    g, b, m, v = (c.detach().numpy().astype(np.float64)[:, None] for c in columns)
    eps = float(np.float32(norm.eps))  # as ONNX stores it
    s = np.arange(low, high + 1)[None] / step
    shift = b * np.sqrt(v + eps)
    value = g * (s - m) + shift
    doubtful = abs(value) <= 1e-9 * (abs(g) * (abs(s) + abs(m)) + abs(shift) + 1e-300)
    with localcontext() as context:
        context.prec = _DIGITS
        for j, k in np.argwhere(doubtful):
            gamma, beta, mean, var = (Decimal(float(c[j, 0])) for c in (g, b, m, v))
            at = Decimal(int(low + k)) / step
            exact = gamma * (at - mean) + beta * (var + Decimal(eps)).sqrt()
            value[j, k] = 1 if exact >= 0 else -1
    return np.where(value >= 0, np.float32(1), np.float32(-1))


@dataclass(frozen=True, eq=False)
class Expected:
    """What images must give.

    Attributes:
        scores: (n, classes) integer sums by exact mathematics.
        by_torch: the same by torch, of the first images or of all.
        n_lanes_torch: input lanes that torch's float32 kernel quantises otherwise.
    """

    images: Floats
    scores: NDArray[np.int64]
    by_torch: NDArray[np.int64]
    n_lanes_torch: int


def expect(net: nn.Module, images: Floats, n_torch: int | None = None) -> Expected:
    """What a network makes of images, exactly and, of the first so many or all, in torch."""
    scores, lanes = exact_scores(net, images)
    tail = _tail(net)
    with torch.no_grad():
        given = torch.from_numpy(images[:n_torch])
        parts = torch.cat([net(part) for part in _parts(given)])
        spread = torch.sqrt(tail.running_var + tail.eps)
        sums = (parts - tail.bias) / tail.weight * spread + tail.running_mean
        by_torch = torch.round(sums * torch.sign(tail.weight)).to(torch.int64).numpy()
    otherwise = int((lanes != _torch_lanes(net, images, lanes)).sum())
    return Expected(images, scores, by_torch, otherwise)


def _timed_import(path: Path) -> tuple[Lowered, float, float]:
    """The import with its seconds on the clock and of processor."""
    start, own = time.perf_counter(), time.process_time()
    lowered = lower_file(path)
    return lowered, time.perf_counter() - start, time.process_time() - own


def compare(
    path: Path,
    name: str,
    kind: Kind,
    exporter: str,
    expected: Expected,
    known: dict[str, NDArray[np.int32]],
) -> Row:
    """Import a file and compare the scores of the images.

    Args:
        known: scores of these images by networks that ran already, by hash; more are put there.
    """
    imports = [_timed_import(path) for _ in range(_IMPORTS)]
    lowered, seconds, cpu = imports[-1][0], [i[1] for i in imports], [i[2] for i in imports]
    network = lowered.network
    lanes = lowered.encoding.lanes(expected.images).transpose(0, 2, 3, 1)  # maps channel-last
    lanes = lanes.reshape(len(lanes), -1)
    if network.sha256 not in known:
        known[network.sha256] = Engine(network).scores(lanes)
    scores = known[network.sha256]
    caught = [
        bool((Engine(mutant).scores(lanes[:_FEW]) != expected.scores[:_FEW]).any())
        for mutant in mutants(network)
    ]
    return Row(
        network=name,
        sha256=network.sha256,
        kind=kind,
        exporter=exporter,
        n_images=len(scores),
        n_scores=scores.size,
        import_s=median(seconds),
        import_cpu_s=median(cpu),
        n_weight_bits=network.n_weight_bits,
        n_ties=int(network.notes["n_ties"]),
        n_negated=sum(int(layer.negated.sum()) for layer in network.layers),
        n_wrong_exact=int((scores != expected.scores).sum()),
        n_wrong_torch=int((scores[: len(expected.by_torch)] != expected.by_torch).sum()),
        n_torch_scores=expected.by_torch.size,
        n_lanes_torch=expected.n_lanes_torch,
        n_imports=_IMPORTS,
        n_mutants=len(caught),
        n_mutants_caught=sum(caught),
    )


def mutants(network: Network) -> Iterator[Network]:
    """Networks as wrong lowering would make them, layer by layer.

    Thresholds one too high; ties that do not fire; rows that a negative scale should have negated
    and did not (in a layer without any, all rows).
    """
    for k, (layer, note) in enumerate(zip(network.layers, network.notes["layers"], strict=True)):
        turned = layer.negated if layer.negated.any() else ~layer.negated
        bits = unpack(layer.weights, layer.n_inputs)
        wrong = [replace(layer, weights=pack(np.where(turned[:, None], 1 - bits, bits)))]
        if layer.thresholds is not None:
            ties = np.zeros(layer.n_outputs, bool)
            ties[[neuron for neuron, _ in note["ties"]]] = True
            for moved in (np.ones_like(ties), ties)[: 1 + ties.any()]:
                up = np.minimum(layer.thresholds + moved, layer.threshold_range[1])
                wrong.append(replace(layer, thresholds=up.astype(np.int32)))
        for one in wrong:
            yield replace(network, layers=(*network.layers[:k], one, *network.layers[k + 1 :]))


def _torch_lanes(net: nn.Module, images: Floats, lanes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lanes as torch's float32 kernel makes them."""
    features: Any = getattr(net, "features", None) or net.conv_features
    x = 2.0 * torch.from_numpy(images) - torch.tensor([1.0])
    with torch.no_grad():
        values: Any = features[0](x)
    values = values.value if hasattr(values, "value") else values
    array = values.numpy().reshape(lanes.shape)
    return np.asarray(np.rint(array * 128) + 128 if lanes.ndim == 4 else array > 0, np.uint8)


def images_of(name: str, n_test: int, n_train: int, root: Path | None) -> tuple[Any, ...]:
    """(test images, training images, training labels), pixels / 255, channel-first."""
    from ..models import data

    source = "cifar10" if name.startswith("cnv") else "mnist"
    found = []
    for split, n in (("test", n_test), ("train", n_train)):
        part = data.load(source, split, root)
        pixels = part.images[:n].astype(np.float32) / np.float32(255)
        maps = pixels.reshape(len(pixels), 32, 32, 3) if source == "cifar10" else pixels
        maps = maps.transpose(0, 3, 1, 2) if source == "cifar10" else pixels.reshape(-1, 1, 28, 28)
        found += [np.ascontiguousarray(maps), part.labels[:n]]
    return found[0], found[2], found[3]


def main() -> int:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description="Brevitas' own networks, imported and compared")
    parser.add_argument("network", choices=NAMES)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--training", type=int, default=2_000)
    parser.add_argument("--data-root", type=Path, default=None)
    given = parser.parse_args()
    container.writable(given.json)
    torch.set_num_threads(1)
    rows: list[Row] = []
    name = given.network
    test, train, labels = images_of(name, given.images, given.training, given.data_root)
    for kind in KINDS:
        net = build(name, kind, train, labels)
        expected = expect(net, test, _TORCH_AT_TIES if kind == "ties" else None)
        known: dict[str, NDArray[np.int32]] = {}
        for exporter in EXPORTERS:
            with TemporaryDirectory() as folder:
                path = Path(folder) / f"{name}.onnx"
                write(net, path, test.shape[1:], exporter)
                rows.append(compare(path, name, kind, exporter, expected, known))
            print(json.dumps(asdict(rows[-1])), flush=True)
    result = {
        "rows": [asdict(row) for row in rows],
        "command": " ".join(["python -m stoic.export.zoo", *sys.argv[1:]]),
        "kit_version": container.kit_version(),
        "seeds": [_SEED],
    }
    container.write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    return 0 if all(row.is_right for row in rows) else 1


if __name__ == "__main__":
    exit_with(main)
