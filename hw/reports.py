"""What the tools wrote, read into values: statistics, timing, and the memories of a netlist."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sim.exceptions import ToolError
from .boards import Board

# Ports that let a write through when they are 1, of every memory cell that the flows can make.
WRITE_ENABLES = {
    "DP16KD": ("WEA", "WEB"),
    "PDPW16KD": ("CEW",),
    "TRELLIS_DPR16X4": ("WRE",),
    "SB_RAM40_4K": ("WCLKE", "WE"),
}
CAPACITY = {
    "DP16KD": 18_432,
    "PDPW16KD": 18_432,
    "TRELLIS_DPR16X4": 64,
    "SB_RAM40_4K": 4_096,
}  # bits
BLOCK_RAMS = ("DP16KD", "PDPW16KD", "SB_RAM40_4K")
FLOPS = ("TRELLIS_FF", "SB_DFF")
RAM_MODULE = "stoic_ram"
# What Yosys says of a design that is not what its author thinks it is.
ALARMS = (
    "multiple conflicting drivers",
    "Latch inferred",
    "found logic loop",
    "combinational loop",
)


@dataclass(frozen=True)
class Utilisation:
    """Cells of a design; `logic_cells` as the device counts them: TRELLIS_COMB or ICESTORM_LC."""

    lut4: int
    logic_cells: int
    logic_cells_available: int
    flops: int
    carry_cells: int
    distributed_ram_cells: int
    block_rams: int
    block_rams_available: int


@dataclass(frozen=True)
class Route:
    """Timing of one seed after place and route; an estimate of the tool, not a measurement.

    Attributes:
        critical_path: "from -> to: logic + routing" of the slowest path inside the clock.
        wall_s: of place and route when it ran.
    """

    seed: int
    fmax_mhz: float
    critical_path: str
    wall_s: float


@dataclass(frozen=True)
class Memory:
    """One `stoic_ram` of a netlist, and what became of it.

    Attributes:
        path: of the instance.
        parent: module in which it stands, e.g. "stoic_pe".
        bits: that its memory cells hold, pads included; 0 when it has none.
        flops: flip-flops inside it: output registers, or what the memory was turned into.
        is_writable: every write enable hangs on a net, not on a constant.
        is_read: every cell has an output that another cell uses.
        is_blank: the bitstream gives it no contents.
    """

    path: str
    parent: str
    bits: int
    flops: int
    is_writable: bool
    is_read: bool
    is_blank: bool


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ToolError(f"{path}: not a report of the tools ({error})") from error
    if not isinstance(values, dict):
        raise ToolError(f"{path}: not a report of the tools")
    return values


def cell_counts(stat: Path) -> Counter[str]:
    """Cells by type, from the statistics of synthesis."""
    try:
        return Counter(_json(stat)["design"]["num_cells_by_type"])
    except (KeyError, TypeError) as error:
        raise ToolError(f"{stat}: no cell counts in it") from error


def utilisation(stat: Path, report: Path, board: Board) -> Utilisation:
    """Cells after synthesis, and after packing against what the device has."""
    cells, used = cell_counts(stat), _json(report)["utilization"]
    is_ecp5 = board.family == "ecp5"
    logic = used["TRELLIS_COMB" if is_ecp5 else "ICESTORM_LC"]
    ram = used["DP16KD" if is_ecp5 else "ICESTORM_RAM"]
    flops = sum(n for kind, n in cells.items() if kind.startswith(FLOPS))
    return Utilisation(
        lut4=cells["LUT4"] + cells["SB_LUT4"],
        logic_cells=logic["used"],
        logic_cells_available=logic["available"],
        flops=flops,
        carry_cells=cells["CCU2C"] + cells["SB_CARRY"],
        distributed_ram_cells=cells["TRELLIS_DPR16X4"],
        block_rams=ram["used"],
        block_rams_available=ram["available"],
    )


def route(report: Path, seed: int, wall_s: float) -> Route:
    """Timing of the core clock.

    Raises:
        ToolError: no report, or no clock in it.
    """
    values = _json(report)
    clocks = {name: clock["achieved"] for name, clock in values.get("fmax", {}).items()}
    if not clocks:
        raise ToolError(f"{report}: no clock was timed")
    slowest = min(clocks, key=lambda name: clocks[name])
    return Route(seed, round(clocks[slowest], 2), _critical_path(values, slowest), round(wall_s, 1))


def _critical_path(values: dict[str, Any], clock: str) -> str:
    for path in values["critical_paths"]:
        if path["from"] == path["to"] == f"posedge {clock}":
            steps = path["path"]
            routing = sum(step["delay"] for step in steps if step["type"] == "routing")
            logic = sum(step["delay"] for step in steps) - routing
            levels = sum(step["type"] == "logic" for step in steps)
            start, end = steps[0]["from"]["cell"], steps[-1]["to"]["cell"]
            delays = f"{logic:.1f} ns logic ({levels} levels) + {routing:.1f} ns routing"
            return f"{start} -> {end}: {delays}"
    return ""


def memories(netlist: Path, top: str) -> tuple[Memory, ...]:
    """Every `stoic_ram` of a flattened netlist, by path.

    Yosys keeps a $scopeinfo cell for each instance that it flattened, even if nothing is left.
    """
    cells: dict[str, Any] = _json(netlist)["modules"][top]["cells"]
    modules = {
        name: cell["attributes"].get("module_hdlname", cell["attributes"].get("module", ""))
        for name, cell in cells.items()
        if cell["type"] == "$scopeinfo" and cell["parameters"]["TYPE"] == "module"
    }
    inside: dict[str, list[dict[str, Any]]] = {p: [] for p, m in modules.items() if m == RAM_MODULE}
    used = set[int]()
    for name, cell in cells.items():
        used.update(bit for bit in _bits(cell, "input") if isinstance(bit, int))
        path = name
        while path and path not in inside:
            path = path.rpartition(".")[0]
        if path and cell["type"] != "$scopeinfo":
            inside[path].append(cell)
    return tuple(_memory(path, modules, inside[path], used) for path in sorted(inside))


def _memory(
    path: str, modules: dict[str, str], cells: list[dict[str, Any]], used: set[int]
) -> Memory:
    parent = path.rpartition(".")[0]
    while parent and parent not in modules:
        parent = parent.rpartition(".")[0]
    rams = [cell for cell in cells if cell["type"] in CAPACITY]
    return Memory(
        path=path,
        parent=modules.get(parent, ""),
        bits=sum(CAPACITY[cell["type"]] for cell in rams),
        flops=sum(cell["type"].startswith(FLOPS) for cell in cells),
        is_writable=all(_is_writable(cell) for cell in rams),
        is_read=all(used.intersection(_bits(cell, "output")) for cell in rams),
        is_blank=not any(
            "1" in value.removeprefix("0b").removeprefix("0x")
            for cell in rams
            for key, value in cell["parameters"].items()
            if key.startswith("INIT")
        ),
    )


def _bits(cell: dict[str, Any], direction: str) -> list[int | str]:
    """What hangs on the ports of that direction: nets are numbers, constants are strings."""
    directions = cell["port_directions"]
    return [
        b
        for port, bits in cell["connections"].items()
        if directions[port] == direction
        for b in bits
    ]


def _is_writable(cell: dict[str, Any]) -> bool:
    enables = [cell["connections"].get(port, ["0"])[0] for port in WRITE_ENABLES[cell["type"]]]
    has_net = any(isinstance(bit, int) for bit in enables)
    return has_net if cell["type"] == "DP16KD" else has_net and "0" not in enables


def alarms(log: Path) -> list[str]:
    """Lines of a synthesis log that say the design is wrong."""
    lines = log.read_text(errors="replace").splitlines()
    return [line.strip() for line in lines if any(alarm in line for alarm in ALARMS)]
