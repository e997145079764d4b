"""One verdict on the RTL, from the JSON files of the targets that checked it.

`python -m stoic.sim.signoff --results FOLDER --agreements FILE... --result FILE.json` reads, and
ends with status 1 if a file is missing or any of GOALS is missed. The JSON file:

    command, kit_version
    mismatches             scores that are not golden's, of all agreements
    scores_compared        scores of all devices under all maps
    injected_flips         bits that the maps changed under which the RTL ran, each map once
    full_sets              data sets of which the RTL was given every test image, without faults
                           and under three maps or more
    agreements             network, images, devices, maps and number of images of each
    mutation_score, mutants, mutants_survived         of mutants.json
    mutants_unexplained    survivors without a reason
    functional_coverage, line_coverage, toggle_coverage   of coverage.json
    proofs, proofs_failed, proof_mutants_missed       of proofs.json
    netlist_mismatches, netlist_scores_compared       of netlist.json
    soak_frames, soak_scores_differ, soak_words_differ, soak_mutants_missed   of soak.json
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


def _unexplained(mutants: list[dict[str, Any]]) -> int:
    return sum(m["verdict"] == "survived" and not m["why"] for m in mutants)


def _missed(mutants: list[dict[str, Any]]) -> int:
    return sum(not m["is_caught"] for m in mutants)


# file -> make target that writes it, and what is taken: name here -> name there, and how it counts
Taken = tuple[str, Callable[[Any], Any]]
SOURCES: dict[str, tuple[str, dict[str, Taken]]] = {
    "mutants.json": (
        "mutants",
        {
            "mutation_score": ("mutation_score", float),
            "mutants": ("mutants", int),
            "mutants_survived": ("survived", int),
            "mutants_unexplained": ("list", _unexplained),
        },
    ),
    "coverage.json": (
        "coverage",
        {n: (n, float) for n in ("functional_coverage", "line_coverage", "toggle_coverage")},
    ),
    "proofs.json": (
        "proofs",
        {n: (n, int) for n in ("proofs", "proofs_failed", "proof_mutants_missed")},
    ),
    "netlist.json": (
        "netlist",
        {f"netlist_{n}": (n, int) for n in ("mismatches", "scores_compared")},
    ),
    "soak.json": (
        "soak",
        {f"soak_{n}": (n, int) for n in ("frames", "scores_differ", "words_differ")}
        | {"soak_mutants_missed": ("mutants", _missed)},
    ),
}
SABOTAGE = ("sabotage", "chips")  # agreements that make sabotage writes
DATA_SETS = ("cifar10", "fashion-mnist", "mnist")
N_TEST = 10_000  # images of the test set of each
N_MAPS = 3
GOALS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "mismatches": ("must be 0", lambda n: n == 0),
    "scores_compared": ("must not be 0", lambda n: n > 0),
    "injected_flips": ("must be 10 million or more", lambda n: n >= 10_000_000),
    "full_sets": (f"must be {', '.join(DATA_SETS)}", lambda names: {*names} >= {*DATA_SETS}),
    "mutants": ("must be 500 or more", lambda n: n >= 500),
    "mutation_score": ("must be 0.98 or more", lambda x: x >= 0.98),
    "mutants_unexplained": ("must be 0", lambda n: n == 0),
    "functional_coverage": ("must be 1", lambda x: x == 1),
    "proofs": ("must not be 0", lambda n: n > 0),
    "proofs_failed": ("must be 0", lambda n: n == 0),
    "proof_mutants_missed": ("must be 0", lambda n: n == 0),
    "netlist_mismatches": ("must be 0", lambda n: n == 0),
    "netlist_scores_compared": ("must not be 0", lambda n: n > 0),
    "soak_frames": ("must be 100 thousand or more", lambda n: n >= 100_000),
    "soak_scores_differ": ("must be 0", lambda n: n == 0),
    "soak_words_differ": ("must be 0", lambda n: n == 0),
    "soak_mutants_missed": ("must be 0", lambda n: n == 0),
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
    of_rtl = [c for c in values["comparisons"] if c["device"] == "rtl"]
    rtl = {c["map_sha256"] for c in of_rtl}
    whole = {c["map_sha256"] for c in of_rtl if c["n_images"] == N_TEST}
    data, _, part = values["images"].partition("/")
    is_full = part == "test" and "none" in whole and len(whole) > N_MAPS
    return {
        "network": values["network"],
        "images": values["images"],
        "devices": sorted({c["device"] for c in values["comparisons"]}),
        "maps": len(values["maps"]),
        "n_images": values["n_images"],
        "mismatches": values["n_mismatches"],
        "scores_compared": values["n_scores"],
        "full_set": data if is_full else None,
        "flips": {
            (values["network"], m["map"]): m["n_changed_bits"]
            for m in values["maps"]
            if m["map"] in rtl
        },
    }


def collect(results: Path, agreements: Sequence[Path]) -> dict[str, Any]:
    """The values of the JSON file, without those of this run."""
    missing: list[str] = []
    rows = []
    for path in agreements:
        target = "sabotage" if path.stem in SABOTAGE else "agree"
        try:
            rows.append(agreement(load(path, target)))
        except ArtefactError as error:
            missing.append(str(error))
        except (AttributeError, KeyError, TypeError) as error:
            missing.append(f"{path}: no agreement ({error!r}); make {target} again")
    found: dict[str, Any] = {
        name: sum(row[name] for row in rows) for name in ("mismatches", "scores_compared")
    }
    flips: dict[tuple[str, str], int] = {}
    for row in rows:
        flips |= row.pop("flips")
    found["injected_flips"] = sum(flips.values())
    found["full_sets"] = sorted({row["full_set"] for row in rows} - {None})
    found["agreements"] = rows
    for file, (target, names) in SOURCES.items():
        found |= dict.fromkeys(names)
        try:
            values = load(results / file, target)
        except ArtefactError as error:
            missing.append(str(error))
            continue
        for name, (source, count) in names.items():
            try:
                found[name] = count(values[source])
            except (KeyError, TypeError, ValueError):
                missing.append(f"{results / file}: no {source!r}; make {target} again")
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
