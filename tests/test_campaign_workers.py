"""Workers here and on a Dask cluster give the rows that one process gives, killed or not."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from stoic.sim import campaign
from stoic.sim.campaign import Job, Outcome, StopRule, VictimSets, fixed, workers
from stoic.sim.campaign import cluster as cluster_module
from stoic.sim.campaign.cluster import run_cluster
from stoic.sim.campaign.jobs import make
from stoic.sim.device import Device, GoldenDevice
from stoic.sim.exceptions import InputError, ToolError
from stoic.sim.memory import layout_of
from stoic.sim.protection import Secded
from stoic.sim.random_network import random_network
from stoic.sim.rows import VARYING, Row
from stoic.sim.store import Store

N_CHIPS = 8
Run = Callable[[list[Job], StopRule, Store], Outcome]


class SlowDevice(GoldenDevice):
    """Golden, but slow enough to be killed in time; other processes import it by name."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        time.sleep(0.03)
        return super().infer(images)


def jobs(open_device: Callable[[], Device] = GoldenDevice) -> list[Job]:
    """Two networks, one of them protected, under two error rates and in each layer."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (25, 30)).astype(np.uint8)
    errors = [campaign.from_rates(p, p, seed=3) for p in (0.0, 0.05, 0.1)]
    found = []
    for seed, protection in ((3, None), (4, Secded())):
        net = random_network((30, 33, 5), "uint8", np.random.default_rng(seed))
        found.append(
            make(
                *(net, layout_of(net), "golden", open_device, campaign.code_sha256()),
                *("random/test", images, rng.integers(0, 5, 25), errors),
                VictimSets(each_layer=True),
                protection,
            )
        )
    return found


def plain(rows: list[Row]) -> list[Row]:
    """Rows without the columns that differ from run to run."""
    return [replace(row, wall_time_s=0.0, computed_at_utc="") for row in rows]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    with Store(tmp_path_factory.mktemp("serial") / "rows.sqlite") as store:
        rows = campaign.run(jobs(), fixed(N_CHIPS), store).agenda.rows()
    assert len(rows) == 2 * (1 + 2 * 3 * N_CHIPS)
    assert len({row.scores_sha256 for row in rows}) > 90
    assert set(VARYING) == {"wall_time_s", "computed_at_utc"}
    return plain(rows)


def check_once(store: Store, ran: Outcome, serial: list[Row]) -> None:
    """The rows are those of a serial run, and none was computed twice or lost."""
    assert plain(ran.agenda.rows()) == serial
    assert plain(sorted(store.rows(), key=lambda r: r.unit.key)) == sorted(
        serial, key=lambda r: r.unit.key
    )


def test_workers_give_the_rows_of_a_serial_run(tmp_path: Path, serial: list[Row]) -> None:
    with Store(tmp_path / "rows.sqlite") as store:
        ran = campaign.run_workers(jobs(), fixed(N_CHIPS), store, 2)
        check_once(store, ran, serial)
        assert ran.n_computed == len(serial)
        assert campaign.run_workers(jobs(), fixed(N_CHIPS), store, 2).n_computed == 0


def test_workers_join_when_the_stop_rule_asks_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    start = workers._start

    def noted(*args: Any) -> Any:
        started.append(args)
        return start(*args)

    monkeypatch.setattr(workers, "_start", noted)
    rule = StopRule(2, 8, 1e-6)  # never narrow enough: all 8
    one = replace(jobs()[0], conditions=jobs()[0].conditions[1:2], fitted=jobs()[0].fitted[1:2])
    with Store(tmp_path / "rows.sqlite") as store:
        rows = campaign.run([one], fixed(1), store).agenda.rows()
        ran = campaign.run_workers([one], rule, store, 2)  # one unit is missing, then six more
        assert len(rows) == 1 and ran.n_computed == 7 and len(started) == 2


def wait_for(store: Store, n_rows: int) -> None:
    deadline = time.monotonic() + 60
    while len(store.rows()) < n_rows:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_worker_is_replaced_and_loses_nothing(tmp_path: Path, serial: list[Row]) -> None:
    killed: list[int] = []

    def kill_one(path: Path) -> None:
        with Store(path) as other:
            for n_rows in (8, 24):
                wait_for(other, n_rows)
                found = [p for p in psutil.Process().children() if "spawn_main" in str(p.cmdline())]
                victim = next(p for p in found if p.pid not in killed)
                victim.kill()
                killed.append(victim.pid)

    # The store is opened in another process than the workers': a lock of this one is not theirs.
    with Store(tmp_path / "rows.sqlite") as store:
        thread = threading.Thread(target=kill_one, args=(store.path,))
        thread.start()
        ran = campaign.run_workers(jobs(SlowDevice), fixed(N_CHIPS), store, 2)
        thread.join()
        assert len(killed) == 2
        check_once(store, ran, serial)


PARENT = """
import sys, importlib.util
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import test_campaign_workers as test
if __name__ == "__main__":
    with test.Store(Path(sys.argv[2])) as store:
        rule = test.fixed(test.N_CHIPS)
        print(test.campaign.run_workers(test.jobs(test.SlowDevice), rule, store, 2).n_computed)
"""


def test_workers_of_a_killed_parent_end_and_another_run_goes_on(
    tmp_path: Path, serial: list[Row]
) -> None:
    script, path = tmp_path / "parent.py", tmp_path / "rows.sqlite"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), __file__, str(path)])
    while not path.exists():
        time.sleep(0.01)
    with Store(path) as store:
        wait_for(store, 8)
        workers = psutil.Process(parent.pid).children(recursive=True)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        gone, alive = psutil.wait_procs(workers, timeout=20)
        assert gone and not alive
        kept = store.rows()
    with Store(path) as store:
        # A second run joins while the first is at work: they share the units.
        other = subprocess.Popen(
            [sys.executable, str(script), __file__, str(path)], stdout=subprocess.PIPE, text=True
        )
        ran = campaign.run(jobs(SlowDevice), fixed(N_CHIPS), store)
        n_other = int(other.communicate(timeout=60)[0])
        check_once(store, ran, serial)
        assert ran.n_computed + n_other == len(serial) - len(kept)
        times = {(r.unit.key, r.computed_at_utc) for r in store.rows()}
        assert times >= {(r.unit.key, r.computed_at_utc) for r in kept}


class DeadlyDevice(GoldenDevice):
    """Ends its process."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        os._exit(7)


def test_a_unit_that_kills_its_workers_is_named(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "rows.sqlite") as store,
        pytest.raises(ToolError, match=r"3 workers died of the same unit \(status 7\): chip 0"),
    ):
        campaign.run_workers(jobs(DeadlyDevice), fixed(1), store, 1)


class RefusingDevice(GoldenDevice):
    """Refuses every network."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        raise InputError("not today")


def test_what_a_worker_is_refused_is_said_by_the_parent(tmp_path: Path) -> None:
    with Store(tmp_path / "rows.sqlite") as store, pytest.raises(InputError, match="not today"):
        campaign.run_workers(jobs(RefusingDevice), fixed(1), store, 2)


class BrokenDevice(GoldenDevice):
    """Has a mistake."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        raise IndexError("past the end")


def test_a_mistake_in_a_worker_is_named_with_its_unit(tmp_path: Path) -> None:
    says = "a worker failed with IndexError: past the end .chip 0 of"
    with Store(tmp_path / "rows.sqlite") as store, pytest.raises(ToolError, match=says):
        campaign.run_workers(jobs(BrokenDevice), fixed(1), store, 1)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_ctrl_c_reaches_the_parent_alone_and_is_no_trace_of_workers(
    tmp_path: Path, n_rows: int
) -> None:
    """A terminal sends it to all processes: while workers start, and when they are at work."""
    script, path = tmp_path / "parent.py", tmp_path / "rows.sqlite"
    script.write_text(PARENT)
    command = [sys.executable, str(script), __file__, str(path)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        while len(psutil.Process(parent.pid).children()) < 3:  # two workers and their tracker
            time.sleep(0.01)
        with Store(path) as store:
            wait_for(store, n_rows)
        os.killpg(parent.pid, signal.SIGINT)
        _, err = parent.communicate(timeout=60)
    assert err.count("Traceback") == 1 and "spawn_main" not in err  # the parent's own
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_waits_until_a_worker_has_what_it_starts_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread takes the signal in the midst of the start; Python tells the main one."""
    start, started = SpawnProcess.start, []

    def interrupted(process: SpawnProcess) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        start(process)
        started.append(process)

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with Store(tmp_path / "rows.sqlite") as store, pytest.raises(KeyboardInterrupt):
            campaign.run_workers(jobs(), fixed(1), store, 1)
    finally:
        done.set()
        other.join()
    started[0].join()
    assert started[0].exitcode == 0  # it found the pipe closed, no more


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def dask(*arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env={**os.environ, **path, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def cluster(n_workers: int, **environment: str) -> Iterator[tuple[str, list[int], list[int]]]:
    """A scheduler and workers as processes: its address, their ids, and the scheduler's."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    started = [
        dask("scheduler", "--port", port, "--host", "127.0.0.1", "--no-dashboard", "--no-show")
    ]
    for _ in range(n_workers):
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60")
        started.append(dask("worker", address, *options, **environment))
    try:
        yield address, [p.pid for p in started[1:]], [started[0].pid]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_dask_cluster_gives_the_rows_of_a_serial_run_though_a_worker_is_killed(
    tmp_path: Path, serial: list[Row]
) -> None:
    with cluster(2) as (address, workers, _), Store(tmp_path / "rows.sqlite") as store:
        killed = []

        def kill(progress: campaign.Progress) -> None:
            if progress.n_done == 20:
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

        ran = run_cluster(jobs(SlowDevice), fixed(N_CHIPS), store, address, kill)
        assert killed and ran.n_computed == len(serial)
        check_once(store, ran, serial)


def test_a_cluster_that_is_not_there_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoic.sim.campaign.cluster._CONNECT_S", 1)
    with Store(tmp_path / "rows.sqlite") as store:
        nobody = f"tcp://127.0.0.1:{free_port()}"
        with pytest.raises(ToolError, match="no Dask scheduler answers"):
            run_cluster(jobs(), fixed(1), store, nobody)
        with pytest.raises(InputError, match="must be e.g. tcp://"):
            run_cluster(jobs(), fixed(1), store, "not an address")
        assert store.rows() == []


def test_a_worker_with_another_kit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoic.sim.campaign.cluster.code_sha256", lambda: "another")
    with cluster(1) as (address, *_), Store(tmp_path / "rows.sqlite") as store:
        with pytest.raises(ToolError, match="install the same kit on both"):
            run_cluster(jobs(), fixed(1), store, address)
        assert store.rows() == []


def test_nothing_is_collected_while_a_client_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    # __del__ of a client that failed would wait for the lock that the new one holds
    seen: list[bool] = []
    monkeypatch.setattr(
        "stoic.sim.campaign.cluster.Client", lambda *_, **__: seen.append(gc.isenabled())
    )
    cluster_module._connect("tcp://127.0.0.1:1")
    assert seen == [False] and gc.isenabled()
