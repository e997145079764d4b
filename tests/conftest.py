"""Plumbing of the RTL benches: `cosim` runs them, `--bench-json` writes down what they compared.

The JSON file (made by `make cosim`; counts have no units):

    command         that made it
    kit_version     of stoic
    simulator       name and version
    seed            of every bench (`--bench-seed`)
    benches         by unit: {"unit", "tests", "passed": cocotb tests,
                              "compared", "mismatches": words, scores and answers against golden}
    mutants         designs with one deliberate mistake that were run
    mutants_caught  those of which at least one test failed
"""

import json
import os
import shlex
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from stoic.sim.bench.runner import SIMULATORS, Cosim, Outcome, version_of
from stoic.sim.bench.shelf import Shelf

SEED = 1
COUNTS = ("tests", "passed", "compared", "mismatches")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stoic")
    group.addoption(
        "--bench-json", type=Path, help="write what the RTL benches compared to this file"
    )
    group.addoption(
        "--bench-list", type=Path, help="put the RTL benches into this folder, run nothing"
    )
    group.addoption(
        "--record", action="store_true", help="record a virtual board anew: tests/recordings"
    )
    group.addoption("--bench-seed", type=int, default=SEED, help="seed of the RTL benches")
    group.addoption("--simulator", choices=SIMULATORS, default="icarus", help="of the RTL benches")


def pytest_configure(config: pytest.Config) -> None:
    # a shell starts background jobs with Ctrl-C ignored, and programs under test would inherit it
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = config.getoption("--bench-json")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(BenchJson(path.resolve(), config), "stoic-bench-json")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--bench-list") is not None:  # only the tests that run benches
        items[:] = [i for i in items if "cosim" in getattr(i, "fixturenames", ())]


class BenchJson:
    """Sums up what `cosim` recorded with each test, also in the workers of pytest-xdist."""

    def __init__(self, path: Path, config: pytest.Config) -> None:
        self.path, self.config = path, config
        self.benches: dict[str, dict[str, int]] = {}
        self.mutants = self.caught = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        properties: list[tuple[str, Any]] = [*report.user_properties]
        for name, value in properties:
            if name == "bench":
                row = self.benches.setdefault(value["unit"], dict.fromkeys(COUNTS, 0))
                for key in COUNTS:
                    row[key] += value[key]
            elif name == "mutant":
                self.mutants += 1
                self.caught += value["caught"]

    def pytest_sessionfinish(self) -> None:
        values = {
            "command": shlex.join(["pytest", *self.config.invocation_params.args]),
            "kit_version": version("stoic"),
            "simulator": version_of(str(self.config.getoption("--simulator"))),
            "seed": self.config.getoption("--bench-seed"),
            "benches": [{"unit": unit, **row} for unit, row in sorted(self.benches.items())],
            "mutants": self.mutants,
            "mutants_caught": self.caught,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def virtual_builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where virtual boards are built, once a session; workers of xdist share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "virtual"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def outcomes() -> dict[str, Outcome]:
    """Outcomes of the benches that ran in this session."""
    return {}


@pytest.fixture
def cosim(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    record_property: Callable[[str, Any], None],
    outcomes: dict[str, Outcome],
) -> Cosim | Shelf:
    """Runs benches; builds are shared by the tests of a session (of a worker, under xdist)."""
    shelf: Path | None = request.config.getoption("--bench-list")
    if shelf is not None:
        return Shelf(shelf)
    folder = tmp_path_factory.getbasetemp() / "cosim"
    folder.mkdir(exist_ok=True)
    seed: int = request.config.option.bench_seed
    simulator: str = request.config.option.simulator
    rerun = (
        f"python -m pytest {shlex.quote(request.node.nodeid)} "
        f"--bench-seed {seed} --simulator {simulator}"
    )
    return Cosim(folder, seed, outcomes, record_property, rerun, simulator)
