"""The study `gncl`: which members profit from which lambda, and ensembles at equal memory."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim.container import write_whole
from ..studies.run import in_processes, read_row
from . import trial
from .members import KINDS
from .methods import Schedule
from .trial import Row, Trial, Way

TITLE = "Negative correlation learning, and ensembles at equal memory"
CLAIM = """
Buschjaeger et al. 2020 (arXiv 2011.02952; abstract, code and the authors' notes, not the paper):
diversity grows with lambda and explodes when members are trained end to end; weak members profit
from a large lambda, strong ones from a small one; the exact objective and its upper bound do not
differ. Ours: at equal stored bits a wide binary network tolerates bit errors as well as an
ensemble of small ones."""


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        seeds, equal_seeds: of trainings; of those at equal memory.
        lambdas: of ensembles of `n_main` members; `few_lambdas` of the exact objective, of
            tables and of colour images; `end_lambdas` of other sizes, and of `n_main` members at
            equal memory, where other sizes are trained independently.
        hidden: of small members; `wide` of the wide network at equal memory.
        rates, chips, split_rates: as of `Trial`.
        p_max: of flip training.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    equal_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    lambdas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    few_lambdas: tuple[float, ...] = (0.0, 0.5, 1.0)
    end_lambdas: tuple[float, ...] = (0.0, 1.0)
    n_main: int = 8
    n_other: tuple[int, ...] = (4, 16)
    baselines: tuple[Way, ...] = ("bagging", "stacking", "boosting", "snapshot")
    hidden: tuple[int, ...] = (16, 16)
    schedule: Schedule = Schedule(1, 256)
    tables: tuple[str, ...] = ("pima", "segment0", "vehicle1", "yeast1")
    table_hidden: tuple[int, ...] = (8, 8)
    table_schedule: Schedule = Schedule(8, 64)
    colour: tuple[str, ...] = ("cifar10",)
    colour_hidden: tuple[int, ...] = (32, 32)
    colour_schedule: Schedule = Schedule(4, 256)
    wide: int = 128
    n_equal: tuple[int, ...] = (4, 8, 16)
    equal_schedule: Schedule = Schedule(3, 512)
    rates: tuple[float, ...] = (0.0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2)
    chips: int = 10
    split_rates: tuple[float, ...] = (0.1,)
    p_max: float = 0.2


def protocol(plan: Plan) -> str:
    """What was done, for the page."""
    few, equal = plan.schedule, plan.equal_schedule
    return f"""
    Dense members of two hidden layers, each with batch norm: floats with ReLU, weights of +-1 with
    ReLU, or fully binary; uint8 inputs; cross entropy of the mean of logits (of binary members,
    scores times one learned scale). Adam at {few.learning_rate:g}, few steps, the same for all
    ensembles of a part, which also see the same batches; nothing was tuned, so the figures compare
    and do not compete: all members are trained short of what they could reach. Fashion-MNIST:
    50,000 training images seen {_times(few.epochs)} in batches of {few.batch}, members of
    {" and ".join(map(str, plan.hidden))} hidden neurons, all 10,000 test images. KEEL:
    {", ".join(plan.tables)}; members of {" and ".join(map(str, plan.table_hidden))} hidden
    neurons, events seen {_times(plan.table_schedule.epochs)} in batches of
    {plan.table_schedule.batch}; 30 % of the events, which the seed chooses, are tested on.
    CIFAR-10: 40,000 training images seen {_times(plan.colour_schedule.epochs)} in batches of
    {plan.colour_schedule.batch}, members of {" and ".join(map(str, plan.colour_hidden))} hidden
    neurons on all 3,072 bytes, all 10,000 test images; convolutional ensembles cannot be trained
    on two cores in the time there was.
    Equal memory: wide is 784-{plan.wide}-{plan.wide}-10; an ensemble has at most its stored bits
    and at least 99 % of them; images seen {_times(equal.epochs)} in batches of {equal.batch}.
    Seeds 4 and 5 were added there once three had left it open who is better without flips, and the
    ensemble that is named is the best of four: read an interval that ends near 0 as open.
    Flip-trained networks meet new flips at every step, at rates drawn from 0 to
    {100 * plan.p_max:g} %. Bit errors are independent, in all weight memories. An ensemble is one
    integer network on the packed engine, whose scores add."""


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def trials(plan: Plan) -> tuple[Trial, ...]:
    """All trainings, each once."""
    every = [t for seed in plan.equal_seeds for t in _equal(plan, seed)]
    for part in (_images, _tables):
        every += [t for seed in plan.seeds for t in part(plan, seed)]
    return tuple(dict.fromkeys(every))


def _images(plan: Plan, seed: int) -> Iterator[Trial]:
    main = plan.n_main
    ways: list[tuple[int, Way, float]] = [(1, "upper", 0.0)]
    ways.extend((main, "upper", lam) for lam in plan.lambdas)
    ways.extend((n, "upper", lam) for lam in plan.end_lambdas for n in plan.n_other)
    ways.extend((main, "exact", lam) for lam in plan.few_lambdas if lam)
    ways.extend((main, way, 0.0) for way in plan.baselines)
    for kind in KINDS:
        for n, way, lam in ways:
            yield Trial("fashion-mnist", kind, n, plan.hidden, way, lam, seed, plan.schedule)


def _tables(plan: Plan, seed: int) -> Iterator[Trial]:
    sets = [(name, plan.table_hidden, plan.table_schedule) for name in plan.tables]
    sets += [(name, plan.colour_hidden, plan.colour_schedule) for name in plan.colour]
    for name, hidden, schedule in sets:
        for kind in KINDS:
            for n, lam in [(1, 0.0), *((plan.n_main, lam) for lam in plan.few_lambdas)]:
                yield Trial(name, kind, n, hidden, "upper", lam, seed, schedule)


def _equal(plan: Plan, seed: int) -> Iterator[Trial]:
    for p_max in (0.0, plan.p_max):
        for n in (1, *plan.n_equal):
            for lam in plan.end_lambdas if n == plan.n_main else (0.0,):
                yield Trial(
                    "fashion-mnist",
                    "binary",
                    n,
                    equal_hidden(plan.wide, n),
                    "upper",
                    lam,
                    seed,
                    plan.equal_schedule,
                    p_max,
                    plan.rates,
                    plan.chips,
                    plan.split_rates,
                )


def equal_hidden(
    wide: int, n_members: int, n_inputs: int = 784, n_classes: int = 10
) -> tuple[int, int]:
    """Hidden neurons of members that together have at most the stored bits of one wide network.

    The first layer is as wide as it can be with a second one of at least its size; the second
    takes what is left.

    >>> equal_hidden(128, 4)
    (35, 45)
    """
    bits = (n_inputs * wide + wide * wide + wide * n_classes) // n_members
    first = max(h for h in range(1, wide + 1) if h * (n_inputs + h + n_classes) <= bits)
    return first, (bits - n_inputs * first) // (first + n_classes)


def run(plan: Plan, folder: Path, workers: int, root: Path | None) -> list[Row]:
    """Rows of all trials, in their order; what is in `folder` already is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = trials(plan)
    companies: dict[Trial, list[Trial]] = {}
    for one in wanted:
        if not (folder / f"{one.key}.json").is_file():
            companies.setdefault(one.company, []).append(one)
    jobs: list[tuple[Callable[..., str], tuple[Any, ...]]] = [
        (_make, (together, root, folder)) for together in companies.values()
    ]
    in_processes("gncl", jobs, workers)
    return [read_row(folder / f"{t.key}.json") for t in wanted]


def _make(together: list[Trial], root: Path | None, folder: Path) -> str:
    rows = trial.run(together, root, folder)
    for row in rows:
        write_whole(folder / f"{row['key']}.json", json.dumps(row).encode())
    first, cost = together[0], sum(row["train_cpu_s"] for row in rows)
    found = ", ".join(f"{100 * row['accuracy']:.2f}" for row in rows)
    return (
        f"{first.data}, {first.kind}, flips {first.p_max:g}, seed {first.seed}, members "
        f"{', '.join(str(t.n_members) for t in together)}: {found} % in {cost:.0f} s"
    )
