"""The verdict counts what the targets wrote, and says what is missing or missed."""

import json
from pathlib import Path
from typing import Any

import pytest

from stoic.sim import signoff
from stoic.sim.entry import exit_with

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


def test_what_is_missing_names_its_target_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = results(tmp_path, {})
    path = an_agreement(tmp_path)
    (folder / "proofs.json").unlink()
    (folder / "mutants.json").write_text("{}")
    (folder / "coverage.json").write_text("{")
    found = signoff.collect(folder, [path, path, folder / "none.json", folder / "chips.json"])
    assert [line.removeprefix(f"{folder}/") for line in found["missing"]] == [
        "none.json: no such file; make agree writes it",
        "chips.json: no such file; make sabotage writes it",
        "mutants.json: no 'mutation_score'; make mutants again",
        "mutants.json: no 'mutants'; make mutants again",
        "mutants.json: no 'survived'; make mutants again",
        "coverage.json: not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "proofs.json: no such file; make proofs writes it",
    ]
    assert found["missed"] == [] and found["proofs"] is None
    assert found["scores_compared"] == 800


def test_only_all_of_it_is_signed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, path = results(tmp_path, {}), an_agreement(tmp_path)
    out = tmp_path / "signoff.json"
    arguments = ["signoff", "--results", str(folder), "--result", str(out), "--agreements"]
    monkeypatch.setattr("sys.argv", [*arguments, str(path), str(path)])
    assert signoff.main() == 0 and capsys.readouterr().out == "signed off\n"
    (folder / "proofs.json").unlink()
    assert signoff.main() == 1 and "make proofs writes it" in capsys.readouterr().out
    assert json.loads(out.read_text())["mutation_score"] == 0.99
    monkeypatch.setattr("sys.argv", [*arguments, str(path), "--result", "/proc/x/signoff.json"])
    with pytest.raises(SystemExit, match="2"):
        exit_with(signoff.main)
    assert "/proc: cannot be written" in capsys.readouterr().err
