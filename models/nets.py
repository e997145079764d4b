"""The binarized multilayer perceptron: made from sizes or a checkpoint, and saved to one."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sim.bits import pack, unpack
from ..sim.exceptions import InputError
from ..sim.layers import Input
from .binary import BinaryLinear, PositiveBatchNorm, binary_sign
from .checkpoint import BatchNorm, Checkpoint, Layer


class Mlp(nn.Module):
    """Binary dense layers, each but the last followed by batch norm and sign.

    The input is taken as it is: pixels as floats 0..255 (`uint8`), or -1 and +1 (`bits`). The
    output is the last layer's integer sums, as floats.

    Attributes:
        denses, norms: in order; one norm fewer than denses.
    """

    def __init__(self, sizes: tuple[int, ...], input: Input = "uint8") -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes must be two or more positive integers, not {sizes}")
        self.sizes = sizes
        self.input: Input = input
        self.denses = nn.ModuleList(
            BinaryLinear(i, o) for i, o in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(PositiveBatchNorm(o) for o in sizes[1:-1])
        self.signs = nn.ModuleList(binary_sign() for _ in sizes[1:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_classes) sums of (batch, ...) inputs."""
        x = x.flatten(1)  # (batch, n_inputs)
        for dense, norm, sign in zip(self.denses, self.norms, self.signs, strict=False):
            x = sign(norm(dense(x)))  # (batch, n_outputs)
        return cast(Tensor, self.denses[-1](x))

    @property
    def dense_layers(self) -> list[BinaryLinear]:
        """`denses`, typed."""
        return [cast(BinaryLinear, d) for d in self.denses]

    @property
    def norm_layers(self) -> list[PositiveBatchNorm]:
        """`norms`, typed."""
        return [cast(PositiveBatchNorm, n) for n in self.norms]


def encode(images: Tensor, input: Input) -> Tensor:
    """(n, n_inputs) float32 as an `Mlp` takes it: 0..255 as they are, bits 0 and 1 as -1 and +1."""
    x = images.flatten(1).to(torch.float32)
    return x if input == "uint8" else 2 * x - 1


def build_model(checkpoint: Checkpoint) -> Mlp:
    """The Brevitas network of a checkpoint: weights +-1, float batch norms, eval mode."""
    model = Mlp(checkpoint.sizes, checkpoint.input)
    with torch.no_grad():
        for dense, layer in zip(model.dense_layers, checkpoint.layers, strict=True):
            bits = unpack(layer.weights, layer.n_inputs)
            dense.weight.copy_(torch.from_numpy(2.0 * bits - 1.0))
        for norm, layer in zip(model.norm_layers, checkpoint.layers, strict=False):
            values = layer.norm
            assert values is not None
            norm.eps = values.eps
            targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for to, name in zip(targets, ("gamma", "beta", "mean", "var"), strict=True):
                cast(Tensor, to).copy_(torch.from_numpy(getattr(values, name)))
    return model.eval()


def to_checkpoint(
    model: Mlp, name: str, recipe: dict[str, Any], seed: int, results: dict[str, Any]
) -> Checkpoint:
    """What is kept of a trained network: signs of the latent weights and the batch norms.

    Args:
        recipe: JSON values that remake it, with `seed`.
        results: JSON values measured when it was made; no times, so that equal runs give equal
            files.
    """

    def array(tensor: Tensor | None) -> NDArray[np.float32]:
        return cast(Tensor, tensor).detach().numpy().astype(np.float32, copy=True)

    norms: list[BatchNorm | None] = [
        BatchNorm(
            array(n.weight), array(n.bias), array(n.running_mean), array(n.running_var), n.eps
        )
        for n in model.norm_layers
    ]
    layers = tuple(
        Layer(f"dense{i}", dense.in_features, pack((dense.weight.detach() >= 0).numpy()), norm)
        for i, (dense, norm) in enumerate(zip(model.dense_layers, [*norms, None], strict=True))
    )
    return Checkpoint(name, model.input, layers, recipe, seed, results)
