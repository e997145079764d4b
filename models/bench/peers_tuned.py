"""Integer networks in torch float32, tuned as well as we could: what the kit is measured against.

What was tried, and is kept where it was faster: maps channel-last throughout; one linear call on
unfolded windows where there are few channels; a bias half way between the last sum that does not
fire and the first that does, so that comparing is a sign in place; pooling sums before signs, by
the maximum of slices; linear layers by name on oneDNN, since the BLAS behind torch's default is
slow on processors of other makers; weights in the order in which they are used.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...sim.bits import unpack
from ...sim.layers import Conv, Pool
from ...sim.network import Network
from .peers_torch import Forward, limits_of

Kernel = Literal["default", "onednn"]
KERNELS: tuple[Kernel, ...] = ("default", "onednn")
_FEW_CHANNELS = 8


class TunedPeer:
    """A network in torch.

    Attributes:
        weights: per layer (n_outputs, n_inputs) +-1 float32 in the order of the kit's rows; fault
            injection changes them in place, `forward` takes them as they are.
    """

    def __init__(self, network: Network, kernel: Kernel) -> None:
        self.network = network
        self.kernel: Kernel = kernel
        self.weights = [
            torch.from_numpy(unpack(layer.weights, layer.n_inputs)).float() * 2 - 1
            for layer in network.layers
        ]
        self.biases = [
            torch.zeros(layer.n_outputs) if layer.thresholds is None else 0.5 - limits_of(layer)
            for layer in network.layers
        ]

    def forward(self) -> Forward:
        """The scores of (batch, n_inputs) inputs, or of (batch, channels, height, width) maps."""
        steps = []
        for layer, weight, bias in zip(self.network.layers, self.weights, self.biases, strict=True):
            if isinstance(layer, Conv):
                steps.append(_conv_step(layer, weight, bias))
            else:
                steps.append(_dense_step(weight, bias, self.kernel))

        def run(x: Tensor) -> Tensor:
            if isinstance(self.network.layers[0], Conv):
                x = x.permute(0, 2, 3, 1)  # (batch, height, width, channels)
            for step in steps[:-1]:
                x = step(x).sign_()
            return steps[-1](x)

        return run


def _dense_step(weight: Tensor, bias: Tensor, kernel: Kernel) -> Forward:
    if kernel == "default":
        return lambda x: functional.linear(x.flatten(1), weight, bias)
    ready, offset = weight.to_mkldnn(), bias.to_mkldnn()
    return lambda x: functional.linear(x.flatten(1).to_mkldnn(), ready, offset).to_dense()


def _conv_step(layer: Conv, weight: Tensor, bias: Tensor) -> Forward:
    w = layer.window
    kernel = weight.view(-1, w.kernel, w.kernel, w.channels).permute(0, 3, 1, 2)
    is_unfolded = w.channels < _FEW_CHANNELS
    flat = kernel.flatten(1) if is_unfolded else kernel

    def run(x: Tensor) -> Tensor:
        if w.pad:
            border = 0.0 if layer.input == "uint8" else -1.0
            size = (len(x), w.height + 2 * w.pad, w.width + 2 * w.pad, w.channels)
            padded = x.new_full(size, border)
            padded[:, w.pad : -w.pad, w.pad : -w.pad] = x
            x = padded
        first = x.permute(0, 3, 1, 2)  # a channel-last view
        if is_unfolded:
            seen = functional.unfold(first, w.kernel, stride=w.stride).transpose(1, 2)
            sums = functional.linear(seen, flat, bias)  # (batch, windows, channels)
            maps = sums.view(len(x), w.rows, w.columns, -1)
        else:
            maps = functional.conv2d(first, flat, bias, w.stride).permute(0, 2, 3, 1)
        return maps if layer.pool is None else _pooled(layer.pool, maps)

    return run


def _pooled(pool: Pool, maps: Tensor) -> Tensor:
    """Maxima of (batch, height, width, channels) over windows: a sum that fires makes them fire."""
    for axis in (1, 2):
        n = pool.size(maps.shape[axis])
        part = partial(_every, maps, axis, pool.stride, n)
        maps = part(0)
        for i in range(1, pool.kernel):
            maps = torch.maximum(maps, part(i))
    return maps


def _every(maps: Tensor, axis: int, stride: int, n: int, start: int) -> Tensor:
    """n slices along an axis, from `start` in steps of `stride`."""
    slices = [slice(None)] * maps.dim()
    slices[axis] = slice(start, start + stride * (n - 1) + 1, stride)
    return maps[tuple(slices)]
