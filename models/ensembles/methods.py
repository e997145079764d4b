"""How members are trained: on a GNCL objective, and the baselines it is set beside.

A method turns outputs of all members into what is minimised and, where members do not simply
average, says how they are put together. Independent and end-to-end training are `Gncl` at lambda 0
and 1; bagging adds weights to it; stacking and boosting are methods of their own; a snapshot
ensemble is one member after another (`snapshots`).
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from ...sim.exceptions import InputError
from ..train import one_thread
from . import objective
from .members import Ensemble, Members
from .objective import Form, Loss


class Objective(Protocol):
    """What is minimised."""

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """(batch,) to be averaged.

        Args:
            outputs: (n_members, batch, n).
            examples: (batch,) their numbers in the training set.
        """
        ...


class Method(Objective, Protocol):
    """An objective, and the members' outputs made one."""

    def combined(self, outputs: Tensor) -> Tensor:
        """(batch, n) the ensemble's output."""
        ...


@dataclass(frozen=True)
class Gncl:
    """Generalized negative correlation learning; lambda 0 is independent, 1 of upper end to end."""

    loss: Loss
    lam: float = 0.0
    form: Form = "upper"

    def __post_init__(self) -> None:
        if not 0 <= self.lam <= 1:
            raise InputError(f"lambda must be 0..1, not {self.lam!r}")
        if self.form not in ("exact", "upper"):
            raise InputError(f"the form must be exact or upper, not {self.form!r}")

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """As of `Method`."""
        form = objective.exact if self.form == "exact" else objective.upper
        return form(self.loss, outputs, target, self.lam)

    def combined(self, outputs: Tensor) -> Tensor:
        """The mean."""
        return outputs.mean(0)


@dataclass(frozen=True, eq=False)
class Bagging:
    """Independent members, each on its own bootstrap sample.

    Attributes:
        weights: (n_members, n_examples) how often a member has each example: Poisson(1), what the
            multinomial of a bootstrap tends to. Source: Oza and Russell 2001, AISTATS.
    """

    loss: Loss
    weights: Tensor

    @classmethod
    def draw(cls, loss: Loss, n_members: int, n_examples: int, rng: torch.Generator) -> "Bagging":
        """Weights of every member and example, drawn once."""
        return cls(loss, torch.poisson(torch.ones(n_members, n_examples), generator=rng))

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """As of `Method`."""
        alone = objective.losses(self.loss, outputs, target)
        return (alone * self.weights[:, examples]).mean(0)

    def combined(self, outputs: Tensor) -> Tensor:
        """The mean."""
        return outputs.mean(0)


class Stacking(nn.Module):
    """A linear layer on all outputs, trained with the members; it begins as the mean."""

    def __init__(self, loss: Loss, n_members: int, n_outputs: int) -> None:
        super().__init__()
        self.loss = loss
        start = torch.eye(n_outputs).repeat(1, n_members) / n_members
        self.weight = nn.Parameter(start)  # (n_outputs, n_members x n_outputs)

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """As of `Method`."""
        return self.loss.of(self.combined(outputs), target)

    def combined(self, outputs: Tensor) -> Tensor:
        """(batch, n_outputs)."""
        return outputs.transpose(0, 1).flatten(1) @ self.weight.T


@dataclass(frozen=True)
class Boosting:
    """Gradient boosting of networks: member i improves on the sum of those before it.

    All stages learn at once, each from a sum through which no gradient flows back, as in the
    GradientBoostedNets of the authors' code.
    """

    loss: Loss

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """As of `Method`; mean over stages."""
        before = outputs.detach().cumsum(0) - outputs.detach()
        return objective.member_loss(self.loss, before + outputs, target)

    def combined(self, outputs: Tensor) -> Tensor:
        """The sum."""
        return outputs.sum(0)


class Jointly(nn.Module):
    """Ensembles that train at once on the same batches, each on its own objective.

    Adam and batch norm treat every weight and neuron for itself, so that each becomes what it would
    become alone, up to the rounding of sums.

    Args:
        methods: of each ensemble.
        counts: members of each.
    """

    def __init__(self, methods: Sequence[Method], counts: Sequence[int]) -> None:
        super().__init__()
        self.methods, self.counts = list(methods), list(counts)
        self.learning = nn.ModuleList(m for m in methods if isinstance(m, nn.Module))

    def objective(self, outputs: Tensor, target: Tensor, examples: Tensor) -> Tensor:
        """As of `Objective`; the sum over ensembles."""
        parts = zip(self.methods, torch.split(outputs, self.counts), strict=True)
        return torch.stack([m.objective(o, target, examples) for m, o in parts]).sum(0)


@dataclass(frozen=True)
class Schedule:
    """Epochs of Adam whose rate rises over `warm_up` of the steps and falls on a cosine."""

    epochs: int
    batch: int = 256
    learning_rate: float = 1e-2
    warm_up: float = 0.03

    def rate(self, step: int, n_steps: int) -> float:
        """Of one step."""
        rise = min(1.0, (step + 1) / (self.warm_up * n_steps)) if self.warm_up else 1.0
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / n_steps))


def fit(
    members: Members,
    method: Objective,
    features: Tensor,
    target: Tensor,
    schedule: Schedule,
    order: torch.Generator,
    before_step: Callable[[int, int], None] = lambda step, n_steps: None,
) -> None:
    """Train all members on the same batches, with one optimiser and one thread.

    Args:
        features: (n, n_inputs), as the members take them once they are float32.
        target: (n, ...), as the loss takes it.
        order: draws the order of examples.
        before_step: is told the number of each step and of all, e.g. to make memories lie.

    Raises:
        InputError: there are fewer examples than a batch has.
    """
    if len(features) < schedule.batch:
        raise InputError(f"batch must be at most {len(features)}, not {schedule.batch}")
    with one_thread():
        _fit(members, method, features, target, schedule, order, before_step)


def _fit(
    members: Members,
    method: Objective,
    features: Tensor,
    target: Tensor,
    schedule: Schedule,
    order: torch.Generator,
    before_step: Callable[[int, int], None],
) -> None:
    per_epoch = len(features) // schedule.batch
    own = list(method.parameters()) if isinstance(method, nn.Module) else []
    optimiser = torch.optim.Adam([*members.parameters(), *own], schedule.learning_rate, fused=True)
    members.train()
    n_steps = per_epoch * schedule.epochs
    permuted = torch.arange(0)
    for step in range(n_steps):
        k = step % per_epoch
        if k == 0:
            permuted = torch.randperm(len(features), generator=order)
        examples = permuted[k * schedule.batch : (k + 1) * schedule.batch]
        optimiser.param_groups[0]["lr"] = schedule.rate(step, n_steps)
        before_step(step, n_steps)
        outputs = members(features[examples].float())
        optimiser.zero_grad()
        torch.autograd.backward(method.objective(outputs, target[examples], examples).mean())
        optimiser.step()
        members.project()
    members.eval()


def snapshots(
    one: Members,
    n_members: int,
    loss: Loss,
    features: Tensor,
    target: Tensor,
    schedule: Schedule,
    order: torch.Generator,
) -> Ensemble:
    """A single member trained in n cycles of the schedule, a copy of it kept at the end of each.

    Args:
        one: an ensemble of one member.
        schedule: of all cycles together; each has its share of the epochs, at least one.

    Source: Huang et al. 2017, ICLR, "Snapshot Ensembles".
    """
    cycle = replace(schedule, epochs=max(1, schedule.epochs // n_members))
    kept = []
    for _ in range(n_members):
        fit(one, Gncl(loss), features, target, cycle, order)
        kept.append(copy.deepcopy(one))
    return Ensemble(kept)
