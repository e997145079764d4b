"""Ensembles: generalized negative correlation learning, its baselines, and what a loss splits into.

Members may be any modules; fully binary ones become one integer network, whose scores add.
"""

from .decomposition import (
    BiasVarianceCovariance,
    FaultSplit,
    Split,
    bias_variance_covariance,
    fault_split,
    split,
)
from .integers import Flips, calibrated, layout_of_members, network_of
from .members import DenseMembers, Ensemble
from .methods import Bagging, Boosting, Gncl, Schedule, Stacking, fit, snapshots
from .objective import CROSS_ENTROPY, NLL, SQUARED, Loss, diversity, exact, member_loss, upper

__all__ = [
    "CROSS_ENTROPY",
    "NLL",
    "SQUARED",
    "Bagging",
    "BiasVarianceCovariance",
    "Boosting",
    "DenseMembers",
    "Ensemble",
    "FaultSplit",
    "Flips",
    "Gncl",
    "Loss",
    "Schedule",
    "Split",
    "Stacking",
    "bias_variance_covariance",
    "calibrated",
    "diversity",
    "exact",
    "fault_split",
    "fit",
    "layout_of_members",
    "member_loss",
    "network_of",
    "snapshots",
    "split",
    "upper",
]
