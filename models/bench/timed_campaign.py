"""20 error rates on 100 chips through the campaign machinery, onto disk, and timed.

Three runs, each into a store of its own: every chip on one process, every chip on two processes,
whose rows must be the same, and under the stop rule, which ends a point when its interval is as
narrow as the widest one that every chip gave.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...sim import campaign
from ...sim.campaign import Job, Outcome, StopRule
from ...sim.engine import EngineDevice
from ...sim.exceptions import StoicError
from ...sim.memory import layout_of
from ...sim.points import Point, points
from ...sim.store import Store
from .subjects import Subject

RATES = (
    *(1e-4, 1.5e-4, 2.2e-4, 3.3e-4, 4.9e-4, 7.4e-4, 1.1e-3, 1.6e-3, 2.5e-3, 3.7e-3),
    *(5.5e-3, 8.2e-3, 0.012, 0.018, 0.027, 0.041, 0.061, 0.09, 0.13, 0.2),
)
"""20 rates, evenly spaced on a logarithmic axis."""
_MIN_CHIPS = 10


@dataclass(frozen=True)
class Run:
    """One campaign.

    Attributes:
        n_units: chips of all points.
        wall_s, cpu_s: from an empty store to the last row; CPU of this process and its workers.
        half_widths: of the 95 % intervals of the mean accuracy, 0..1, one a point.
        accuracy: mean, one a point.
    """

    n_units: int
    wall_s: float
    cpu_s: float
    half_widths: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Campaigns:
    """The three runs; `half_width` is what the stop rule was asked for."""

    one: Run
    two: Run
    stopped: Run
    half_width: float
    rates: tuple[float, ...]
    n_chips: int


def run(
    subject: Subject, folder: Path, rates: Sequence[float], n_chips: int, seed: int, path: str
) -> Campaigns:
    """All three runs.

    Args:
        folder: gets the stores; one that holds a row already is refused.

    Raises:
        StoicError: rows of one and of two processes differ.
    """
    jobs = [_job(subject, rates, seed, path)]
    every = campaign.fixed(n_chips)
    folder.mkdir(parents=True, exist_ok=True)
    one, first = _timed(jobs, every, folder / "one.sqlite", campaign.run)
    two, second = _timed(jobs, every, folder / "two.sqlite", partial(_on_workers, n_workers=2))
    n_wrong = sum(first[key] != second.get(key) for key in first)
    if n_wrong or len(first) != len(second):
        raise StoicError(f"{n_wrong} of {len(first)} rows differ between one and two processes")
    half_width = max(one.half_widths)
    rule = StopRule(min(_MIN_CHIPS, n_chips), 2 * n_chips, half_width)
    stopped, _ = _timed(jobs, rule, folder / "stopped.sqlite", campaign.run)
    return Campaigns(one, two, stopped, half_width, tuple(rates), n_chips)


def _job(subject: Subject, rates: Sequence[float], seed: int, path: str) -> Job:
    return campaign.make(
        subject.network,
        layout_of(subject.network),
        "engine",
        partial(EngineDevice, 1, path),
        campaign.code_sha256(),
        "fashion-mnist/test",
        subject.images,
        subject.labels,
        [campaign.from_rates(rate, rate, seed) for rate in rates],
    )


def _on_workers(jobs: Sequence[Job], rule: StopRule, store: Store, *, n_workers: int) -> Outcome:
    return campaign.run_workers(jobs, rule, store, n_workers)


def _timed(
    jobs: Sequence[Job],
    rule: StopRule,
    path: Path,
    how: Callable[[Sequence[Job], StopRule, Store], Outcome],
) -> tuple[Run, dict[str, str]]:
    """The run, and the hash of the scores of every row by its key."""
    with Store(path) as store:
        wall, cpu = time.perf_counter(), _cpu_s()
        outcome = how(jobs, rule, store)
        cpu, wall = _cpu_s() - cpu, time.perf_counter() - wall
    rows = outcome.agenda.rows()
    if outcome.n_computed != len(rows):
        raise StoicError(f"{path}: only {outcome.n_computed} of {len(rows)} rows were computed now")
    found = points(rows, rule)
    return (
        Run(len(rows), wall, cpu, tuple(map(_half_width, found)), tuple(p.mean for p in found)),
        {row.unit.key: row.scores_sha256 for row in rows},
    )


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def _half_width(point: Point) -> float:
    if point.interval.half_width is None:
        raise StoicError("an interval needs two chips or more")
    return point.interval.half_width
