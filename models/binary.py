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
from brevitas.nn.quant_conv import QuantConv2d
from brevitas.nn.quant_linear import QuantLinear
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from ..sim.layers import Input, Window

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

    def rows(self) -> Tensor:
        """(n_outputs, n_inputs) latent weights, lanes as memory stores them."""
        return self.weight.detach()

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Take latent weights that `rows` would give."""
        self.weight.copy_(rows)

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


def to_rows(kernels: Tensor) -> Tensor:
    """(n_outputs, n_inputs) rows as memory stores them of (n_outputs, channels, ky, kx) kernels."""
    return kernels.permute(0, 2, 3, 1).flatten(1)


def to_kernels(rows: Tensor, window: Window) -> Tensor:
    """What `to_rows` makes rows of."""
    k = window.kernel
    return rows.reshape(len(rows), k, k, window.channels).permute(0, 3, 1, 2)


class BinaryConv2d(QuantConv2d):
    """A convolution without bias, padded with what hardware pads: -1 on bits, 0 on pixels.

    Attributes:
        window: where its rows look.
        memory: what the rows are read through, (n_outputs, n_inputs) with lanes (ky, kx, channel)
            as memory stores them; None is a memory that tells the truth.
        matmul_dtype: as of BinaryLinear.
    """

    def __init__(self, window: Window, n_outputs: int, input: Input) -> None:
        super().__init__(
            window.channels,
            n_outputs,
            window.kernel,
            window.stride,
            bias=False,
            weight_quant=_UnitWeight,
        )
        self.window = window
        self.pad_value = 0.0 if input == "uint8" else -1.0
        self.memory: Memory | None = None
        self.matmul_dtype = torch.float32

    def rows(self) -> Tensor:
        """(n_outputs, n_inputs) latent weights, lanes as memory stores them."""
        return to_rows(self.weight.detach())

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Take latent weights that `rows` would give."""
        self.weight.copy_(to_kernels(rows, self.window))

    def inner_forward_impl(
        self, x: Tensor, quant_weight: Tensor | QuantTensor, quant_bias: Tensor | None
    ) -> Tensor:
        """Sums (batch, n_outputs, rows, columns) of (batch, channels, height, width) maps."""
        if self.window.pad:
            x = F.pad(x, [self.window.pad] * 4, value=self.pad_value)
        weights = cast(Tensor, getattr(quant_weight, "value", quant_weight))
        if self.memory is not None:
            with torch.no_grad():
                read = to_kernels(self.memory.read(to_rows(weights)), self.window)
            weights = read_through(weights, read)
        if self.training and self.matmul_dtype != torch.float32:
            low = self.matmul_dtype
            return F.conv2d(x.to(low), weights.to(low), stride=self.window.stride).float()
        return F.conv2d(x, weights, stride=self.window.stride)


Binary = BinaryLinear | BinaryConv2d
"""A layer whose weights are bits in a memory."""


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
        """(batch, n_features[, height, width]) float."""
        if not (self.training and self.on_running):
            return super().forward(input)
        mean, var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        with torch.no_grad():
            sums = input.movedim(1, -1).flatten(0, -2)  # (n, n_features)
            batch_mean = sums.mean(0)
            # torch.var takes twenty times as long over the first axis
            batch_var = (sums - batch_mean).square_().sum(0) / (len(sums) - 1)
            mean.lerp_(batch_mean, cast(float, self.momentum))
            var.lerp_(batch_var, cast(float, self.momentum))
        # clones: autograd keeps them, and the next step changes the originals
        return F.batch_norm(
            input, mean.clone(), var.clone(), self.weight, self.bias, False, 0.0, self.eps
        )

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors and maps alike, which `BatchNorm1d` tells apart without need."""

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
