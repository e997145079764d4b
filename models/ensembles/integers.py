"""Fully binary members as one integer network, and the faults of its memory in their training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...sim.errors import Iid
from ...sim.memory import MAX_WIDTH, Fold, Layout
from ...sim.network import Network, ensemble
from ..binary import PositiveBatchNorm
from ..calibration import calibrate
from ..frozen import integers
from ..nets import BinaryNet, to_checkpoint
from ..noise import layout_of_model, shapes_of_model
from .members import DenseMembers

_TRAINING = 2 << 32
_CALIBRATION = 3 << 32
"""Populations of chips, one for each seed from here on; what is measured uses small seeds."""


def network_of(members: Sequence[BinaryNet], name: str = "ensemble") -> Network:
    """The integer network whose scores are the sums of the members' scores.

    As of `frozen.integers`, it is made without an ONNX file, to evaluate training with. What is
    deployed is joined from networks that were lowered, by `stoic join`; the two are equal.
    """
    return ensemble(name, [integers(to_checkpoint(m, name, {}, 0, {})) for m in members])


def layout_of_members(members: DenseMembers) -> Layout:
    """The layout that `memory.layout_of` gives the network that they become."""
    shapes = tuple(s for one in members.apart() for s in shapes_of_model(one))
    return Layout(shapes, tuple(Fold(1, MAX_WIDTH) for _ in shapes))


@dataclass(frozen=True)
class Flips:
    """A memory of which every step of a training reads another chip.

    Attributes:
        p_max: highest bit error rate; every step draws u in [0, 1) and flips at u p_max.
        seed: of the training.
        running_from: share of the steps after which batch norms train on running statistics, as a
            fixed table of thresholds is what the network will get; their momentum from then on.
    """

    p_max: float
    seed: int
    running_from: float = 0.5
    running_momentum: float = 0.02

    def hook(self, members: DenseMembers) -> Callable[[int, int], None]:
        """What `methods.fit` calls before every step."""
        layout = layout_of_members(members)
        rng = np.random.default_rng(self.seed)

        def before_step(step: int, n_steps: int) -> None:
            rate = self.p_max * rng.random()
            members.set_memories(Iid(rate, rate, _TRAINING + self.seed).sample(layout, step))
            if step >= self.running_from * n_steps:
                for norm in members.norms:
                    assert isinstance(norm, PositiveBatchNorm)
                    norm.on_running, norm.momentum = True, self.running_momentum

        return before_step


def calibrated(
    members: DenseMembers, images: Tensor, p_max: float, seed: int, n_chips: int = 4
) -> list[BinaryNet]:
    """The members apart, their batch norms measured over chips of rates that cover 0 to `p_max`.

    Args:
        images: (n, n_inputs) integers, of training.
        n_chips: that share the images; without errors there is one.
    """
    nets = members.apart()
    for m, net in enumerate(nets):
        layout, population = layout_of_model(net), _CALIBRATION + seed * len(nets) + m
        rates = [p_max * (k + 0.5) / n_chips for k in range(n_chips)] if p_max else []
        maps = [Iid(r, r, population).sample(layout, k) for k, r in enumerate(rates)]
        calibrate(net, maps or [None], images)
    return nets
