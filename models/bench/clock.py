"""Seconds of several jobs that take turns, so that a slow moment of the machine hits all alike."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Job = Callable[[], object]
_LEAST_S = 0.1
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """One job over all rounds.

    Attributes:
        cpu_s: CPU seconds of the calling thread, one a round.
        process_s: CPU seconds of all threads of this process; more than `cpu_s` where a job has
            threads of its own.
        wall_s: seconds of the clock on the wall.
    """

    cpu_s: tuple[float, ...]
    process_s: tuple[float, ...]
    wall_s: tuple[float, ...]

    @property
    def cpu(self) -> float:
        """Median of the CPU seconds."""
        return median(self.cpu_s)

    @property
    def wall(self) -> float:
        """Median of the wall seconds."""
        return median(self.wall_s)


def seconds(job: Job) -> tuple[float, float, float]:
    """(thread CPU, process CPU, wall) seconds of one run, the mean over `_LEAST_S` or more."""
    n, wall, process, thread = 0, time.perf_counter(), time.process_time(), time.thread_time()
    while not n or time.perf_counter() - wall < _LEAST_S:
        job()
        n += 1
    return (
        (time.thread_time() - thread) / n,
        (time.process_time() - process) / n,
        (time.perf_counter() - wall) / n,
    )


def interleave(jobs: Mapping[Name, Job], n_rounds: int) -> dict[Name, Timing]:
    """Every job in each round, a short one several times; what must be warm was run before.

    Args:
        n_rounds: 1 or more.
    """
    found: dict[Name, list[tuple[float, float, float]]] = {name: [] for name in jobs}
    for _ in range(n_rounds):
        for name, job in jobs.items():
            found[name].append(seconds(job))
    return {name: Timing(*zip(*taken, strict=True)) for name, taken in found.items()}


def other_threads(timings: Iterable[Timing]) -> float:
    """CPU seconds of other threads than the calling one over all seconds, 0 on one core."""
    pairs = [(sum(t.process_s), sum(t.cpu_s)) for t in timings]
    process, thread = (sum(seconds) for seconds in zip(*pairs, strict=True))
    return max(0.0, 1 - thread / process) if process else 0.0
