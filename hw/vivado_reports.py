"""Vivado's reports, read into the values of the other flows.

Source: AMD UG906 (report_utilization, report_timing_summary), UG835; layout of 2018 to 2023.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..sim.exceptions import ToolError
from .reports import Route, Utilisation

# What Vivado says of a design that is not what its author thinks it is.
ALARMS = ("multi-driven net", "inferring latch", "combinational loop")
BLOCK_BITS = {"RAMB36": 36_864, "RAMB18": 18_432}
LUT_BITS = 64


@dataclass(frozen=True)
class Timing:
    """What `report_timing_summary` says; ns.

    Attributes:
        setup_slack_ns, hold_slack_ns: worst over all paths.
        critical_path: "from -> to: logic + routing" of the slowest path.
        n_unclocked: register pins that no clock reaches.
    """

    setup_slack_ns: float
    hold_slack_ns: float
    critical_path: str
    n_unclocked: int


def cell_table(report: Path) -> dict[str, dict[str, str]]:
    """Rows of a utilisation report by their first column, each by the names of its columns.

    Raises:
        ToolError: it is none.
    """
    found: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for line in _lines(report):
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "Used" in cells:
            names = cells
        elif len(cells) == len(names):
            found.setdefault(cells[0].rstrip("*"), dict(zip(names, cells, strict=True)))
    if "Slice LUTs" not in found:
        raise ToolError(f"{report}: no table of slice logic in it")
    return found


def utilisation(report: Path) -> Utilisation:
    """Cells after routing; block memories are halves of 18 kbit.

    Raises:
        ToolError: the report lacks one.
    """
    table = cell_table(report)

    def number(row: str, column: str = "Used") -> float:
        try:
            return float(table[row][column])
        except (KeyError, ValueError) as error:
            raise ToolError(f"{report}: no {column} of {row}") from error

    return Utilisation(
        lut4=int(number("LUT as Logic")),
        logic_cells=int(number("Slice LUTs")),
        logic_cells_available=int(number("Slice LUTs", "Available")),
        flops=int(number("Register as Flip Flop")),
        carry_cells=int(number("CARRY4")) if "CARRY4" in table else 0,
        distributed_ram_cells=int(number("LUT as Distributed RAM")),
        block_rams=round(2 * number("Block RAM Tile")),
        block_rams_available=round(2 * number("Block RAM Tile", "Available")),
    )


def memory_bits(report: Path) -> int:
    """Bits that the memories of a design hold, pads included."""
    used = utilisation(report)
    return used.block_rams * BLOCK_BITS["RAMB18"] + used.distributed_ram_cells * LUT_BITS


def n_latches(report: Path) -> int:
    """Latches of a design."""
    return int(cell_table(report).get("Register as Latch", {"Used": "0"})["Used"])


def timing(report: Path) -> Timing:
    """Slacks, slowest path and what no clock reaches.

    Raises:
        ToolError: it is no timing summary.
    """
    text = "\n".join(_lines(report))
    number = r"(-?\d+\.\d+)"
    summary = re.search(
        rf"WNS\(ns\) .*WHS\(ns\).*\n[- ]+\n +{number} +\S+ +\d+ +\d+ +{number} ", text
    )
    unclocked = re.search(r"checking no_clock \((\d+)\)", text)
    path = re.search(
        rf"Slack .*\n\s+Source: +(\S+)(?s:.*?)\n\s+Destination: +(\S+)(?s:.*?)"
        rf"Data Path Delay: +\S+ns +\(logic {number}ns \S+ +route {number}ns (?s:.*?)"
        rf"Logic Levels: +(\d+)",
        text,
    )
    if not (summary and unclocked and path):
        raise ToolError(f"{report}: not a timing summary of a routed design")
    start, end, logic, routing, levels = path.groups()
    return Timing(
        setup_slack_ns=float(summary[1]),
        hold_slack_ns=float(summary[2]),
        critical_path=f"{start} -> {end}: {float(logic):.1f} ns logic ({levels} levels) + "
        f"{float(routing):.1f} ns routing",
        n_unclocked=int(unclocked[1]),
    )


def route(found: Timing, core_hz: int, wall_s: float) -> Route:
    """Timing as the other flows tell it: Fmax is the clock that leaves no slack."""
    fmax_mhz = 1e3 / (1e9 / core_hz - found.setup_slack_ns)
    return Route(0, round(fmax_mhz, 2), found.critical_path, wall_s)


def alarms(log: Path) -> list[str]:
    """Lines of a log that say the design is wrong."""
    return [line.strip() for line in _lines(log) if any(alarm in line for alarm in ALARMS)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise ToolError(f"{path}: not a report of Vivado ({error.strerror})") from error
