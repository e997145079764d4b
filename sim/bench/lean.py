"""Run a bench on Icarus for one answer: does every test pass? Ends at the first that fails.

`runner.run` builds once and tells all; this compiles every time, keeps nothing, and stops designs
that never end by their processor time, so that a busy machine changes no answer.
"""

import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cocotb_tools.config
import find_libpython

from ..verilate import find_iverilog
from .books import digest
from .runner import BUILD_ARGS, Bench, literal

_MEMORY = 4 << 30
_ENDED = re.compile(r"\*\* TESTS=(\d+) PASS=\1 FAIL=0 SKIP=0 ")
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_FAILED = re.compile(r"cocotb\.regression +\S*bench_\w+\.(\S+) failed")


@dataclass(frozen=True)
class Answer:
    """What a bench said.

    Attributes:
        builds: whether it elaborated.
        passes: whether all tests passed.
        why: the test that failed, or what else happened; "" if all passed.
        cpu_s: processor time, compilation included.
        design: hash of what was elaborated; equal for designs that simulate alike.
    """

    builds: bool
    passes: bool
    why: str
    cpu_s: float
    design: str = ""


def ask(bench: Bench, folder: Path, seed: int, limit_s: int, passing: str = "") -> Answer:
    """Compile and run a bench in an empty folder, with so much processor time for either.

    Args:
        passing: a design that passes, and is not run.
    """
    folder.mkdir(parents=True)
    for name, content in bench.inputs.items():
        (folder / name).write_bytes(content)
    parameters = [f"-P{bench.unit}.{k}={literal(v)}" for k, v in bench.parameters.items()]
    (folder / "cmds.f").write_text("+timescale+1ns/1ps\n")
    build = _run(
        [find_iverilog(), "-o", "sim.vvp", "-s", bench.unit, "-g2012", *parameters,
         *BUILD_ARGS["icarus"], "-f", "cmds.f", *map(str, bench.sources)],
        folder, dict(os.environ), limit_s,
    )  # fmt: skip
    if build.status != 0:
        return Answer(False, False, "does not elaborate", build.cpu_s)
    design = _design((folder / "sim.vvp").read_text(encoding="utf-8"))
    if design == passing:
        return Answer(True, True, "", build.cpu_s, design)
    library = find_libpython.find_libpython()
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([os.environ["PATH"], str(cocotb_tools.config.libs_dir)]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{library};{cocotb_tools.config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": bench.unit,
        "COCOTB_TEST_MODULES": f"{__package__}.{bench.module}",
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_RESULTS_FILE": "results.xml",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_REWRITE_ASSERTION_FILES": "",  # or it compiles all it imports anew, 2 s a run
    }
    vpi = cocotb_tools.config.lib_entry("vpi", "icarus")
    done = _run(["vvp", "-m", vpi, "sim.vvp", "-none"], folder, environment, limit_s)
    cpu_s = build.cpu_s + done.cpu_s
    if done.failed:
        return Answer(True, False, f"fails {done.failed}", cpu_s, design)
    if _ENDED.search(done.text):
        return Answer(True, True, "", cpu_s, design)
    return Answer(True, False, f"the simulator ends with status {done.status}", cpu_s, design)


def _design(text: str) -> str:
    """Hash of a compiled design without addresses in the compiler and names of files."""
    numbers: dict[str, int] = {}
    body = text.partition("\n:file_names")[0]
    return digest(_ADDRESS.sub(lambda m: str(numbers.setdefault(m[0], len(numbers))), body))


@dataclass(frozen=True)
class _Done:
    status: int
    text: str
    failed: str
    cpu_s: float


def _run(command: list[str], folder: Path, environment: dict[str, str], limit_s: int) -> _Done:
    """Run a command until it ends, a test fails or it used up its processor time."""
    lines, failed = [], ""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if found := _FAILED.search(line):
                failed = found[1]
                process.kill()
                break
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return _Done(process.returncode, "".join(lines), failed, usage.ru_utime + usage.ru_stime)
