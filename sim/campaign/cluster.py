"""Run a campaign on a Dask cluster; needs `stoic[cluster]` here and on every worker.

The jobs, with networks and images, go to the scheduler once, as a worker plugin: it hands them to
every worker, also to those that join later or come back after a crash. A task is then four numbers
one way and a row the other, sent in batches of about half a second of work, since a scheduler
handles hundreds of messages a second and not thousands. This process claims the units, and it alone
writes the store; a worker that dies costs the batches that it had, which others compute.
"""

import asyncio
import gc
import logging
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..container import kit_version
from ..exceptions import InputError, StoicError, ToolError
from ..rows import Row, Unit
from ..store import Store
from .agenda import Agenda
from .jobs import Job, Task
from .run import Outcome, Progress, Watcher, current
from .sources import code_sha256
from .stop_rule import StopRule
from .trial import Trials

try:
    from dask.distributed import Client, Future, WorkerPlugin, as_completed, get_worker
    from distributed.scheduler import KilledWorker
except ImportError as error:
    raise ToolError(f"a cluster needs {error.name!r}; install stoic[cluster]") from error

log = logging.getLogger(__name__)
_CONNECT_S = 10
_PER_THREAD = 2  # batches on their way to each thread, so that none waits for this process
_BATCH_S = 0.5
_MAX_BATCH = 64


class _Jobs(WorkerPlugin):  # type: ignore[misc]  # untyped
    """The jobs on a worker, and a device for each of its threads.

    Args:
        packed: the pickled jobs; unpacked only where the kit is what it is here.
    """

    def __init__(self, name: str, packed: bytes) -> None:
        self.name, self._packed = name, packed
        self._kit, self._code = kit_version(), code_sha256()

    def setup(self, worker: Any) -> None:
        """Called on every worker, also on one that joins later.

        Raises:
            ToolError: the worker runs another kit.
        """
        here = (kit_version(), code_sha256())
        if here != (self._kit, self._code):
            raise ToolError(
                f"worker {worker.address} runs stoic {here[0]} (sources {here[1][:12]}), this "
                f"client {self._kit} ({self._code[:12]}); install the same kit on both"
            )
        self._jobs: Sequence[Job] = pickle.loads(self._packed)
        self._local = threading.local()

    def row(self, task: Task) -> Row:
        """Computed on the device of this thread."""
        if not hasattr(self._local, "trials"):
            self._local.trials = Trials(self._jobs)
        row: Row = self._local.trials.row(task)
        return row


_Work = tuple[Task, Unit, Row | None]
"""A claimed unit, with the row of other sources that is to be replaced."""


def _rows(name: str, batch: list[tuple[int, int, int, int]]) -> list[Row]:
    """What a worker computes."""
    plugin: Any = get_worker().plugins[name]
    return [plugin.row(Task(*numbers)) for numbers in batch]  # of `_Jobs`


def run_cluster(
    jobs: Sequence[Job],
    rule: StopRule,
    store: Store,
    address: str,
    report: Callable[[Progress], None] | None = None,
    *,
    is_recomputing: bool = False,
) -> Outcome:
    """As `run`, on the workers of the scheduler at an address; the rows are the same.

    Raises:
        InputError: the address is not one.
        ToolError: no scheduler, no worker, a worker with another kit, or a unit that kills workers.
    """
    agenda = Agenda(jobs, rule, store, current(jobs, is_recomputing))
    watcher = Watcher(agenda, report)
    with _client(address) as client:
        name = f"stoic-{uuid.uuid4().hex[:12]}"
        _Run(client, address, name, jobs, agenda, store, watcher).run()
    return watcher.outcome()


class _Run:
    """One run on a connected cluster; owns the units that are under way."""

    def __init__(
        self,
        client: Client,
        address: str,
        name: str,
        jobs: Sequence[Job],
        agenda: Agenda,
        store: Store,
        watcher: Watcher,
    ) -> None:
        self.client, self.address, self.name = client, address, name
        self.jobs, self.agenda, self.store, self.watcher = jobs, agenda, store, watcher
        self.under_way: dict[Any, tuple[Future, list[_Work]]] = {}  # by Future.key
        self.trial_s = _BATCH_S  # of the last row; a batch of one until there is one

    def run(self) -> None:
        """Until nothing is wanted any more."""
        if self.agenda.is_finished:
            return
        self.client.register_plugin(_Jobs(self.name, pickle.dumps(list(self.jobs))))
        try:
            results = as_completed(loop=self.client.loop, raise_errors=False)
            while not self.agenda.is_finished:
                self._fill(results)
                if self.under_way:
                    self._take(next(results))
        finally:
            for _, batch in self.under_way.values():
                for _, unit, _ in batch:
                    self.store.release(unit)
            if self.client.status == "running":
                self.client.cancel([future for future, _ in self.under_way.values()])
                self.client.unregister_worker_plugin(self.name)

    def _fill(self, results: as_completed) -> None:
        """Claim units and send them, as many as keep the cluster busy."""
        n_threads = max(1, _n_threads(self.client))
        while len(self.under_way) < _PER_THREAD * n_threads and (batch := self._batch(n_threads)):
            numbers = [(t.job, t.condition, t.chip, t.event) for t, _, _ in batch]
            future = self.client.submit(_rows, self.name, numbers, pure=False)
            self.under_way[future.key] = (future, batch)
            results.add(future)

    def _batch(self, n_threads: int) -> list[_Work]:
        """Claimed units for one thread; fewer at the end, so that all threads end together."""
        share = self.agenda.n_waiting // (2 * n_threads)
        n = max(1, min(_MAX_BATCH, share, int(_BATCH_S / max(self.trial_s, 1e-3))))
        batch: list[_Work] = []
        while len(batch) < n:
            found, must_wait = self.agenda.take(), False
            if found is None and not self.under_way and not batch:  # another process has the rest
                found, must_wait = self.agenda.take_elsewhere(), True
            if found is None:
                break
            task, unit = found
            if not self.store.hold(unit, wait=must_wait):
                self.agenda.put_elsewhere(task, unit)
                continue
            before = self.store.get(unit.key)
            if before is not None and self.agenda.is_current(before):
                self.store.release(unit)
                self.watcher.done(before, None, is_ours=False)
            else:
                batch.append((task, unit, before))
        return batch

    def _take(self, future: Future) -> None:
        """Write the rows of a batch that came back."""
        batch = self.under_way[future.key][1]
        if future.status != "finished":
            raise _refusal(future, batch[0][1], self.address)
        rows: list[Row] = future.result()
        for (_, unit, before), row in zip(batch, rows, strict=True):
            if row.unit != unit:
                raise ToolError(
                    f"a worker answered for another unit than chip {unit.chip} of {unit.errors}"
                )
            self.store.put(row, replace=before is not None)
            self.store.release(unit)
            self.trial_s = row.wall_time_s
            self.watcher.done(row, before, is_ours=True)
        del self.under_way[future.key]


def _n_threads(client: Any) -> int:
    """Threads of all workers that are there now."""
    threads: dict[str, int] = client.nthreads()
    return sum(threads.values())


def _refusal(future: Future, unit: Unit, address: str) -> StoicError:
    error = future.exception() if future.status == "error" else None
    if isinstance(error, StoicError):
        return error
    what = f"chip {unit.chip} of {unit.errors}"
    if isinstance(error, KilledWorker):
        return ToolError(f"workers died again and again of the same unit: {what}")
    if error is None:
        return ToolError(
            f"the scheduler at {address} is gone; the rows so far are kept: run "
            "the same command again"
        )
    return ToolError(f"a worker failed with {type(error).__name__}: {error} ({what})")


@contextmanager
def _client(address: str) -> Iterator[Client]:
    """A client whose scheduler answers and has workers with this kit.

    Raises:
        InputError, ToolError: it is not there, or they are not what they must be.
    """
    for name in ("distributed", "distributed.client", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it means is said in one line
    try:
        try:
            client = _connect(address)
        except AssertionError:  # on a busy machine its thread may not start within its 10 s
            client = _connect(address)
    except ValueError as error:
        raise InputError(f"--cluster must be e.g. tcp://host:8786, not {address!r}") from error
    except OSError as error:
        raise ToolError(f"no Dask scheduler answers at {address}") from error
    try:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise ToolError(
                f"the scheduler at {address} has no worker; start some with dask worker {address}"
            ) from error
        yield client
    except (OSError, asyncio.CancelledError) as error:
        raise ToolError(f"the scheduler at {address} is gone; the rows so far are kept") from error
    except ImportError as error:  # a worker could not unpickle the jobs
        raise ToolError(f"a worker lacks {error.name!r}; install the same kit there") from error
    finally:
        client.close(timeout=_CONNECT_S)


def _connect(address: str) -> Client:
    """A new client. What is left of one that failed must not be collected while this one starts.

    `Client.__del__` takes the lock that a starting client holds, and would wait for it for ever.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    finally:
        if was_enabled:
            gc.enable()
