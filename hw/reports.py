"""What the tools wrote, read into values: warnings, statistics and timing."""

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sim.exceptions import ToolError
from .boards import Board

_log = logging.getLogger(__name__)

FLOPS = ("TRELLIS_FF", "SB_DFF")
# What Yosys says of a design that is not what its author thinks it is.
ALARMS = (
    "multiple conflicting drivers",
    "Drivers conflicting with a constant",
    "is used but has no driver",
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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file that a tool wrote.

    Raises:
        ToolError: there is none.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: not a report of the tools ({error})") from error
    if not isinstance(values, dict):
        raise ToolError(f"{path}: not a report of the tools")
    return values


def cell_counts(stat: Path) -> Counter[str]:
    """Cells by type, from the statistics of synthesis."""
    try:
        return Counter(read_json(stat)["design"]["num_cells_by_type"])
    except (KeyError, TypeError) as error:
        raise ToolError(f"{stat}: no cell counts in it") from error


def utilisation(stat: Path, report: Path, board: Board) -> Utilisation:
    """Cells after synthesis, and after packing against what the device has."""
    cells, used = cell_counts(stat), read_json(report)["utilization"]
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


def packed(log: Path, board: Board) -> tuple[int, int]:
    """Logic cells and block memories that the packer printed.

    Raises:
        ToolError: it printed none.
    """
    kinds = (
        ("TRELLIS_COMB", "DP16KD") if board.family == "ecp5" else ("ICESTORM_LC", "ICESTORM_RAM")
    )
    text = log.read_text(errors="replace")
    found = [re.search(rf"\b{kind}: *(\d+)/", text) for kind in kinds]
    if found[0] is None or found[1] is None:
        raise ToolError(f"{log}: no count of {kinds[0]} and {kinds[1]} in it")
    return int(found[0][1]), int(found[1][1])


def placer_and_router_s(log: Path) -> tuple[float, float]:
    """Seconds that place and route says its placers took together, and its router.

    Raises:
        ToolError: it said neither.
    """
    text = log.read_text(errors="replace")
    placers = re.findall(r"(?:Placer Time:|placement time) ([\d.]+)s", text)
    routers = re.findall(r"Router\d time ([\d.]+)s", text)
    if not placers or not routers:
        raise ToolError(f"{log}: no time of a placer and a router in it")
    return round(sum(map(float, placers)), 1), round(sum(map(float, routers)), 1)


def route(report: Path, seed: int, wall_s: float) -> Route:
    """Timing of the core clock.

    Raises:
        ToolError: no report, or no clock in it.
    """
    values = read_json(report)
    timed = values.get("fmax", {})
    clocks = {name: clock["achieved"] for name, clock in timed.items()}
    if not clocks:
        raise ToolError(f"{report}: no clock was timed")
    if len(clocks) > 1:
        _log.warning("%s: more than one clock: %s", report, ", ".join(sorted(clocks)))
    for name in sorted(name for name, clock in timed.items() if not clock.get("constraint")):
        _log.warning("%s: clock %s has no constraint", report, name)
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


def alarms(log: Path) -> list[str]:
    """Lines of a synthesis log that say the design is wrong."""
    lines = log.read_text(errors="replace").splitlines()
    return [line.strip() for line in lines if any(alarm in line for alarm in ALARMS)]
