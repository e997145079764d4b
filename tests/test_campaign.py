"""A campaign computes every row once, whatever kills it and whoever else works on its store."""

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import campaign, faults, golden, operating_points
from stoic.sim.campaign import Campaign, Job, sources
from stoic.sim.campaign.conditions import Victims
from stoic.sim.device import Device, GoldenDevice
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network
from stoic.sim.rows import VARYING, Row, Unit, scores_sha256
from stoic.sim.store import Store

N_IMAGES = 40
TOML = """
[campaign]
models = ["net.stoic"]
data = "random"
n_images = 40
device = "golden"
store = "rows.sqlite"
[errors]
rates = [0, 0.01]
pairs = [[0.02, 0.10]]
names = ["rram-3.3%"]
chips = 5
seed = 7
"""


def network() -> Network:
    return random_network((30, 65, 7), "uint8", np.random.default_rng(3))


def data() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (N_IMAGES, 30)).astype(np.uint8), rng.integers(0, 7, N_IMAGES)


def job_of(
    plan: Campaign, open_device: Callable[[], Device] = GoldenDevice, net: Network | None = None
) -> Job:
    """The job of a plan of one network, in which nothing is read from files."""
    net = net or network()
    return campaign.make(
        net,
        layout_of(net),
        "golden",
        open_device,
        campaign.code_sha256(),
        "random/test",
        *data(),
        plan.errors,
        plan.victims,
        plan.protections[0],
        plan.n_events,
    )


@pytest.fixture
def plan(tmp_path: Path) -> Campaign:
    (tmp_path / "plan.toml").write_text(TOML)
    return replace(campaign.load(tmp_path / "plan.toml"), store=tmp_path / "rows.sqlite")


def run(plan: Campaign, device: GoldenDevice, *, is_recomputing: bool = False) -> list[Row]:
    with Store(plan.store) as store:
        jobs = [job_of(plan, lambda: device)]
        ran = campaign.run(jobs, plan.rule, store, is_recomputing=is_recomputing)
        return ran.agenda.rows()


def result(row: Row) -> Row:
    """The row without what differs from run to run."""
    assert set(VARYING) == {"wall_time_s", "computed_at_utc"}
    return replace(row, wall_time_s=0.0, computed_at_utc="")


def test_rows_are_what_golden_says_under_the_chips_own_faults(plan: Campaign) -> None:
    net, (images, labels) = network(), data()
    rows = run(plan, GoldenDevice())
    assert len(rows) == 1 + 3 * 5  # at rate 0 nothing is drawn
    changed = set()
    for row in rows:
        model = operating_points.from_rates(row.p01, row.p10).model(plan.seed)
        drawn = model.sample(layout_of(net), row.unit.chip)
        scores = golden.scores(faults.apply(net, drawn), images)
        assert row.scores_sha256 == scores_sha256(scores)
        assert row.faults_sha256 == drawn.sha256
        assert row.n_correct == (scores.argmax(axis=1) == labels).sum()
        assert np.array(row.confusion).sum() == N_IMAGES
        assert row.n_changed_bits == faults.n_changed(net, drawn) and row.n_faults == drawn.n_faults
        changed.add(row.scores_sha256)
    assert len(changed) > 10  # the faults matter, or the test proves nothing


def test_a_row_is_never_computed_again(plan: Campaign) -> None:
    first, second = GoldenDevice(), GoldenDevice()
    rows = run(plan, first)
    assert run(plan, second) == rows
    assert (first.counters()["images"], second.counters()["images"]) == (16 * N_IMAGES, 0)
    wider = replace(plan, rule=campaign.fixed(6))
    assert len(run(wider, second)) == 19 and second.counters()["images"] == 3 * N_IMAGES


# A process that works on the campaign, slowly; it says how many images it gave its device.
WORKER = """
import sys, time
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location("test_campaign", sys.argv[1])
test = importlib.util.module_from_spec(spec); spec.loader.exec_module(test)
from dataclasses import replace
plan = replace(test.campaign.load(Path(sys.argv[2])), store=Path(sys.argv[3]))
class Slow(test.GoldenDevice):
    def infer(self, images):
        time.sleep(0.03)
        return super().infer(images)
device = Slow()
test.run(plan, device)
print(device.counters()["images"])
"""


def worker(plan: Campaign) -> "subprocess.Popen[str]":
    toml = plan.store.with_name("plan.toml")
    command = [sys.executable, "-c", WORKER, __file__, str(toml), str(plan.store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def n_rows(path: Path) -> int:
    if not path.exists():
        return 0
    with Store(path) as store:
        return len(store.rows())


def test_a_killed_run_goes_on_where_it_stopped(plan: Campaign) -> None:
    process = worker(plan)
    while n_rows(plan.store) < 4:
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with Store(plan.store) as store:
        kept = store.rows()
    assert 4 <= len(kept) < 16
    device = GoldenDevice()
    rows = run(plan, device)
    assert device.counters()["images"] == (16 - len(kept)) * N_IMAGES  # none repeated
    assert set(kept_times(kept)) <= set(kept_times(rows))
    unbroken = run(replace(plan, store=plan.store.with_name("unbroken.sqlite")), GoldenDevice())
    assert [result(r) for r in rows] == [result(r) for r in unbroken]


def kept_times(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.unit.key, row.computed_at_utc) for row in rows]


def test_two_processes_share_a_campaign_and_repeat_nothing(plan: Campaign) -> None:
    two = [worker(plan), worker(plan)]
    counts = [int(process.communicate(timeout=60)[0]) for process in two]
    assert sum(counts) == 16 * N_IMAGES
    device = GoldenDevice()
    assert len(run(plan, device)) == 16 and device.counters()["images"] == 0


# A process that is killed in the middle of `Store.put`, at the statement that it is told.
KILLED = """
import os, signal, sys
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location("test_campaign", sys.argv[1])
test = importlib.util.module_from_spec(spec); spec.loader.exec_module(test)
from dataclasses import replace
plan = replace(test.campaign.load(Path(sys.argv[2])), store=Path(sys.argv[3]))
seen = 0
def trace(statement):
    global seen
    if statement.startswith(sys.argv[4]):
        seen += 1
        if seen == int(sys.argv[5]):
            os.kill(os.getpid(), signal.SIGKILL)
with test.Store(plan.store) as store:
    store._db.set_trace_callback(trace)
    test.campaign.run([test.job_of(plan)], plan.rule, store)
"""


@pytest.mark.parametrize(
    ("statement", "number", "n_kept"),
    [("BEGIN", 3, 2), ("INSERT", 3, 2), ("COMMIT", 3, 2), ("SELECT", 20, 3)],
)
def test_a_kill_inside_put_leaves_whole_rows(
    plan: Campaign, statement: str, number: int, n_kept: int
) -> None:
    toml = plan.store.with_name("plan.toml")
    command = [sys.executable, "-c", KILLED, __file__, str(toml), str(plan.store)]
    process = subprocess.run([*command, statement, str(number)], timeout=60)
    assert process.returncode == -signal.SIGKILL
    with Store(plan.store) as store:
        kept = store.rows()
    assert len(kept) == n_kept
    device = GoldenDevice()
    rows = run(plan, device)
    assert device.counters()["images"] == (16 - n_kept) * N_IMAGES
    assert set(kept_times(kept)) <= set(kept_times(rows)) and len(rows) == 16


def test_everything_that_decides_a_row_is_in_its_key() -> None:
    model = {"model": "iid", "p01": 0.1}
    unit = Unit("net", "golden", "layout", model, 0, 0, {"name": "none"}, "x/test", "data", 10)
    others = [replace(unit, errors={"model": "iid", "p01": 0.2})]
    others.append(replace(unit, protection={"name": "secded"}))
    for field in fields(Unit):
        value = getattr(unit, field.name)
        if field.name not in ("errors", "protection"):
            changed = value + (1 if isinstance(value, int) else "'")
            others.append(replace(unit, **{field.name: changed}))
    assert len({u.key for u in (unit, *others)}) == 1 + len(fields(Unit))


def test_rows_of_other_sources_stand_until_they_are_recomputed(plan: Campaign) -> None:
    rows = run(plan, GoldenDevice())
    db = sqlite3.connect(plan.store)
    stale = "UPDATE rows SET code_sha256 = 'old', scores_sha256 = 'x' WHERE chip = 1"
    db.execute(stale)
    db.commit()
    db.close()
    device = GoldenDevice()
    old = run(plan, device)
    assert device.counters()["images"] == 0
    assert sum(r.code_sha256 == "old" for r in old) == 3
    with Store(plan.store) as store:
        jobs = [job_of(plan, lambda: device)]
        ran = campaign.run(jobs, plan.rule, store, is_recomputing=True)
        assert (ran.n_computed, ran.n_recomputed, ran.n_different) == (3, 3, 3)
        assert [result(r) for r in store.rows([r.unit for r in rows])] == [result(r) for r in rows]


def test_the_hash_of_the_sources_covers_what_a_row_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {p.relative_to(sources._KIT).as_posix() for p in sources.files()}
    assert names >= {f"sim/{n}" for n in ("golden.py", "engine.py", "_engine.cpp", "faults.py")}
    assert names >= {"sim/errors/iid.py", "sim/protection/secded.py", "sim/campaign/trial.py"}
    assert not names & {"sim/points.py", "sim/store.py", "sim/campaign/agenda.py"}
    kit = tmp_path / "kit"
    shutil.copytree(sources._KIT / "sim", kit / "sim", ignore=shutil.ignore_patterns("*.so"))
    monkeypatch.setattr(sources, "_KIT", kit)
    hash_now = sources.code_sha256.__wrapped__
    assert hash_now() == campaign.code_sha256()
    for name, changes in (("golden.py", True), ("errors/iid.py", True), ("points.py", False)):
        before, path = hash_now(), kit / "sim" / name
        path.write_text(path.read_text() + "# changed\n")
        assert (hash_now() != before) == changes


def bad_store(path: Path, how: str) -> None:
    with Store(path):
        pass
    if how == "corrupt":
        path.write_bytes(b"SQLite format 3\0" + b"\xff" * 500)
    elif how == "text":
        path.write_text("no database at all, but long enough to look like one " * 20)
    elif how == "foreign":
        path.unlink()
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE cats (name TEXT)")
        db.close()
    elif how == "older":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 1")
        db.close()
    elif how == "newer":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()
    elif how == "absent":
        path.unlink()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("corrupt", "not a usable result store"),
        ("text", "not a usable result store"),
        ("foreign", "not a result store of this kit"),
        ("newer", "version 99 of a newer kit"),
        ("older", "move the file away and run again"),
        ("absent", "no such result store"),
    ],
)
def test_a_store_that_is_not_one_is_refused(tmp_path: Path, how: str, says: str) -> None:
    path = tmp_path / "rows.sqlite"
    bad_store(path, how)
    with pytest.raises(ArtefactError, match=says):
        Store(path, create=False)


def test_a_store_where_nothing_can_be_written_is_read_whole_or_not_at_all(
    plan: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run(plan, GoldenDevice())
    log = plan.store.with_name(plan.store.name + "-wal")
    lock = plan.store.with_name(plan.store.name + ".lock")
    lock.unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with Store(plan.store, create=False) as store:
        assert sorted(r.unit.key for r in store.rows()) == sorted(r.unit.key for r in rows)
    assert not lock.exists() and not log.exists()
    with pytest.raises(ArtefactError, match="a run writes both"):
        Store(plan.store)
    log.write_bytes(b"rows that are not in the file yet")
    with pytest.raises(ArtefactError, match="copy both"):
        Store(plan.store, create=False)


def test_a_store_with_damaged_pages_is_refused(plan: Campaign) -> None:
    run(plan, GoldenDevice())
    whole = plan.store.read_bytes()
    plan.store.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with Store(plan.store) as store, pytest.raises(ArtefactError, match="cannot be read"):
        store.rows()


@pytest.mark.parametrize(
    "change",
    [
        *("n_correct = 'x'", "n_correct = n_correct - 1", "confusion = '[]'", "confusion = '3'"),
        *("confusion = '[[40.0]]'", "errors = 'null'", "p01 = 'x'", "network_name = x'ff'"),
    ],
)
def test_a_row_that_no_run_can_have_written_is_refused(plan: Campaign, change: str) -> None:
    run(plan, GoldenDevice())
    with closing(sqlite3.connect(plan.store)) as db:
        db.execute(f"UPDATE rows SET {change}")
        db.commit()
    with Store(plan.store) as store, pytest.raises(ArtefactError, match="is corrupt"):
        store.rows()


def test_a_row_that_cannot_be_stored_is_not_lost_in_silence(plan: Campaign) -> None:
    row = run(plan, GoldenDevice())[0]
    unit = replace(row.unit, chip=99)
    with Store(plan.store) as store:
        with pytest.raises(ArtefactError, match="cannot be written"):
            store.put(replace(row, unit=unit, wall_time_s=math.nan))  # SQLite takes it for NULL
        store.put(replace(row, n_correct=0))  # there already: stays
        assert store.get(unit.key) is None and store.get(row.unit.key) == row


def test_victims_that_no_memory_holds_are_refused() -> None:
    layout = layout_of(network())
    for victims, says in (
        (Victims(("thresholds",), layers=(1,)), "no thresholds in layer 1"),
        (Victims(banks=("L0.P00.thresholds",)), "no weights in L0.P00.thresholds"),
        (Victims(layers=(2,)), "layers must be 0..1"),
    ):
        with pytest.raises(InputError, match=says):
            victims.check(layout)


def test_a_row_that_was_changed_by_hand_is_refused(plan: Campaign) -> None:
    run(plan, GoldenDevice())
    db = sqlite3.connect(plan.store)
    db.execute("UPDATE rows SET chip = 9 WHERE chip = 1")
    db.commit()
    db.close()
    with Store(plan.store) as store, pytest.raises(ArtefactError, match="not what its key says"):
        store.rows()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("n_images = 40", "", "needs 'n_images'"),
        ("n_images = 40", "n_images = 0", "n_images must be 1 or more"),
        ("n_images = 40", "n_images = true", "n_images must be int"),
        ("chips = 5", "chips = 5\nchip = 1", r"unknown keys \['chip'\]"),
        ("rates = [0, 0.01]", "rates = [1.5]", "p01 must be 0..1"),
        ("[0.02, 0.10]", "[0.02]", "two numbers"),
        ("rram-3.3%", "rram-9%", "errors must be one of rram-3.3%"),
        ("rates = [0, 0.01]", "rates = [0.01, 0.01]", "error models is named twice"),
        ('["net.stoic"]', '["net.stoic", "net.stoic"]', "models is named twice"),
        ("seed = 7", 'seed = 7\nwhere = [["weights"]]', "where must be among"),
        ("[errors]", "[faults]\n[errors]", r"unknown tables \['faults'\]"),
        ("chips = 5", "chips = 5\nstop_half_width = 0.01", "not both"),
        ("chips = 5", "stop_half_width = 0.01", "needs 'max_chips'"),
        ("chips = 5", "stop_half_width = 0.01\nmax_chips = 5", "min_chips must be 2..max_chips"),
        ("chips = 5", "chips = 0", r"chips must be 1\.\."),
        ("chips = 5", "chips = 1000000000000", r"chips must be 1\.\.1000000"),
        ("chips = 5", "chips = 1000\nevents = 1001", "events x chips must be at most"),
        ("chips = 5", "chips = 5\nmodels = [{model = 'magic'}]", "model must be one of"),
        ("chips = 5", "chips = 5\nmodels = [{rate = 0.1}]", "needs 'model'"),
        ("chips = 5", "chips = 5\nmodels = [{model = 'stuck'}]", "rate"),
        ("chips = 5", "chips = 5\nmodels = [{model = 'stuck', p = 1}]", r"'p'"),
        ("chips = 5", "chips = 5\nmodels = [{model='stuck', sweep={rate=[0.1, 2]}}]", "0..1"),
        ("chips = 5", "chips = 5\nmodels = [{model='stuck', sweep={rate=0.1}}]", "takes a list"),
        ("chips = 5", "chips = 5\nlayers = ['a']", "must be a list of int"),
        ("chips = 5", "chips = 5\nlayers = []", "layers must name at least one"),
        ("chips = 5", "chips = 5\nlayers = [1, 1]", "each once"),
        ("chips = 5", "chips = 5\nevents = 0", "n_events must be 1 or more"),
        ("n_images = 40", "n_images = 40\nprotections = ['magic']", "must be among"),
        ("n_images = 40", "n_images = 40\nprotections = []", "at least one of protections"),
        ("[campaign]", "[campaign", "not a readable TOML"),
    ],
)
def test_a_wrong_campaign_file_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "plan.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new))
    with pytest.raises((InputError, ArtefactError), match=says) as caught:
        campaign.load(path)
    assert str(path) in str(caught.value)


RATE = st.floats(0, 1, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(RATE, RATE)
def test_an_operating_point_is_read_back_from_its_name(p01: float, p10: float) -> None:
    for pair in ((p01, p10), (p01, p01)):
        point = operating_points.from_rates(*pair)
        assert (point.p01, point.p10) == pair
        again = operating_points.parse(point.name)
        assert (again.p01, again.p10) == pair


@pytest.mark.parametrize("name", ["", "iid", "iid-3.3", "iid--1%", "iid-101%", "rram-3.4%"])
def test_an_unknown_operating_point_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"0\.\.1|errors must be one of rram-3.3%"):
        operating_points.parse(name)


def test_the_campaign_of_the_documentation_and_every_study_is_read(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    page = (root / "docs" / "campaigns.md").read_text()
    (tmp_path / "page.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    studies = sorted((root / "models" / "campaigns").glob("*.toml"))
    found = [campaign.load(path) for path in (tmp_path / "page.toml", *studies)]
    assert len(found) > 3 and found[0].rule.half_width == 0.002 and len(found[0].errors) == 8
