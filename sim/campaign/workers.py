"""Run a campaign on several processes of this machine.

Each worker has its own device and its own connection to the store: it claims a unit, computes it
and writes the row itself, so a row is safe as soon as it exists, whoever is killed then. The parent
only hands out numbers. A worker that dies is replaced and its unit given to another; when the
parent dies the workers end after the unit that they have.
"""

import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from ..exceptions import StoicError, ToolError
from ..rows import Unit
from ..store import Store
from .agenda import Agenda
from .jobs import Job, Task
from .run import Obtained, Outcome, Progress, Watcher, current, obtain
from .stop_rule import StopRule
from .trial import Trials

log = logging.getLogger(__name__)
_MAX_DEATHS = 3  # of workers with the same unit, before the unit is blamed


@dataclass(eq=False)
class _Worker:
    """A process, the pipe to it, and the unit that it has."""

    process: SpawnProcess
    pipe: Connection
    work: tuple[Task, Unit] | None = None


def run_workers(
    jobs: Sequence[Job],
    rule: StopRule,
    store: Store,
    n_workers: int,
    report: Callable[[Progress], None] | None = None,
    *,
    is_recomputing: bool = False,
) -> Outcome:
    """As `run`, on so many processes; the rows are the same.

    Raises:
        ToolError: a unit killed several workers, or a worker cannot start.
        StoicError: what a worker was refused.
    """
    agenda = Agenda(jobs, rule, store, current(jobs, is_recomputing))
    watcher = Watcher(agenda, report)
    deaths: dict[str, int] = {}
    workers: list[_Worker] = []

    def start() -> _Worker:
        return _start(jobs, store.path, is_recomputing)

    try:
        while not agenda.is_finished:
            n_idle = sum(w.work is None for w in workers)  # the stop rule may ask for many at once
            n_more = min(n_workers - len(workers), agenda.n_waiting - n_idle)
            workers += [start() for _ in range(n_more)]
            for worker in workers:
                _give(worker, agenda, is_last=all(w.work is None for w in workers))
            busy = [w for w in workers if w.work is not None]
            ready = wait([w.pipe for w in busy])
            for worker in [w for w in busy if w.pipe in ready]:
                answer = _answer(worker)
                assert worker.work is not None
                if answer is None:
                    worker.process.join()
                    log.warning("a worker died (status %s)", worker.process.exitcode)
                    _bury(worker, agenda, deaths)
                    workers[workers.index(worker)] = start()
                    continue
                found, error = answer
                if error is not None:
                    raise error
                if found is None:
                    agenda.put_elsewhere(*worker.work)
                else:
                    watcher.done(found.row, found.before, is_ours=found.is_ours)
                worker.work = None
    finally:
        for worker in workers:
            worker.pipe.close()  # which a worker takes for the end
        for worker in workers:
            worker.process.join()
    return watcher.outcome()


def _start(jobs: Sequence[Job], store: Path, is_recomputing: bool) -> _Worker:
    context = multiprocessing.get_context("spawn")  # threads of this process must not be copied
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    resource_tracker.ensure_running()  # where it is not, starting it unblocks the signal again
    with _without_ctrl_c():
        process.start()
    theirs.close()
    with suppress(BrokenPipeError):  # it died at once, which is seen when it has a unit
        ours.send((list(jobs), store, is_recomputing))
    return _Worker(process, ours)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process started in here never gets Ctrl-C, this one gets it at the end.

    It is for the parent: it closes the pipes, and a worker ends after the unit that it has. The
    mask is what a worker inherits; here another thread may still take the signal, and Python would
    then interrupt the main one between the fork and what a worker must be sent.
    """
    came: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    holds = callable(handler) and threading.current_thread() is threading.main_thread()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if holds:
        signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if holds:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _give(worker: _Worker, agenda: Agenda, *, is_last: bool) -> None:
    """Give an idle worker a unit, if there is one.

    Args:
        is_last: no worker has anything to do, so that waiting for another process costs nothing.
    """
    if worker.work is not None:
        return
    found, must_wait = agenda.take(), False
    if found is None and is_last:
        found, must_wait = agenda.take_elsewhere(), True
    if found is not None:
        worker.work = found
        with suppress(BrokenPipeError):
            worker.pipe.send((found[0], must_wait))


def _answer(worker: _Worker) -> "tuple[Obtained | None, StoicError | None] | None":
    try:
        answer: tuple[Obtained | None, StoicError | None] = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return None
    return answer


def _bury(worker: _Worker, agenda: Agenda, deaths: dict[str, int]) -> None:
    assert worker.work is not None
    task, unit = worker.work
    deaths[unit.key] = deaths.get(unit.key, 0) + 1
    if deaths[unit.key] >= _MAX_DEATHS:
        raise ToolError(
            f"{_MAX_DEATHS} workers died of the same unit (status {worker.process.exitcode}): "
            f"chip {unit.chip} of {unit.errors}"
        )
    agenda.put_back(task, unit)


def _work(pipe: Connection) -> None:
    """What a worker does until the pipe is closed: units in, rows into the store and out."""
    if (started := _receive(pipe)) is None:
        return
    jobs, path, is_recomputing = started
    is_current = current(jobs, is_recomputing)
    trials = Trials(jobs)
    with Store(path) as store:
        while (given := _receive(pipe)) is not None:
            task, must_wait = given
            unit = jobs[task.job].unit(task)
            answer: tuple[Obtained | None, StoicError | None]
            try:
                answer = obtain(task, unit, trials, store, is_current, wait=must_wait), None
            except StoicError as error:
                answer = None, error
            except Exception as error:  # may not survive pickling; a dead worker would say less
                what = f"{type(error).__name__}: {error} (chip {unit.chip} of {unit.errors})"
                answer = None, ToolError(f"a worker failed with {what}")
            with suppress(BrokenPipeError):  # the parent is dead, the row is kept
                pipe.send(answer)
    trials.close()


def _receive(pipe: Connection) -> Any:
    """What the parent sends next; None when it is done or dead, maybe in mid-sentence."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None
