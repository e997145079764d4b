"""A small network through real synthesis, place and route; and designs that must be refused."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from stoic.hw import boards, netlist, steps, synth
from stoic.hw.boards import Board
from stoic.hw.boards.pins import placed
from stoic.hw.flows import nextpnr
from stoic.hw.flows.pll import Family, find_pll
from stoic.hw.netlist import Memory, memories, memory_problems
from stoic.hw.reports import placer_and_router_s
from stoic.hw.synth import Build, ClockMissedError, Design
from stoic.sim.core import Core
from stoic.sim.exceptions import InputError, ToolError
from stoic.sim.memory import Fold, Layout, Shape

SHAPES = (Shape(48, 32, "bits", True), Shape(32, 10, "bits", False))
LAYOUT = Layout(SHAPES, (Fold(2, 16), Fold(1, 16)))
SEED = 3
WITH_UART = [name for name in boards.names() if boards.load(name).has_uart]


def design(board: Board, sources: Mapping[str, str]) -> Design:
    return Design("tiny", Core(LAYOUT), board, sources)


@pytest.fixture(scope="module")
def board() -> Board:
    return boards.load("icebreaker")


@pytest.fixture(scope="module")
def sources(board: Board) -> dict[str, str]:
    return synth.design_sources(Core(LAYOUT), board)


@pytest.fixture(scope="module")
def build(board: Board, sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Build:
    return synth.build_design(design(board, sources), tmp_path_factory.mktemp("build"), (SEED,))


def test_small_network_becomes_a_bitstream_that_meets_the_clock(build: Build, board: Board) -> None:
    row = json.loads((build.bitstream.parent / "build.json").read_text())
    assert row["label"] == "place-and-route estimate"
    assert row["timing_met"] and row["seeds"] == [SEED] == [row["best_seed"]]
    assert row["fmax_mhz_best"] >= row["clock_mhz_asked"] == board.core_hz / 1e6
    assert row["cycles_per_image"] == max(row["layer_cycles"])
    assert row["images_per_s_at_clock"] == round(board.core_hz / row["cycles_per_image"])
    assert build.bitstream.read_bytes()[:8].endswith(b"\x7e\xaa\x99\x7e")  # iCE40's preamble


def test_figures_are_those_of_the_netlist(build: Build, board: Board) -> None:
    found = memories(build.bitstream.parent / "synth.netlist.json", board.top)
    weights = [memory for memory in found if memory.parent == "stoic_pe"]
    assert [memory.bits for memory in weights] == [4096] * 3  # two processing elements, and one
    assert build.utilisation.block_rams == build.prediction.block_rams_predicted
    assert 0 < build.utilisation.lut4 <= build.utilisation.logic_cells < 5280


def test_seconds_of_every_step_are_kept(build: Build) -> None:
    folder = build.bitstream.parent
    for name in ("synth", f"seed{SEED}", "pack"):
        taken = json.loads((folder / f"{name}.step.json").read_text())
        assert 0 < taken["cpu_s"] < 600 and 0 < taken["wall_s"]
    assert 0 < sum(placer_and_router_s(folder / f"seed{SEED}.log")) <= build.routes[0].wall_s


def test_second_run_does_nothing(build: Build, board: Board, sources: dict[str, str]) -> None:
    folder = build.bitstream.parent
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.*")}
    again = synth.build_design(design(board, sources), folder, (SEED,))
    changed = [p.name for p in folder.glob("*.*") if p.stat().st_mtime_ns != before.get(p)]
    assert again == build
    assert not changed


@pytest.mark.parametrize("damaged", ["", '{"key": ', "[]", "{}", "same key"])
def test_a_damaged_stamp_counts_as_not_done(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("1")
    command = [sys.executable, "-c", "open('runs', 'a').write('.'); open('made', 'w')"]

    def run() -> float:
        made = tmp_path / "made"
        return steps.step(tmp_path, "copy", command, [tmp_path / "input"], [made], {})

    assert run() == run() and (tmp_path / "runs").read_text() == "."
    stamp = tmp_path / "copy.step.json"
    values = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**values, "wall_s": None}) if damaged == "same key" else damaged)
    assert run() == run() and (tmp_path / "runs").read_text() == ".."


INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from stoic.hw import steps

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell said so
folder, hashed = Path(sys.argv[1]), steps.file_sha256
slow = [sys.executable, "-c", "import time; time.sleep(600)"]

def late(path):  # one tool runs, the other one is about to start
    if path.name == "2":
        while not steps._running:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
    return hashed(path)

steps.file_sha256 = late
work = lambda name: steps.step(folder, f"tool{name}", slow, [folder / name], [], {})
try:
    steps.at_once(work, ["1", "2", "3"], 2)
except KeyboardInterrupt:
    print(len(steps._running), *sorted(path.name for path in folder.glob("tool*")))
"""


def test_ctrl_c_ends_tools_that_run_and_those_that_start_then(tmp_path: Path) -> None:
    for name in "123":
        (tmp_path / name).touch()
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 tool1.log tool2.log\n"


def test_two_builds_of_a_folder_wait_for_each_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="stoic.hw.steps")
    order: list[str] = []

    def second() -> None:
        with steps.alone(tmp_path):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with steps.alone(tmp_path):
            waiting = pool.submit(second)
            while not caplog.records:
                time.sleep(0.01)
            order.append("first")
        waiting.result(timeout=30)
    assert order == ["first", "second"] and "another process builds in" in caplog.text


def test_a_build_of_other_sources_is_forgotten_before_they_are_written(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = (design(board, {"stoic_top.v": text}) for text in ("// 1", "// 2"))
    record = tmp_path / "build.json"
    synth.write_sources(first, tmp_path)
    record.write_text("{}")
    synth.write_sources(first, tmp_path)
    assert record.exists()
    monkeypatch.setattr(steps, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        synth.write_sources(other, tmp_path)
    assert not record.exists()
    assert (tmp_path / "src" / "stoic_top.v").read_text() == "// 1"


def test_a_build_of_other_seeds_is_forgotten_before_a_run_that_is_killed(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, record = design(board, {"stoic_top.v": "// 1"}), tmp_path / "build.json"
    synth.write_sources(made, tmp_path)
    inputs = synth.inputs_sha256(made, (1,), synth.tool_versions(board))
    record.write_text(json.dumps({"inputs_sha256": inputs}))
    monkeypatch.setattr(synth, "step", killed)
    for seed, is_kept in ((1, True), (2, False)):
        with pytest.raises(KeyboardInterrupt):
            synth.build_design(made, tmp_path, (seed,))
        assert record.exists() == is_kept


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_sources_that_are_no_text_are_written_anew(board: Board, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "stoic_top.v").write_bytes(b"\xff")
    synth.write_sources(design(board, {"stoic_top.v": "// 1"}), tmp_path)
    assert (tmp_path / "src" / "stoic_top.v").read_text() == "// 1"


def test_same_seed_gives_the_same_bitstream_elsewhere(
    build: Build, board: Board, sources: dict[str, str], tmp_path: Path
) -> None:
    again = synth.build_design(design(board, sources), tmp_path / "elsewhere", (SEED,))
    assert again.bitstream.read_bytes() == build.bitstream.read_bytes()
    assert again.inputs_sha256 == build.inputs_sha256


def test_refuses_a_clock_that_no_seed_meets(
    build: Build, board: Board, sources: dict[str, str]
) -> None:
    fast = replace(board, core_hz=192_000_000)
    problem = r"192 MHz not met on any of seeds 3; best [\d.]+ MHz, u_"
    with pytest.raises(ClockMissedError, match=problem) as missed:
        synth.build_design(design(fast, sources), build.bitstream.parent, (SEED,))
    assert [r.seed for r in missed.value.routes] == [SEED]
    assert max(r.fmax_mhz for r in missed.value.routes) < 192
    assert not build.bitstream.exists()


def test_refuses_a_design_that_does_not_fit(build: Build, board: Board) -> None:
    small = replace(board, ram_count=3)
    with pytest.raises(ToolError, match=r"does not fit: needs \d+ block memories, the board has 3"):
        netlist.check_netlist("tiny", LAYOUT, small, build.bitstream.parent)


def test_refuses_weights_that_are_never_written(
    board: Board, sources: dict[str, str], tmp_path: Path
) -> None:
    """With its write enable tied off a memory is a constant, and synthesis folds it away."""
    pe = sources["stoic_pe.v"].replace(".we_i(we_i)", ".we_i(1'b0)")
    assert pe != sources["stoic_pe.v"]
    with pytest.raises(ToolError, match=r"weight memory .*L0\.P00\.weights.* came out empty"):
        synth.build_design(design(board, {**sources, "stoic_pe.v": pe}), tmp_path, (SEED,))
    assert not list(tmp_path.glob("*.bin"))


def test_refuses_weights_of_which_half_are_constant(
    board: Board, sources: dict[str, str], tmp_path: Path
) -> None:
    """The upper half of every word is written 0: the block is there, half of it without use."""
    half = "{{(SIMD - SIMD / 2){1'b0}}, x_i[SIMD/2-1:0]}"
    pe = sources["stoic_pe.v"].replace("word = x_i[SIMD-1:0];", f"word = {half};")
    assert pe != sources["stoic_pe.v"]
    with pytest.raises(
        ToolError, match=r"L0\.P00\.weights\) lost lanes: of 16 data bits 8 are written"
    ):
        synth.build_design(design(board, {**sources, "stoic_pe.v": pe}), tmp_path, (SEED,))
    assert not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize("bank", range(3))
@pytest.mark.parametrize(
    ("port", "bit", "what"),
    [
        ("RDATA", 1 << 30, "16 are written, 15 read"),  # a net that nothing reads
        ("WDATA", "0", "15 are written, 16 read"),
    ],
)
def test_refuses_a_netlist_with_one_lane_cut(
    build: Build, board: Board, bank: int, port: str, bit: int | str, what: str, tmp_path: Path
) -> None:
    found = memories(build.bitstream.parent / "synth.netlist.json", board.top)
    path = [memory.path for memory in found if memory.parent == "stoic_pe"][bank]
    values = json.loads((build.bitstream.parent / "synth.netlist.json").read_text())
    cells = values["modules"][board.top]["cells"]
    ram = next(c for n, c in cells.items() if n.startswith(path) and c["type"] == "SB_RAM40_4K")
    lanes = ram["connections"][port]
    lanes[next(i for i, net in enumerate(lanes) if isinstance(net, int))] = bit
    (tmp_path / "cut.json").write_text(json.dumps(values))
    (problem,) = memory_problems(LAYOUT, memories(tmp_path / "cut.json", board.top))
    assert f"{path} (" in problem
    assert problem.endswith(f"lost lanes: of 16 data bits {what}")


@pytest.mark.parametrize(("n_read", "is_enough"), [(12, True), (11, False)])
def test_fan_in_below_simd_needs_no_more_lanes_than_inputs(
    build: Build, board: Board, n_read: int, is_enough: bool
) -> None:
    narrow = Layout((Shape(12, 32, "bits", True), SHAPES[1]), LAYOUT.folds)
    found = [
        replace(m, n_read=n_read) if m.parent == "stoic_pe" and ".layer0." in m.path else m
        for m in memories(build.bitstream.parent / "synth.netlist.json", board.top)
    ]
    assert (not list(memory_problems(narrow, found))) == is_enough


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"cell_words": 20, "n_written": 48, "n_read": 47}, "of 48 data bits 48 are written"),
        ({"bits": 0, "flops": 768}, "turned into flip-flops"),
        ({"bits": 0, "flops": 0}, "came out empty"),
        ({"is_writable": False}, "never written"),
        ({"is_read": False}, "never read"),
        ({"is_blank": False}, "initialised by the bitstream"),
        ({"parent": "elsewhere"}, "2 weight memories, the layout 3"),
    ],
)
def test_names_what_is_wrong_with_a_memory(
    build: Build, board: Board, change: dict[str, object], problem: str
) -> None:
    found = list(memories(build.bitstream.parent / "synth.netlist.json", board.top))
    assert not list(memory_problems(LAYOUT, found))
    at = next(i for i, memory in enumerate(found) if memory.parent == "stoic_pe")
    found[at] = Memory(**{**vars(found[at]), **change})
    assert any(problem in text for text in memory_problems(LAYOUT, found))


def test_missing_tool_is_one_line(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nextpnr, "packages", lambda board: ("pyosys-of-another-world",))
    with pytest.raises(ToolError, match="pyosys-of-another-world is not installed; pip install"):
        synth.tool_versions(board)


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="unknown board 'arty'; known boards: arty-a7-35t, colorlight-i5, ecpix5"
    ):
        boards.load("arty")


@pytest.mark.parametrize("name", WITH_UART)
def test_board_file_is_checked(name: str, tmp_path: Path) -> None:
    known = boards.load(name)
    text = (known.pins.parent / "board.toml").read_text()
    folder = tmp_path / name
    folder.mkdir()
    (folder / known.pins.name).write_text(known.pins.read_text())
    for old, new, problem in [
        (r"\[uart\]", "[uart]\nparity = 1", "unknown keys: parity"),
        ("baud = ", "bauds = ", "missing or unknown keys: baud, bauds"),
        (r"baud = [\d_]+", "baud = 10_000_000", r"% off 10000000 baud"),
        ("core_hz = ", "core_hz = 9", "PLL makes .* MHz, not 9"),
        (r"(core_hz = \d+_)0", r"\g<1>1", "PLL cannot make"),
        ("pll_cell = ", 'pll_cell = "MMCM" # ', "pll_cell must be one of"),
        ("ram_count = ", "ram_count = -", "ram_count must be"),
        (r"\[device\]", "", "not a board file"),
    ]:
        changed, n = re.subn(old, new, text)
        assert n == 1
        (folder / "board.toml").write_text(changed)
        with pytest.raises(InputError, match=problem):
            boards.read(folder)


def test_a_zynq_has_no_uart(tmp_path: Path) -> None:
    known = boards.load("pynq-z2")
    assert set(known.ports) == {"led_o[0]", "led_o[1]", "led_o[2]"}
    text = (known.pins.parent / "board.toml").read_text()
    folder = tmp_path / "zynq"
    folder.mkdir()
    (folder / known.pins.name).write_text(known.pins.read_text())
    for old, new, problem in [
        (r"\[io\]", '[uart]\nbaud = 115_200\nusb = ["0403:6010"]\n[io]', "a zynq7 has no"),
        ("core_hz = 100_", "core_hz = 99_", "PLL cannot make"),
        ("n_leds = 3", "n_leds = 4", r"no pin for led_o\[3\]"),
    ]:
        (folder / "board.toml").write_text(re.sub(old, new, text))
        with pytest.raises(InputError, match=problem):
            boards.read(folder)


@pytest.mark.parametrize("name", WITH_UART)
def test_pins_are_those_of_the_wrapper(name: str, tmp_path: Path) -> None:
    known = boards.load(name)
    declared = re.findall(
        r"^ +(?:in|out)put +wire (\[.*\] )?([a-z_0-9, ]+?),?$", boards.wrapper_verilog(known), re.M
    )
    ports = [port for _, line in declared for port in line.split(", ")]
    assert sorted(ports) == sorted({port.partition("[")[0] for port in known.ports})

    text, tx = known.pins.read_text(), "uart_tx_o"
    (line,) = re.findall(rf"^(?:LOCATE|set_io|set_property).*\b{tx}\b.*\n", text, re.M)
    pins = dict(placed(text, known.family))
    folder = tmp_path / name
    folder.mkdir()
    (folder / "board.toml").write_text((known.pins.parent / "board.toml").read_text())
    for changed, problem in [
        (text.replace(line, ""), f"no pin for {tx}"),
        (text.replace(line, line + line.replace(tx, "scl_o")), "the top has no port scl_o"),
        (text.replace(line, line * 2), f"port {tx} stands in 2 lines"),
        (text.replace(line, line.replace(pins[tx], pins["clk_i"])), "pin .* stands in 2 lines"),
    ]:
        (folder / known.pins.name).write_text(changed)
        with pytest.raises(InputError, match=problem):
            boards.read(folder)


def test_pll_settings_are_exact_and_in_range() -> None:
    for core_mhz in range(18, 200, 6):
        pll = find_pll("ice40", 12_000_000, core_mhz * 1_000_000)
        assert pll.pin_hz * pll.multiply == core_mhz * 1_000_000 * pll.divide * pll.post
        assert 533e6 <= pll.core_hz * pll.post <= 1066e6
    for core_mhz in range(25, 200, 5):
        pll = find_pll("ecp5", 25_000_000, core_mhz * 1_000_000)
        assert pll.pin_hz * pll.multiply == pll.core_hz * pll.divide
        assert 400e6 <= pll.core_hz * pll.post <= 800e6
    for core_mhz in range(40, 200, 5):
        pll = find_pll("xc7", 100_000_000, core_mhz * 1_000_000)
        assert pll.pin_hz * pll.multiply == pll.core_hz * pll.divide * pll.post
        assert 800e6 <= pll.core_hz * pll.post <= 1600e6 and pll.pin_hz / pll.divide >= 19e6
    assert find_pll("zynq7", 50_000_000, 62_500_000).post == 16
    pins: dict[Family, int] = {"ice40": 12_000_000, "xc7": 100_000_000, "zynq7": 50_000_000}
    for family, pin_hz in pins.items():
        with pytest.raises(InputError, match="cannot make"):
            find_pll(family, pin_hz, 31_415_927)
