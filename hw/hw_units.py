"""What the modules of rtl take of a chip, inside a synthesised design.

Some stand in a core that `make hw-table` places; the others in designs that are only synthesised.
"""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import rtl
from . import boards
from .flows.yosys import ECP5, FIRST
from .lint import convolutional_core, kept_core, protected_core
from .reports import FLOPS, read_json
from .soc import soc_sources, soc_verilog
from .steps import step
from .synth import NETLIST, design_sources, tool_versions
from .top import core_text

BOARD = "ulx3s-25f"
# A unit of several designs is shown as it stands in the first of these.
SHOWN_IN = (
    "sfc-b1", "sfc-b1-ring", "sfc-b1-independent", "vgg3-256", "sfc-engine-b6", "kept",
    "thermometer", "protected", "soc",
)  # fmt: skip


def designs() -> dict[str, tuple[dict[str, str], str]]:
    """Sources (file name -> Verilog) and top of each design that is only synthesised.

    Tops of a board with images on the chip, with a thermometer, and with all that protects a
    network; the AXI shell.
    """
    board = boards.load(BOARD)
    cores = {
        "kept": kept_core(), "thermometer": convolutional_core(), "protected": protected_core()
    }  # fmt: skip
    found = {name: (design_sources(core, board), board.top) for name, core in cores.items()}
    core = replace(kept_core(), store=0)
    files = {path.name: path.read_text() for path in soc_sources()}
    files["stoic_core.v"] = core_text(core, board.target)
    files["stoic_soc.v"] = soc_verilog(core, clock_hz=board.core_hz, target=board.target)
    return {**found, "soc": (files, "stoic_soc")}


def synthesised(name: str, out_dir: Path) -> list[dict[str, Any]]:
    """Units of one of `designs`, of its netlist, which is made if need be.

    Raises:
        ToolError: synthesis failed.
    """
    sources, top = designs()[name]
    (out_dir / "src").mkdir(parents=True, exist_ok=True)
    for file, text in sources.items():
        (out_dir / "src" / file).write_text(text)
    job = {
        "sources": [f"src/{file}" for file in sorted(sources)],
        "top": top,
        "synth": ECP5,
        "netlist": NETLIST,
        "stat": "synth.stat.json",
    }
    (out_dir / "synth.job.json").write_text(json.dumps(job, indent=2))
    command = [sys.executable, "-m", "stoic.hw.flows.yosys", "synth.job.json"]
    inputs = [out_dir / "synth.job.json", FIRST[ECP5], *(out_dir / path for path in job["sources"])]
    outputs = [out_dir / NETLIST, out_dir / "synth.stat.json"]
    step(out_dir, "synth", command, inputs, outputs, tool_versions(boards.load(BOARD)))
    return units(out_dir, top)


def units(out_dir: Path, top: str) -> list[dict[str, Any]]:
    """Cells of every module of rtl in a netlist, by the innermost module that they stand in."""
    cells: dict[str, Any] = read_json(out_dir / NETLIST)["modules"][top]["cells"]
    modules = {
        name: cell["attributes"].get("module_hdlname", cell["attributes"].get("module", ""))
        for name, cell in cells.items()
        if cell["type"] == "$scopeinfo" and cell["parameters"]["TYPE"] == "module"
    }
    found: dict[str, Counter[str]] = {module: Counter() for module in modules.values()}
    for name, cell in cells.items():
        path = name
        while path and path not in modules:
            path = path.rpartition(".")[0]
        if path and cell["type"] != "$scopeinfo":
            kind = cell["type"]
            found[modules[path]]["FF" if kind.startswith(FLOPS) else kind] += 1
    instances = Counter(modules.values())
    ours = {path.stem for path in rtl.ROOT.glob("*.v")} | {"stoic_core"}
    return [
        {
            "unit": module,
            "instances": instances[module],
            "lut4": counts["LUT4"] + counts["SB_LUT4"],
            "carry_cells": counts["CCU2C"] + counts["SB_CARRY"],
            "flops": counts["FF"],
            "distributed_ram_cells": counts["TRELLIS_DPR16X4"],
            "block_rams": counts["PDPW16KD"] + counts["DP16KD"] + counts["SB_RAM40_4K"],
        }
        for module, counts in sorted(found.items())
        if counts and module in ours
    ]


def first_units(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of every unit the row of the first of SHOWN_IN in which it stands."""
    found: dict[str, dict[str, Any]] = {}
    for unit in sorted(cells, key=lambda unit: SHOWN_IN.index(unit["inside"])):
        found.setdefault(unit["unit"], unit)
    return [found[unit] for unit in sorted(found)]
