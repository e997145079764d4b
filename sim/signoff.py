"""One verdict on the RTL, from the JSON files of the targets that checked it.

`python -m stoic.sim.signoff --results FOLDER --agreements FILE... --result FILE.json` reads, and
ends with status 1 if a file is missing or any of GOALS is missed. The JSON file:

    command, kit_version
    mismatches             scores that are not golden's, of all agreements
    scores_compared        scores of all devices under all maps
    injected_flips         bits that maps changed, once for every device that was given the map
    agreements             network, board, devices, maps and images of each
    mutation_score, mutants, mutants_survived         of mutants.json
    functional_coverage, line_coverage, toggle_coverage   of coverage.json
    proofs, proofs_failed, proof_mutants_missed       of proofs.json
    missed                 goals that are not reached, one line each
    missing                files that are not there or lack a value, one line each; what they
                           would have told is null
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .container import kit_version, writable, write_whole
from .entry import exit_with
from .exceptions import ArtefactError

# file -> make target that writes it, and what is taken: name here -> name there
SOURCES: dict[str, tuple[str, dict[str, str]]] = {
    "mutants.json": (
        "mutants",
        {"mutation_score": "mutation_score", "mutants": "mutants", "mutants_survived": "survived"},
    ),
    "coverage.json": (
        "coverage",
        {n: n for n in ("functional_coverage", "line_coverage", "toggle_coverage")},
    ),
    "proofs.json": (
        "proofs",
        {n: n for n in ("proofs", "proofs_failed", "proof_mutants_missed")},
    ),
}
SABOTAGE = ("sabotage", "chips")  # agreements that make sabotage writes
GOALS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "mismatches": ("must be 0", lambda n: n == 0),
    "scores_compared": ("must not be 0", lambda n: n > 0),
    "injected_flips": ("must be 10 million or more", lambda n: n >= 10_000_000),
    "mutants": ("must be 500 or more", lambda n: n >= 500),
    "mutation_score": ("must be 0.98 or more", lambda x: x >= 0.98),
    "functional_coverage": ("must be 1", lambda x: x == 1),
    "proofs": ("must not be 0", lambda n: n > 0),
    "proofs_failed": ("must be 0", lambda n: n == 0),
    "proof_mutants_missed": ("must be 0", lambda n: n == 0),
}


def load(path: Path, target: str) -> dict[str, Any]:
    """A JSON file that a make target wrote.

    Raises:
        ArtefactError: it is not there, or not JSON.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file; make {target} writes it")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtefactError(f"{path}: not JSON: {error}") from error
    return dict(values)


def agreement(values: dict[str, Any]) -> dict[str, Any]:
    """What of an agreement counts here."""
    changed = {m["map"]: int(m["n_changed_bits"]) for m in values["maps"]}
    comparisons = values["comparisons"]
    return {
        "network": values["network"],
        "devices": sorted({c["device"] for c in comparisons}),
        "maps": len(changed),
        "images": values["n_images"],
        "mismatches": values["n_mismatches"],
        "scores_compared": values["n_scores"],
        "injected_flips": sum(changed[c["map_sha256"]] for c in comparisons),
    }


def collect(results: Path, agreements: Sequence[Path]) -> dict[str, Any]:
    """The values of the JSON file, without those of this run."""
    missing: list[str] = []
    rows = []
    for path in agreements:
        try:
            target = "sabotage" if path.stem in SABOTAGE else "agree"
            rows.append(agreement(load(path, target)))
        except ArtefactError as error:
            missing.append(str(error))
    sums = ("mismatches", "scores_compared", "injected_flips")
    found: dict[str, Any] = {name: sum(row[name] for row in rows) for name in sums}
    found["agreements"] = rows
    for file, (target, names) in SOURCES.items():
        try:
            values = load(results / file, target)
        except ArtefactError as error:
            values = {}
            missing.append(str(error))
        else:
            missing += [
                f"{results / file}: no {source!r}; make {target} again"
                for source in names.values()
                if values.get(source) is None
            ]
        found |= {name: values.get(source) for name, source in names.items()}
    found["missed"] = [
        f"{name} {text}, not {found[name]}"
        for name, (text, is_reached) in GOALS.items()
        if found[name] is not None and not is_reached(found[name])
    ]
    found["missing"] = missing
    return found


def main() -> int:
    """Collect, write, and say what is missed and missing; 1 if anything is."""
    parser = argparse.ArgumentParser(description="one verdict on the RTL")
    parser.add_argument("--results", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--agreements", type=Path, nargs="+", required=True, help="of stoic agree")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    writable(args.result)
    found = collect(args.results, args.agreements)
    head = {"command": shlex.join(["python", "-m", "stoic.sim.signoff", *sys.argv[1:]])}
    values = {**head, "kit_version": kit_version(), **found}
    write_whole(args.result, (json.dumps(values, indent=1) + "\n").encode())
    lacks = found["missed"] + found["missing"]
    print("\n".join(lacks) or "signed off")
    return int(bool(lacks))


if __name__ == "__main__":
    exit_with(main)
