"""Memories that lie inside the forward pass: fresh flips for training, and any FaultMap."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, restrict
from ..sim.memory import Shape
from .nets import BinaryNet


@dataclass(frozen=True)
class FreshFlips:
    """Every read draws new independent flips; rates are resolved to 1/65536.

    Attributes:
        p01: P(read 1 | stored 0).
        p10: P(read 0 | stored 1).
        rng: moved on by every read.
    """

    p01: float
    p10: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        for name in ("p01", "p10"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} must be 0..1, not {getattr(self, name)!r}")

    def read(self, weights: Tensor) -> Tensor:
        """(n_outputs, n_inputs) of +-1, some flipped."""
        n = weights.numel()
        # raw 64-bit words cut in four: drawing is a large share of a training step
        raw = self.rng.bit_generator.random_raw(-(-n // 4)).view(np.int16)[:n]
        draws = torch.from_numpy(raw).view(weights.shape)
        is_flipped = _below(draws, self.p10)
        if self.p01 != self.p10:
            is_flipped = torch.where(weights > 0, is_flipped, _below(draws, self.p01))
        return torch.addcmul(weights, is_flipped.to(weights.dtype), weights, value=-2.0)


def _below(draws: Tensor, p: float) -> Tensor:
    """Where uniform int16 fall below their p-quantile; `<=`, as p = 1 has no int16 above all."""
    n_of_65536 = round(p * 65536)
    return draws <= n_of_65536 - 32769 if n_of_65536 else torch.zeros_like(draws, dtype=torch.bool)


@dataclass(frozen=True, eq=False)
class FaultyCells:
    """The weight cells of one layer under a FaultMap: read = weights * gain + offset.

    Attributes:
        gain: (n_outputs, n_inputs), 1 healthy, -1 flipped, 0 stuck.
        offset: same shape, -1 stuck at 0, +1 stuck at 1, else 0.
    """

    gain: Tensor
    offset: Tensor

    def read(self, weights: Tensor) -> Tensor:
        """(n_outputs, n_inputs) of +-1 as this memory returns them."""
        return weights * self.gain + self.offset


def weight_cells(faults: FaultMap, layer: int) -> FaultyCells:
    """What a map does to the weights of layer number `layer`, in logical order."""
    cells = faults.layout.weight_cells(layer)

    def plane(name: str) -> NDArray[np.float32]:
        return np.asarray(faults.cells(name)[cells], np.float32)

    flip, stuck0, stuck1 = plane("flip"), plane("stuck0"), plane("stuck1")
    gain = 1 - 2 * flip - stuck0 - stuck1
    return FaultyCells(torch.from_numpy(gain), torch.from_numpy(stuck1 - stuck0))


def apply_faults(model: BinaryNet, faults: FaultMap | None) -> None:
    """Put a fault map under the weights of a float model, in place; None removes what was there.

    Raises:
        InputError: the map is of other layer shapes; it has faults in threshold memories, which a
            float model has not (freeze it first); or a batch-norm scale is negative, so that the
            stored row is not the model's row.
    """
    if faults is None:
        for layer in model.binary_layers:
            layer.memory = None
        return
    if faults.layout.shapes != shapes_of_model(model):
        rows = [(s.n_outputs, s.n_inputs) for s in model.shapes]
        raise InputError(f"the fault map is not for the layer shapes of a network of rows {rows}")
    if restrict(faults, where=["thresholds"]).n_faults:
        raise InputError("the fault map has faults in thresholds: freeze the network first")
    if any(bool((norm.weight < 0).any()) for norm in model.norm_layers):
        raise InputError(
            "a negative batch-norm scale stores its row negated: freeze the network first"
        )
    for i, layer in enumerate(model.binary_layers):
        layer.memory = weight_cells(faults, i)


def shapes_of_model(model: BinaryNet) -> tuple[Shape, ...]:
    """What of a model decides the layout of the network that it becomes."""
    last = len(model.shapes) - 1
    return tuple(
        Shape(s.n_inputs, s.n_outputs, model.input if i == 0 else "bits", i < last)
        for i, s in enumerate(model.shapes)
    )
