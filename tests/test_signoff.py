"""The verdict counts what the targets wrote, and says what is missing or missed."""

import json
from pathlib import Path
from typing import Any

import pytest

from stoic.sim import signoff
from stoic.sim.exceptions import ArtefactError

GOOD: dict[str, dict[str, Any]] = {
    "mutants.json": {"mutation_score": 0.99, "mutants": 600, "survived": 6},
    "coverage.json": {"functional_coverage": 1, "line_coverage": 0.9, "toggle_coverage": 0.8},
    "proofs.json": {"proofs": 20, "proofs_failed": 0, "proof_mutants_missed": 0},
}


def an_agreement(folder: Path, n_mismatches: int = 0) -> Path:
    """Two devices under no map and under one that changes 3 million bits."""
    comparisons = [
        {"device": device, "map_sha256": chip} for device in ("rtl", "engine") for chip in "0a"
    ]
    values = {
        "network": "net",
        "maps": [{"map": "0", "n_changed_bits": 0}, {"map": "a", "n_changed_bits": 3_000_000}],
        "comparisons": comparisons,
        "n_images": 10,
        "n_scores": 400,
        "n_mismatches": n_mismatches,
    }
    path = folder / f"agree{n_mismatches}.json"
    path.write_text(json.dumps(values))
    return path


def results(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    for name, values in GOOD.items():
        (folder / name).write_text(json.dumps({**values, **changes.get(name, {})}))
    return folder


def test_what_the_targets_wrote_is_added_up(tmp_path: Path) -> None:
    path = an_agreement(tmp_path)
    found = signoff.collect(results(tmp_path, {}), [path, path])
    assert found["mismatches"] == 0 and found["scores_compared"] == 800
    assert found["injected_flips"] == 2 * 2 * 3_000_000
    assert found["mutants_survived"] == 6 and found["proofs"] == 20
    assert found["missed"] == []


@pytest.mark.parametrize(
    "file, name, value",
    [
        ("mutants.json", "mutation_score", 0.9799),
        ("mutants.json", "mutants", 499),
        ("coverage.json", "functional_coverage", 0.999),
        ("proofs.json", "proofs_failed", 1),
        ("proofs.json", "proof_mutants_missed", 1),
    ],
)
def test_a_missed_goal_is_named(tmp_path: Path, file: str, name: str, value: float) -> None:
    folder = results(tmp_path, {file: {name: value}})
    path = an_agreement(tmp_path)
    [missed] = signoff.collect(folder, [path, path])["missed"]
    assert missed.startswith(name) and str(value) in missed


def test_mismatches_and_too_few_flips_are_missed(tmp_path: Path) -> None:
    missed = signoff.collect(results(tmp_path, {}), [an_agreement(tmp_path, 1)])["missed"]
    assert [line.split()[0] for line in missed] == ["mismatches", "injected_flips"]


def test_a_missing_file_names_its_target(tmp_path: Path) -> None:
    folder = results(tmp_path, {})
    (folder / "proofs.json").unlink()
    with pytest.raises(ArtefactError, match=r"proofs\.json: no such file; make proofs writes it"):
        signoff.collect(folder, [an_agreement(tmp_path)])
    (folder / "mutants.json").write_text("{}")
    with pytest.raises(ArtefactError, match="no 'mutation_score'; make mutants again"):
        signoff.collect(folder, [an_agreement(tmp_path)])
