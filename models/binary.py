"""The binary layers of the kit, on Brevitas: +-1 weights behind a memory, sign, batch norm.

Conventions, defined here once and nowhere else in torch: `sign(0) = +1`; the gradient of a weight's
sign is the identity, that of what its memory does to it a `Gradient`; the gradient of an
activation's sign is the identity where |z| <= 1 and 0 elsewhere; the scale of a batch norm is
positive, so that no row has to be negated when batch norm and sign become a comparison.
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
from .recipe import Gradient

MIN_SCALE = 0.01
"""Least batch-norm scale, kept by projection after every step. Ours; any positive value does."""


class Memory(Protocol):
    """What stands between the weights as written and the weights as the datapath reads them."""

    def read(self, stored: Tensor) -> Tensor:
        """(n_outputs, n_inputs) bool as read back, True is +1; the argument is left alone."""
        ...


class _AsRead(torch.autograd.Function):
    """Latent weights going in, the +-1 that memory returned coming out."""

    @staticmethod
    def forward(
        ctx: Any,
        latent: Tensor,
        stored: Tensor,
        read: Tensor,
        gradient: Gradient,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.gradient = gradient
        if gradient != "straight_through":
            ctx.save_for_backward(stored ^ read)
        return signs(read, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        given = grads[0].float()
        if ctx.gradient != "straight_through":
            (is_wrong,) = ctx.saved_tensors
            given = torch.where(is_wrong, -given if ctx.gradient == "sign_flipped" else 0.0, given)
        return given, None, None, None, None


class _Sign(torch.autograd.Function):
    """+-1 in `dtype`; the gradient passes where |z| <= 1."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(z)
        return signs(z >= 0, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return grads[0] * (z.abs() <= 1), None


def signs(is_plus: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """+1 where True and -1 elsewhere."""
    if dtype == torch.bfloat16:  # by its bits, as conversions take four times as long
        return torch.add(0x3F80 - 0x8000, is_plus.to(torch.int16), alpha=-0x8000).view(dtype)
    return torch.where(is_plus, 1.0, -1.0).to(dtype)


class _UnitWeight(SignedBinaryWeightPerTensorConst):
    """Weights of exactly +-1; Brevitas' default of +-0.1 would not export as BIPOLAR."""

    scaling_const = 1.0


class BinaryLinear(QuantLinear):
    """A dense layer without bias: weights are the signs of latent floats, read through a memory.

    In training the signs are taken by functions of this module, which are what Brevitas' quantizers
    compute, only faster; evaluation and export run Brevitas' own.

    Attributes:
        memory: what the weights are read through; None is a memory that tells the truth.
        gradient: of a weight that reads wrong.
        matmul_dtype: of products and sums in training; torch.bfloat16 makes it faster. Sums are
            exact in float32 only, and evaluation always uses that.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs, bias=False, weight_quant=_UnitWeight)
        self.memory: Memory | None = None
        self.gradient: Gradient = "straight_through"
        self.matmul_dtype = torch.float32

    def rows(self) -> Tensor:
        """(n_outputs, n_inputs) latent weights, lanes as memory stores them."""
        return self.weight.detach()

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Take latent weights that `rows` would give."""
        self.weight.copy_(rows)

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """Sums (batch, n_outputs) of products with the weights as read."""
        if not self.training:
            return cast(Tensor, super().forward(input))
        low, x = self.matmul_dtype, cast(Tensor, input)
        stored = self.weight.detach() >= 0
        read = stored if self.memory is None else self.memory.read(stored)
        weights = as_read(self.weight, stored, read, self.gradient, low)
        return F.linear(x.to(low), weights)

    def inner_forward_impl(
        self, x: Tensor, quant_weight: Tensor | QuantTensor, quant_bias: Tensor | None
    ) -> Tensor:
        """What Brevitas calls in evaluation and export."""
        weights = cast(Tensor, getattr(quant_weight, "value", quant_weight))
        if self.memory is not None:
            weights = signs(self.memory.read(weights > 0))
        return F.linear(x, weights)


def as_read(
    latent: Tensor, stored: Tensor, read: Tensor, gradient: Gradient, dtype: torch.dtype
) -> Tensor:
    """+-1 in `dtype` where `read` is True and False, with a gradient to the latent weights.

    Args:
        latent, stored, read: of one shape; floats, their signs as written, and as memory returns
            them.
    """
    return cast(
        Tensor,
        _AsRead.apply(latent, stored, read, gradient, dtype),  # type: ignore[no-untyped-call]
    )


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
        gradient, matmul_dtype: as of BinaryLinear.
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
        self.gradient: Gradient = "straight_through"
        self.matmul_dtype = torch.float32

    def rows(self) -> Tensor:
        """(n_outputs, n_inputs) latent weights, lanes as memory stores them."""
        return to_rows(self.weight.detach())

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Take latent weights that `rows` would give."""
        self.weight.copy_(to_kernels(rows, self.window))

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """Sums (batch, n_outputs, rows, columns) of (batch, channels, height, width) maps."""
        if not self.training:
            return cast(Tensor, super().forward(input))
        low, x = self.matmul_dtype, cast(Tensor, input)
        stored = self.weight.detach() >= 0
        read = stored if self.memory is None else self._read(self.memory, stored)
        weights = as_read(self.weight, stored, read, self.gradient, low)
        return F.conv2d(self._padded(x.to(low)), weights, stride=self.window.stride)

    def inner_forward_impl(
        self, x: Tensor, quant_weight: Tensor | QuantTensor, quant_bias: Tensor | None
    ) -> Tensor:
        """What Brevitas calls in evaluation and export."""
        weights = cast(Tensor, getattr(quant_weight, "value", quant_weight))
        if self.memory is not None:
            weights = signs(self._read(self.memory, weights > 0))
        return F.conv2d(self._padded(x), weights, stride=self.window.stride)

    def _read(self, memory: Memory, kernels: Tensor) -> Tensor:
        return to_kernels(memory.read(to_rows(kernels)), self.window)

    def _padded(self, x: Tensor) -> Tensor:
        pad = self.window.pad
        return F.pad(x, [pad] * 4, value=self.pad_value) if pad else x


Binary = BinaryLinear | BinaryConv2d
"""A layer whose weights are bits in a memory."""


class PositiveBatchNorm(nn.BatchNorm1d):
    """Batch norm that can train on its running statistics, as hardware will use them.

    Normalising a batch by its own statistics cancels the shift that a set of flipped weights
    causes; one fixed table of thresholds cannot. With `on_running` set, training normalises with
    the running statistics (no gradient through them), so it learns under the table it will get.

    Attributes:
        on_running: see above.
        n_ghosts: so many images at the end of a batch alone give its statistics (no gradient
            through them), see `batches`; 0 means that all do.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.on_running = False
        self.n_ghosts = 0

    def forward(self, input: Tensor) -> Tensor:
        """(batch, n_features[, height, width]) float."""
        if not (self.training and (self.on_running or self.n_ghosts)):
            return super().forward(input)
        mean, var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        with torch.no_grad():
            sums = input[-self.n_ghosts :].movedim(1, -1).flatten(0, -2)  # (n, n_features)
            batch_mean = sums.mean(0)
            # torch.var takes twenty times as long over the first axis
            batch_var = (sums - batch_mean).square_().sum(0) / (len(sums) - 1)
            mean.lerp_(batch_mean, cast(float, self.momentum))
            var.lerp_(batch_var, cast(float, self.momentum))
        if not self.on_running:
            mean, var = batch_mean, batch_var
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


class BinarySign(QuantIdentity):
    """+1 where the input is >= 0, else -1.

    Attributes:
        dtype: of what training hands on; evaluation gives float32.
    """

    def __init__(self) -> None:
        super().__init__(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=False)
        self.dtype = torch.float32

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """Any shape."""
        if not self.training:
            return cast(Tensor, super().forward(input))
        return cast(Tensor, _Sign.apply(input, self.dtype))  # type: ignore[no-untyped-call]
