"""The binarized network: made from layer shapes or a checkpoint, and saved to one."""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sim.bits import pack, unpack
from ..sim.exceptions import InputError
from ..sim.layers import Input, Pool
from .binary import Binary, BinaryConv2d, BinaryLinear, BinarySign, PositiveBatchNorm
from .checkpoint import BatchNorm, Checkpoint, Layer
from .topology import LayerShape


class BinaryNet(nn.Module):
    """Binary layers, each but the last followed by batch norm and sign, and maybe by pooling.

    The input is what `encode` makes: pixels as floats 0..255 (`uint8`), or -1 and +1 (`bits`). The
    output is the last layer's integer sums, as floats.

    Batch norm with a positive scale and sign are monotone, so pooling sums gives the bits that
    pooling signs gives. It is faster, its gradient finds the lane that won, and the statistics are
    those of the sums that decide.

    Attributes:
        shapes: of the layers.
        layers, norms: in order; one norm fewer than layers.
        pools_signs: pool after the sign, as hardware does and as files have it; a must where a
            batch-norm scale is negative.
    """

    def __init__(self, shapes: tuple[LayerShape, ...], input: Input = "uint8") -> None:
        super().__init__()
        if not shapes or any(min(s.n_inputs, s.n_outputs) < 1 for s in shapes):
            raise InputError(f"a network needs layers of positive sizes, not {shapes}")
        self.shapes = shapes
        self.input: Input = input
        self.pools_signs = False
        self.layers = nn.ModuleList(
            _binary(shape, input if i == 0 else "bits") for i, shape in enumerate(shapes)
        )
        self.norms = nn.ModuleList(PositiveBatchNorm(s.n_outputs) for s in shapes[:-1])
        self.signs = nn.ModuleList(BinarySign() for _ in shapes[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_classes) sums of (batch, n) inputs or (batch, channels, height, width) maps."""
        for i in range(len(self.shapes) - 1):
            x = self.fired(i, self.sums(i, x))
        return as_float32(self.sums(len(self.shapes) - 1, x))

    def sums(self, i: int, x: Tensor) -> Tensor:
        """(batch, n_outputs[, rows, columns]) what layer number `i` makes of its input."""
        if self.shapes[i].window is None and x.ndim > 2:
            x = x.permute(0, 2, 3, 1).flatten(1)  # (batch, n_inputs), channel-last as in memory
        return cast(Tensor, self.layers[i](x))

    def compared(self, i: int, sums: Tensor) -> Tensor:
        """What the batch norm of layer number `i` takes: its sums, pooled unless signs are."""
        return as_float32(sums if self.pools_signs else _pooled(sums, self.shapes[i].pool))

    def fired(self, i: int, sums: Tensor) -> Tensor:
        """(batch, n_outputs[, rows, columns]) of +-1, pooled: what layer number `i` hands on."""
        fired = cast(Tensor, self.signs[i](self.norms[i](self.compared(i, sums))))
        return _pooled(fired, self.shapes[i].pool) if self.pools_signs else fired

    @property
    def binary_layers(self) -> list[Binary]:
        """`layers`, typed."""
        return [cast(Binary, layer) for layer in self.layers]

    @property
    def norm_layers(self) -> list[PositiveBatchNorm]:
        """`norms`, typed."""
        return [cast(PositiveBatchNorm, n) for n in self.norms]

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.binary_layers[0].weight.device

    def set_matmul(self, dtype: torch.dtype) -> None:
        """Multiply matrices in this precision when training."""
        for layer in self.binary_layers:
            layer.matmul_dtype = dtype
        for sign in self.signs:
            cast(BinarySign, sign).dtype = dtype


def _binary(shape: LayerShape, input: Input) -> Binary:
    if shape.window is None:
        return BinaryLinear(shape.n_inputs, shape.n_outputs)
    return BinaryConv2d(shape.window, shape.n_outputs, input)


def as_float32(sums: Tensor) -> Tensor:
    """Sums of a training in low precision, widened; others as they are, so no graph has a cast."""
    return sums if sums.dtype == torch.float32 else sums.float()


def _pooled(x: Tensor, pool: Pool | None) -> Tensor:
    return x if pool is None else F.max_pool2d(x, pool.kernel, pool.stride)


def encode(images: Tensor, input: Input, first: LayerShape) -> Tensor:
    """Images as the first layer of a `BinaryNet` takes them, float32.

    0..255 stay what they are, bits 0 and 1 become -1 and +1.

    Args:
        images: (n, ...) integers, channel-last.

    Returns:
        (n, n_inputs), or (n, channels, height, width) for a convolution.
    """
    x = images.reshape(len(images), *first.given).to(torch.float32)
    if first.window is not None:
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return x if input == "uint8" else 2 * x - 1


def build_model(checkpoint: Checkpoint) -> BinaryNet:
    """The Brevitas network of a checkpoint: weights +-1, float batch norms, eval mode."""
    model = BinaryNet(checkpoint.shapes, checkpoint.input)
    for binary, layer in zip(model.binary_layers, checkpoint.layers, strict=True):
        bits = unpack(layer.weights, layer.n_inputs)
        binary.set_rows(torch.from_numpy(2.0 * bits - 1.0))
    with torch.no_grad():
        for norm, layer in zip(model.norm_layers, checkpoint.layers, strict=False):
            values = layer.norm
            assert values is not None
            norm.eps = values.eps
            targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for to, name in zip(targets, ("gamma", "beta", "mean", "var"), strict=True):
                cast(Tensor, to).copy_(torch.from_numpy(getattr(values, name)))
    model.pools_signs = any(bool((n.weight < 0).any()) for n in model.norm_layers)
    return model.eval()


def batch_norms(model: BinaryNet) -> list[BatchNorm]:
    """The batch norms as they are now, copied."""

    def array(tensor: Tensor | None) -> NDArray[np.float32]:
        return cast(Tensor, tensor).detach().cpu().numpy().astype(np.float32, copy=True)

    return [
        BatchNorm(
            array(n.weight), array(n.bias), array(n.running_mean), array(n.running_var), n.eps
        )
        for n in model.norm_layers
    ]


def to_checkpoint(
    model: BinaryNet, name: str, recipe: dict[str, Any], seed: int, results: dict[str, Any]
) -> Checkpoint:
    """What is kept of a trained network: signs of the latent weights and the batch norms.

    Args:
        recipe: JSON values that remake it, with `seed`.
        results: JSON values measured when it was made; no times, so that equal runs give equal
            files.
    """

    layers = tuple(
        Layer(
            f"{'conv' if shape.window else 'dense'}{i}",
            shape.n_inputs,
            pack((binary.rows() >= 0).cpu().numpy()),
            norm,
            shape.window,
            shape.pool,
        )
        for i, (binary, shape, norm) in enumerate(
            zip(model.binary_layers, model.shapes, [*batch_norms(model), None], strict=True)
        )
    )
    return Checkpoint(name, model.input, layers, recipe, seed, results)
