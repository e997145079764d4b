"""The test plan: every feature names the tests and cover points that show it, and all are met.

A plan is TOML, a row a feature:

    [[feature]]
    name  = "stalls"                       what is to be shown
    unit  = "stoic_fifo"                   top module of the benches
    tests = ["bench_pipe.holds_back_when_full", "tests/test_rtl_units.py::test_fifo_..."]
    cover = ["source.waits", "sink.*"]     points of the unit; `*` stands for any
    why_no_cover = "..."                   in the place of `cover`, where no point makes sense

    [[gap]]                                a bin that is not met, and why
    point = "stoic_fifo.source.waits"
    bin   = "True"
    why   = "..."

`python -m stoic.sim.bench.plan PLAN --benches FOLDER --result FILE.json` runs all benches of a
folder (`shelf`), checks the plan against what they met, writes the JSON file and ends with status 1
if anything is wrong. What was run is kept beside the benches and not run again. The JSON file:

    command, kit_version
    features, cover_points, bins       numbers
    functional_coverage                bins hit / (bins - gaps explained)
    line_coverage, toggle_coverage     of rtl/*.v, over all benches; null: not measured
    gaps                               bins not met, with the reason
    files                              by file: lines, lines_hit, lines_missed, toggles, toggles_hit
    wrong                              what the plan and the run do not agree on
"""

import argparse
import ast
import json
import shlex
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..container import kit_version, writable, write_whole
from ..entry import exit_with
from ..exceptions import InputError
from . import codecover
from .books import Books
from .cover import Hits
from .measure import RUNS, Measured, measure
from .shelf import load


@dataclass(frozen=True)
class Feature:
    """A row of the plan."""

    name: str
    unit: str
    tests: tuple[str, ...]
    cover: tuple[str, ...]
    why_no_cover: str = ""

    def covers(self, point: str) -> bool:
        """Whether a cover point is one of this row."""
        return any(fnmatchcase(point, f"{self.unit}.{pattern}") for pattern in self.cover)


@dataclass(frozen=True)
class Gap:
    """A bin that no bench meets, and why."""

    point: str
    bin: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What is to be tested."""

    features: tuple[Feature, ...]
    gaps: tuple[Gap, ...]


def read(path: Path) -> Plan:
    """The plan of a file.

    Raises:
        InputError: it is not one.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return Plan(
            tuple(
                Feature(
                    v["name"],
                    v["unit"],
                    tuple(v["tests"]),
                    tuple(v.get("cover", ())),
                    v.get("why_no_cover", ""),
                )  # fmt: skip
                for v in values["feature"]
            ),
            tuple(Gap(v["point"], v["bin"], v["why"]) for v in values.get("gap", ())),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a test plan: {error!r}") from error


def missing_tests(plan: Plan, root: Path) -> list[str]:
    """Tests that rows name and that are not there.

    Args:
        root: the folder in which `tests/` stands.
    """
    wrong = []
    for feature in plan.features:
        if not feature.tests:
            wrong.append(f"{feature.unit}, {feature.name}: no test")
        for test in feature.tests:
            file, _, name = test.partition("::") if "::" in test else test.partition(".")
            path = root / file if "::" in test else Path(__file__).parent / f"{file}.py"
            if not path.is_file() or name not in _functions(path):
                wrong.append(f"{feature.unit}, {feature.name}: no test {test}")
    return wrong


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def disagreements(plan: Plan, hits: Hits) -> list[str]:
    """Points in no row, rows without points and reason, bins not met or explained, no such gaps."""
    wrong = [
        f"{point}: in no row of the plan"
        for point in sorted(hits)
        if not any(f.covers(point) for f in plan.features)
    ]
    for feature in plan.features:
        if bool(feature.cover) == bool(feature.why_no_cover):
            both = "cover points and why_no_cover"
            what = both if feature.cover else "neither cover points nor why_no_cover"
            wrong.append(f"{feature.unit}, {feature.name}: {what}")
        for pattern in feature.cover:
            one = Feature(feature.name, feature.unit, (), (pattern,))
            if not any(one.covers(point) for point in hits):
                wrong.append(f"{feature.unit}, {feature.name}: no cover point {pattern}")
    explained = {(gap.point, gap.bin) for gap in plan.gaps}
    missed = {(p, b) for p, bins in hits.items() for b, n in bins.items() if not n}
    wrong += [f"{p}: {b} is never met" for p, b in sorted(missed - explained)]
    wrong += [f"{p}: {b} is a gap in the plan only" for p, b in sorted(explained - missed)]
    return wrong


def summary(plan: Plan, got: Measured, wrong: Sequence[str]) -> dict[str, Any]:
    """What the JSON file holds."""
    hits, code = got.hits, got.code
    n_bins = sum(len(bins) for bins in hits.values())
    n_hit = sum(n > 0 for bins in hits.values() for n in bins.values())
    wanted = n_bins - len(plan.gaps)
    return {
        "command": shlex.join(["python", "-m", "stoic.sim.bench.plan", *sys.argv[1:]]),
        "kit_version": kit_version(),
        "features": len(plan.features),
        "cover_points": len(hits),
        "bins": n_bins,
        "functional_coverage": n_hit / wanted if wanted else 0.0,
        **codecover.totals(code),
        "gaps": [vars(gap) for gap in plan.gaps],
        "files": {name: cover.numbers() for name, cover in sorted(code.items())},
        "wrong": list(wrong),
    }


def main() -> int:
    """Check a plan, write the coverage; 1 when they disagree, 2 when a bench fails."""
    parser = argparse.ArgumentParser(description="test plan and coverage of the RTL")
    add = parser.add_argument
    add("plan", type=Path)
    add("--benches", type=Path, required=True, help="folder of pytest --bench-list")
    add("--result", type=Path, required=True, help="JSON file to write")
    add("--seed", type=int, default=1, help="of the benches")
    add("--jobs", type=int, default=2, help="processes at a time")
    add("--no-code", action="store_true", help="cover points only: no builds by Verilator")
    args = parser.parse_args()
    writable(args.result)
    books = Books(args.benches.resolve() / RUNS)
    plan = read(args.plan)
    got = measure(load(args.benches), books, args.seed, args.jobs, has_code=not args.no_code)
    wrong = missing_tests(plan, args.plan.parent.parent) + disagreements(plan, got.hits)
    result = summary(plan, got, wrong)
    write_whole(args.result, (json.dumps(result, indent=1) + "\n").encode())
    print("\n".join(wrong) or f"{len(plan.features)} features, {result['bins']} bins: all met")
    return int(bool(wrong))


if __name__ == "__main__":
    exit_with(main)
