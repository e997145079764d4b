"""The verdict counts what the targets wrote, and says what is missing or missed."""

import json
from pathlib import Path
from typing import Any

import pytest

from stoic.sim import signoff
from stoic.sim.entry import exit_with

GOOD: dict[str, dict[str, Any]] = {
    "mutants.json": {
        "mutation_score": 0.99, "mutants": 600, "survived": 1,
        "list": [{"verdict": "survived", "why": "it cannot be"}, {"verdict": "killed", "why": ""}],
    },
    "coverage.json": {"functional_coverage": 1, "line_coverage": 0.9, "toggle_coverage": 0.8},
    "proofs.json": {"proofs": 20, "proofs_failed": 0, "proof_mutants_missed": 0},
    "netlist.json": {"mismatches": 0, "scores_compared": 60},
    "soak.json": {
        "frames": 100_000, "scores_differ": 0, "words_differ": 0, "mutants": [{"is_caught": True}]
    },
}  # fmt: skip


def an_agreement(
    folder: Path,
    data: str = "mnist",
    *,
    devices: tuple[str, ...] = ("rtl", "engine"),
    n_mismatches: int = 0,
    n_images: int = 10_000,
    maps: str = "abc",
) -> Path:
    """Devices under no map and under some that change 2 million bits each."""
    names = ["none", *maps]
    values = {
        "network": f"net-{data}",
        "images": f"{data}/test",
        "maps": [{"map": m, "n_changed_bits": 2_000_000 * (m != "none")} for m in names],
        "comparisons": [
            {"device": d, "map_sha256": m, "n_images": n_images} for d in devices for m in names
        ],
        "n_images": 10_000,
        "n_scores": 400,
        "n_mismatches": n_mismatches,
    }
    path = folder / f"agree-{data}.json"
    path.write_text(json.dumps(values))
    return path


def agreements(folder: Path, **changes: Any) -> list[Path]:
    """Of the three data sets, that of MNIST with changes."""
    rest = [an_agreement(folder, data) for data in ("cifar10", "fashion-mnist")]
    return [an_agreement(folder, **changes), *rest]


def results(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    for name, values in GOOD.items():
        (folder / name).write_text(json.dumps({**values, **changes.get(name, {})}))
    return folder


def test_what_the_targets_wrote_is_added_up(tmp_path: Path) -> None:
    paths = agreements(tmp_path)
    found = signoff.collect(results(tmp_path, {}), [*paths, paths[0]])
    assert found["mismatches"] == 0 and found["scores_compared"] == 1600
    assert found["injected_flips"] == 3 * 3 * 2_000_000  # a map twice is one map
    assert found["full_sets"] == ["cifar10", "fashion-mnist", "mnist"]
    assert found["mutants_survived"] == 1 and found["proofs"] == 20
    assert found["netlist_scores_compared"] == 60 and found["soak_mutants_missed"] == 0
    assert found["missed"] == [] and found["missing"] == []


@pytest.mark.parametrize(
    "file, name, value",
    [
        ("mutants.json", "mutation_score", 0.9799),
        ("mutants.json", "mutants", 499),
        ("coverage.json", "functional_coverage", 0.999),
        ("proofs.json", "proofs_failed", 1),
        ("proofs.json", "proof_mutants_missed", 1),
        ("netlist.json", "mismatches", 1),
        ("netlist.json", "scores_compared", 0),
        ("soak.json", "frames", 99_999),
        ("soak.json", "scores_differ", 3),
        ("soak.json", "words_differ", 4),
    ],
)
def test_a_missed_goal_is_named(tmp_path: Path, file: str, name: str, value: float) -> None:
    folder = results(tmp_path, {file: {name: value}})
    [missed] = signoff.collect(folder, agreements(tmp_path))["missed"]
    assert name in missed.split()[0] and str(value) in missed


def test_a_survivor_without_a_reason_and_a_wrong_driver_that_passes_are_missed(
    tmp_path: Path,
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "mutants.json": {"list": [{"verdict": "survived", "why": ""}]},
        "soak.json": {"mutants": [{"is_caught": True}, {"is_caught": False}]},
    }
    missed = signoff.collect(results(tmp_path, changes), agreements(tmp_path))["missed"]
    assert [line.split()[0] for line in missed] == ["mutants_unexplained", "soak_mutants_missed"]


@pytest.mark.parametrize(
    "changes, missed",
    [
        ({"n_mismatches": 1}, ["mismatches"]),
        ({"n_images": 9_999}, ["full_sets"]),
        ({"maps": "ab"}, ["full_sets"]),
        ({"devices": ("engine", "torch")}, ["full_sets"]),
        ({"data": "iris"}, ["full_sets"]),
    ],
)
def test_a_data_set_counts_where_the_rtl_saw_all_of_it_under_three_maps(
    tmp_path: Path, changes: dict[str, Any], missed: list[str]
) -> None:
    found = signoff.collect(results(tmp_path, {}), agreements(tmp_path, **changes))["missed"]
    assert [line.split()[0] for line in found] == missed


def test_too_few_flips_under_the_rtl_are_missed(tmp_path: Path) -> None:
    paths = [an_agreement(tmp_path, name, maps="abc"[:1]) for name in ("mnist", "cifar10")]
    found = signoff.collect(results(tmp_path, {}), paths)
    assert found["injected_flips"] == 4_000_000
    assert [line.split()[0] for line in found["missed"]] == ["injected_flips", "full_sets"]


def test_what_is_missing_names_its_target_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = results(tmp_path, {})
    paths = agreements(tmp_path)
    (folder / "proofs.json").unlink()
    (folder / "mutants.json").write_text("{}")
    (folder / "coverage.json").write_text("{")
    (folder / "odd.json").write_text('{"comparisons": []}')
    odd = [folder / name for name in ("none.json", "chips.json", "odd.json")]
    found = signoff.collect(folder, [*paths, *odd])
    assert [line.removeprefix(f"{folder}/") for line in found["missing"]] == [
        "none.json: no such file; make agree writes it",
        "chips.json: no such file; make sabotage writes it",
        "odd.json: no agreement (KeyError('images')); make agree again",
        "mutants.json: no 'mutation_score'; make mutants again",
        "mutants.json: no 'mutants'; make mutants again",
        "mutants.json: no 'survived'; make mutants again",
        "mutants.json: no 'list'; make mutants again",
        "coverage.json: not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "proofs.json: no such file; make proofs writes it",
    ]
    assert found["missed"] == [] and found["proofs"] is None
    assert found["scores_compared"] == 1200


def test_only_all_of_it_is_signed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, paths = results(tmp_path, {}), agreements(tmp_path)
    out = tmp_path / "signoff.json"
    arguments = ["signoff", "--results", str(folder), "--result", str(out), "--agreements"]
    monkeypatch.setattr("sys.argv", [*arguments, *map(str, paths)])
    assert signoff.main() == 0 and capsys.readouterr().out == "signed off\n"
    (folder / "proofs.json").unlink()
    assert signoff.main() == 1 and "make proofs writes it" in capsys.readouterr().out
    assert json.loads(out.read_text())["mutation_score"] == 0.99
    monkeypatch.setattr("sys.argv", [*arguments, str(paths[0]), "--result", "/proc/x/signoff.json"])
    with pytest.raises(SystemExit, match="2"):
        exit_with(signoff.main)
    assert "/proc: cannot be written" in capsys.readouterr().err
