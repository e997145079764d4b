"""What is written of an integer network: every form is read back as that network and scores as it.

finn-base is an extra of its own; its test runs where it is installed (PYTHONPATH may name it).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoic.export import bench, fuzz, lower_affine
from stoic.export.commands import FORMS as FORMS_BY_NAME
from stoic.export.executors import FinnDevice, OnnxDevice, OnnxRuntimeDevice
from stoic.export.finn_form import popcount_model, product_model
from stoic.export.folding import refuse
from stoic.export.integer import integer_model
from stoic.export.lower import lower_model
from stoic.hw.cli import run
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim import network as networks_file
from stoic.sim.bits import pack, unpack
from stoic.sim.device import Device
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError, StoicError, ToolError
from stoic.sim.layers import Pool
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_network

FORMS: dict[str, Callable[..., onnx.ModelProto]] = {
    "QONNX": integer_model,
    "standard ONNX": lambda *args: integer_model(*args, standard=True),
    "popcounts": popcount_model,
    "products": product_model,
}


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Dense and convolution, of odd sizes; thresholds over the whole range, and at ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind: Any = draw(st.sampled_from(("bits", "uint8")))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.sampled_from((1, 2, 7, 63, 64, 65)), min_size=2, max_size=4))
        network = random_network(tuple(sizes), kind, rng)
    else:
        convs = []
        for _ in range(draw(st.integers(1, 2))):
            kernel = draw(st.integers(1, 3))
            pool = draw(st.sampled_from((None, Pool(2, 1), Pool(1, 2))))
            pad = draw(st.integers(0, kernel - 1))
            convs.append((draw(st.integers(1, 5)), kernel, draw(st.integers(1, 2)), pad, pool))
        image = (draw(st.integers(11, 13)), draw(st.integers(11, 13)), draw(st.integers(1, 3)))
        levels = draw(st.sampled_from(((), (100,)))) if kind == "bits" else ()
        args: Any = (image, tuple(convs), (draw(st.integers(1, 9)),), kind, rng, levels)
        network = random_conv_network(*args)
    layers = []
    for layer in network.layers:
        if layer.thresholds is not None:
            low, high = layer.threshold_range
            thresholds = rng.integers(low, high + 1, layer.n_outputs, dtype=np.int32)
            middle = layer.n_inputs // 2 if layer.input == "bits" else 0
            thresholds[rng.random(layer.n_outputs) < 0.3] = middle  # where sums of 0 tie
            layer = replace(layer, thresholds=thresholds)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


@settings(max_examples=40, deadline=None)
@given(network=networks(), seed=st.integers(0, 99))
def test_every_form_is_read_back_as_the_network(network: Network, seed: int) -> None:
    faults = Iid(0.1, 0.05).sample(layout_of(network), seed)
    faulty = fault_maps.apply(network, faults).sha256
    for name, form in FORMS.items():
        try:
            model = form(network)
        except InputError as error:
            assert name in ("popcounts", "products")
            assert network.thermometer or "pads bits with -1" in str(error)
            continue
        assert lower_model(model, "n").network.sha256 == network.sha256, name
        if name != "products":
            assert lower_model(form(network, faults), "n").network.sha256 == faulty, name


def test_a_form_of_another_network_is_read_back_as_another() -> None:
    network = random_network((9, 5, 3), "bits", np.random.default_rng(0))
    first = network.layers[0]
    bits = unpack(first.weights, 9)
    bits[4, 8] ^= 1
    assert first.thresholds is not None
    up = first.thresholds + np.eye(1, first.n_outputs, 2, np.int32)[0]
    for wrong in (replace(first, weights=pack(bits)), replace(first, thresholds=up)):
        other = replace(network, layers=(wrong, *network.layers[1:]))
        for form in FORMS.values():
            assert lower_model(form(other), "n").network.sha256 == other.sha256 != network.sha256


def test_the_benchmark_has_no_result_where_a_score_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network((9, 5, 3), "bits", np.random.default_rng(0))
    rows = bench.measure("small", network, 200, 1)
    assert [row["n_scores"] for row in rows] == [600, 600]
    infer = OnnxRuntimeDevice.infer

    def wrong(self: OnnxRuntimeDevice, images: Any) -> Any:
        found = infer(self, images)
        found[-1, -1] += 2
        return found

    monkeypatch.setattr(OnnxRuntimeDevice, "infer", wrong)
    with pytest.raises(StoicError, match="1 scores of onnxruntime differ"):
        bench.measure("small", network, 200, 1)


def device_networks() -> list[Network]:
    rng = np.random.default_rng(1)
    convs = ((5, 3, 1, 1, Pool(2, 2)), (6, 2, 1, 0, None))
    return [
        random_network((70, 33, 12, 5), "bits", rng),
        random_network((30, 17, 4), "uint8", rng),
        random_conv_network((8, 7, 2), convs, (9, 4), "bits", rng),
        random_conv_network((8, 7, 2), convs, (9, 4), "uint8", rng),
    ]


def scores_equal_golden(device: Device, network: Network, n: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, network.image_max + 1, (n, network.n_inputs)).astype(np.uint8)
    device.load(network)
    expected = golden.scores(network, x)
    assert (device.infer(x) == expected).all()
    faults = Iid(0.1, 0.02).sample(layout_of(network), 3, ("weights", "thresholds"))
    faulty = golden.scores(fault_maps.apply(network, faults), x)
    device.inject(faults)
    assert (device.infer(x) == faulty).all() and (faulty != expected).any()
    device.inject(None)
    assert (device.infer(x) == expected).all()


@pytest.mark.parametrize("device", [OnnxDevice, OnnxRuntimeDevice, FinnDevice])
def test_executors_give_the_scores_of_golden_under_faults_of_every_memory(device: Any) -> None:
    for network in device_networks():
        scores_equal_golden(device(), network, 2 if device is FinnDevice else 7)


@pytest.mark.parametrize("levels", [(100,), (30, 99, 200)])
def test_executors_take_thermometers(levels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    convs = ((5, 3, 1, 1, None),)
    network = random_conv_network((6, 5, 2), convs, (4,), "bits", rng, levels)
    for device in (OnnxDevice(), OnnxRuntimeDevice()):
        scores_equal_golden(device, network, 9)


@pytest.mark.skipif(find_spec("finn") is None, reason="finn-base is not installed")
def test_finn_base_gives_the_scores_of_golden() -> None:
    from stoic.export.finn_base import FinnBaseDevice

    for network in device_networks():
        scores_equal_golden(FinnBaseDevice(), network, 3)


def test_finn_base_says_how_it_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "finn.core.modelwrapper", None)
    from stoic.export.finn_base import FinnBaseDevice

    with pytest.raises(ToolError, match=r"pip install --no-deps finn-base==0\.0\.3"):
        FinnBaseDevice()


def test_standard_onnx_has_no_operation_of_its_own() -> None:
    for network in device_networks():
        model = integer_model(network, standard=True)
        assert {node.domain for node in model.graph.node} == {""}
        assert [opset.domain for opset in model.opset_import] == [""]
        onnx.checker.check_model(model)


def test_a_command_writes_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = device_networks()[1]
    net, chip, out = (str(tmp_path / name) for name in ("n.stoic", "c.faults", "n.onnx"))
    networks_file.save(network, Path(net))
    fault_maps.save(Iid(0.1, 0.1).sample(layout_of(network), 0), Path(chip))
    for form in FORMS_BY_NAME:
        for extra in ([], ["--faults", chip]):
            status = run(["export", net, "--form", form, "-o", out, "--json", *extra])
            printed = capsys.readouterr()
            if form == "products" and extra:
                assert status == 2 and "use form popcounts" in printed.err
                continue
            assert status == 0 and json.loads(printed.out)["is_read_back"] is True
    assert run(["export", net, "--form", "tflite"]) == 2
    assert "form must be one of qonnx" in capsys.readouterr().err


# ---- the fuzz of the reader, in short ----


def test_damaged_graphs_are_networks_or_one_line() -> None:
    found = fuzz.fuzz(100, seed=0, n_cases=400)
    assert found.failures == [] and found.n_cases == 400
    assert found.n_networks > 40 and found.n_refused > 200 and found.n_messages > 40
    assert found.memory_growth_mib < 300


def test_the_fuzz_sees_a_traceback_and_a_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a step that breaks")

    def chatty(graph: Any, node: Any, state: Any) -> Any:
        error = refuse(node, "why", "what")
        error.args = ("two\nlines",)
        raise error

    from stoic.export import lower

    monkeypatch.setattr(fuzz, "corpus", lambda: CORPUS)
    monkeypatch.setattr(lower_affine, "add", broken)
    for step, line in ((broken, "a step that breaks"), (chatty, "not one line")):
        monkeypatch.setitem(lower._STEPS, "Neg", step)
        found = fuzz.fuzz(60, seed=0, n_cases=120)
        assert found.failures and any(line in what for _, what in found.failures)


CORPUS = fuzz.corpus()
