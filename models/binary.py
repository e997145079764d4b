"""The binary layers of the kit, on Brevitas: +-1 weights behind a memory, sign, batch norm.

Conventions, defined here once and nowhere else in torch: `sign(0) = +1`; the gradient of a weight's
sign and of whatever its memory does to it is the identity; the gradient of an activation's sign is
the identity where |z| <= 1 and 0 elsewhere; the scale of a batch norm is positive, so that no row
has to be negated when batch norm and sign become a comparison.
"""

from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from brevitas.nn.quant_activation import QuantIdentity
from brevitas.nn.quant_linear import QuantLinear
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

MIN_SCALE = 0.01
"""Least batch-norm scale, kept by projection after every step. Ours; any positive value does."""


class Memory(Protocol):
    """What stands between the weights as written and the weights as the datapath reads them."""

    def read(self, weights: Tensor) -> Tensor:
        """The +-1 weights (n_outputs, n_inputs) as read back; the argument is left alone."""
        ...


class _ReadThrough(torch.autograd.Function):
    """Replaces weights by what memory returned; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, read: Tensor) -> Tensor:
        return read.view_as(read)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def read_through(weights: Tensor, read: Tensor) -> Tensor:
    """`read` going forward, and its gradient handed to `weights` unchanged going back."""
    return cast(Tensor, _ReadThrough.apply(weights, read))  # type: ignore[no-untyped-call]


class _UnitWeight(SignedBinaryWeightPerTensorConst):
    """Weights of exactly +-1; Brevitas' default of +-0.1 would not export as BIPOLAR."""

    scaling_const = 1.0


class BinaryLinear(QuantLinear):
    """A dense layer without bias: weights are the signs of latent floats, read through a memory.

    Attributes:
        memory: what the weights are read through; None is a memory that tells the truth.
        matmul_dtype: torch.bfloat16 makes training faster; sums are exact in float32 only, and
            evaluation always uses that.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs, bias=False, weight_quant=_UnitWeight)
        self.memory: Memory | None = None
        self.matmul_dtype = torch.float32

    def inner_forward_impl(
        self, x: Tensor, quant_weight: Tensor | QuantTensor, quant_bias: Tensor | None
    ) -> Tensor:
        """Sums (batch, n_outputs) of products with the weights as read."""
        weights = cast(Tensor, getattr(quant_weight, "value", quant_weight))
        if self.memory is not None:
            with torch.no_grad():
                read = self.memory.read(weights)
            weights = read_through(weights, read)
        if self.training and self.matmul_dtype != torch.float32:
            low = self.matmul_dtype
            return F.linear(x.to(low), weights.to(low)).float()
        return F.linear(x, weights)


class PositiveBatchNorm(nn.BatchNorm1d):
    """Batch norm that can train on its running statistics, as hardware will use them.

    Normalising a batch by its own statistics cancels the shift that a set of flipped weights
    causes; one fixed table of thresholds cannot. With `on_running` set, training normalises with
    the running statistics (no gradient through them), so it learns under the table it will get.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.on_running = False

    def forward(self, input: Tensor) -> Tensor:
        """(batch, n_features) float."""
        if not (self.training and self.on_running):
            return super().forward(input)
        mean, var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        with torch.no_grad():
            batch_mean = input.mean(0)
            # torch.var takes twenty times as long over the first axis
            batch_var = (input - batch_mean).square_().sum(0) / (len(input) - 1)
            mean.lerp_(batch_mean, cast(float, self.momentum))
            var.lerp_(batch_var, cast(float, self.momentum))
        # clones: autograd keeps them, and the next step changes the originals
        return F.batch_norm(
            input, mean.clone(), var.clone(), self.weight, self.bias, False, 0.0, self.eps
        )

    @torch.no_grad()
    def project(self) -> None:
        """Make every scale at least MIN_SCALE."""
        self.weight.clamp_(min=MIN_SCALE)


def binary_sign() -> nn.Module:
    """Module whose output is +1 where the input is >= 0, else -1."""
    return cast(
        nn.Module,
        QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=False),
    )
