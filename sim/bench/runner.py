"""Build a unit with a simulator and run its bench: cocotb tests, what they compared, a seed.

A bench that cannot fail proves nothing, so `Cosim.catches` runs it on mutants of the sources too.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from ..exceptions import InputError, ToolError
from ..verilate import find_iverilog, verilator_version
from . import tally

Parameter = int | str
_ERROR = re.compile(r"\berror\b", re.I)  # of a compiler; no name of a signal, no -Werror=...


@dataclass(frozen=True)
class Bench:
    """A unit and what tests it.

    Attributes:
        unit: top module.
        module: with the cocotb tests.
        sources: Verilog files.
        parameters: of the top module; numbers, or strings as Verilog takes them.
        inputs: name -> content of files that the bench finds in its working directory.
        package: of the module.
    """

    unit: str
    module: str
    sources: tuple[Path, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    package: str = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Outcome:
    """What a run of a bench gave.

    Attributes:
        tests, failed: cocotb tests.
        compared, mismatches: elements (words, scores, answers) against golden.
        log: of the simulator.
    """

    tests: int
    failed: int
    compared: int
    mismatches: int
    log: Path


SIMULATORS = ("icarus", "verilator")
BUILD_ARGS = {"icarus": ["-g2005"], "verilator": ["-Wno-fatal", "-Wno-lint", "--no-timing"]}


def version_of(simulator: str) -> str:
    """Name and version of a simulator, e.g. "icarus 11.0"."""
    if simulator == "verilator":
        return f"verilator {verilator_version()}"
    text = subprocess.run([find_iverilog(), "-V"], capture_output=True, text=True).stdout
    found = re.search(r"version (\S+)", text)
    return f"icarus {found[1] if found else 'unknown'}"


def mutated(bench: Bench, file: str, old: str, new: str, folder: Path) -> Bench:
    """The bench on a copy of the sources in which one piece of text of one file is replaced.

    Raises:
        InputError: there is no such text, or it is there more than once.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sources = [Path(shutil.copy(path, folder)) for path in bench.sources]
    target = folder / file
    text = target.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise InputError(
            f"{file} must have {old!r} once to be mutated, not {text.count(old)} times"
        )
    target.write_text(text.replace(old, new), encoding="utf-8")
    return replace(bench, sources=tuple(sources))


def run(
    bench: Bench,
    folder: Path,
    seed: int,
    simulator: str = "icarus",
    build_args: Sequence[str] = (),
) -> Outcome:
    """Build (once for equal sources and parameters) and run a bench under `folder`.

    Args:
        simulator: one of SIMULATORS; Verilator has to be on PATH (`verilate.write_shim`).
        build_args: more for the simulator's compiler.

    Raises:
        ToolError: it does not build; with the first line of the log that says why.
    """
    build_dir = folder / f"build-{key_of(bench)}"
    test_dir = folder / f"{bench.module}-{key_of(bench)}-{len(list(folder.glob('bench_*')))}"
    test_dir.mkdir(parents=True)
    for name, content in bench.inputs.items():
        (test_dir / name).write_bytes(content)
    runner = get_runner(simulator)
    built = test_dir / "build.log"
    try:
        runner.build(
            sources=list(bench.sources),
            hdl_toplevel=bench.unit,
            parameters={k: literal(v) for k, v in bench.parameters.items()},
            build_dir=build_dir,
            build_args=[*BUILD_ARGS[simulator], *build_args],
            timescale=("1ns", "1ps"),
            log_file=built,
        )
    except RuntimeError as error:
        lines = built.read_text(encoding="utf-8", errors="replace").splitlines()
        why = next((line for line in lines if _ERROR.search(line)), str(error))
        raise ToolError(
            f"{simulator} does not build {bench.unit} {dict(bench.parameters)}: {why.strip()}"
        ) from error
    results, log = test_dir / "results.xml", test_dir / "test.log"
    try:
        runner.test(
            hdl_toplevel=bench.unit,
            test_module=f"{bench.package}.{bench.module}",
            build_dir=build_dir,
            test_dir=test_dir,
            results_xml=str(results),
            log_file=log,
            seed=seed,
            # by default all that benches import, numpy too, is compiled anew: 2 s a run
            extra_env={"COCOTB_REWRITE_ASSERTION_FILES": "bench_*.py"},
        )
    except SystemExit:  # inside pytest the runner ends so when a test fails; the results say which
        pass
    return Outcome(*get_results(results), *tally.total(test_dir), log)


class Cosim:
    """Checks of benches in one folder, for one test of pytest.

    Attributes:
        outcomes: of benches that ran before; shared by tests, so that no bench runs twice.
        record: takes ("bench", counts by name) and ("mutant", whether it was caught).
        rerun: the command that repeats the test.
        simulator: one of SIMULATORS.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        outcomes: dict[str, Outcome],
        record: Callable[[str, dict[str, str | int]], None],
        rerun: str,
        simulator: str,
    ) -> None:
        self.folder, self.seed, self.outcomes = folder, seed, outcomes
        self.record, self.rerun, self.simulator = record, rerun, simulator

    def passes(self, bench: Bench) -> None:
        """Assert that every test of the bench passes and that it compared something."""
        got = self._outcome(bench)
        counts = {
            "tests": got.tests,
            "passed": got.tests - got.failed,
            "compared": got.compared,
            "mismatches": got.mismatches,
        }
        self.record("bench", {"unit": bench.unit, **counts})
        assert got.tests and got.compared and not got.failed and not got.mismatches, (
            f"{bench.unit} {dict(bench.parameters)} seed {self.seed}: {counts}\n"
            f"{got.log.read_text(encoding='utf-8')[-2500:]}\nrerun: {self.rerun}"
        )

    def catches(self, bench: Bench, file: str, old: str, new: str) -> None:
        """Assert that the bench passes, and fails once `old` in a copy of one source is `new`."""
        assert not self._outcome(bench).failed, f"{bench.unit} fails as it is\nrerun: {self.rerun}"
        mutant = mutated(bench, file, old, new, self.folder / "mutant")
        got = run(mutant, self.folder, self.seed, self.simulator)
        self.record("mutant", {"unit": bench.unit, "caught": int(got.failed > 0)})
        assert got.failed, f"{bench.unit} passes with {new!r} for {old!r}\nrerun: {self.rerun}"

    def _outcome(self, bench: Bench) -> Outcome:
        key = f"{bench.module} {key_of(bench)} {sorted(bench.inputs.items())}"
        if key not in self.outcomes:
            self.outcomes[key] = run(bench, self.folder, self.seed, self.simulator)
        return self.outcomes[key]


def key_of(bench: Bench) -> str:
    """Hash of unit, parameters and sources."""
    digest = hashlib.sha256(repr((bench.unit, sorted(bench.parameters.items()))).encode())
    for path in bench.sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def literal(value: Parameter) -> str:
    """A parameter as compilers take it."""
    if isinstance(value, str):
        return f'"{value}"'
    # a number that an integer of Verilog does not hold needs its width
    return str(value) if value < 1 << 31 else f"{value.bit_length()}'h{value:x}"
