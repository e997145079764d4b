"""Cores with injectors of read errors: every score equals that of the model, in every world."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic import rtl
from stoic.hw.device import BoardDevice
from stoic.hw.virtual import VirtualBoard
from stoic.sim import faults, golden, injected
from stoic.sim.core import Form, core_of
from stoic.sim.device import GoldenDevice
from stoic.sim.engine import EngineDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.injector import ReadErrors
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network
from stoic.sim.rtl import RtlDevice

# Pads in every layer; groups of two and of one; results that wait longer than words (layer 1).
CASES: dict[Form, tuple[Input, tuple[int, ...], tuple[Fold, ...]]] = {
    "ring": ("bits", (100, 33, 9, 10), (Fold(4, 36), Fold(3, 64), Fold(2, 5))),
    "independent": ("uint8", (60, 33, 20, 10), (Fold(4, 36), Fold(2, 7), Fold(1, 1))),
}
RATES = ((0.03, 0.03), (0.5, 0.5), (0.001, 0.2))


def images_for(network: Network, n: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    return rng.integers(0, network.image_max + 1, (n, network.n_inputs), dtype=np.uint8)


def made(form: Form) -> tuple[Network, ReadErrors]:
    first, sizes, folds = CASES[form]
    network = random_network(sizes, first, np.random.default_rng(1))
    core = replace(core_of(network, layout_of(network, folds)), injector=form)
    return network, ReadErrors(core, *RATES[0], seed=4)


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RtlDevice, Network, ReadErrors]]:
    network, errors = made(request.param)
    build_dir = tmp_path_factory.mktemp("rtl")
    device = RtlDevice(errors.core.layout, build_dir, injector=request.param)
    device.load(network)
    yield device, network, errors
    device.close()


@pytest.mark.slow
@pytest.mark.verilator
def test_every_score_is_the_model_s(case: tuple[RtlDevice, Network, ReadErrors]) -> None:
    """Off, on, images in two calls, and off again; mutants of the model are told apart."""
    device, network, errors = case
    images = images_for(network, 200)
    clean = golden.scores(network, images)
    np.testing.assert_array_equal(device.infer(images), clean)
    for p01, p10 in RATES:
        errors = replace(errors, p01=p01, p10=p10)
        device.inject(errors)
        scores = np.concatenate([device.infer(images[:77]), device.infer(images[77:])])
        wanted = injected.scores(network, images, errors)
        np.testing.assert_array_equal(scores, wanted)
        assert (scores != clean).any(axis=1).mean() > 0.9
        for mutant in (replace(errors, seed=5), replace(errors, p10=p10 / 2)):
            assert (injected.scores(network, images, mutant) != scores).any()
        assert (injected.scores(network, images, errors, first=1) != scores).any()
    device.inject(None)
    np.testing.assert_array_equal(device.infer(images), clean)


@pytest.mark.slow
@pytest.mark.verilator
def test_errors_come_over_a_faulty_memory_and_not_in_banks_that_are_off(
    case: tuple[RtlDevice, Network, ReadErrors],
) -> None:
    device, network, errors = case
    images = images_for(network, 200)
    chip = Iid(0.02, 0.02).sample(errors.core.layout, 0, where=("weights", "thresholds"))
    device.inject(chip)
    faulty = faults.apply(network, chip)
    weights = [b.name for b in errors.core.layout.banks if b.kind == "weights"]
    scores, before = [], device.registers()
    for off in (tuple(weights[1::2]), tuple(weights), ()):
        some = replace(errors, off=off)
        device.disturb(some)
        scores.append(device.infer(images))
        np.testing.assert_array_equal(scores[-1], injected.scores(faulty, images, some))
        after = device.registers()
        counts = np.subtract(after.disturbed_words, before.disturbed_words)
        assert tuple(counts) == injected.disturbed_words(some, len(images))
        assert (counts.sum() == 0) == (off == tuple(weights))
        before = after
    np.testing.assert_array_equal(scores[1], golden.scores(faulty, images))
    assert (scores[0] != scores[1]).any() and (scores[0] != scores[2]).any()
    device.disturb(None)
    np.testing.assert_array_equal(device.infer(images), golden.scores(faulty, images))


def test_software_devices_give_the_same_scores_or_refuse() -> None:
    network, errors = made("ring")
    images = images_for(network, 20)
    device = GoldenDevice()
    device.load(network)
    device.inject(errors)
    scores = np.concatenate([device.infer(images[:7]), device.infer(images[7:])])
    np.testing.assert_array_equal(scores, injected.scores(network, images, errors))
    device.inject(None)
    np.testing.assert_array_equal(device.infer(images), golden.scores(network, images))
    engine = EngineDevice()
    engine.load(network)
    with pytest.raises(InputError, match="engine device has no injector"):
        engine.inject(errors)
    other = random_network((100, 33, 9, 11), "bits", np.random.default_rng(0))
    with pytest.raises(InputError, match="not for the shapes"):
        injected.scores(other, images, errors)


@pytest.mark.verilator
@pytest.mark.parametrize("form", ["ring", pytest.param("independent", marks=pytest.mark.slow)])
def test_the_virtual_board_gives_the_same_scores(form: Form, tmp_path: Path) -> None:
    """Rates, seed and enables are set through the driver of a board, over a persistent map."""
    network, errors = made(form)
    images = images_for(network, 200)
    chip = Iid(0.02, 0.02).sample(errors.core.layout, 0, where=("weights", "thresholds"))
    faulty = faults.apply(network, chip)
    weights = [b.name for b in errors.core.layout.banks if b.kind == "weights"]
    with VirtualBoard(errors.core, tmp_path) as board:
        device = BoardDevice(board.url, errors.core)
        device.load(network)
        np.testing.assert_array_equal(device.infer(images), golden.scores(network, images))
        device.inject(errors)
        scores = np.concatenate([device.infer(images[:30]), device.infer(images[30:])])
        np.testing.assert_array_equal(scores, injected.scores(network, images, errors))
        device.inject(chip)
        np.testing.assert_array_equal(device.infer(images), golden.scores(faulty, images))
        before = device.registers()
        some = replace(errors, p01=0.2, seed=9, off=tuple(weights[1::4]))
        device.disturb(some)
        scores = device.infer(images)
        np.testing.assert_array_equal(scores, injected.scores(faulty, images, some))
        counts = np.subtract(device.registers().disturbed_words, before.disturbed_words)
        assert tuple(counts) == injected.disturbed_words(some, len(images)) and counts.all()
        for other in (replace(some, seed=8), replace(some, off=()), replace(some, p01=0.1)):
            assert (injected.scores(faulty, images, other) != scores).any()
        device.disturb(None)
        np.testing.assert_array_equal(device.infer(images), golden.scores(faulty, images))
        device.close()


LAYER = """
module top (
    input clk_i, rst_i, cfg_valid_i, cfg_write_i, input [15:0] cfg_bank_i, cfg_addr_i,
    input [63:0] cfg_data_i, input [4:0] x_i, input x_valid_i, x_last_i, output [5:0] y_o,
    output y_valid_o, output [63:0] read_o
);
    stoic_mvu #(.N(13), .M(9), .PE(4), .SIMD(5), .PLANES(1), .THRESHOLD_W(4), .OUT_W(6), .T_BANK(4),
                .FORM({form})) layer (
        .clk_i(clk_i), .rst_i(rst_i), .s_axis_tdata(x_i), .s_axis_tvalid(x_valid_i),
        .s_axis_tlast(x_last_i), .s_axis_tuser(1'b0), .m_axis_tdata(y_o), .m_axis_tvalid(y_valid_o),
        .m_axis_tready(1'b1), .table_i(1'b0), .cfg_valid_i(cfg_valid_i), .cfg_write_i(cfg_write_i),
        .cfg_bank_i(cfg_bank_i), .cfg_addr_i(cfg_addr_i), .cfg_data_i(cfg_data_i),
        .cfg_rvalid_i(1'b0), .cfg_rdata_i(64'd0), .cfg_rdata_o(read_o));
endmodule
"""
OF_INJECTORS = r"\b(draw|flip|met|ie|i_we|inject|enable)\w*_q\d?$|g_injector|g_thirds"


def driven(form: int, tmp_path: Path) -> list[str]:
    """Nets of injectors that a cell of the netlist of a layer drives."""
    (tmp_path / "top.v").write_text(LAYER.replace("{form}", str(form)))
    job = {
        "sources": ["top.v", *map(str, rtl.sources())],
        "top": "top", "synth": "synth -flatten -noabc", "stat": "stat.json", "netlist": "net.json",
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    subprocess.run(
        [sys.executable, "-m", "stoic.hw.flows.yosys", "job.json"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    top = json.loads((tmp_path / "net.json").read_text())["modules"]["top"]
    outputs = {
        bit
        for cell in top["cells"].values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
    }
    return sorted(
        name
        for name, net in top["netnames"].items()
        if re.search(OF_INJECTORS, name) and outputs.intersection(net["bits"])
    )


def test_a_layer_without_an_injector_has_no_gate_of_one(tmp_path: Path) -> None:
    """Nor where the text has one: what is off drives nothing."""
    assert driven(0, tmp_path) == []
    assert len(driven(1, tmp_path)) > 20


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("form", CASES)
def test_all_scores_of_a_whole_test_set(form: Form, tmp_path: Path) -> None:
    """10,000 images through 784-256-256-256-10 on uint8, in the folding of a 25K board."""
    network = random_network((784, 256, 256, 256, 10), "uint8", np.random.default_rng(3))
    folds = (Fold(37, 36), Fold(1, 64), Fold(1, 64), Fold(1, 32))
    core = replace(core_of(network, layout_of(network, folds)), injector=form)
    images = images_for(network, 10_000)
    device = RtlDevice(core.layout, tmp_path, injector=form)
    device.load(network)
    for seed, (p01, p10) in enumerate(RATES):
        errors = ReadErrors(core, p01, p10, seed)
        device.inject(errors)
        wanted = injected.scores(network, images, errors)
        np.testing.assert_array_equal(device.infer(images), wanted)
    device.close()
