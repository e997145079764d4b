"""The generated core against golden: every score, over shapes, foldings and fault maps."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic import rtl
from stoic.sim import golden, injected
from stoic.sim.bits import Words, pack, unpack
from stoic.sim.core import (
    FORMS,
    Core,
    Form,
    core_of,
    engine_cycles,
    fold_cycles,
    group,
    image_cycles,
)
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError, ToolError
from stoic.sim.faults import FaultMap, apply
from stoic.sim.hardware import hardware_layout
from stoic.sim.injector import ReadErrors
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, Layout, Shape, bank_words, layout_of, stored_bits
from stoic.sim.network import Network
from stoic.sim.random_network import random_ensemble, random_network
from stoic.sim.rtl import RtlDevice, core_files
from stoic.sim.rtl_core import core_sources, core_verilog
from stoic.sim.rtl_engine import engine_verilog
from stoic.sim.verilate import find_iverilog

# Fan-ins below, at and above a word; outputs that PE and SIMD do not divide; one lane, one neuron;
# GROUP above 1 (layer 0), stretched folds (layer 1).
DEEP = (100, 65, 64, 63, 7, 1, 10)
DEEP_FOLDS = (Fold(8, 36), Fold(5, 64), Fold(3, 7), Fold(7, 16), Fold(1, 1), Fold(10, 64))
WIDE = (784, 33, 65, 10)
WIDE_FOLDS = (Fold(5, 50), Fold(4, 32), Fold(3, 36))


def with_extremes(network: Network) -> Network:
    """The same network with constant neurons and thresholds at both ends of their range."""
    layers = []
    for layer in network.layers:
        if layer.thresholds is not None and layer.n_outputs > 4:
            low, high = layer.threshold_range
            thresholds = layer.thresholds.copy()
            thresholds[:4] = low, low + 1, high - 1, high
            layer = replace(layer, thresholds=thresholds)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def images_for(network: Network, n: int, seed: int) -> NDArray[np.uint8]:
    """Random images; the first is all zeros, the second all ones or all 255."""
    high = 256 if network.layers[0].input == "uint8" else 2
    images = np.random.default_rng(seed).integers(0, high, (n, network.n_inputs), dtype=np.uint8)
    images[0], images[1] = 0, high - 1
    return images


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl")


# input, images that share a weight word, whether they come in words of the first layer
CASES: dict[str, tuple[Input, int, bool]] = {
    "bits": ("bits", 1, False),
    "uint8": ("uint8", 1, False),
    "bits-2": ("bits", 2, True),
    "uint8-3": ("uint8", 3, False),
}


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, build_dir: Path
) -> Iterator[tuple[RtlDevice, Network, Layout]]:
    rng = np.random.default_rng(5)
    kind, b, words = CASES[request.param]
    sizes, folds = (DEEP, DEEP_FOLDS) if kind == "bits" else (WIDE, WIDE_FOLDS)
    network = with_extremes(random_network(sizes, kind, rng))
    layout = layout_of(network, tuple(replace(fold, b=b) for fold in folds))
    device = RtlDevice(layout, build_dir, words=words)
    yield device, network, layout
    device.close()


def test_every_score_is_golden_s_and_mutants_are_caught(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    device, network, _ = case
    images = images_for(network, 100, 1)
    device.load(network)
    scores = device.infer(images)
    np.testing.assert_array_equal(scores, golden.scores(network, images))

    last = network.layers[-1]
    bits = unpack(last.weights, last.n_inputs)
    bits[3, 0] ^= 1
    one_bit = replace(network, layers=(*network.layers[:-1], replace(last, weights=pack(bits))))
    before = network.layers[-2]
    assert before.thresholds is not None
    always = before.thresholds.copy()
    low, high = before.threshold_range
    always[0] = high if always[0] == low else low
    one_threshold = replace(
        network, layers=(*network.layers[:-2], replace(before, thresholds=always), last)
    )
    for mutant in (one_bit, one_threshold):
        device.load(mutant)
        np.testing.assert_array_equal(device.infer(images), golden.scores(mutant, images))
        assert (golden.scores(mutant, images) != scores).any()


def test_every_score_is_golden_s_under_fault_maps(case: tuple[RtlDevice, Network, Layout]) -> None:
    device, network, layout = case
    images = images_for(network, 60, 2)
    device.load(network)
    for chip, (p01, p10) in enumerate(((0.001, 0.001), (0.1, 0.1), (0.02, 0.2))):
        elsewhere = layout_of(network)  # a map of another folding is re-addressed
        home = elsewhere if chip == 1 else layout
        faults = Iid(p01, p10).sample(home, chip, where=("weights", "thresholds"))
        device.inject(faults)
        expected = golden.scores(apply(network, faults), images)
        np.testing.assert_array_equal(device.infer(images), expected)
    device.inject(None)
    np.testing.assert_array_equal(device.infer(images), golden.scores(network, images))


def test_a_dropped_fault_is_caught(case: tuple[RtlDevice, Network, Layout]) -> None:
    device, network, layout = case
    images = images_for(network, 20, 3)
    flip = np.zeros(layout.n_cells, np.uint8)
    flip[layout.weight_cells(len(layout.shapes) - 1)[:, 0]] = 1
    fewer = flip.copy()
    fewer[layout.weight_cells(len(layout.shapes) - 1)[7, 0]] = 0
    none = pack(np.zeros(layout.n_cells, np.uint8))
    device.load(network)
    scores = []
    for cells in (flip, fewer):
        faults = FaultMap(layout, pack(cells), none, none)
        device.inject(faults)
        scores.append(device.infer(images))
        np.testing.assert_array_equal(scores[-1], golden.scores(apply(network, faults), images))
    assert (scores[0] != scores[1]).any()


def test_images_follow_each_other_as_fast_as_planned(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    device, network, layout = case
    images = images_for(network, 100, 4)
    device.load(network)
    cycles = []
    for n in (20, 100):
        before = device.counters().get("cycles", 0)
        device.infer(images[:n])
        cycles.append(device.counters()["cycles"] - before)
    assert (cycles[1] - cycles[0]) / 80 == pytest.approx(image_cycles(Core(layout)), rel=0.02)


def test_cores_that_cannot_be_are_refused() -> None:
    layout = layout_of(random_network((8, 3), "uint8", np.random.default_rng(0)))
    with pytest.raises(InputError, match="in words only to one chain"):
        Core(layout, words=True)
    member = random_network((8, 3), "bits", np.random.default_rng(0))
    ensemble = layout_of(random_ensemble((member, member)), (Fold(1, 64, 2),) * 2)
    with pytest.raises(InputError, match="B must be 1 in ensembles, unless one engine"):
        Core(ensemble)
    with pytest.raises(InputError, match="B must be the same"):
        Layout((Shape(8, 3, "bits", True),) * 2, (Fold(1, 8, 2), Fold(1, 3)))


def any_ensemble(seed: int) -> tuple[Network, int]:
    """Members of any sizes that an engine runs, and images that share a weight word."""
    rng = np.random.default_rng(seed)
    n_inputs, n_classes = int(rng.integers(1, 200)), int(rng.integers(1, 9))
    members = []
    for _ in range(rng.integers(2, 6)):
        hidden = tuple(int(n) for n in 64 * rng.integers(1, 4, rng.integers(0, 3)))
        member = random_network((n_inputs, *hidden, n_classes), "bits", rng)
        members.append(with_extremes(member))
    return random_ensemble(tuple(members)), int(rng.integers(1, 4))


@pytest.mark.parametrize(
    "seed",
    [None, 4, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 15))],
    ids=lambda seed: "one" if seed is None else f"ensemble-{seed}",
)
def test_engine_s_scores_are_golden_s_under_fault_maps(build_dir: Path, seed: int | None) -> None:
    if seed is None:
        network = random_network((150, 128, 64, 7), "bits", np.random.default_rng(5))
        network, b = with_extremes(network), 3
    else:
        network, b = any_ensemble(seed)
    layout = layout_of(network, (Fold(1, 64, b),) * len(network.layers))
    device = RtlDevice(layout, build_dir, engine=True)
    images = images_for(network, 20 * b + 1, 1)
    device.load(network)
    cycles = []
    for n in (10 * b, 20 * b):
        before = device.counters()["cycles"]
        np.testing.assert_array_equal(device.infer(images[:n]), golden.scores(network, images[:n]))
        cycles.append(device.counters()["cycles"] - before)
    assert (cycles[1] - cycles[0]) / 10 == engine_cycles(Core(layout, engine=True))
    faults = Iid(0.1, 0.05).sample(layout, 0, where=("weights", "thresholds"))
    device.inject(faults)
    np.testing.assert_array_equal(
        device.infer(images), golden.scores(apply(network, faults), images)
    )
    device.close()


@pytest.mark.parametrize(
    "sizes, pe, n_members, message",
    [
        ((75, 65, 3), 1, 1, "multiples of 64, not 65"),
        ((75, 64, 3), 2, 2, "folded 64 x 1, not as layer 0"),
        ((8, 64, 3), 1, 17, "of 32 layers, not 1139 of 34"),
        ((6400, 128, 3), 1, 2, "16384 weight words of 32 layers, not 25612 of 4"),
        ((65536, 3), 1, 1, "up to 16 bits, not 17"),
    ],
)
def test_engine_refuses_what_it_cannot_run(
    sizes: tuple[int, ...], pe: int, n_members: int, message: str
) -> None:
    member = random_network(sizes, "bits", np.random.default_rng(0))
    network = random_ensemble((member,) * n_members) if n_members > 1 else member
    folds = (Fold(pe, 64), *(Fold(1, 64),) * (len(network.layers) - 1))
    with pytest.raises(InputError, match=message):
        engine_verilog(Core(layout_of(network, folds), engine=True))


def test_foreign_networks_and_unloaded_devices_are_refused(build_dir: Path) -> None:
    network = random_network((7, 3), "bits", np.random.default_rng(0))
    other = random_network((8, 3), "bits", np.random.default_rng(0))
    device = RtlDevice(layout_of(network), build_dir)
    with pytest.raises(InputError, match="load a network"):
        device.infer(np.zeros((1, 7), np.uint8))
    with pytest.raises(InputError, match="not for the shapes"):
        device.load(other)
    deep = Layout((Shape(64, 70_000, "bits", False),), (Fold(1, 64),))
    with pytest.raises(InputError, match="addresses 65535 words in a bank, not 70000"):
        core_verilog(Core(deep))


def test_missing_icarus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="iverilog"):
        find_iverilog()


def test_processing_elements_share_stages_where_a_fold_is_too_short() -> None:
    network = random_network((36, 24, 24, 3), "bits", np.random.default_rng(0))
    core = Core(layout_of(network, (Fold(12, 36), Fold(8, 6), Fold(3, 12))))
    # by powers of two that divide output words of 6 and of 12 bits
    assert [group(core, layer) for layer in range(3)] == [2, 4, 1]
    # 6 stages in 1 step: stretched to 11 cycles; 2 in 4 steps; 3 in 2 steps: stretched
    assert [fold_cycles(core, layer) for layer in range(3)] == [11, 4, 5]


ILLEGAL = {
    "stoic_ram": "WIDTH=65",
    "stoic_popcount": "PAD=64",
    "stoic_fifo": "DEPTH=12",
    "stoic_width": "N=0",
    "stoic_planes": "SIMD=65",
    "stoic_scores": "M=0",
    "stoic_mvu": "GROUP=3",
}


@pytest.mark.parametrize("module", ILLEGAL)
def test_illegal_parameters_stop_elaboration(module: str, tmp_path: Path) -> None:
    files = [str(path) for path in core_sources()]
    build = [find_iverilog(), "-g2005", "-o", str(tmp_path / "out"), "-s", module]
    subprocess.run([*build, *files], check=True)
    run = subprocess.run(
        [*build, f"-P{module}.{ILLEGAL[module]}", *files], capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "stoic_illegal_parameter" in run.stderr


TESTBENCH = """
`timescale 1ns / 1ps
module bench;
    reg clk = 0, rst = 1;
    always #5 clk = !clk;
    reg [95:0] writes [0:{n_writes}-1];
    reg [8:0] bytes [0:{n_bytes}-1];
    reg valid = 0, ready = 0, cfg = 0, cfg_write = 0;
    reg [95:0] request = 0;
    integer i = 0, k = 0, sent = 0, out = 0, read = 0;
    wire s_ready, m_valid, m_last, rvalid, busy;
    wire [31:0] score;
    wire [63:0] rdata;
    stoic_core dut (
        .clk_i(clk), .rst_i(rst), .s_axis_tdata(bytes[sent][7:0]), .s_axis_tvalid(valid),
        .s_axis_tready(s_ready), .s_axis_tlast(bytes[sent][8]), .m_axis_tdata(score),
        .m_axis_tvalid(m_valid), .m_axis_tready(ready), .m_axis_tlast(m_last), .cfg_valid_i(cfg),
        .cfg_write_i(cfg_write), .cfg_bank_i(request[95:80]), .cfg_addr_i(request[79:64]),
        .cfg_data_i(request[63:0]), .cfg_rvalid_o(rvalid), .cfg_rdata_o(rdata), .busy_o(busy));
    always @(posedge clk) if (rvalid) begin
        if (rdata !== request[63:0]) $display("READ %0d %h not %h", read, rdata, request[63:0]);
        read = read + 1;
    end
    initial begin
        $readmemh("writes.hex", writes);
        $readmemh("bytes.hex", bytes);
        repeat (40) @(negedge clk);
        rst = 0;
        for (i = 0; i < {n_writes}; i = i + 1) begin
            @(negedge clk) cfg = 1; cfg_write = 1; request = writes[i];
        end
        for (i = 0; i < {n_reads}; i = i + 1) begin
            @(negedge clk) cfg = 1; cfg_write = 0; request = writes[i];
            @(negedge clk) cfg = 0;
            for (k = 0; k < 200 && read == i; k = k + 1) @(negedge clk);
        end
        if (read != {n_reads}) $display("READS %0d", read);
        cfg = 0;
        for (k = 0; k < 200000 && out < {n_scores}; k = k + 1) begin
            @(negedge clk);
            valid = sent < {n_bytes} && (valid && !s_ready || $random % 4 != 0);
            ready = $random % 3 != 0;
            #1;
            if (m_valid && ready) begin
                $display("%0d %0d", $signed(score), m_last);
                out = out + 1;
            end
            if (valid && s_ready) begin
                @(posedge clk) #1 sent = sent + 1;
                valid = 0;
            end
        end
        repeat (20) @(negedge clk);
        if (busy !== 1'b0 || m_valid) $display("BUSY");
        $finish;
    end
endmodule
"""


@pytest.mark.parametrize("kind", ["bits", "uint8"])
def test_the_popcount_tree_of_the_hardware_agrees_on_icarus(kind: str, tmp_path: Path) -> None:
    """Stalls, gaps and the adders that Verilator never sees."""
    rng = np.random.default_rng(9)
    network = with_extremes(random_network((37, 9, 3), "uint8" if kind == "uint8" else "bits", rng))
    layout = layout_of(network, (Fold(4, 12), Fold(2, 8)))
    images = images_for(network, 6, 7)
    faults = Iid(0.05, 0.05).sample(layout, 0, where=("weights", "thresholds"))
    words = bank_words(faults.read(stored_bits(network, layout)), layout)
    got = on_icarus(tmp_path, Core(layout), dict(enumerate(words)), images)
    assert got == lines(golden.scores(apply(network, faults), images))


# Pads in every layer; elements in groups; results that wait longer than words; one lane.
DISTURBED: tuple[tuple[Input, tuple[int, ...], tuple[Fold, ...]], ...] = (
    ("bits", (70, 33, 9, 4), (Fold(4, 36), Fold(2, 1), Fold(4, 5))),
    ("uint8", (37, 15, 9, 3), (Fold(6, 12), Fold(3, 3), Fold(1, 7))),
)


MISTAKES: dict[tuple[Form, Input], tuple[str, str, str]] = {
    ("ring", "uint8"): ("stoic_mvu_stage.v", ".INDEX(INDEX)", ".INDEX(0)"),
    ("independent", "uint8"): ("stoic_mvu.v", ".step_i(is_word)", ".step_i(1'b1)"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first, sizes, folds", DISTURBED, ids=["bits", "uint8"])
def test_every_score_under_read_errors_is_the_model_s(
    form: Form, first: Input, sizes: tuple[int, ...], folds: tuple[Fold, ...], tmp_path: Path
) -> None:
    """Memories and injectors are written, memories read back, then images stream through."""
    network = random_network(sizes, first, np.random.default_rng(3))
    layout = layout_of(network, folds)
    core = replace(core_of(network, layout), injector=form)
    errors = ReadErrors(core, 0.02, 0.1, seed=5)
    rng = np.random.default_rng(1)
    images = rng.integers(0, network.image_max + 1, (8, sizes[0]), dtype=np.uint8)
    banks = dict(enumerate(bank_words(stored_bits(network, layout), layout)))
    wanted = injected.scores(network, images, errors)
    assert on_icarus(tmp_path, core, banks, images, errors.registers()) == lines(wanted)
    assert (wanted != golden.scores(network, images)).any()
    for other in (replace(errors, seed=6), replace(errors, p10=0.05)):
        assert (injected.scores(network, images, other) != wanted).any()
    if mistake := MISTAKES.get((form, first)):
        wrong = on_icarus(tmp_path, core, banks, images, errors.registers(), mistake)
        assert wrong != lines(wanted)


def test_a_core_without_injectors_is_the_same_text_as_ever() -> None:
    network = random_network((20, 9, 3), "bits", np.random.default_rng(0))
    core = core_of(network)
    text = core_verilog(core)
    assert "FORM" not in text and "inject" not in text
    for form in FORMS:
        disturbed = replace(core, injector=form)
        changed = core_verilog(disturbed).replace(f",\n        .FORM({FORMS.index(form) + 1})", "")
        changed = changed.replace(".SECDED_EN(1)", ".SECDED_EN(0)")
        assert changed.replace(disturbed.sha256, core.sha256) == text


def test_cores_that_injectors_do_not_serve_are_refused() -> None:
    network = random_network((64, 64, 3), "bits", np.random.default_rng(0))
    by_two = core_of(network, layout_of(network, (Fold(1, 64, 2), Fold(1, 64, 2))))
    engine = core_of(network, layout_of(network, (Fold(1, 64), Fold(1, 64))))
    coded = core_of(
        network, hardware_layout(layout_of(network, (Fold(1, 7), Fold(1, 7))), secded=True)
    )
    for core, why in (
        (by_two, "of one image at a time, not 2"),
        (coded, "without check bits and threshold tables"),
        (replace(engine, engine=True), "not for the engine"),
    ):
        with pytest.raises(InputError, match=why):
            core_files(replace(core, injector="ring"))


def lines(scores: NDArray[np.int32]) -> list[str]:
    """Scores as the bench below prints them, each with tlast."""
    return [f"{s} {int(c == scores.shape[1] - 1)}" for row in scores for c, s in enumerate(row)]


def on_icarus(
    tmp_path: Path,
    core: Core,
    banks: dict[int, Words],
    images: NDArray[np.uint8],
    settings: dict[int, Words] | None = None,
    mistake: tuple[str, str, str] | None = None,
) -> list[str]:
    """What TESTBENCH prints of a core: scores, and whatever is wrong.

    Args:
        banks: words to write and to read back, by bank.
        settings: words to write only.
        mistake: a source file, and what to replace in it by what.
    """
    writes = [
        f"{bank:04x}{address:04x}{int(word):016x}"
        for bank, words in (banks | (settings or {})).items()
        for address, word in enumerate(words)
    ]
    (tmp_path / "writes.hex").write_text("\n".join(writes))
    is_uint8 = core.layout.shapes[0].input == "uint8"
    data = images if is_uint8 else np.packbits(images, axis=1, bitorder="little")
    end = data.shape[1] - 1
    beats = [f"{(i == end) << 8 | int(v):03x}" for row in data for i, v in enumerate(row)]
    (tmp_path / "bytes.hex").write_text("\n".join(beats))
    bench = TESTBENCH.format(
        n_writes=len(writes),
        n_reads=sum(len(words) for words in banks.values()),
        n_bytes=len(beats),
        n_scores=len(images) * core.layout.shapes[-1].n_outputs,
    )
    (tmp_path / "bench.v").write_text(bench)
    (tmp_path / "stoic_core.v").write_text(core_verilog(core))
    sources = core_sources()
    if mistake:
        name, old, new = mistake
        text = (rtl.ROOT / name).read_text()
        assert text.count(old) == 1
        (tmp_path / name).write_text(text.replace(old, new))
        sources = [tmp_path / name if path.name == name else path for path in sources]
    files = ["bench.v", "stoic_core.v", *map(str, sources)]
    subprocess.run(
        [find_iverilog(), "-g2005", "-o", "bench", "-s", "bench", *files], cwd=tmp_path, check=True
    )
    run = subprocess.run(["./bench"], cwd=tmp_path, check=True, capture_output=True, text=True)
    return run.stdout.split("\n")[:-1]
