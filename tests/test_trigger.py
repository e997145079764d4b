"""The trigger: what its network is taught, the threshold that can be set, and the zoo's network."""

import os
from pathlib import Path

import numpy as np
import pytest

from stoic.models import data
from stoic.models.checkpoint import load_checkpoint
from stoic.models.event_images import LEVELS, code, edges_of, quantise, split_events
from stoic.models.event_tables import Table
from stoic.models.frozen import integers
from stoic.models.recipe import from_values, load_recipe
from stoic.models.studies.judgement import MISSED, REACHED
from stoic.models.studies.judges.trigger import judge
from stoic.models.weak_labels import significance, trigger
from stoic.models.weak_labels.trigger_study import Plan, measured
from stoic.sim import golden
from stoic.sim.core import core_of, default_core
from stoic.sim.exceptions import InputError
from stoic.sim.random_network import random_network

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
ZOO = Path(__file__).parent.parent / "models/zoo/magic-trigger.ckpt"


def _table() -> Table:
    rng = np.random.default_rng(4)
    is_gamma = np.arange(1200) < 200
    return Table(rng.normal(0, 1, (1200, 3)) + 2.0 * is_gamma[:, None], is_gamma)


def test_features_become_bytes_by_quantiles_of_training_events_alone() -> None:
    splits = split_events(_table(), 3)
    assert [len(events.is_on) for events in splits.values()] == [440, 220, 440]
    train, test = splits["train"], splits["test"]
    edges = edges_of(train.features)
    for events in splits.values():
        slow = [[int((of <= x).sum()) for of, x in zip(edges, row, strict=True)]
                for row in events.features[:20]]  # fmt: skip
        assert events.values[:20].tolist() == slow == quantise(events.features[:20], edges).tolist()
    assert np.abs(np.bincount(train.values[:, 0] // 32, minlength=8) - 55).max() <= 2
    features = np.concatenate([events.features for events in splits.values()])
    assert len(np.unique(features, axis=0)) == len(features)  # no event is in two splits
    bits = code(test.values)
    assert bits[:, 15:30].sum(1).tolist() == (test.values[:, 1] // 16).tolist()


def test_what_it_is_taught_comes_from_regions_and_not_from_classes() -> None:
    train = split_events(_table(), 3)["train"]
    net = trigger.float_network(train, 1)
    fired = trigger.float_scores(net, train.values) > 0
    assert fired[train.is_gamma].mean() > 0.7 > 0.3 > fired[~train.is_gamma].mean()
    lesson = trigger.taught(net, train.values, 3, 1)
    assert lesson.images.shape == (3 * 440, 3 * len(LEVELS)) and lesson.images.max() == 1
    assert (lesson.labels == fired.repeat(3)).mean() > 0.8


def test_the_threshold_that_is_set_takes_its_place_in_the_scores_of_every_network() -> None:
    rng = np.random.default_rng(5)
    net = random_network((3 * len(LEVELS), 20, 12, 2), "bits", rng)
    values = rng.integers(0, 256, (300, 3), np.uint8)
    before = trigger.score(golden.scores(net, code(values)))
    made = trigger.programmable(net, 8)
    assert made.thermometer == LEVELS and made.notes["of"] == {"sha256": net.sha256}
    for threshold in range(-16, 17, 2):
        at = trigger.at_threshold(made, threshold)
        assert core_of(at) == core_of(made)  # the same hardware
        after = trigger.score(golden.scores(at, values))
        assert (after == before - threshold).all()
        fires = golden.classify(golden.scores(at, values)) == 1
        assert (fires == (before > threshold)).all()
    for threshold in (3, 18, -18):
        with pytest.raises(InputError, match=f"even and within 16 of 0, not {threshold}"):
            trigger.at_threshold(made, threshold)
    with pytest.raises(InputError, match="no lanes for a threshold"):
        trigger.at_threshold(net, 0)
    with pytest.raises(InputError, match="a trigger has two classes"):
        trigger.programmable(random_network((45, 8, 3), "bits", rng))


def test_the_judge_sets_the_binary_network_beside_the_float_one() -> None:
    test = split_events(_table(), 3)["test"]
    net = trigger.programmable(random_network((45, 12, 8, 2), "bits", np.random.default_rng(6)))
    plan = Plan(conditions=("iid-1%", "rram-low-energy"), chips=2, thresholds=(0, 64))
    rows = [row | {"seed": 1} for row in measured(net, test, plan, None)]
    fired = golden.classify(golden.scores(net, test.values)) == 1
    n_on, n_off = (fired & test.is_on).sum(), (fired & ~test.is_on).sum()
    assert (rows[0]["n_on"], rows[0]["n_off"]) == (n_on, n_off)
    assert rows[0]["significance"] == significance(n_on, n_off, 0.2)
    assert rows[1]["n_on"] < n_on and len(rows) == 2 + 4

    def verdicts(clean: float, faulty: float) -> list[str]:
        values = {"": clean, "iid-1%": faulty}
        told = [r | {"significance": values.get(str(r["condition"]), 1.0)} for r in rows]
        taught_by = [rows[0] | {"network": n, "significance": 10.0} for n in ("float", "none")]
        return [f.verdict for f in judge(told + taught_by, plan.as_json()).findings]

    assert verdicts(9.71, 9.51) == [REACHED, REACHED]
    assert verdicts(9.69, 9.49) == [MISSED, MISSED]


def test_the_network_of_the_zoo_fires_on_a_source_that_it_has_not_seen() -> None:
    made = load_checkpoint(ZOO)
    assert from_values(made.recipe) == load_recipe("magic-trigger") and made.seed == 1
    try:
        test = data.load(data.ON_OFF, "test", ROOT)
    except InputError as error:
        pytest.skip(str(error))
    net = integers(made)
    fired = golden.classify(golden.scores(net, test.images)) == 1
    is_on = test.labels == 1
    found = float(significance((fired & is_on).sum(), (fired & ~is_on).sum(), 0.2))
    assert found > 14.0 > 11.0 > float(significance(is_on.sum(), (~is_on).sum(), 0.2))
    assert default_core(trigger.programmable(net)).thermometer == LEVELS
