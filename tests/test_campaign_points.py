"""What points say of their chips: intervals that cover, a rule that stops, paired differences."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic.sim import campaign, faults, golden
from stoic.sim.campaign import Agenda, Job, StopRule, Task, VictimSets, fixed
from stoic.sim.campaign.conditions import Victims, from_fields
from stoic.sim.campaign.export import export
from stoic.sim.device import GoldenDevice
from stoic.sim.exceptions import InputError
from stoic.sim.intervals import PAIRED, STUDENT_T, WILSON, over_chips, paired
from stoic.sim.memory import layout_of, stored_bits
from stoic.sim.network import Network
from stoic.sim.points import differences, point_key, points
from stoic.sim.protection import Interleaved, Secded
from stoic.sim.protection import describe as describe_protection
from stoic.sim.random_network import random_network
from stoic.sim.rows import Row, scores_sha256
from stoic.sim.store import Store

N_IMAGES = 40
T_975_OF_4 = 2.7764451051977987  # 97.5 % quantile of Student's t, 4 degrees of freedom
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def network(seed: int = 3) -> Network:
    return random_network((30, 65, 7), "uint8", np.random.default_rng(seed))


IMAGES = np.random.default_rng(4).integers(0, 256, (N_IMAGES, 30)).astype(np.uint8)
ERRORS = [campaign.from_rates(*p, seed=7) for p in ((0.0, 0.0), (0.01, 0.01), (0.02, 0.1))]


def job(net: Network | None = None, **changes: object) -> Job:
    """A job whose labels are what the first network says without errors."""
    net = net or network()
    labels = golden.classify(golden.scores(network(), IMAGES))
    values = {"errors": ERRORS, **changes}
    return campaign.make(
        *(net, layout_of(net), "golden", GoldenDevice, campaign.code_sha256(), "random/test"),
        *(IMAGES, labels),
        **values,  # type: ignore[arg-type]
    )


def rows_of(path: Path, rule: StopRule, *jobs: Job) -> list[Row]:
    with Store(path) as store:
        return campaign.run(jobs, rule, store).agenda.rows()


def test_points_summarise_their_chips(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "rows.sqlite", fixed(5), job())
    clean, *noisy = points(rows)
    assert clean.interval.low == clean.mean == clean.interval.high == 1 and clean.n_chips == 1
    assert [(p.p01, p.p10) for p in noisy] == [(0.01, 0.01), (0.02, 0.1)]
    for point in noisy:
        accuracy = [r.n_correct / N_IMAGES for r in rows if r.unit.errors == point.errors]
        assert len(accuracy) == point.n_chips == 5
        mean, std = np.mean(accuracy), np.std(accuracy, ddof=1)
        reach = T_975_OF_4 * std / 5**0.5
        ends = (point.interval.low, point.interval.high)
        assert ends == pytest.approx((max(0, mean - reach), min(1, mean + reach)))
        assert point.minimum == min(accuracy) and point.std == pytest.approx(std) and std > 0
        assert point.q05 == pytest.approx(np.quantile(accuracy, 0.05))
        assert point.interval.method == STUDENT_T


def test_an_interval_is_of_the_kind_that_its_values_need() -> None:
    equal = over_chips([0.75] * 16, 100)
    assert equal.half_width == pytest.approx(2.131449545559323 * 0.01 / 16)  # t_15 of 97.5 %
    assert "as if one image of one chip differed" in equal.method
    # 8 of 10 chips right, by the published formula: 0.4902 .. 0.9433 (Wilson 1927; R prop.test
    # without continuity correction gives the same).
    binary = over_chips([1.0] * 8 + [0.0] * 2, 1)
    assert (binary.low, binary.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert binary.method == WILSON
    assert over_chips([0.5], 100).low is None
    assert paired([0.01, 0.02, 0.03], 100).method == PAIRED
    with pytest.raises(InputError, match="at least one value"):
        over_chips([], 100)


def covers(rule: StopRule, draw: Draw, n_trials: int = 3000) -> tuple[float, float, float]:
    """(how often the interval after stopping has the mean 0 in it, chips, share within reach)."""
    rng = np.random.default_rng(11)
    hits = chips = n_narrow = 0
    for _ in range(n_trials):
        every = 0.5 + 0.05 * draw(rng, rule.max_chips)  # the mean is 0.5
        n = 0
        while (wanted := rule.wanted(list(every[:n]), 10_000)) > n:
            n = wanted
        interval = rule.interval(list(every[:n]), 10_000)
        assert interval.low is not None and interval.high is not None
        hits += interval.low <= 0.5 <= interval.high
        chips += n
        n_narrow += (interval.half_width or 1) <= (rule.half_width or 0) * (1 + 1e-9)
    return hits / n_trials, chips / n_trials, n_narrow / n_trials


@pytest.mark.parametrize("half_width", [0.035, 0.0125])
def test_the_interval_after_stopping_covers_as_often_as_it_says(half_width: float) -> None:
    rule = StopRule(10, 400, half_width)
    covered, chips, narrow = covers(rule, lambda rng, n: rng.normal(0, 1, n))
    n_known = (1.96 * 0.05 / half_width) ** 2  # chips if the deviation were known
    assert 0.945 < covered < 0.985 and narrow > 0.999
    assert chips < max(11, 1.6 * n_known)
    # Chips that lean to the left as an exponential does: not worse than 20 chips without a rule.
    skewed = covers(rule, lambda rng, n: 1 - rng.exponential(1, n))[0]
    plain = covers(fixed(20), lambda rng, n: 1 - rng.exponential(1, n))[0]
    assert 0.88 < skewed and skewed > plain - 0.035


@pytest.mark.parametrize("half_width", [1e-300, 5e-324, 1 - 1e-16])
def test_a_rule_at_the_ends_of_what_is_legal_asks_for_a_number_of_chips(half_width: float) -> None:
    rule = StopRule(2, 40, half_width)
    assert rule.wanted([0.5, 0.9], 100) == (40 if half_width < 0.5 else 13)


def test_the_mean_after_stopping_is_biased_by_a_part_of_the_half_width_only() -> None:
    """A first stage without a bad chip asks for few: chips that lean to the left seem better."""
    rule, rng, n_trials = StopRule(10, 400, 0.0125), np.random.default_rng(13), 1000
    for is_leaning in (False, True):
        off = []
        for _ in range(n_trials):
            draw = 1 - rng.exponential(1, 400) if is_leaning else rng.normal(0, 1, 400)
            every, n = list(0.5 + 0.05 * draw), 0
            while (wanted := rule.wanted(every[:n], 10_000)) > n:
                n = wanted
            off.append(float(np.mean(every[:n])) - 0.5)
        bias, error = np.mean(off), np.std(off) / n_trials**0.5
        if is_leaning:
            assert 4 * error < bias < 0.25 * 0.0125
        else:
            assert abs(bias) < 4 * error


def test_looking_after_every_chip_without_the_rule_covers_less() -> None:
    """The bias that the rule is there to avoid is real, and the test above would see it."""
    rng, hits, half_width = np.random.default_rng(12), 0, 0.035
    for _ in range(2000):
        every = 0.5 + rng.normal(0, 0.05, 400)
        n = 2
        while (over_chips(list(every[:n]), 10_000).half_width or 1) > half_width:
            n += 1
        interval = over_chips(list(every[:n]), 10_000)
        hits += (interval.low or 0) <= 0.5 <= (interval.high or 1)
    assert hits / 2000 < 0.93


def test_a_point_ends_when_its_interval_is_narrow_enough(tmp_path: Path) -> None:
    rule = StopRule(5, 60, 0.03)
    rows = rows_of(tmp_path / "a.sqlite", rule, job())
    clean, low, high = (p.n_chips for p in points(rows, rule))
    assert clean == 1 and 5 <= min(low, high) < max(low, high) <= 60
    for point in points(rows, rule)[1:]:
        width = point.interval.half_width
        assert width is not None and (width <= 0.03 or point.n_chips == 60)
        assert "Stein" in point.interval.method
    # The chips are the first ones and follow from the rows, whoever computes them: over a store
    # that has many more chips the same campaign picks the same.
    with Store(tmp_path / "b.sqlite") as store:
        campaign.run([job()], fixed(60), store)
        again = Agenda([job()], rule, store)
        assert again.is_finished
        assert [r.unit for r in again.rows()] == [r.unit for r in rows]
        with Store(tmp_path / "c.sqlite") as other:
            ran = campaign.run_workers([job()], rule, other, 2)
            assert [r.unit for r in ran.agenda.rows()] == [r.unit for r in rows]


def test_paired_differences_are_of_common_chips_and_narrower(tmp_path: Path) -> None:
    a, b = (job(network(seed)) for seed in (3, 5))
    rows = rows_of(tmp_path / "rows.sqlite", fixed(6), a, b)
    low, high = (campaign.from_rates(p, p, seed=7) for p in (0.04, 0.05))
    nested = rows_of(tmp_path / "rows.sqlite", fixed(30), job(errors=[low, high]))
    first = [r for r in rows if r.unit.network_sha256 == a.network.sha256]
    second = [r for r in rows if r.unit.network_sha256 == b.network.sha256]
    found = differences(first, second[:-2], lambda u: point_key(u, "network_sha256"))
    assert [d.n_chips for d in found] == [1, 6, 4]  # two chips of the last point are not there
    last = found[-1]
    pairs = [x.accuracy - y.accuracy for x, y in zip(second[-6:-2], first[-6:-2], strict=True)]
    assert last.mean == pytest.approx(np.mean(pairs)) and last.n_scores_differ == 4
    (rates,) = differences(nested[:30], nested[30:], lambda u: point_key(u, "errors"))
    one, other = points(nested)
    assert rates.mean == pytest.approx(other.mean - one.mean)
    apart = np.hypot(one.interval.half_width or 0, other.interval.half_width or 0)
    assert (rates.interval.half_width or 1) < apart  # nested faults: what chips share cancels


def expected(net: Network, job_: Job, row: Row, task: Task) -> str:
    """Hash of the scores of a row, from the parts that the campaign is made of."""
    condition, layout = job_.conditions[task.condition], layout_of(net)
    model, v = condition.errors.model, condition.victims
    protection = job_.protection
    physical = protection.layout(net, layout)
    stored = protection.stored(net, layout)
    drawn = model.sample(physical, task.chip, v.where, event=task.event, stored=stored)
    drawn = faults.restrict(drawn, layers=v.layers, banks=v.banks)
    assert drawn.sha256 == row.faults_sha256
    seen = protection.effective(net, layout, drawn)
    assert row.n_changed_bits == faults.n_changed(net, seen)
    return scores_sha256(golden.scores(faults.apply(net, seen), IMAGES))


@pytest.mark.parametrize("protection", [None, Secded(), Interleaved(2)])
def test_every_condition_of_a_campaign_is_what_its_parts_say(
    tmp_path: Path, protection: Secded | Interleaved | None
) -> None:
    errors = [
        from_fields("stuck", {"rate": 0.1, "ones": 0.8}, 5),
        from_fields("iid", {"p01": 0.05, "p10": 0.05, "persistence": "programming"}, 5),
    ]
    victims = VictimSets(Victims(("weights", "thresholds")), each_layer=True, each_bank=True)
    net = network()
    job_ = job(net, errors=errors, victims=victims, protection=protection, n_events=2)
    with Store(tmp_path / "rows.sqlite") as store:
        ran = campaign.run([job_], fixed(2), store)
        rows = {r.unit.key: r for r in ran.agenda.rows()}
    n_parts = 1 + 2 + 3  # all, two layers, two banks of weights and one of thresholds
    assert len(job_.conditions) == 2 * n_parts and len(rows) == n_parts * (2 + 4)
    hashes = set()
    for i, condition in enumerate(job_.conditions):
        for chip, event in product(range(2), range(condition.n_events)):
            task = Task(0, i, chip, event)
            row = rows[job_.unit(task).key]
            assert row.scores_sha256 == expected(net, job_, row, task)
            hashes.add(row.scores_sha256)
            assert row.unit.protection == json.loads(
                json.dumps(describe_protection(job_.protection))
            )
    assert len(hashes) > len(rows) * 2 // 3  # layers, banks, chips and events all matter
    found = points(rows.values())
    assert {p.place for p in found} >= {"", "layer 0", "layer 1", "L0.P00.weights"}
    assert {p.n_events for p in found} == {1, 2}
    is_wider = isinstance(protection, Secded)
    assert all((p.overhead > 0) == is_wider for p in found)
    assert np.count_nonzero(stored_bits(net, job_.layout)) > 0


class ImageByImage(GoldenDevice):
    """Golden that takes faults which every image draws anew, in the plainest way."""

    def inject(self, faults: Any) -> None:
        self._transient = faults

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        net, drawn = self._loaded(self._clean), self._transient
        under = [net if drawn is None else faults.apply(net, drawn.at(i)) for i in range(N_IMAGES)]
        return np.concatenate([golden.scores(n, images[[i]]) for i, n in enumerate(under)])


@pytest.mark.parametrize("protection", [None, Secded()])
def test_faults_of_every_image_pass_through_victims_and_protection(
    tmp_path: Path, protection: Secded | None
) -> None:
    errors = [from_fields("iid", {"p01": 0.1, "p10": 0.1, "persistence": "read"}, 5)]
    net = network()
    job_ = job(net, errors=errors, victims=VictimSets(each_layer=True), protection=protection)
    job_ = replace(job_, open_device=ImageByImage)
    rows = rows_of(tmp_path / "rows.sqlite", fixed(2), job_)
    assert len({r.scores_sha256 for r in rows}) == len(rows) == 3 * 2
    layout = layout_of(net)
    physical = job_.protection.layout(net, layout)
    for number, row in enumerate(rows):
        scores = []
        for i in range(N_IMAGES):
            drawn = errors[0].model.sample(physical, row.unit.chip, event=i)
            layers = job_.conditions[number // 2].victims.layers
            seen = job_.protection.effective(net, layout, faults.restrict(drawn, layers=layers))
            scores.append(golden.scores(faults.apply(net, seen), IMAGES[[i]]))
        assert row.scores_sha256 == scores_sha256(np.concatenate(scores))
        assert (row.faults_sha256, row.n_faults, row.n_changed_bits) == (None, None, None)


def test_rows_leave_as_csv_and_parquet(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "rows.sqlite", fixed(2), job())
    export(rows, tmp_path / "rows.csv", {rows[1].unit.key: "iid-1%"})
    with (tmp_path / "rows.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) and table[1]["condition"] == "iid-1%"
    for line, row in zip(table, rows, strict=True):
        assert line["key"] == row.unit.key and float(line["accuracy"]) == row.accuracy
        assert json.loads(line["errors"]) == row.unit.errors
        assert json.loads(line["confusion"]) == row.confusion
    parquet = pytest.importorskip("pyarrow.parquet")
    transient = replace(rows[0], faults_sha256=None, n_faults=None, n_changed_bits=None)
    export([*rows, transient], tmp_path / "rows.parquet")
    columns = parquet.read_table(tmp_path / "rows.parquet").to_pydict()
    assert columns["n_correct"] == [r.n_correct for r in (*rows, transient)]
    assert columns["n_faults"][-1] is None and columns["p01"][1] == 0.01
    with pytest.raises(InputError, match=r"must end in .csv or .parquet"):
        export(rows, tmp_path / "rows.xlsx")
