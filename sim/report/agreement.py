"""Where the faults sat, whether every world gave the same scores, and if the check can fail."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import faults as fault_maps
from ..exceptions import ArtefactError
from ..faults import FaultMap
from .figures import memory_figure
from .html import Raw, element, short_hash, table
from .parts import NOTE, count, drawn, missing, note, rates, section
from .results import Result, Results, reading

log = logging.getLogger(__name__)


def memory(results: Results) -> Raw:
    """The section."""
    title = "Where the faults sat in memory"
    faults, path = _worst_map(results)
    if faults is None:
        return section(title, missing("fault map beside its comparison", "make agree"))
    p = faults.provenance
    about = ", ".join(f"{k} {p[k]}" for k in ("model", "p01", "p10", "seed", "chip") if k in p)
    return section(
        title,
        element(
            "p",
            f"{path}: {about}. Every row is a bank, as the datapath reads it; on the left by "
            "address, on the right by bit of the word. Stronger colour is more faulty cells.",
            class_=NOTE,
        ),
        drawn(memory_figure(faults), "memory", "Faulty cells by bank, address and bit"),
        element("p", "Fault map ", short_hash(faults.sha256), class_=NOTE),
    )


def _worst_map(results: Results) -> tuple[FaultMap | None, str]:
    """The map with most faults whose file is still what its comparison says."""
    for part in ("agree", "virtual"):
        for result in results.all(part):
            with reading(result) as values:
                for row in sorted(values["maps"], key=lambda m: -m["n_faults"]):
                    if row["path"] is None:
                        continue
                    try:
                        faults = fault_maps.load(Path(row["path"]))
                    except ArtefactError as error:
                        log.warning("%s", error)
                        continue
                    if faults.sha256 == row["map"]:
                        return faults, row["path"]
    return None, ""


def agreement(results: Results) -> Raw:
    """The section."""
    found = [r for part in ("agree", "virtual") for r in results.all(part)]
    parts: list[Raw] = [
        element(
            "p",
            "Every integer score is compared with the golden model's, under the same fault maps. "
            "Then each world is given mutants that are wrong in one threshold, one weight bit or "
            "one fault, and the same comparison has to notice.",
        )
    ]
    comparisons: list[dict[str, Any]] = []
    mutants: list[dict[str, Any]] = []
    maps: dict[str, Any] = {}
    for result in found:
        with reading(result) as values:
            maps |= {m["map"]: m for m in values["maps"]}
            comparisons += values["comparisons"]
            mutants += values["mutants"]
            parts += [_worlds(result, maps), *_first_mismatch(values["comparisons"])]
            parts += [note(f"{d} ran its own file {f}.") for d, f in _own_files(values).items()]
    if not found:
        parts.append(missing("comparison", "make agree"))
    if mutants:
        parts.append(_mutants(mutants))
    return section("Agreement", *parts)


def _worlds(result: Result, maps: Mapping[str, Any]) -> Raw:
    """One row a world, one column a fault map."""
    rows: dict[str, dict[str, Any]] = {}
    for c in result.values["comparisons"]:
        row = rows.setdefault(c["device"], {"world": c["device"], "images": c["n_images"]})
        name = rates(maps[c["map_sha256"]]["provenance"])
        while name in row:
            name += "'"  # another chip at the same rates
        row[name] = count(c["n_mismatches"])
        row["seconds"] = row.pop("seconds", 0.0) + c["seconds"]
    for row in rows.values():
        row["seconds"] = f"{row['seconds']:.1f}"
    title = (
        f"{result.path.name}: scores that differ from golden's, by bit error rate of the fault map"
    )
    return table(title, rows.values())


def _own_files(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Files from which devices took the network, where it was not loaded into them."""
    return dict(values.get("own_files", {}))


def _first_mismatch(comparisons: Sequence[Mapping[str, Any]]) -> list[Raw]:
    return [
        note(
            f"{c['device']}, faults {c['map_sha256'][:12]}: first at image {first['image']}, class "
            f"{first['class_index']}: {first['got']}, must be {first['expected']}."
        )
        for c in comparisons
        if (first := c["first_mismatch"]) is not None
    ]


def _mutants(trials: Sequence[Mapping[str, Any]]) -> Raw:
    """One row a mutant, one column a world."""
    rows: dict[str, dict[str, Any]] = {}
    for t in trials:
        row = rows.setdefault(t["where"], {"wrong in": t["kind"], "where": t["where"]})
        fate, look = ("caught", "good") if t["is_caught"] else ("escaped", "bad")
        row[t["device"]] = element("span", fate, class_=look)
    return table("Mutants, and whether the comparison noticed them", rows.values())
