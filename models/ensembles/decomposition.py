"""What an ensemble's loss is made of: bias, variance, covariance, diversity, and faults.

All numbers are means over examples of sample moments (divided by their number, not by one less),
so that the identities hold for the numbers themselves and not only in expectation. Work in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...sim.exceptions import InputError
from .objective import Loss, diversity, losses


@dataclass(frozen=True)
class Split:
    """member_loss = ensemble_loss + diversity + remainder.

    Attributes:
        member_loss, member_accuracy: means over members; of the ensemble they are to be read
            beside its own, since members that collude may each be worthless.
        remainder: of Taylor's third and higher orders; 0 for squared error.
        ensemble_accuracy, member_accuracy: 0..1 of argmax, the lowest index winning; NaN where
            targets are no classes.
    """

    ensemble_loss: float
    member_loss: float
    diversity: float
    remainder: float
    ensemble_accuracy: float
    member_accuracy: float


@torch.no_grad()
def split(loss: Loss, outputs: Tensor, target: Tensor) -> Split:
    """The split of these outputs.

    Args:
        outputs: (n_members, n_examples, n).
        target: as the loss takes it.
    """
    mean = outputs.mean(0)
    ensemble = float(loss.of(mean, target).mean())
    alone = float(losses(loss, outputs, target).mean())
    spread = float(diversity(loss, outputs, target).mean())
    right = [float("nan")] * 2
    if not target.is_floating_point():
        right = [float((o.argmax(-1) == target).double().mean()) for o in (mean, outputs)]
    return Split(ensemble, alone, spread, alone - ensemble - spread, right[0], right[1])


@dataclass(frozen=True)
class BiasVarianceCovariance:
    """Mean squared error of the ensemble = bias_squared + variance / M + (1 - 1/M) covariance.

    Source: Ueda and Nakano 1996, ICNN; Brown et al. 2005, JMLR 6. Expectations are means over runs.

    Attributes:
        variance: of a member over trainings, mean over members.
        covariance: of two members, mean over pairs; 0 of one member.
    """

    error: float
    bias_squared: float
    variance: float
    covariance: float
    n_members: int


@torch.no_grad()
def bias_variance_covariance(outputs: Tensor, target: Tensor) -> BiasVarianceCovariance:
    """The split of squared error over trainings.

    Args:
        outputs: (n_runs, n_members, n_examples, n): of trainings that differ in what is random.
        target: (n_examples, n).
    """
    if outputs.ndim != 4:
        raise InputError(
            "outputs must be (n_runs, n_members, n_examples, n), not of shape "
            f"{tuple(outputs.shape)}"
        )
    n = outputs.shape[1]

    def mean(x: Tensor) -> float:
        return float(x.sum(-1).mean())

    error = mean((outputs.mean(1) - target).square())
    off = outputs - outputs.mean(0)  # of each member from its own expectation
    bias = mean((outputs.mean((0, 1)) - target).square())
    variance = mean(off.square())
    # the square of a sum of members is the sum of all pairs
    pairs = mean(off.sum(1).square()) - n * variance
    return BiasVarianceCovariance(error, bias, variance, pairs / max(1, n * (n - 1)), n)


@dataclass(frozen=True)
class FaultSplit:
    """member_loss = mean_loss + member_variance + fault_variance + remainder.

    Every chip is another draw of a member. Variances are (1/2) E d^T D d, with D at the mean over
    members and chips, so for any loss they add up: between the members as they are on average over
    chips, and between the chips of one member.

    Attributes:
        member_loss: mean over members and chips.
        mean_loss: of the mean over members and chips.
        ensemble_fault_variance: of the ensemble's mean output, between chips. Where members meet
            independent faults it is fault_variance / M in expectation.
        independence: fault_variance / (M ensemble_fault_variance): 1 where faults of members are
            independent, 1/M where all members move alike; NaN without faults.
    """

    member_loss: float
    mean_loss: float
    member_variance: float
    fault_variance: float
    remainder: float
    ensemble_fault_variance: float
    independence: float


@torch.no_grad()
def fault_split(loss: Loss, outputs: Tensor, target: Tensor) -> FaultSplit:
    """The split of a loss over members and chips.

    Args:
        outputs: (n_members, n_chips, n_examples, n).
        target: as the loss takes it.
    """
    if outputs.ndim != 4:
        raise InputError(
            "outputs must be (n_members, n_chips, n_examples, n), not of shape "
            f"{tuple(outputs.shape)}"
        )
    n = len(outputs)
    centre = outputs.mean((0, 1))

    def variance(d: Tensor) -> float:
        return float(loss.curvature(centre, target, d).mean()) / 2

    members = outputs.mean(1)
    total = float(losses(loss, outputs.flatten(0, 1), target).mean())
    alone = float(loss.of(centre, target).mean())
    between = variance(members - centre)
    faults = variance(outputs - members[:, None])
    whole = variance(outputs.mean(0) - centre)
    return FaultSplit(
        total,
        alone,
        between,
        faults,
        total - alone - between - faults,
        whole,
        faults / (n * whole) if whole else float("nan"),
    )
