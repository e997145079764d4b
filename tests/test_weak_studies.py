"""Studies of weak labels: what they observe, what they measure it with, and what they conclude."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from stoic.models.event_tables import Table
from stoic.models.studies import seeded
from stoic.models.studies.judgement import CONFIRMED, MISSED, PARTLY, REACHED, REFUTED
from stoic.models.studies.judges.gamma import judge
from stoic.models.studies.judges.imbalanced import PUBLISHED
from stoic.models.studies.judges.imbalanced import judge as judge_imbalanced
from stoic.models.weak_labels import imbalanced, significance
from stoic.models.weak_labels.gamma import Plan, rows_of
from stoic.models.weak_labels.kernel import bases, fit
from stoic.models.weak_labels.observation import Sky, observe
from stoic.sim.exceptions import InputError

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None


def _table(n_gammas: int, n_hadrons: int) -> Table:
    rng = np.random.default_rng(4)
    is_gamma = np.arange(n_gammas + n_hadrons) < n_gammas
    features = rng.normal(0, 1, (len(is_gamma), 3)) + 2.0 * is_gamma[:, None] * [1, 1, 0]
    return Table(features, is_gamma)


def test_scores_of_events_left_out_are_those_of_a_fit_without_them() -> None:
    rng = np.random.default_rng(2)
    table = _table(20, 40)
    (basis,) = bases(table.features, (0.3,), 15, 1)
    made = fit([basis], table.is_positive, (0.5,))
    y = table.is_positive.astype(float)
    rows = np.c_[np.ones(60), basis.events]
    penalties = np.diag([0.0] + [0.5] * basis.events.shape[1])
    for i in rng.choice(60, 5, replace=False):
        rest = np.arange(60) != i
        slopes = np.linalg.solve(rows[rest].T @ rows[rest] + penalties, rows[rest].T @ y[rest])
        assert made.unseen[i] == pytest.approx(rows[i] @ slopes, abs=1e-9)
    whole = np.linalg.solve(rows.T @ rows + penalties, rows.T @ y)
    assert made.score(table.features) == pytest.approx(rows @ whole, abs=1e-9)
    both = bases(table.features, (0.3, 1e-6), 15, 1)
    errors = [fit(both, table.is_positive, (p,)).error for p in (0.5, 1e6)]
    chosen = fit(both, table.is_positive, (0.5, 1e6))
    assert (chosen.error, chosen.penalty) == (min(errors), 0.5)


def test_an_observation_has_its_gammas_on_and_a_fake_source_has_none() -> None:
    table, sky = _table(3000, 6000), Sky()
    seen = observe(table, sky, True, np.random.default_rng(1))
    assert (len(seen.is_gamma), seen.is_gamma.sum()) == (6600, 600)
    assert seen.is_on[seen.is_gamma].all() and seen.alpha == 0.2
    assert seen.is_on[~seen.is_gamma].mean() == pytest.approx(1 / 6, abs=0.02)
    fake = observe(table, sky, False, np.random.default_rng(1))
    assert not fake.is_gamma.any() and fake.alpha == 0.25
    assert len(fake.is_on) == (~seen.is_on).sum()


def test_gamma_tells_labels_that_find_a_source_from_those_that_do_not() -> None:
    skies = (Sky(), Sky(n_off_regions=2))
    plan = Plan(skies=skies, seeds=(1, 2), n_landmarks=30, penalties=(1.0,))
    rows = [row for seed in plan.seeds for row in rows_of(_table(300, 800), plan, seed)]
    again = rows_of(_table(300, 800), plan, 1)
    assert [r | {"cpu_s": 0} for r in again] == [r | {"cpu_s": 0} for r in rows[: len(again)]]
    for row in rows:
        alpha = 1 / (row["n_off_regions"] - (row["labels"] == "fake"))
        assert row["significance"] == significance(row["n_on"], row["n_off"], alpha)
    n_gammas = 80
    assert min(row["excess"] for row in rows if row["labels"] == "clean") > n_gammas / 2

    def verdicts(labels: str, value: float) -> list[str]:
        told = [r | {"significance": value} if r["labels"] == labels else r for r in rows]
        return [finding.verdict for finding in judge(told, plan.as_json()).findings]

    assert verdicts("weak", 0.1)[:2] == [MISSED, MISSED]
    assert verdicts("weak", 99.0)[:2] == [REACHED, REACHED]
    assert (verdicts("fake", 1.1)[-1], verdicts("fake", 0.4)[-1]) == (MISSED, REACHED)


def test_a_study_keeps_its_rows_and_writes_a_page(tmp_path: Path) -> None:
    plan = Plan(skies=(Sky(100),), seeds=(1, 2), n_folds=2, n_landmarks=20, widths=(0.1,))
    try:
        result = seeded.study("gamma", tmp_path, 1, tmp_path, ROOT, plan)
    except InputError as error:
        pytest.skip(str(error))
    page = (tmp_path / "gamma.md").read_text()
    for finding in result["findings"]:
        assert finding["result"] in page
    kept = json.loads((tmp_path / "gamma.json").read_text())
    assert [row["labels"] for row in kept["rows"]] == ["weak", "clean", "half", "fake"] * 2
    kept["rows"][0]["n_on"] = -1  # so that a row that is measured again can be told
    (tmp_path / "gamma.json").write_text(json.dumps(kept))
    seeded.study("gamma", tmp_path, 1, None, ROOT, plan)
    assert json.loads((tmp_path / "gamma.json").read_text()) == kept


def test_imbalanced_counts_events_left_out_by_class_and_by_weak_label() -> None:
    plan = imbalanced.Plan(noises=((0.2, 0.2),), n_trees=40, n_significance_trees=3)
    table = _table(60, 200)
    rows = list(imbalanced.rows_of("made", table, plan, 1))
    assert {row["method"] for row in rows} == set(PUBLISHED)
    by = {row["method"]: row for row in rows}
    blind = 2 * 60 / (260 + 60)  # of a rule that takes all
    assert by["menon-ck"]["f1"] > blind + 0.15
    noise = imbalanced.Plan(noises=((0.5, 0.49),), n_trees=40, n_significance_trees=3)
    blurred = {row["method"]: row for row in imbalanced.rows_of("made", table, noise, 1)}
    for method in by:
        assert by[method]["significance"] > blurred[method]["significance"] + 2
    large = Table(table.features[:, :1].repeat(8, 0), table.is_positive.repeat(8))
    few = {"few": Table(table.features[40:], table.is_positive[40:]), "made": table, "large": large}
    assert list(imbalanced.chosen(few, plan)) == ["made"]
    told = [r | {"f1": 0.9 if r["method"] == "menon-cu" else 0.5} for r in rows]
    told += [r | {"set": "other"} for r in told]
    verdicts = [finding.verdict for finding in judge_imbalanced(told, {}).findings]
    assert verdicts[:2] == [REFUTED, PARTLY]
    told = [r | {"f1": 0.9 if r["method"] == "menon-pk" else 0.5} for r in rows]
    told += [r | {"set": "other", "f1": r["f1"] - 0.1} for r in told]
    assert judge_imbalanced(told, {}).findings[0].verdict == CONFIRMED
