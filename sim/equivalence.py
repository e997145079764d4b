"""Proof that a mutant is no mistake at all: it behaves as the original whatever comes in.

Yosys elaborates the tops of benches with the original and with the mutated file, and compares every
parametrisation of the module that it finds, on its own, flattened, memories as registers, its
inputs free: registers of the same name pair up, and `equiv_induct` proves by induction over
N_STEPS cycles that outputs and next states stay equal, unknown values included (`-undef`).

`python -m stoic.sim.equivalence JOB.json` proves one job, in a process of its own since Yosys ends
its process on an error; the last line it prints is the answer.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench.runner import Bench

N_STEPS = 4
CPU_S = 60  # processor seconds of a job; what takes longer is not proven
_PREPARE = ("proc", "flatten", "opt_expr -keepdc", "opt_clean", "memory -nomap", "memory_map")
_PROVE = (
    "equiv_make gold gate equiv", "hierarchy -top equiv", "opt_clean", "equiv_struct",
    "equiv_simple -undef", f"equiv_induct -undef -seq {N_STEPS}",
)  # fmt: skip


def is_equivalent(module: str, file: Path, mutated: Path, benches: Sequence[Bench]) -> bool:
    """Whether a mutated file is proven equal at every parametrisation that these benches use.

    Args:
        module: its name; the only one of the file.
        file: the original, a source of every bench.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        tops = [
            {
                "top": bench.unit,
                "parameters": dict(bench.parameters),
                "gold": [str(path) for path in bench.sources],
                "gate": [
                    str(mutated if path.name == file.name else path) for path in bench.sources
                ],
            }
            for bench in benches
        ]
        job.write_text(json.dumps({"module": module, "tops": tops, "folder": folder}))
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(job)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (CPU_S, CPU_S))
        said = process.communicate()[0]
        return process.returncode == 0 and said.rstrip().endswith("equivalent")


def elaborate(design: Any, top: dict[str, Any], which: str) -> None:
    """Read the sources of a top and derive its parametrised modules."""
    from pyosys import libyosys  # type: ignore[attr-defined]

    for source in top[which]:
        libyosys.run_pass(f'read_verilog "{source}"', design)
    for name, value in top["parameters"].items():
        text = f'"{value}"' if isinstance(value, str) else str(value)
        libyosys.run_pass(f"chparam -set {name} {text} {top['top']}", design)
    libyosys.run_pass(f"hierarchy -top {top['top']}", design)


def main() -> None:
    """Prove the job whose file is the argument."""
    from pyosys import libyosys  # type: ignore[attr-defined]

    job = json.loads(Path(sys.argv[1]).read_text())
    report = Path(job["folder"]) / "report"
    design = libyosys.Design()

    def run(*commands: str) -> None:
        for command in commands:
            libyosys.run_pass(command, design)

    proved: set[str] = set()
    for top in job["tops"]:
        for which in ("gate", "gold"):
            run("design -reset")
            elaborate(design, top, which)
            run(f"design -save {which}")
        run(f"tee -q -o {report} ls")
        found = re.findall(
            rf"^\s+(\S*\b{job['module']}(?:\\\S*)?)$", report.read_text(), re.MULTILINE
        )
        for name in sorted(set(found) - proved):
            for which in ("gold", "gate"):
                run(f"design -load {which}", f"hierarchy -top {name}", *_PREPARE)
                run(f"rename {name} {which}", f"design -save {which}_one")
            run("design -reset")
            for which in ("gold", "gate"):
                run(f"design -copy-from {which}_one -as {which} {which}")
            run(*_PROVE, f"tee -q -o {report} equiv_status")
            if "Equivalence successfully proven!" not in report.read_text():
                print("different")
                return
            proved.add(name)
    print("equivalent" if proved else "different")


if __name__ == "__main__":
    main()
