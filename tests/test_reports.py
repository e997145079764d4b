"""What the tools say of a wrong design is heard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stoic.hw import reports
from stoic.hw.flows.pll import Family
from stoic.hw.flows.yosys import synth_command

MODULES = {
    "clean": "reg r; always @(posedge c) r <= a; assign q = r;",
    "latch": "reg r; always @* if (c) r = a; assign q = r;",
    "constant": "wire w; assign w = a & c; assign w = 1'b0; assign q = w ^ c;",
    "open": "wire w; assign q = a & w;",
}
SAYS = {
    "clean": "",
    "latch": "Latch inferred",
    "constant": "Drivers conflicting with a constant",
    "open": "is used but has no driver",
}


@pytest.mark.parametrize(
    ("family", "name"), [*(("ecp5", name) for name in MODULES), ("ice40", "constant")]
)
def test_a_design_that_is_wrong_is_known_by_its_log(
    family: Family, name: str, tmp_path: Path
) -> None:
    source = f"module top (input a, input c, output q);\n{MODULES[name]}\nendmodule\n"
    (tmp_path / "top.v").write_text(source)
    synth = synth_command(family, "up5k")
    job = {"sources": ["top.v"], "top": "top", "synth": synth, "netlist": "n", "stat": "s"}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "stoic.hw.flows.yosys", "job.json"]
    log = tmp_path / "synth.log"
    with log.open("wb") as sink:
        subprocess.run(command, cwd=tmp_path, stdout=sink, stderr=sink, check=False)
    found = reports.alarms(log)
    assert all(SAYS[name] in line for line in found[:1]) and bool(found) == (name != "clean")
    assert (tmp_path / "n").exists() or name == "latch"  # which ends it


def test_a_second_clock_and_one_without_constraint_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = {"clk": {"achieved": 40.0, "constraint": 36}, "u.tick": {"achieved": 30.0}}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"fmax": {"clk": clocks["clk"]}, "critical_paths": []}))
    assert reports.route(report, 1, 0).fmax_mhz == 40 and not caplog.records
    report.write_text(json.dumps({"fmax": clocks, "critical_paths": []}))
    assert reports.route(report, 1, 0).fmax_mhz == 30
    assert "more than one clock: clk, u.tick" in caplog.text
    assert "clock u.tick has no constraint" in caplog.text
