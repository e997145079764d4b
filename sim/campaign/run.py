"""Run a campaign in this process, and what every way to run one has in common."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..rows import Row, Unit, differ
from ..store import Store
from .agenda import Agenda
from .jobs import Job, Task
from .stop_rule import StopRule
from .trial import Trials


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        n_done, n_units: of the units that are wanted as far as is known now.
        n_at_most: units if the stop rule ends no point early.
        n_computed: by this run.
        left_s: estimate for the rest of `n_units`, or None before the first row.
        row: the last one.
    """

    n_done: int
    n_units: int
    n_at_most: int
    n_computed: int
    left_s: float | None
    row: Row


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        agenda: its rows and points.
        n_computed: rows that the store lacked.
        n_recomputed: rows of other sources that were computed again.
        n_different: of those, rows whose scores are not what they were.
    """

    agenda: Agenda
    n_computed: int
    n_recomputed: int
    n_different: int


class Watcher:
    """Counts what a run computes and reports it."""

    def __init__(self, agenda: Agenda, report: Callable[[Progress], None] | None) -> None:
        self.agenda, self._report, self._start = agenda, report, time.monotonic()
        self.n_computed = self.n_recomputed = self.n_different = 0

    def done(self, row: Row, before: Row | None, *, is_ours: bool) -> None:
        """Note a row.

        Args:
            before: the row of other sources that it replaced.
            is_ours: computed by this run, not found.
        """
        self.agenda.finish(row)
        self.n_computed += is_ours
        if before is not None:
            self.n_recomputed += 1
            self.n_different += differ(before, row)
        if self._report is not None:
            agenda, spent = self.agenda, time.monotonic() - self._start
            n_left = agenda.n_units - agenda.n_done
            left = spent / self.n_computed * n_left if self.n_computed else None
            self._report(
                Progress(
                    agenda.n_done,
                    agenda.n_units,
                    agenda.n_units_at_most,
                    self.n_computed,
                    left,
                    row,
                )
            )

    def outcome(self) -> Outcome:
        """The counts."""
        return Outcome(self.agenda, self.n_computed, self.n_recomputed, self.n_different)


def run(
    jobs: Sequence[Job],
    rule: StopRule,
    store: Store,
    report: Callable[[Progress], None] | None = None,
    *,
    is_recomputing: bool = False,
) -> Outcome:
    """Compute, one after the other, every row that the store lacks.

    Args:
        report: called after every row.
        is_recomputing: also rows of other sources than those that run now.

    Raises:
        InputError: an error model or a protection does not fit its network.
    """
    agenda = Agenda(jobs, rule, store, current(jobs, is_recomputing))
    watcher, trials = Watcher(agenda, report), Trials(jobs)
    try:
        while not agenda.is_finished:
            found, wait = agenda.take(), False
            if found is None:  # only what another process holds is left
                found, wait = agenda.take_elsewhere(), True
            assert found is not None
            result = obtain(*found, trials, store, agenda.is_current, wait=wait)
            if result is None:
                agenda.put_elsewhere(*found)
            else:
                watcher.done(result.row, result.before, is_ours=result.is_ours)
    finally:
        trials.close()
    return watcher.outcome()


def current(jobs: Sequence[Job], is_recomputing: bool) -> Callable[[Row], bool]:
    """Whether a row may stand."""
    if not is_recomputing:
        return lambda row: True
    sources = {job.device_name: job.code_sha256 for job in jobs}
    return lambda row: row.code_sha256 == sources[row.unit.device]


@dataclass(frozen=True)
class Obtained:
    """A row, the row that it replaced, and whether it was computed here."""

    row: Row
    before: Row | None
    is_ours: bool


def obtain(
    task: Task,
    unit: Unit,
    trials: Trials,
    store: Store,
    is_current: Callable[[Row], bool],
    *,
    wait: bool,
) -> Obtained | None:
    """The row of a unit, computed and written unless another process was first.

    Returns None when another process computes it now.

    Args:
        wait: until that one is done with it, or dead.
    """
    with store.claim(unit, wait=wait) as is_ours:
        if not is_ours:
            return None
        before = store.get(unit.key)
        if before is not None and is_current(before):
            return Obtained(before, None, is_ours=False)
        row = trials.row(task)
        store.put(row, replace=before is not None)
        return Obtained(row, before, is_ours=True)
