"""The exported graph in the qonnx executor answers as golden; images and commands keep all bits."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from stoic.export.executors import OnnxDevice
from stoic.export.images import blocks, read_images, write_images
from stoic.export.lower import lower
from stoic.export.qonnx import export_qonnx
from stoic.export.ties import disagreements
from stoic.hw.cli import run
from stoic.models.checkpoint import BatchNorm, Checkpoint, Layer, save_checkpoint
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.bits import pack
from stoic.sim.device import Device
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Dense
from stoic.sim.memory import Fold, bank_words, layout_of, stored_bits
from stoic.sim.network import Network

FOLDS = (Fold(4, 36), Fold(5, 7), Fold(1, 32))


def checkpoint(seed: int, sizes: tuple[int, ...], lanes: Any) -> Checkpoint:
    """Random weights; batch norms with both signs of scale, a zero scale, no ties."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        norm = None
        if i < len(sizes) - 2:
            reach = (128 if lanes == "uint8" and i == 0 else 1) * n**0.5
            gamma, beta = rng.normal(size=m), rng.normal(size=m)
            gamma[m // 2] = 0
            mean, var = rng.normal(size=m) * reach / 2, rng.uniform(0.1, 2, m) * reach**2
            g, b, mu, v = (x.astype(np.float32) for x in (gamma, beta, mean, var))
            norm = BatchNorm(g, b, mu, v, eps=float(np.float32(1e-5)))
        layers.append(Layer(f"dense{i}", n, pack(rng.integers(0, 2, (m, n))), norm))
    return Checkpoint("random", lanes, tuple(layers))


def images(network: Network, n: int) -> np.ndarray:
    high = 256 if network.layers[0].input == "uint8" else 2
    return np.random.default_rng(9).integers(0, high, (n, network.n_inputs), dtype=np.uint8)


def maps(network: Network) -> list[FaultMap]:
    layout = layout_of(network, FOLDS)
    return [Iid(a, b, 1).sample(layout, c) for a, b, c in ((0.001, 0.001, 0), (0.1, 0.03, 1))]


@pytest.mark.parametrize("lanes", ["bits", "uint8"])
@pytest.mark.parametrize("n", [1, 7, 63, 64, 65, 100])
def test_scores_equal_golden_fault_free_and_under_maps(lanes: Any, n: int, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(checkpoint(n, (n, 24, 17, 5), lanes), path)
    network = lower(path)
    assert any(layer.negated.any() for layer in network.layers)
    assert disagreements(path) == []
    x = images(network, 300)
    devices: list[Device] = [OnnxDevice(path), OnnxDevice()]
    for device in devices:
        device.load(network)
        clean = faulty = golden.scores(network, x)
        assert (device.infer(x) == clean).all()
        for faults in maps(network):
            device.inject(faults)
            faulty = golden.scores(fault_maps.apply(network, faults), x)
            assert (device.infer(x) == faulty).all()
        assert n < 7 or (faulty != clean).any()
        device.inject(None)
        assert (device.infer(x) == clean).all()
        assert device.counters() == {"images": 300 * 4}


@pytest.mark.parametrize("lanes", ["bits", "uint8"])
def test_threshold_faults_work_on_the_integer_graph(lanes: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(checkpoint(5, (30, 24, 17, 5), lanes), path)
    network = lower(path)
    faults = Iid(0.05, 0.1).sample(layout_of(network, FOLDS), 0, ("weights", "thresholds"))
    device, x = OnnxDevice(), images(network, 300)
    device.load(network)
    device.inject(faults)
    expected = golden.scores(fault_maps.apply(network, faults), x)
    weights = fault_maps.restrict(faults, where=["weights"])
    assert (device.infer(x) == expected).all()
    assert (golden.scores(fault_maps.apply(network, weights), x) != expected).any()
    on_file = OnnxDevice(path)  # its graph stores no thresholds: the integer graph stands in
    on_file.load(network)
    on_file.inject(faults)
    assert (on_file.infer(x) == expected).all()


def one_threshold(network: Network) -> Network:
    layer = network.layers[0]
    assert layer.thresholds is not None
    x = golden.accumulate(layer, images(network, 300))
    thresholds = layer.thresholds.copy()
    thresholds[3] = np.sort(x[:, 3])[150] + (thresholds[3] <= np.median(x[:, 3]))
    return replace(network, layers=(replace(layer, thresholds=thresholds), *network.layers[1:]))


def one_weight(network: Network) -> Network:
    last = network.layers[-1]
    weights = last.weights.copy()
    weights[2, 0] ^= np.uint64(1 << 4)
    return replace(network, layers=(*network.layers[:-1], replace(last, weights=weights)))


@pytest.mark.parametrize("mutate", [one_threshold, one_weight])
def test_a_mutant_of_the_network_disagrees_with_the_file(
    mutate: Callable[[Network], Network], tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(checkpoint(2, (30, 24, 17, 5), "uint8"), path)
    network = lower(path)
    x = images(network, 300)
    device = OnnxDevice(path)
    device.load(network)
    assert (golden.scores(mutate(network), x) != device.infer(x)).any()


def test_a_dropped_fault_disagrees(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(checkpoint(2, (30, 24, 17, 5), "uint8"), path)
    network = lower(path)
    faults = maps(network)[1]
    device, x = OnnxDevice(path), images(network, 300)
    device.load(network)
    device.inject(faults)
    layout = faults.layout
    flips = faults.cells("flip")
    dropped = np.intersect1d(np.flatnonzero(flips), layout.weight_cells(2))[0]
    flips[dropped] = 0
    fewer = replace(faults, flip=pack(flips))
    expected = golden.scores(fault_maps.apply(network, fewer), x)
    assert (device.infer(x) != expected).any(axis=1).all()  # a score bit shifts every score by 2


def tied() -> Checkpoint:
    """Hidden neurons whose batch norms are 0 at sums that occur."""
    m, n = 256, 64
    rng = np.random.default_rng(0)
    gamma = rng.normal(size=m).astype(np.float32)
    var = (rng.integers(1, 12, m) ** 2).astype(np.float32)
    mean = (2 * rng.integers(-8, 9, m)).astype(np.float32)
    norm = BatchNorm(gamma, 2 * gamma, mean, var, eps=0.0)  # 0 at s = mean - 2 sqrt(var)
    layers = (
        Layer("dense0", n, pack(rng.integers(0, 2, (m, n))), norm),
        Layer("dense1", m, pack(rng.integers(0, 2, (3, m))), None),
    )
    return Checkpoint("ties", "bits", layers)


def test_where_a_float_batch_norm_decides_a_tie_otherwise_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(tied(), path, as_trained=True)
    network = lower(path)
    found = [d for d in disagreements(path) if d.executor == "onnxruntime"]
    ties = {tuple(tie) for tie in network.notes["layers"][0]["ties"]}
    assert ties and {(d.neuron, d.sum) for d in found} <= ties
    assert all(d.fires and d.is_tie for d in found)
    # an image meets a disagreement exactly where the graph's own scores differ from golden
    x = images(network, 2000)
    sums = np.where(network.layers[0].negated, -1, 1) * (
        2 * golden.accumulate(network.layers[0], x) - 64
    )
    meets = np.zeros(len(x), np.bool_)
    for d in found:
        meets |= sums[:, d.neuron] == d.sum
    device = OnnxDevice(path)
    device.load(network)
    differs = (device.infer(x) != golden.scores(network, x)).any(axis=1)
    assert not (differs & ~meets).any()
    # several neurons can cancel in a score; one alone never does
    assert differs.any() == meets.any()


def test_an_exported_batch_norm_decides_no_tie_otherwise(tmp_path: Path) -> None:
    """Where the file of before differs from golden on the same images."""
    path, before = tmp_path / "net.onnx", tmp_path / "as_trained.onnx"
    export_qonnx(tied(), path)
    export_qonnx(tied(), before, as_trained=True)
    network, told = lower(path), lower(before)
    moved = json.loads(network.notes["metadata"]["stoic.settled_dense0"])
    decided_otherwise = {d.neuron for d in disagreements(before)}
    ties = {neuron for neuron, _ in told.notes["layers"][0]["ties"]}
    assert decided_otherwise and set(moved) >= decided_otherwise | ties
    assert disagreements(path) == [] == network.notes["layers"][0]["ties"]
    for layer, other in zip(network.layers, told.layers, strict=True):
        assert np.array_equal(layer.weights, other.weights)
        assert np.array_equal(layer.thresholds, other.thresholds)  # type: ignore[arg-type]
    assert "stoic.settled_dense1" not in network.notes["metadata"]
    x = images(network, 2000)
    for file, is_exact in ((path, True), (before, False)):
        device = OnnxDevice(file)
        device.load(lower(file))
        assert np.array_equal(device.infer(x), golden.scores(network, x)) == is_exact


def test_a_norm_too_large_to_be_settled_stays_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = tied()
    norm = known.layers[0].norm
    assert norm is not None
    far = replace(
        norm, mean=norm.mean + np.float32(1e8), beta=norm.beta + norm.gamma * np.float32(1e8)
    )
    large = replace(known, layers=(replace(known.layers[0], norm=far), *known.layers[1:]))
    export_qonnx(large, tmp_path / "a.onnx")
    export_qonnx(large, tmp_path / "b.onnx", as_trained=True)
    assert "too large for float32 to be settled" in caplog.text
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_device_refuses_another_file_and_images_that_do_not_fit(tmp_path: Path) -> None:
    path, other = tmp_path / "net.onnx", tmp_path / "other.onnx"
    export_qonnx(checkpoint(2, (30, 24, 5), "uint8"), path)
    export_qonnx(checkpoint(3, (30, 24, 5), "uint8"), other)
    device = OnnxDevice(path)
    with pytest.raises(InputError, match="load a network into the onnx device first"):
        device.infer(np.zeros((1, 30), np.uint8))
    with pytest.raises(ArtefactError, match="was lowered from a file with hash"):
        device.load(lower(other))
    with pytest.raises(ArtefactError, match="no such file"):
        OnnxDevice(tmp_path / "none.onnx").load(lower(other))
    device.load(lower(path))
    with pytest.raises(InputError, match="images must be"):
        device.infer(np.zeros((1, 29), np.uint8))
    assert device.infer(np.zeros((0, 30), np.uint8)).shape == (0, 5)
    # a graph that does not give integers is found out
    model = onnx.load(path)
    scale = next(t for t in model.graph.initializer if t.name.startswith("BipolarQuant_2_param"))
    scale.CopyFrom(numpy_helper.from_array(np.full(scale.dims, 0.3, np.float32), scale.name))
    device._model = model
    with pytest.raises(ArtefactError, match="not integers"):
        device.infer(np.zeros((1, 30), np.uint8))


def test_equal_checkpoints_give_equal_files_that_say_where_they_come_from(tmp_path: Path) -> None:
    source = checkpoint(4, (9, 5, 3), "bits")
    for name in ("a.onnx", "b.onnx"):
        export_qonnx(source, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    network = lower(tmp_path / "a.onnx")
    assert network.name == "random"
    assert network.notes["metadata"]["stoic.checkpoint_sha256"] == source.sha256


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 70), min_size=2, max_size=4),
    folds=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 64)), min_size=3, max_size=3),
)
def test_memory_images_read_back_the_words_that_the_host_writes(
    seed: int, sizes: list[int], folds: list[tuple[int, int]], tmp_path_factory: Any
) -> None:
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        thresholds = rng.integers(0, n + 2, m, dtype=np.int32) if i < len(sizes) - 2 else None
        weights = pack(rng.integers(0, 2, (m, n)))
        layers.append(Dense(f"d{i}", n, weights, thresholds, np.zeros(m, np.bool_)))
    network = Network("random", tuple(layers))
    layout = layout_of(network, tuple(Fold(*fold) for fold in folds[: len(layers)]))
    folder = tmp_path_factory.mktemp("images")
    manifest = write_images(network, layout, folder)
    back = read_images(folder)
    assert back.layout == layout and back.manifest == manifest
    words = bank_words(stored_bits(network, layout), layout)
    assert len(back.words) == len(words) == len(back.blocks) == len(blocks(network, layout))
    for number, (bank, block) in enumerate(zip(back.words, back.blocks, strict=True)):
        assert (bank == words[number]).all()
        assert (block.bank, block.address) == (number, 0) and (block.words == words[number]).all()
    victim = folder / manifest["banks"][-1]["file"]
    text = victim.read_text()
    victim.write_text(("1" if text[0] == "0" else "0") + text[1:])
    with pytest.raises(ArtefactError, match="the manifest says"):
        read_images(folder)
    victim.unlink()
    with pytest.raises(ArtefactError, match="no such file"):
        read_images(folder)


def test_commands_write_what_they_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt, folder = tmp_path / "net.ckpt", tmp_path / "images"
    save_checkpoint(checkpoint(4, (40, 9, 3), "uint8"), ckpt)
    arguments = ["export", str(ckpt), "--images", str(folder), "--folds", "3x16,1x32", "--json"]
    assert run(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    network = networks.load(tmp_path / "net.stoic")
    assert printed["sha256"] == network.sha256 and printed["n_weight_bits"] == 40 * 9 + 9 * 3
    assert printed["layers"][0]["n_negated"] == network.layers[0].negated.sum()
    assert printed["executor_disagreements"] == [] == printed["ties"]
    assert read_images(folder).manifest["network_sha256"] == network.sha256
    again = tmp_path / "again.stoic"
    assert run(["import", str(tmp_path / "net.onnx"), "-o", str(again)]) == 0
    assert "MatMul_0 > BatchNormalization_0 > BipolarQuant" in capsys.readouterr().out
    assert networks.load(again).sha256 == network.sha256
    faults = Iid(0.2, 0.1).sample(layout_of(network), 0)
    fault_maps.save(faults, tmp_path / "chip.faults")
    bad = tmp_path / "bad.onnx"
    assert run(["export", str(ckpt), "-o", str(bad), "--faults", f"{tmp_path}/chip.faults"]) == 0
    faulty = networks.load(tmp_path / "bad.stoic")
    assert faulty.sha256 == fault_maps.apply(network, faults).sha256
    capsys.readouterr()
    for refused in (["export", str(ckpt), "--folds", "3by16"], ["import", str(ckpt)]):
        assert run(refused) == 2
        printed_lines = capsys.readouterr()
        assert not printed_lines.out and printed_lines.err.count("\n") == 1
