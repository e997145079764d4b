"""Vivado's project, written and run: by a script that has Vivado's name and hands reports over.

`tests/vivado/*.rpt` are written after the layout that AMD documents; `*.tcl` are what the flow
wrote when it was last looked at, and `python -m tests.test_vivado` writes them anew.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from stoic.hw import boards, cli, synth, vivado
from stoic.hw.flows.vivado import build_tcl
from stoic.hw.synth import Build, Design
from stoic.sim import network as networks
from stoic.sim.core import Core, core_of
from stoic.sim.exceptions import InputError, ToolError

from .test_deploy import refusal
from .test_synth import LAYOUT
from .test_virtual import NETWORK

FOLDER = Path(__file__).parent / "vivado"
BOARDS = ("arty-a7-35t", "pynq-z2")
CORE = Core(LAYOUT)


def script_of(name: str) -> str:
    board = boards.load(name)
    sources = [f"src/{source}" for source in vivado.sources_of(CORE, board)]
    return build_tcl(board, sources, "tiny.bit")


@pytest.mark.parametrize("name", BOARDS)
def test_the_script_is_the_one_that_was_looked_at(name: str) -> None:
    assert script_of(name) == (FOLDER / f"{name}.tcl").read_text()


def interpret(folder: Path, slack: float) -> tuple[list[list[str]], int]:
    """Commands of a script that are not Tcl's own, in order, and its status."""
    tkinter = pytest.importorskip("tkinter")
    tcl = tkinter.Tcl()
    calls: list[list[str]] = []

    def vivados(*words: str) -> str:
        calls.append(list(words))
        is_path = words[0] == "get_timing_paths"
        return "path" if is_path else str(slack) if words[:2] == ("get_property", "SLACK") else ""

    tcl.createcommand("vivados", vivados)
    tcl.eval("proc exit status {error left-$status}; proc unknown args {vivados {*}$args}")
    tcl.eval("foreach own {puts glob file} {rename $own {}}")
    tcl.eval(f"cd {{{folder}}}")
    try:
        tcl.eval((folder / "build.tcl").read_text())
    except tkinter.TclError as error:
        assert str(error) == "left-1"
        return calls, 1
    return calls, 0


@pytest.mark.parametrize("name", BOARDS)
def test_the_script_reads_what_is_there_and_gives_no_bitstream_that_is_too_slow(
    name: str, tmp_path: Path
) -> None:
    board = boards.load(name)
    design = Design("tiny", CORE, board, vivado.sources_of(CORE, board))
    project = vivado.write_project(design, tmp_path)
    calls, status = interpret(tmp_path, 0.5)
    assert status == 0
    read = " ".join(word for call in calls for word in call if ".v" in word or ".xdc" in word)
    found = [word for word in read.split() if word.endswith((".v", ".xdc"))]
    assert found == [*project.sources, "pins.xdc"]
    assert all((tmp_path / path).is_file() for path in found)
    modules = {
        m
        for p in found[:-1]
        for m in re.findall(r"^module (\w+)", (tmp_path / p).read_text(), re.M)
    }
    top = board.top if board.has_uart else "stoic_zynq"
    assert top in modules and any(top in call for call in calls)
    assert any(board.part in call for call in calls)
    makes = [c for c in calls if c[0] == "write_bitstream" or c[:3] == ["file", "copy", "-force"]]
    assert makes and any("tiny.bit" in call for call in makes)
    calls, status = interpret(tmp_path, -0.5)
    assert status == 1
    assert not [c for c in calls if c[0] == "write_bitstream" or c[0] == "file"]


def play(
    folder: Path, change: Callable[[str], str] = str, log: str = "", version: str = "2099.1"
) -> None:
    """A `vivado` that hands out the reports, changed, and a bitstream."""
    reports = folder / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.rpt"):
        (reports / path.name).write_text(change(path.read_text()))
    script = f"""\
#!/bin/sh
[ "$1" = -version ] && {{ echo "Vivado v{version} (64-bit)"; exit 0; }}
echo "{log}"; echo run >> {folder}/runs
cp {reports}/*.rpt . && echo bits > tiny.bit && echo "<EDKSYSTEM/>" > tiny.hwh
"""
    (folder / "vivado").write_text(script)
    (folder / "vivado").chmod(0o755)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    play(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def build(folder: Path, name: str = "arty-a7-35t") -> Build:
    return synth.build("tiny", CORE, boards.load(name), folder / "out")


@pytest.mark.parametrize("name", BOARDS)
def test_reports_become_the_row_of_the_other_flows(tool: Path, tmp_path: Path, name: str) -> None:
    made = build(tmp_path, name)
    row: dict[str, Any] = json.loads((tmp_path / "out" / "build.json").read_text())
    assert row["label"] == "Vivado implementation estimate"
    assert row["tools"] == {"vivado": "2099.1"}
    assert asdict(made.utilisation) == {
        "lut4": 3072,
        "logic_cells": 3120,
        "logic_cells_available": 20800,
        "flops": 5000,
        "carry_cells": 389,
        "distributed_ram_cells": 40,
        "block_rams": 5,
        "block_rams_available": 100,
    }
    asked_mhz = {"arty-a7-35t": 96.0, "pynq-z2": 100.0}[name]
    assert row["fmax_mhz_best"] == round(1e3 / (1e3 / asked_mhz - 1.25), 2)
    assert made.best.critical_path == (
        "u_top/u_core/layer0/count_q_reg[3]/C -> u_top/u_core/layer0/sum_q_reg[9]/D: "
        "2.3 ns logic (6 levels) + 6.7 ns routing"
    )
    assert build(tmp_path, name) == made
    assert (tool / "runs").read_text() == "run\n"  # the second time it had nothing to do


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (r"(Register as Latch +\|) +0 ", r"\1 3 ", "3 latches were inferred"),
        (r"no_clock \(0\)", "no_clock (7)", "no clock reaches 7 registers"),
        (r" 1\.250( +0\.000 +0 +13000)", r"-0.250\1", "setup times are not met by 0.25 ns; u_top"),
        (r" 0\.031( +0\.000 +0 +13000)", r"-0.031\1", "hold times are not met by 0.031 ns"),
        (
            r"(Distributed RAM \||RAM Tile +\|) +[\d.]+ ",
            r"\1 0 ",
            "hold 0 bits, the weights alone are",
        ),
        (r"Slice LUTs", "CLB LUTs", "no table of slice logic"),
        (r"Data Path Delay", "Delay", "not a timing summary"),
    ],
)
def test_a_design_that_is_wrong_is_refused(
    tool: Path, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    build(tmp_path)
    assert (tmp_path / "out" / "build.json").exists()
    play(tool, lambda text: re.sub(old, new, text), version="2099.2")
    with pytest.raises(ToolError, match=re.escape(problem)):
        build(tmp_path)
    assert not (tmp_path / "out" / "build.json").exists()


def test_a_kit_that_judges_otherwise_takes_back_what_it_made(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(tmp_path)
    monkeypatch.setattr(vivado, "_problem", lambda *_: "is wrong")
    with pytest.raises(ToolError, match="tiny on arty-a7-35t: is wrong"):
        build(tmp_path)
    assert not made.bitstream.exists() and not (tmp_path / "out" / "build.json").exists()


def test_an_alarm_in_the_log_and_a_tool_that_fails_are_refused(tool: Path, tmp_path: Path) -> None:
    play(tool, log="CRITICAL WARNING: [Synth 8-6859] multi-driven net on pin Q")
    with pytest.raises(ToolError, match="synthesis warns: CRITICAL WARNING.* multi-driven net"):
        build(tmp_path)
    assert not (tmp_path / "out" / "tiny.bit").exists()
    script = (tool / "vivado").read_text().replace("cp ", 'echo "ERROR: no licence"; exit 1; cp ')
    (tool / "vivado").write_text(script)
    (tmp_path / "out" / "vivado.step.json").unlink()
    with pytest.raises(ToolError, match=r"vivado of out failed: ERROR: no licence; log: "):
        build(tmp_path)


def test_without_vivado_the_project_is_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    networks.save(NETWORK, tmp_path / "net.stoic")
    command = ["synth", str(tmp_path / "net.stoic"), "--board", "arty-a7-35t"]
    assert cli.run([*command, "--json"]) == 0
    out, err = capfd.readouterr()
    row = json.loads(out)
    assert row["bitstream"] is None and row["run"].endswith("-source build.tcl")
    planned, said = err.splitlines()
    assert planned.startswith("stoic: plan: ") and "run it there: vivado -mode batch" in said
    assert (tmp_path / "arty-a7-35t" / "build.tcl").is_file()
    said = refusal(capfd, *command, "--seeds", "2")
    assert "built by Vivado, which has no seeds" in said
    with pytest.raises(ToolError, match="not on PATH; its project is written to .*arty"):
        synth.build("net", core_of(NETWORK), boards.load("arty-a7-35t"), tmp_path / "arty")
    with pytest.raises(InputError, match="no netlist of open tools"):
        synth.tool_versions(boards.load("arty-a7-35t"))


if __name__ == "__main__":
    for board_name in BOARDS:
        (FOLDER / f"{board_name}.tcl").write_text(script_of(board_name))
