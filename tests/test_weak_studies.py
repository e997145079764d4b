"""Studies of weak labels: what they observe, what they measure it with, and what they conclude."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

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

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None


def _table(n_gammas: int, n_hadrons: int) -> Table:
    rng = np.random.default_rng(4)
    is_gamma = np.arange(n_gammas + n_hadrons) < n_gammas
    features = rng.normal(0, 1, (len(is_gamma), 3)) + 2.0 * is_gamma[:, None] * [1, 1, 0]
    return Table(features, is_gamma)


def _log_likelihood(labels: Bools, scores: Floats, rate: float) -> float:
    on = rate + (1 - rate) / (1 + np.exp(-scores))
    return float(np.log(np.where(labels, on, 1 - on)).sum())


@pytest.mark.parametrize("rate", [0.0, 1 / 6])
def test_a_fit_is_the_likeliest_and_what_it_leaves_out_has_no_say(rate: float) -> None:
    rng = np.random.default_rng(2)
    table = _table(30, 90)
    labels = table.is_positive | (rng.random(120) < rate)
    (basis,) = bases(table.features, (0.1,), 10, 1)
    rows = basis.events

    def likeliest(of: Bools) -> Floats:
        def cost(slopes: Floats) -> float:
            found = _log_likelihood(labels[of], rows[of] @ slopes, rate)
            return 0.25 * float(slopes @ slopes) - found

        start = np.zeros(rows.shape[1])
        return np.asarray(minimize(cost, start, tol=1e-10).x)  # type: ignore[no-untyped-call]

    made = fit([basis], labels, (0.5,), rate)
    everything = np.ones(120, np.bool_)
    whole = rows @ likeliest(everything)
    assert made.score(table.features) == pytest.approx(whole, abs=0.05)
    chances = [_log_likelihood(labels[[i]], made.unseen[[i]], rate) for i in range(120)]
    assert made.error == pytest.approx(-np.mean(chances))
    moved, found = [], []
    for i in range(0, 120, 6):
        without = everything.copy()
        without[i] = False
        moved.append(rows[i] @ likeliest(without) - whole[i])
        found.append(made.unseen[i] - whole[i])
    assert np.corrcoef(moved, found)[0, 1] > 0.98
    assert found == pytest.approx(moved, rel=0.5, abs=0.1)
    both = bases(table.features, (0.1, 1e-6), 10, 1)
    errors = [fit(both, labels, (p,), rate).error for p in (0.5, 1e4)]
    chosen = fit(both, labels, (0.5, 1e4), rate)
    assert chosen.error == pytest.approx(min(errors), rel=1e-3) and chosen.penalty == 0.5
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="rate must be 0 or more and below 1"):
            fit(both, labels, (0.5,), wrong)
    for penalties, of, why in (
        ((), labels, "above 0"),
        ((-1.0,), labels, "above 0"),
        ((0.5,), labels[1:], "120 truth values"),
    ):
        with pytest.raises(InputError, match=why):
            fit(both, of, penalties, rate)
    with pytest.raises(InputError, match="finite numbers"):
        bases(np.full((9, 3), np.nan), (0.1,), 5, 1)


def test_odds_beyond_what_a_float_can_tell_apart_from_certainty_are_no_trouble() -> None:
    features = np.random.default_rng(3).normal(size=(3000, 5))
    labels = features[:, 0] > np.quantile(features[:, 0], 0.9)  # a plane parts them
    made = fit(bases(features, (0.02,), 50, 1), labels, (1e-8,), 0.0)
    assert np.abs(made.score(features)).max() > 1000  # exp(-746) is 0
    assert np.isfinite(made.unseen).all() and made.error < 0.2


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
