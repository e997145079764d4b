"""Studies: what is planned, that nothing is made twice, and that verdicts follow the numbers."""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.models.checkpoint import load_checkpoint
from stoic.models.frozen import integers
from stoic.models.recipe import from_values, load_recipe, to_values
from stoic.models.studies import plan
from stoic.models.studies.judgement import Judgement
from stoic.models.studies.judges import JUDGES, best, chips, margin, rram_bet
from stoic.models.studies.plan import Measure, Net, Study, load_study, study_names
from stoic.models.studies.run import network_row, run
from stoic.models.studies.summary import (
    Row,
    area,
    critical_rate,
    dip,
    mean_of,
    prediction_errors,
    rank_correlation,
)
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.report.readme import pages
from stoic.sim.report.study import text, write_page

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None


# ---- plans ----


def test_every_study_of_the_kit_has_networks_a_judge_and_a_protocol() -> None:
    assert set(study_names()) == set(JUDGES)
    for name in study_names():
        study = load_study(name)
        assert study.nets and study.claim and study.protocol and study.measure.chips >= 20
        assert len({net.key for net in study.nets}) == len(study.nets)
    with pytest.raises(InputError, match="study must be one of best, .*, not 'bet'"):
        load_study("bet")


def test_a_grid_is_every_combination_and_equal_networks_have_one_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text("""
        [study]
        title = "t"
        claim = "c"
        protocol = "p"
        [measure]
        rates = [0.0, 0.1]
        [[nets]]
        label = "flips {p_train:g} {gradient}"
        recipe = "fashion-sfc-plain"
        grid = { p_train = [0.1, 0.2], gradient = ["masked", "straight_through"] }
        seeds = [1, 2]
        [[nets]]
        label = "again"
        recipe = "fashion-sfc-plain"
        set = { p_train = 0.1, gradient = "masked" }
        seeds = [1]
    """)
    monkeypatch.setattr(plan, "FOLDER", tmp_path)
    study = load_study("s")
    assert len(study.nets) == 8  # the last is the first again, under its later label
    first = study.nets[0]
    assert (first.label, first.seed) == ("again", 1)
    recipe = study.nets[1].recipe
    assert (recipe.p01_max, recipe.p10_max, recipe.rates) == (0.1, 0.1, "fixed")
    assert recipe.select_rates == (0.1,) and recipe.gradient == "masked"
    assert study.measure == Measure(rates=(0.0, 0.1))

    base = to_values(load_recipe("fashion-sfc"))
    keys = {
        Net("x", from_values(base | change), seed, {}).key
        for change in ({}, {"name": "y"}, {"margin": 33.0})
        for seed in (1, 2)
    }
    assert len(keys) == 4  # the name does not count
    (tmp_path / "s.toml").write_text(
        '[study]\ntitle="t"\nclaim="c"\nprotocol="p"\n[measure]\nrate=[0]'
    )
    with pytest.raises(InputError, match="measure has no rate"):
        load_study("s")


# ---- running ----


@pytest.fixture(scope="module")
def small() -> Study:
    """Two networks of eight neurons, on all images of Fashion-MNIST."""
    recipe = replace(load_recipe("fashion-tfc"), name="net", hidden=(8,), epochs=1)
    nets = tuple(Net(f"n_chips {n}", replace(recipe, n_chips=n), 1, {"n_chips": n}) for n in (0, 1))
    measure = Measure(
        rates=(0.0, 0.1),
        chips=2,
        spared_rates=(0.1,),
        table_rates=(0.0, 0.1),
        chip_rates=(0.1,),
        errors=("iid-10%",),
        n_metric_images=200,
        predicted_rates=(0.1,),
    )
    return Study("small", "t", "c", "p", measure, nets)


def test_a_study_makes_every_network_once_and_measures_what_it_says(
    small: Study, tmp_path: Path
) -> None:
    rows = run(small, tmp_path, 2, ROOT)
    assert [row["label"] for row in rows] == ["n_chips 0", "n_chips 1"]
    row = rows[0]
    assert row["fixed"]["0.1"][1] == row["errors"]["iid-10%"][0]  # chip 1, named otherwise
    assert len(row["fixed"]["0"]) == 1 and len(row["fixed"]["0.1"]) == 2
    assert row["spared"]["0.1"] != row["fixed"]["0.1"] != row["tables"]["0.1"]
    assert row["tables"]["0.1"] != row["chip_tables"]["0.1"]
    assert "own" not in row and len(rows[1]["own"]) == 1
    assert 0 < row["predicted"]["0.1"] < 1 and row["metrics"] and row["histograms"]
    checkpoint = load_checkpoint(tmp_path / row["key"] / "net.ckpt")
    assert row["network_sha256"] == integers(checkpoint).sha256

    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert run(small, tmp_path, 2, ROOT) == rows
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert network_row(row)["epochs"] == 1
    (measured,) = (tmp_path / row["key"]).glob("measured-*.json")
    measured.write_text('{"key"')
    with pytest.raises(ArtefactError, match=r"measured-.*remove it to make it again"):
        run(small, tmp_path, 1, ROOT)


def test_a_study_that_fails_does_not_wait_for_its_other_networks(
    small: Study, tmp_path: Path
) -> None:
    good, bad = (
        from_values({**to_values(small.nets[0].recipe), **change})
        for change in ({"epochs": 200}, {"input": "bits"})
    )
    nets = tuple(Net("x", recipe, 1, {}) for recipe in (good, bad))
    with pytest.raises(InputError, match="input must be 'uint8'"):
        run(replace(small, nets=nets), tmp_path, 2, ROOT)
    assert not (tmp_path / nets[0].key / "net.ckpt").exists()


_STUDY = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    from stoic.models.recipe import load_recipe
    from stoic.models.studies.plan import Measure, Net, Study
    from stoic.models.studies.run import run

    recipe = replace(load_recipe("fashion-tfc"), name="net", hidden=(8,), epochs=200)
    nets = tuple(Net("x", recipe, seed, {}) for seed in (1, 2, 3))
    study = Study("s", "t", "c", "p", Measure((0.0,)), nets)
    run(study, Path(sys.argv[1]), 2, Path(sys.argv[2]) if sys.argv[2] else None)
"""


def test_workers_of_a_study_that_was_killed_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_STUDY), str(tmp_path), str(ROOT or "")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as study:
        deadline = time.monotonic() + 600
        while not list(tmp_path.glob("*/net.state")) and time.monotonic() < deadline:
            time.sleep(0.1)
        study.kill()
        study.communicate(timeout=20)  # returns when no worker holds the pipe any more
    assert list(tmp_path.glob("*/net.state")) and not list(tmp_path.glob("*/net.ckpt"))


# ---- summaries ----


def _row(label: str, fixed: dict[float, float], seed: int = 1, **more: Any) -> Row:
    curve = {f"{rate:g}": [value] for rate, value in fixed.items()}
    return {"label": label, "seed": seed, "varied": {}, "fixed": curve, **more}


def test_summaries_equal_their_definitions() -> None:
    row = _row("x", {0.0: 0.8, 0.1: 0.9, 0.2: 0.6, 0.3: 0.1})
    assert area(row) == pytest.approx((0.85 + 0.75) / 2)
    assert dip(row) == pytest.approx(0.1)
    assert area(row, at=(0.0, 0.2)) == pytest.approx(0.7) and dip(row, at=(0.0, 0.2)) == 0
    assert critical_rate(row, 0.1) == pytest.approx(0.1 + 0.1 * (0.9 - 0.7) / 0.3)
    assert critical_rate(row, 0.75) == 0.3
    mean = mean_of([0.1, 0.2, 0.3])
    assert mean.value == pytest.approx(0.2) and mean.half == pytest.approx(
        4.3027 * 0.1 / 3**0.5, rel=1e-3
    )
    assert mean_of([0.5]).half is None and mean_of([0.5]).percent() == "50.00"
    rows = [_row(f"{v}", {0.0: v}, other=v**3) for v in np.linspace(0, 1, 30)]
    up = rank_correlation(rows, lambda r: r["fixed"]["0"][0], lambda r: float(r["other"]))
    down = rank_correlation(rows, lambda r: r["fixed"]["0"][0], lambda r: -float(r["other"]))
    assert [up.value, up.low, up.high, -down.value] == pytest.approx([1, 1, 1, 1])
    rng = np.random.default_rng(3)
    few = [(f"{k}", *rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]])) for k in range(12)]
    seeds = [_row(label, {0.0: x}, other=y) for label, x, y in few for _ in range(3)]
    apart = [{**row, "label": f"{k}"} for k, row in enumerate(seeds)]
    widths = []
    for of in (seeds, seeds[::3], apart):
        rank = rank_correlation(of, lambda r: r["fixed"]["0"][0], lambda r: float(r["other"]))
        widths.append(rank.high - rank.low)
    # seeds that agree add nothing to what is known; taken for other networks they would seem to
    assert widths[0] == pytest.approx(widths[1], rel=0.1) and widths[2] < 0.75 * widths[1]
    errors = prediction_errors(
        [_row("x", {0.1: 0.8, 0.3: 0.1}, predicted={"0.1": 0.7, "0.3": 0.9})]
    )
    assert errors == [pytest.approx(0.1)]


# ---- verdicts: each must be able to fail ----


def _verdict(judgement: Judgement, about: str) -> str:
    (found,) = [f for f in judgement.findings if about in f.claim]
    return found.verdict


def _flip_rows(naive_dip: float, through_dip: float, tables_dip: float) -> list[Row]:
    rng = np.random.default_rng(0)

    def curve(lost: float) -> dict[float, float]:
        rates = (0.0, 1e-4, 0.05, 0.1, 0.2)
        return {rate: 0.88 - (lost if rate < 0.05 else 0.0) + 1e-4 * rng.random() for rate in rates}

    def of(label: str, lost: float, seed: int, **varied: Any) -> Row:
        tables = {f"{rate:g}": [value] for rate, value in curve(tables_dip).items()}
        metrics = {"margin": lost + 1e-3 * rng.random(), "win": rng.random()}
        spared = {"0.05": [0.88]}
        row = _row(label, curve(lost), seed, tables=tables, spared=spared, metrics=metrics)
        return {**row, "varied": varied}

    rows = [of("sfc, plain", 0.0, seed) for seed in (1, 2, 3)]
    for gradient, lost in (("sign_flipped", naive_dip), ("straight_through", through_dip)):
        for seed in (1, 2, 3):
            label = f"sfc, p_train 0.2, {gradient}"
            rows.append(of(label, lost, seed, p_train=0.2, gradient=gradient))
    rows += [of("sfc, regularizer 1", 0.0, s, tolerance_weight=1.0) for s in (1, 2, 3)]
    return rows


@pytest.mark.parametrize(
    ("dips", "overfits", "gradient", "tables"),
    [
        ((0.1, 0.0, 0.0), "confirmed", "confirmed", "confirmed"),
        ((0.1, 0.05, 0.09), "confirmed", "partly", "refuted"),
        ((0.1, 0.1, 0.03), "confirmed", "refuted", "partly"),
        ((0.0, 0.0, 0.0), "refuted", "refuted", "confirmed"),
    ],
)
def test_flip_training_is_judged_by_its_dips(
    dips: tuple[float, float, float], overfits: str, gradient: str, tables: str
) -> None:
    found = rram_bet.judge(_flip_rows(*dips), {})
    assert _verdict(found, "overfits to its error rate") == overfits
    assert _verdict(found, "straight-through gradient") == gradient
    assert _verdict(found, "re-estimated at the rate") == tables
    assert _verdict(found, "1e-4 has little impact") == "confirmed"


@pytest.mark.parametrize(("kit", "hinge"), [(0.85, 0.80), (0.70, 0.60)])
def test_margins_and_the_kit_are_judged_by_mean_accuracy(kit: float, hinge: float) -> None:
    means = {
        "cross entropy": 0.7,
        "cross entropy, flips 10%": 0.75,
        "margin hinge 64": hinge,
        "RandBET 10%": 0.76,
        "kit": kit,
    }
    rates = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2)
    rows = [
        _row(
            f"net, {way}",
            dict.fromkeys(rates, mean),
            seed,
            spared={"0.1": [mean]},
            tables={"0": [mean]},
        )
        for way, mean in means.items()
        for seed in (1, 2)
    ]
    found = margin.judge(rows, {})
    assert _verdict(found, "RandBET") == "confirmed"
    alone = [row for row in rows if "RandBET" not in row["label"] or row["seed"] == 1]
    assert _verdict(margin.judge(alone, {}), "RandBET") == "partly"
    of_one_seed = "confirmed" if hinge > 0.76 else "partly"  # the best of the others has one
    assert _verdict(margin.judge(alone, {}), "together are best") == of_one_seed
    assert _verdict(found, "tolerates more than flip") == (
        "confirmed" if hinge > 0.75 else "refuted"
    )
    assert _verdict(found, "together are best") == ("confirmed" if kit > 0.8 else "refuted")


def test_goals_are_reached_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        _row(
            label,
            {0.0: 0.9, 0.05: accuracy, 0.1: accuracy},
            spared={"0.05": [accuracy]},
            tables={"0": [0.9], "0.05": [accuracy], "0.1": [accuracy]},
            chip_tables={"0.05": [accuracy], "0.1": [accuracy]},
        )
        for label, accuracy in (("fashion-fc2048", 0.895), ("fashion-fc2048-plain", 0.8))
    ]
    monkeypatch.setattr(best, "GOALS", {"fashion-fc2048": {0.05: 0.9}})
    found = best.judge(rows, {})
    assert _verdict(found, "at least 90 % at 5 %") == "not reached"
    assert _verdict(found, "at 5 % within 1 points") == "reached"
    monkeypatch.setattr(best, "GOALS", {"fashion-fc2048": {0.05: 0.89}})
    assert _verdict(best.judge(rows, {}), "at least 89 % at 5 %") == "reached"


def test_carrying_over_is_judged_by_other_chips() -> None:
    def row(label: str, own: float, other: float) -> Row:
        errors = {name: [other] for name in load_study("chips").measure.errors}
        return _row(label, {0.0: 0.8, 0.1: other}, errors=errors, own=[own])

    labels = dict.fromkeys(net.label for net in load_study("chips").nets)
    measure = {"errors": load_study("chips").measure.errors}
    rows = [
        row(label, 0.88, 0.87 if label == "independent, 0 to 10 %" else 0.5) for label in labels
    ]
    about = "does not carry over"
    assert _verdict(chips.judge(rows, measure), about) == "confirmed"
    rates = "independent, the rates of RADAR 1T1R"
    for carried, verdict in ((0.9, "confirmed"), (0.5, "partly"), (0.4, "refuted")):
        met = [row(label, 0.9, carried if label == rates else 0.5) for label in labels]
        assert _verdict(chips.judge(met, measure), "the two rates are what") == verdict
    same = [row(label, 0.88, 0.88) for label in labels]
    assert _verdict(chips.judge(same, measure), about) == "refuted"


# ---- pages ----


def test_a_page_shows_what_its_result_says_and_nothing_else(tmp_path: Path) -> None:
    rows = _flip_rows(0.1, 0.05, 0.01)
    study = load_study("rram-bet")
    made = {"label": "x", "seed": 1, "training_cpu_s": 1800.0}
    result = {
        "study": "rram-bet",
        **{k: getattr(study, k) for k in ("title", "claim", "protocol")},
        "measure": vars(study.measure),
        "seeds": {"training": [1, 2, 3], "chips": 0},
        "networks": [made, made],
        **json.loads(json.dumps(rram_bet.judge(rows, {}).as_json())),
    }
    page = write_page(result, tmp_path).read_text()
    assert page == text(result) + "\n" and "1.0 CPU hours" in page
    for finding in result["findings"]:
        assert finding["result"] in page and f"**{finding['verdict']}**" in page
    results = tmp_path / "results"
    results.mkdir()
    (results / "study_rram-bet.json").write_text(json.dumps(result))
    assert pages(results, tmp_path, write=False) == ""
    (tmp_path / "rram-bet.md").write_text(page.replace("refuted", "confirmed", 1))
    assert "differs" in pages(results, tmp_path, write=False)
    assert pages(results, tmp_path, write=True) == pages(results, tmp_path, write=False) == ""
    for name in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert "<svg" in (tmp_path / name).read_text()
    assert len(tomllib.loads((plan.FOLDER / "rram-bet.toml").read_text())["nets"]) >= 3
