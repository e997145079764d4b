"""The study of ensembles: what it plans, what it keeps, and verdicts that follow the numbers."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.models.ensembles import study, trial
from stoic.models.ensembles.study import Plan, equal_hidden, trials
from stoic.models.ensembles.trial import Row, Trial
from stoic.models.studies.gncl import study as put_on_page
from stoic.models.studies.judgement import Judgement
from stoic.models.studies.judges.gncl import judge
from stoic.sim import network as networks
from stoic.sim.exceptions import ArtefactError, InputError

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
PLAN = Plan()


def test_every_trial_has_a_key_and_ensembles_have_at_most_the_bits_of_the_wide_network() -> None:
    every = trials(PLAN)
    assert len({t.key for t in every}) == len(every)
    wide = 784 * 128 + 128 * 128 + 1280
    for n in (1, *PLAN.n_equal):
        a, b = equal_hidden(128, n)
        assert 0.99 * wide <= n * (784 * a + a * b + b * 10) <= wide
    for kind in ("float", "binary_weight", "binary"):
        of = [t for t in every if t.kind == kind and not t.rates and t.data == "fashion-mnist"]
        assert {t.n_members for t in of} == {1, 4, 8, 16}
        assert {t.lam for t in of if t.n_members == 8} == {0.0, 0.25, 0.5, 0.75, 1.0}
        assert {t.company for t in of if t.way != "snapshot" and t.seed == 1} == {of[0].company}
    flipped = [t for t in every if t.p_max]
    assert all(t.company == t for t in flipped)  # each under its own faults
    assert {t.p_max for t in every if t.rates} == {0.0, 0.2}


def test_a_company_is_measured_member_by_member_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(t for t in trials(PLAN) if t.data == "pima" and t.kind == "binary")
    first = replace(first, rates=(0.0, 0.1), chips=2, split_rates=(0.1,))
    company = [first, replace(first, n_members=3, lam=0.5)]
    try:
        rows = trial.run(company, ROOT, tmp_path)
    except InputError as error:
        pytest.skip(str(error))
    for one, row in zip(company, rows, strict=True):
        assert row["key"] == one.key and row["n_members"] == one.n_members
        saved = networks.load(tmp_path / f"{one.key}.stoic")
        assert saved.sha256 == row["network_sha256"] and len(saved.members) == one.n_members
        assert row["under_faults"]["0"] == [row["accuracy"]]
        assert len(row["under_faults"]["0.1"]) == 2 and row["under_faults"]["0.1"][0] < 1
        parts = row["split"]
        both = parts["ensemble_loss"] + parts["diversity"] + parts["remainder"]
        assert both == pytest.approx(parts["member_loss"])
        assert row["fault_split"]["0.1"]["fault_variance"] > 0
        (tmp_path / f"{one.key}.json").write_text(json.dumps(row))
    assert rows[0]["split"]["diversity"] == 0 < rows[1]["split"]["diversity"]
    monkeypatch.setattr(study, "trials", lambda plan: tuple(company))
    assert study.run(PLAN, tmp_path, 1, ROOT) == json.loads(json.dumps(rows))
    (tmp_path / f"{first.key}.json").write_text("[")
    with pytest.raises(ArtefactError, match="remove it to make it again"):
        study.run(PLAN, tmp_path, 1, ROOT)


# ---- verdicts: each must be able to fail ----

Change = Callable[[Trial], dict[str, Any]]


def _rows(change: Change = lambda t: {}) -> list[Row]:
    """A row for each trial in which every claim holds, but for what `change` says."""
    rng = np.random.default_rng(0)
    strength = {"float": 0.9, "binary_weight": 0.85, "binary": 0.7}
    rows = []
    for t in trials(PLAN):
        weak = t.kind == "binary"
        gain = 0.05 * t.lam * (1 if weak else -1) if t.n_members > 1 and t.way == "upper" else 0.0
        accuracy = strength[t.kind] + (t.n_members > 1) * 0.02 + gain
        if t.way == "exact":
            accuracy += 0.05 * t.lam * (1 if weak else -1)
        diversity = 0.1 + t.lam + 100 * (t.lam == 1)
        found = {"accuracy": accuracy, "diversity": diversity, "area": 0.0, "independence": 1.0}
        found |= change(t)
        at = found["accuracy"] + 1e-4 * rng.random()
        level = 0.8 + (t.n_members == 1) * 0.1 + found["area"] + 1e-4 * rng.random()
        names = ("ensemble_loss", "member_loss", "remainder", "ensemble_accuracy")
        rows.append(
            {
                **asdict(t),
                "key": t.key,
                "train_cpu_s": 1.0,
                "accuracy": at,
                "balanced_accuracy": at,
                "n_weight_bits": 1000,
                "under_faults": {f"{r:g}": [level] for r in t.rates},
                "fault_split": {
                    f"{r:g}": dict.fromkeys(
                        ("member_loss", "mean_loss", "member_variance", "fault_variance",
                         "ensemble_fault_variance"), 0.1,
                    ) | {"independence": found["independence"]}
                    for r in t.split_rates
                },
                "split": dict.fromkeys(names, 0.5)
                | {"diversity": found["diversity"], "member_accuracy": at - 0.1 * t.lam},
            }
        )  # fmt: skip
    return rows


def _verdicts(found: Judgement) -> list[str]:
    return [f.verdict for f in found.findings]


def test_verdicts_follow_the_numbers() -> None:
    measure = asdict(PLAN)
    held = _verdicts(judge(_rows(), measure))
    assert held == ["confirmed"] * 8
    changes: list[tuple[int, str, Change]] = [
        (0, "refuted", lambda t: {"diversity": 1.0}),
        (0, "partly", lambda t: {"diversity": 1.0} if t.kind == "float" else {}),
        (1, "refuted", lambda t: {"diversity": 1 + t.lam}),
        (2, "refuted", lambda t: {"accuracy": {"float": 0.9}.get(t.kind, 0.7)}),
        (2, "partly", lambda t: {"accuracy": 0.7 + 0.1 * t.lam + 0.1 * (t.kind == "float")}),
        (3, "refuted", lambda t: {"accuracy": 0.5} if t.way == "exact" else {}),
        (4, "refuted", lambda t: {"accuracy": 0.5} if t.data != "fashion-mnist" else {}),
        (5, "refuted", lambda t: {"area": 0.2 * (t.n_members == 8)}),
        (6, "partly", lambda t: {"area": (0.1 + 0.01 * (-1) ** t.seed) * (t.n_members == 8)}),
        (7, "refuted", lambda t: {"independence": 1 / t.n_members}),
    ]
    for place, verdict, change in changes:
        found = _verdicts(judge(_rows(change), measure))
        assert found[place] == verdict, place


def test_the_page_shows_the_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows()
    for row in rows:
        (tmp_path / f"{row['key']}.json").write_text(json.dumps(row))
    result = put_on_page(PLAN, tmp_path, 1, tmp_path / "pages", None)
    page = (tmp_path / "pages" / "gncl.md").read_text()
    for finding in result["findings"]:
        assert finding["result"] in page and f"**{finding['verdict']}**" in page
    assert len(list((tmp_path / "pages").glob("*.svg"))) == 4
