"""The agenda of a run: which units are wanted, which are done, what to hand out next.

Everything here follows from the rows. Chips of a point are wanted in the order of their numbers and
as many as the stop rule says, so the units of a campaign are the same whoever computes them, in any
order, with any number of workers, killed or not.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..rows import Row, Unit
from ..store import Store
from .jobs import Job, Task
from .stop_rule import StopRule, fixed


@dataclass
class Series:
    """The chips of one condition of one job.

    Attributes:
        job, condition: positions, as in `Task`.
        n_events: of every chip.
        n_chips: wanted as far as is known now.
    """

    job: int
    condition: int
    n_events: int
    n_images: int
    rule: StopRule
    n_chips: int = 0
    rows: dict[tuple[int, int], Row] = field(default_factory=dict)

    def ask(self) -> list[Task]:
        """Tasks that are wanted besides, now that every row so far is there."""
        first = self.n_chips
        self.n_chips = self.rule.wanted(self.accuracy(), self.n_images)
        return [
            Task(self.job, self.condition, chip, event)
            for chip in range(first, self.n_chips)
            for event in range(self.n_events)
        ]

    @property
    def is_whole(self) -> bool:
        """Whether every wanted row is there."""
        return len(self.rows) == self.n_chips * self.n_events

    def accuracy(self) -> list[float]:
        """Of each chip, mean over its programming events."""
        return [
            float(np.mean([self.rows[chip, event].accuracy for event in range(self.n_events)]))
            for chip in range(self.n_chips)
        ]

    def ordered(self) -> list[Row]:
        """The rows, chip by chip."""
        return [self.rows[at] for at in sorted(self.rows)]


class Agenda:
    """Wanted units of some jobs, against the rows of a store.

    Args:
        rule: chips of a point; a condition under which nothing is drawn has one chip.
        is_current: whether a row of the store may stand; others are computed again.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        rule: StopRule,
        store: Store,
        is_current: Callable[[Row], bool] = lambda row: True,
    ) -> None:
        self.jobs, self.store, self.is_current = jobs, store, is_current
        self.n_found = 0
        self._rows: dict[str, Row] = {}
        self._waiting: deque[tuple[Task, Unit]] = deque()
        self._elsewhere: deque[tuple[Task, Unit]] = deque()
        self._asking: dict[str, list[tuple[Series, Task]]] = {}  # of keys without a row
        self.series = [
            Series(
                j, c, condition.n_events, len(job.images), rule if condition.is_drawn else fixed(1)
            )
            for j, job in enumerate(jobs)
            for c, condition in enumerate(job.conditions)
        ]
        for series in self.series:
            self._ask(series)

    def _ask(self, series: Series) -> None:
        while series.is_whole and (tasks := series.ask()):
            for task in tasks:
                self._want(series, task)

    def _want(self, series: Series, task: Task) -> None:
        unit = self.jobs[task.job].unit(task)
        row = self._rows.get(unit.key)
        if row is None and unit.key not in self._asking:
            row = self.store.get(unit.key)
            if row is not None and self.is_current(row):
                self._rows[unit.key] = row
                self.n_found += 1
            else:
                row = None
        if row is not None:
            series.rows[task.chip, task.event] = row
            return
        if unit.key not in self._asking:
            self._waiting.append((task, unit))
        self._asking.setdefault(unit.key, []).append((series, task))

    @property
    def n_waiting(self) -> int:
        """Units that nobody was given yet."""
        return len(self._waiting)

    def take(self) -> tuple[Task, Unit] | None:
        """A unit that nobody was given; None while there is none, for now or for good."""
        return self._waiting.popleft() if self._waiting else None

    def take_elsewhere(self) -> tuple[Task, Unit] | None:
        """A unit that another process was computing when it was last tried."""
        return self._elsewhere.popleft() if self._elsewhere else None

    def put_elsewhere(self, task: Task, unit: Unit) -> None:
        """Note that another process computes it: it finishes, or dies and leaves it to us."""
        self._elsewhere.append((task, unit))

    def put_back(self, task: Task, unit: Unit) -> None:
        """Whoever had it is dead: it is next."""
        self._waiting.appendleft((task, unit))

    def finish(self, row: Row) -> None:
        """Note a row; may ask for more chips of its points."""
        self._rows[row.unit.key] = row
        for series, task in self._asking.pop(row.unit.key, []):
            series.rows[task.chip, task.event] = row
            self._ask(series)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is wanted any more."""
        return not self._asking

    @property
    def n_done(self) -> int:
        """Units whose row is there."""
        return len(self._rows)

    @property
    def n_units(self) -> int:
        """Units that are wanted as far as is known now."""
        return len(self._rows) + len(self._asking)

    @property
    def n_units_at_most(self) -> int:
        """Units if no point ended before its last chip; those with one key counted apart."""
        return max(
            self.n_units,
            sum(s.n_events * max(s.n_chips, s.rule.max_chips) for s in self.series),
        )

    def rows(self) -> list[Row]:
        """The rows that are there, in the order of jobs, conditions and chips; each one once."""
        found = {row.unit.key: row for series in self.series for row in series.ordered()}
        return list(found.values())
