"""`stoic import` of what others write: Brevitas' networks, tails, quantised inputs, FINN nodes."""

import json
import mmap
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stoic.export import hostile, zoo
from stoic.export.executors import OnnxDevice
from stoic.export.fault_nodes import with_faults
from stoic.export.lower import lower, lower_model
from stoic.export.qonnx import to_bytes
from stoic.export.ties import disagreements
from stoic.hw.cli import run
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.engine import Engine
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.memory import layout_of

QONNX = "qonnx.custom_op.general"
N = {"tfc_1w1a": 400, "cnv_1w1a": 8}
SHAPES = {"tfc_1w1a": (1, 28, 28), "cnv_1w1a": (3, 32, 32)}


def images(name: str, n: int) -> Any:
    """Pixels / 255, and some that stand exactly where the input changes its mind."""
    rng = np.random.default_rng(2)
    x = rng.integers(0, 256, (n, *SHAPES[name])).astype(np.float32) / np.float32(255)
    x[0, 0, 0, :8] = [0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0, 1, 0.25, 0.75, 1, 0]
    return x


# ---- Brevitas' own topologies ----


@pytest.mark.parametrize(
    ("name", "kind", "exporter"),
    [
        ("tfc_1w1a", "random", "torchscript"),
        ("tfc_1w1a", "trained", "torchscript"),
        ("tfc_1w1a", "signs", "torchscript"),
        ("tfc_1w1a", "ties", "torchscript"),
        ("cnv_1w1a", "signs", "torchscript"),
    ],
)
def test_brevitas_networks_give_the_scores_of_exact_mathematics(
    name: str, kind: zoo.Kind, exporter: str, tmp_path: Path
) -> None:
    x = images(name, N[name])
    net = zoo.build(name, kind, x[:200], np.arange(200) % 10)
    path = tmp_path / "net.onnx"
    zoo.write(net, path, SHAPES[name], exporter)
    expected = zoo.expect(net, x)
    row = zoo.compare(path, name, kind, exporter, expected, {})
    assert row.n_wrong_exact == 0 and row.n_scores == N[name] * 10
    assert (row.n_ties > 0) == (kind == "ties")
    assert row.n_wrong_torch == 0 or kind == "ties"
    assert (row.n_negated > 0) == (kind in ("signs", "ties"))
    assert row.import_cpu_s < 10
    assert row.n_mutants == row.n_mutants_caught > 6


def test_the_ties_that_torch_decides_otherwise_are_named(tmp_path: Path) -> None:
    x = images("tfc_1w1a", 300)
    net = zoo.build("tfc_1w1a", "ties", x, np.arange(300) % 10)
    path = tmp_path / "net.onnx"
    zoo.write(net, path, SHAPES["tfc_1w1a"], "torchscript")
    network, expected = lower(path), zoo.expect(net, x)
    found = [d for d in disagreements(path) if d.executor == "torch"]
    assert len(found) > 5 and all(d.is_tie and d.fires for d in found)
    lanes = (x >= 0.5).reshape(len(x), -1)
    assert (Engine(network).scores(lanes) == expected.scores).all()
    # with exactly these ties decided the other way, the network is what torch computes
    layers = list(network.layers)
    for d in found:
        k = [layer.name for layer in layers].index(d.layer)
        thresholds = layers[k].thresholds
        assert thresholds is not None
        thresholds = thresholds.copy()
        thresholds[d.neuron] += 1
        layers[k] = replace(layers[k], thresholds=thresholds)
    as_torch = Engine(replace(network, layers=tuple(layers))).scores(lanes)
    assert (as_torch == expected.by_torch).all() and (as_torch != expected.scores).any()


def test_a_device_runs_the_file_up_to_its_tail(tmp_path: Path) -> None:
    x = images("tfc_1w1a", 60)
    net = zoo.build("tfc_1w1a", "signs", x, np.arange(60) % 10)
    path = tmp_path / "net.onnx"
    zoo.write(net, path, SHAPES["tfc_1w1a"], "torchscript")
    network = lower(path)
    assert network.layers[-1].negated.all()  # the tail turns the scores
    device, lanes = OnnxDevice(path), (x >= 0.5).reshape(60, -1)
    device.load(network)
    expected = zoo.expect(net, x).scores
    assert (device.infer(lanes) == expected).all()
    faults = Iid(0.05, 0.01).sample(layout_of(network), chip=1)
    device.inject(faults)
    faulty = golden.scores(fault_maps.apply(network, faults), lanes)
    assert (device.infer(lanes) == faulty).all() and (faulty != expected).any()


def test_pixels_make_a_thermometer_and_floats_are_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = images("tfc_1w1a", 50)
    net = zoo.build("tfc_1w1a", "random", x, np.arange(50) % 10)
    path, out = tmp_path / "net.onnx", tmp_path / "net.stoic"
    zoo.write(net, path, SHAPES["tfc_1w1a"], "torchscript")
    expected = zoo.expect(net, x).scores
    assert run(["import", str(path), "-o", str(out), "--pixels", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["input"]["thermometer"] == [128] and printed["tail"]["scale"] > 0
    assert printed["n_operations"] == 2 * printed["n_weight_bits"]
    pixels = np.rint(x * 255).astype(np.uint8).reshape(50, -1)
    at_half = np.abs(x.reshape(50, -1) * 255 - pixels).max(axis=1) < 1e-3
    assert at_half.sum() == 49  # all images but the one that was given values between pixels
    network = networks.load(out)
    assert (golden.scores(network, pixels)[at_half] == expected[at_half]).all()
    assert run(["import", str(path), "-o", str(out)]) == 0
    np.save(tmp_path / "x.npy", x)
    assert run(["encode", str(out), str(tmp_path / "x.npy"), "-o", str(tmp_path / "u.npy")]) == 0
    lanes = np.load(tmp_path / "u.npy")
    assert (golden.scores(networks.load(out), lanes) == expected).all()
    np.save(tmp_path / "x.npy", x[:, :, :5])
    assert run(["encode", str(out), str(tmp_path / "x.npy"), "-o", str(tmp_path / "u.npy")]) == 2
    assert "not (n, 784) elements" in capsys.readouterr().err


# ---- one node after another ----


def graph(
    nodes: list[Any],
    constants: dict[str, Any],
    shape: Any = (1, 4),
    kind: str = "BIPOLAR",
    out: str = "y",
) -> onnx.ModelProto:
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    end = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    made = helper.make_graph(nodes, "g", [entry], [end], tensors)
    note = made.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value=kind)
    return helper.make_model(made)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    domain = (
        QONNX if op in ("BipolarQuant", "Quant", "MultiThreshold", "XnorPopcountMatMul") else ""
    )
    return helper.make_node(
        op, inputs.split(), [output], name=f"the_{op}", domain=domain, **attributes
    )


W = np.array([[1, -1, 1], [-1, -1, 1], [1, 1, -1], [1, -1, -1]], np.float32)
SCORES = node("MatMul", "x w", "y")


@pytest.mark.parametrize(
    "tail",
    [
        [node("Softmax", "s", "y")],
        [node("LogSoftmax", "s", "y", axis=1)],
        [node("ArgMax", "s", "y", axis=1)],
        [helper.make_node("TopK", ["s", "k"], ["values", "y"], name="top")],
        [node("Mul", "c s", "t"), node("Softmax", "t", "p"), node("ArgMax", "p", "y", axis=-1)],
    ],
)
def test_what_only_reads_the_order_of_the_scores_is_the_end(tail: list[Any]) -> None:
    constants = {"w": W, "k": np.array([1]), "c": np.float32(0.1)}
    nodes = [node("MatMul", "x w", "s"), *tail]
    plain = lower_model(graph([SCORES], {"w": W}), "n").network
    assert lower_model(graph(nodes, constants), "n").network.sha256 == plain.sha256


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ([node("ArgMax", "s", "y", axis=1, select_last_index=1)], "last of equal scores"),
        ([node("ArgMax", "s", "y")], "axis is 0"),
        (
            [helper.make_node("TopK", ["s", "k"], ["v", "y"], largest=0, name="top")],
            "'top'.*the least",
        ),
        ([node("ArgMax", "s", "t", axis=1), node("Mul", "t c", "y")], "the_Mul.*follows ArgMax"),
        ([node("Softmax", "s", "t"), node("Mul", "t c", "y")], "the_Mul.*follows Softmax"),
    ],
)
def test_an_end_that_is_another_order_is_refused(tail: list[Any], line: str) -> None:
    constants = {"w": W, "k": np.array([1]), "c": np.float32(0.1)}
    with pytest.raises(ArtefactError, match=line):
        lower_model(graph([node("MatMul", "x w", "s"), *tail], constants), "n")


def test_offsets_of_classes_are_taken_exactly_where_no_argmax_changes() -> None:
    nodes = [node("MatMul", "x w", "s"), node("Mul", "s c", "t"), node("Add", "t b", "y")]
    reach = np.array(list(product(range(-4, 5, 2), repeat=3)))  # sums of three classes
    rng, n_taken = np.random.default_rng(0), 0
    for scale in (0.5, -0.25):
        for _ in range(60):
            b: Any = rng.integers(-4, 5, 3) * abs(scale) * rng.choice([0.125, 0.5, 1])
            b = b.astype(np.float32)
            b = np.sort(b)[::-1].copy() if rng.random() < 0.6 else b
            sums = np.sign(scale) * reach
            changes = ((scale * reach + b).argmax(axis=1) != sums.argmax(axis=1)).any()
            model = graph(nodes, {"w": W, "c": np.float32(scale), "b": b})
            if changes:
                with pytest.raises(ArtefactError, match=r"the_Add.*which changes an argmax"):
                    lower_model(model, "n")
                continue
            network, n_taken = lower_model(model, "n").network, n_taken + 1
            x = rng.integers(0, 2, (20, 4)).astype(np.uint8)
            signed = np.sign(scale) * ((2 * x.astype(np.int64) - 1) @ W)
            assert (golden.scores(network, x) == signed).all()
            kept = network.notes["layers"][-1]["tail"]["offsets"]
            assert [Fraction(o) for o in kept] == [Fraction(float(v)) for v in b] or len({*b}) == 1
    assert 20 < n_taken < 100


def test_shapes_that_a_graph_computes_are_constants() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"], name="u"),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0, name="c"),
        node("Reshape", "x target", "f"),
        node("MatMul", "f w", "y"),
    ]
    constants = {"w": W, "zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    found = lower_model(graph(nodes, constants, (1, 2, 2)), "n").network
    assert found.sha256 == lower_model(graph([SCORES], {"w": W}), "n").network.sha256


@pytest.mark.parametrize(
    ("kind", "low", "step"),
    [("BIPOLAR", -1, 2), ("BINARY", 0, 1), ("UINT8", 0, 1), ("INT8", -128, 1), ("UINT3", 0, 1)],
)
def test_integer_inputs_of_every_type(kind: str, low: int, step: int) -> None:
    rng = np.random.default_rng(0)
    weights, w2 = (rng.choice([-1, 1], s).astype(np.float32) for s in ((6, 5), (5, 3)))
    cut = np.array([[-2.5], [0.0], [3.0], [-40.0], [0.5]], np.float32)
    nodes = [
        node("MatMul", "x w", "s"),
        node("MultiThreshold", "s t", "b", out_scale=2.0, out_bias=-1.0, out_dtype="BIPOLAR"),
        node("MatMul", "b w2", "y"),
    ]
    model = graph(nodes, {"w": weights, "w2": w2, "t": cut}, (1, 6), kind)
    lowered = lower_model(model, "n")
    n = len(lowered.encoding.values)
    lanes = rng.integers(0, n, (200, 6)).astype(np.uint8)
    x = low + step * lanes.astype(np.int64)
    assert (lowered.encoding.lanes(x) == lanes).all()
    fired = np.where((x @ weights.astype(np.int64)) >= cut[:, 0], 1, -1)
    assert (golden.scores(lowered.network, lanes) == fired @ w2.astype(np.int64)).all()
    assert lowered.network.notes["n_ties"] == 0  # equality is what a threshold says


def quantised(x: Any, scale: float, bits: int, signed: bool, mode: Any) -> Any:
    high = 2 ** (bits - signed) - 1
    low = -(2 ** (bits - 1)) if signed else 0
    return np.clip(mode(x.astype(np.float64) / scale), low, high)


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL"])
@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_float_input_is_quantised_at_exact_levels(
    bits: int, signed: bool, mode: str, turn: float
) -> None:
    rng = np.random.default_rng(1)
    scale = 0.125
    quant = helper.make_node(
        "Quant", ["t", "s", "z", "n"], ["q"], "quant", domain=QONNX,
        signed=int(signed), narrow=0, rounding_mode=mode,
    )  # fmt: skip
    constants = {
        "c": np.float32(turn), "s": np.float32(scale), "z": np.float32(0),
        "n": np.float32(bits), "w": np.tile(np.array([1, -1], np.float32), (4, 1)),
    }  # fmt: skip
    x = (rng.integers(-2200, 2200, (500, 4)) / 16 * scale).astype(np.float32)
    function = {"ROUND": np.round, "FLOOR": np.floor, "CEIL": np.ceil}[mode]
    hidden = [
        node("Mul", "x c", "t"),
        quant,
        node("MatMul", "q w", "h"),
        node("BipolarQuant", "h one", "b"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "last"),
    ]
    constants |= {"one": np.float32(1), "w2": np.eye(2, dtype=np.float32) * 2 - 1}
    lowered = lower_model(graph(hidden, constants, (1, 4), "FLOAT32"), "n")
    q = quantised(turn * x, scale, bits, signed, function)
    fired = np.where((scale * q) @ constants["w"] >= 0, 1, -1)
    expected = fired @ constants["w2"]
    assert (golden.scores(lowered.network, lowered.encoding.lanes(x)) == expected).all()


def test_a_level_is_the_least_float_that_reaches_it() -> None:
    nodes = [
        node("Mul", "x c", "t"),
        node("Add", "t d", "u"),
        node("BipolarQuant", "u one", "b"),
        node("MatMul", "b w", "y"),
    ]
    constants = {"c": np.float32(0.1), "d": np.float32(-0.3), "one": np.float32(1), "w": W}
    found = lower_model(graph(nodes, constants, kind="FLOAT32"), "n").encoding.levels[0]
    c, d = (Fraction(float(constants[k])) for k in "cd")
    below = np.nextafter(found, np.float32(-1))
    assert c * Fraction(float(found)) + d >= 0 > c * Fraction(float(below)) + d


def test_pixels_of_an_annotated_graph_are_compared_with_a_level() -> None:
    nodes = [
        node("Mul", "x c", "t"),
        node("Sub", "t d", "u"),
        node("BipolarQuant", "u one", "b"),
        node("MatMul", "b w", "y"),
    ]
    constants = {"c": np.float32(1 / 255), "d": np.float32(0.3), "one": np.float32(1), "w": W}
    network = lower_model(graph(nodes, constants, kind="UINT8"), "n").network
    assert network.thermometer == (77,)
    with pytest.raises(ArtefactError, match="makes all lanes of a UINT8 input equal"):
        lower_model(graph(nodes, constants | {"d": np.float32(-0.1)}, kind="UINT8"), "n")


def test_a_popcount_graph_is_the_network_of_its_products() -> None:
    rng = np.random.default_rng(3)
    weights, w2 = rng.integers(0, 2, (7, 5)), rng.integers(0, 2, (5, 3))
    cut = rng.integers(0, 9, (5, 1))
    nodes = [
        node("XnorPopcountMatMul", "x w", "p"),
        node("MultiThreshold", "p t", "b", out_dtype="BINARY"),
        helper.make_node("XnorPopcountMatMul", ["b", "w2"], ["y"], "last", domain=QONNX),
    ]
    constants = {"w": weights, "w2": w2, "t": cut}
    constants = {k: v.astype(np.float32) for k, v in constants.items()}
    model = graph(nodes, constants, (1, 7), "BINARY")
    network = lower_model(model, "n").network
    bits = rng.integers(0, 2, (300, 7)).astype(np.uint8)
    pops = (bits[:, :, None] == weights[None]).sum(axis=1)
    hidden = (pops >= cut[:, 0]).astype(np.uint8)
    last = (hidden[:, :, None] == w2[None]).sum(axis=1)
    assert (golden.scores(network, bits) == 2 * last - 5).all()
    faults = Iid(0.1, 0.1).sample(layout_of(network), 0)
    faulty = lower_model(with_faults(model, faults), "n").network
    assert faulty.sha256 == fault_maps.apply(network, faults).sha256 != network.sha256
    with pytest.raises(ArtefactError, match="its lanes are not 0 and 1"):
        lower_model(graph(nodes, constants, (1, 7), "BIPOLAR"), "n")
    with pytest.raises(ArtefactError, match="is 2.0; supported: binary weights 0 and 1"):
        lower_model(graph(nodes, constants | {"w": constants["w"] * 2}, (1, 7), "BINARY"), "n")


def test_faults_reach_scaled_and_negated_weights() -> None:
    rng = np.random.default_rng(4)
    scale = np.array([0.1, -0.3, 2, -1, 0.7], np.float32)
    weights = rng.choice([-1, 1], (6, 5)).astype(np.float32) * abs(scale)
    nodes = [
        node("MatMul", "x w", "s"),
        node("Mul", "s c", "t"),
        node("BipolarQuant", "t one", "b"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "last"),
    ]
    constants = {
        "w": weights, "c": scale, "one": np.float32(-0.5),
        "w2": (0.1 * rng.choice([-1, 1], (5, 3))).astype(np.float32),
    }  # fmt: skip
    model = graph(nodes, constants, (1, 6))
    network = lower_model(model, "n").network
    assert network.layers[0].negated.tolist() == (scale < 0).tolist()
    assert network.layers[1].negated.all()
    faults = Iid(0.2, 0.1).sample(layout_of(network), 0)
    faulty = lower_model(with_faults(model, faults), "n").network
    assert faulty.sha256 == fault_maps.apply(network, faults).sha256 != network.sha256


def test_data_beside_the_model_is_read_and_checked(tmp_path: Path) -> None:
    model = graph([SCORES], {"w": W})
    expected = lower_model(model, "n").network.sha256
    path, beside = tmp_path / "net.onnx", tmp_path / "net.onnx.data"
    onnx.save(model, path, save_as_external_data=True, location=beside.name, size_threshold=0)
    assert beside.is_file() and lower(path).sha256 == expected
    data = beside.read_bytes()
    beside.write_bytes(data[:-1])
    with pytest.raises(ArtefactError, match="'w' in 'net.onnx.data' cannot be read: 48 bytes"):
        lower(path)
    beside.unlink()
    with pytest.raises(ArtefactError, match="no such file beside the model"):
        lower(path)
    other = onnx.load(path, load_external_data=False)
    other.graph.initializer[0].external_data[0].value = "../../etc/passwd"
    path.write_bytes(to_bytes(other))
    with pytest.raises(ArtefactError, match="no such file beside the model"):
        lower(path)


def test_floats_of_many_levels_are_no_pixels() -> None:
    quant = helper.make_node(
        "Quant", ["x", "s", "z", "n"], ["q"], "quant", domain=QONNX,
        signed=1, narrow=0, rounding_mode="ROUND",
    )  # fmt: skip
    constants = {"s": np.float32(1 / 128), "z": np.float32(0), "n": np.float32(8), "w": W}
    rest = [
        node("MatMul", "q w", "h"),
        node("BipolarQuant", "h one", "b"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "last"),
    ]
    constants |= {"one": np.float32(1), "w2": np.eye(3, dtype=np.float32) * 2 - 1}
    model = graph([quant, *rest], constants, (1, 4), "FLOAT32")
    assert lower_model(model, "n").network.notes["input"]["n_levels"] == 255
    with pytest.raises(InputError, match="encode images with `stoic encode`"):
        lower_model(model, "n", pixels=True)
    with pytest.raises(InputError, match="BIPOLAR already, not a pixel"):
        lower_model(graph([SCORES], {"w": W}), "n", pixels=True)


# ---- large files that are wrong in one place ----


def test_large_wrong_files_are_one_line_each_in_little_memory(tmp_path: Path) -> None:
    out = tmp_path / "h.json"
    command = [sys.executable, "-m", "stoic.export.hostile", "--json", str(out), "--every", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(out.read_text())
    assert done.returncode == 0 == found["n_failures"], done.stderr
    assert found["n_cases"] > 10 and 0.5 < found["greatest_memory_per_byte"] <= 2


@pytest.mark.parametrize("how", ["a copy more", "two lines", "a network", "slowly"])
def test_the_measurement_sees_what_is_wrong(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = tmp_path / "case.onnx", 4 << 20

    def reader(path: Path) -> None:
        if how == "a copy more":
            fresh = np.frombuffer(mmap.mmap(-1, 3 * size), np.uint8)  # no heap that was freed
            fresh[:] = 1
        if how == "slowly":
            monkeypatch.setattr(hostile, "LIMIT_S", 0.0)
        if how != "a network":
            raise ArtefactError("one\nand another" if how == "two lines" else "one line")

    monkeypatch.setattr(hostile, "lower_file", reader)
    path.write_bytes(bytes(size))
    row = hostile._read("case", path, size)
    assert not row.is_right
    assert (row.memory_per_byte > 2) == (how == "a copy more")


def test_names_of_a_file_are_shown_as_a_terminal_may_show_them(tmp_path: Path) -> None:
    model = graph([SCORES], {"w": W})
    model.graph.node[0].name = "a\x1b[31m\nb" * 50
    model.metadata_props.add(key="stoic.model", value="n\r" * 5000)
    path = tmp_path / "net.onnx"
    path.write_bytes(to_bytes(model))
    network = lower(path)
    assert network.name.isprintable() and len(network.name) < 120
    assert network.notes["layers"][0]["nodes"][0].isprintable()
