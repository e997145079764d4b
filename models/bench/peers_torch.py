"""Integer networks in torch float32 as a user writes them; their weights as stored bits.

All sums are integers far below 2^24, so float32 is exact and must give golden's scores.
Weights are parameters of +-1 in the shapes that torch likes; `rows_of` reads them back as rows of
stored bits, so that whatever a fault injector did to them can be replayed by the kit.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...sim.bits import pack, unpack
from ...sim.faults import FaultMap
from ...sim.layers import Conv, Layer
from ...sim.memory import Layout
from ...sim.network import Network

Forward = Callable[[Tensor], Tensor]
"""(batch, ...) inputs to (batch, n_classes) scores, both float32."""


class Fire(nn.Module):
    """+1 where a sum reaches its neuron's limit, else -1."""

    limits: Tensor

    def __init__(self, limits: Tensor) -> None:
        super().__init__()
        self.register_buffer("limits", limits)

    def forward(self, sums: Tensor) -> Tensor:
        """The same shape as the sums."""
        return torch.where(sums >= self.limits, 1.0, -1.0)


def naive_model(network: Network) -> nn.Sequential:
    """The network as a user writes it: standard modules, maps channel-first, one after another."""
    modules: list[nn.Module] = []
    for before, layer in zip((None, *network.layers), network.layers, strict=False):
        modules += [*sum_modules(layer, before), *fire_modules(layer)]
    return nn.Sequential(*modules).requires_grad_(False)


def sum_modules(layer: Layer, before: Layer | None) -> list[nn.Module]:
    """Modules that take what `before` hands on to the sums of a layer; the last one has weights."""
    rows = torch.from_numpy(unpack(layer.weights, layer.n_inputs))
    n_out = layer.n_outputs
    if not isinstance(layer, Conv):
        dense = nn.Linear(layer.n_inputs, n_out, bias=False)
        dense.weight.data = _to_torch(rows, layer, before)
        return [nn.Flatten(), dense] if isinstance(before, Conv) else [dense]
    w = layer.window
    is_zero = layer.input == "uint8"
    conv = nn.Conv2d(
        w.channels, n_out, w.kernel, w.stride, padding=w.pad if is_zero else 0, bias=False
    )
    conv.weight.data = _to_torch(rows, layer, before)
    return [conv] if is_zero or not w.pad else [nn.ConstantPad2d(w.pad, -1.0), conv]


def fire_modules(layer: Layer) -> list[nn.Module]:
    """Modules that take a layer's sums to what it hands on; none for scores."""
    if layer.thresholds is None:
        return []
    limits = limits_of(layer)
    if not isinstance(layer, Conv):
        return [Fire(limits)]
    fire = Fire(limits[:, None, None])
    return [fire, nn.MaxPool2d(layer.pool.kernel, layer.pool.stride)] if layer.pool else [fire]


def limits_of(layer: Layer) -> Tensor:
    """(n_outputs,) least sums that fire: P >= theta is the same as 2P - n >= 2 theta - n."""
    assert layer.thresholds is not None, "only hidden layers have limits"
    limits = torch.from_numpy(layer.thresholds.astype(np.float32))
    return limits if layer.input == "uint8" else 2 * limits - layer.n_inputs


def _map_shape(layer: Layer, before: Layer | None) -> tuple[int, int, int] | None:
    """(height, width, channels) into which the lanes of a row unfold; None: they are flat."""
    if isinstance(layer, Conv):
        return layer.window.kernel, layer.window.kernel, layer.window.channels
    return before.out_shape if isinstance(before, Conv) else None


def _to_torch(rows: Tensor, layer: Layer, before: Layer | None) -> Tensor:
    """Rows of bits (n_outputs, n_inputs) as +-1 float32 in torch's shape, channels first."""
    weights = 2 * rows.to(torch.float32) - 1
    shape = _map_shape(layer, before)
    if shape is None:
        return weights
    first = weights.view(-1, *shape).permute(0, 3, 1, 2).contiguous()
    return first if isinstance(layer, Conv) else first.flatten(1)


def rows_of(weight: Tensor, layer: Layer, before: Layer | None) -> NDArray[np.uint8]:
    """(n_outputs, n_inputs) stored bits of a torch weight; the inverse of how it was made."""
    shape = _map_shape(layer, before)
    if shape is not None:
        height, width, channels = shape
        weight = weight.reshape(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
    return (weight > 0).numpy().astype(np.uint8)


def weights_of(model: nn.Module) -> list[Tensor]:
    """The weights of all layers, first to last, however a peer has wrapped the model."""
    return [m.weight.data for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def rows_of_model(model: nn.Module, network: Network) -> list[NDArray[np.uint8]]:
    """Per layer the (n_outputs, n_inputs) stored bits that a naive model's weights stand for."""
    befores = (None, *network.layers)
    found = zip(weights_of(model), network.layers, befores, strict=False)
    return [rows_of(weight, layer, before) for weight, layer, before in found]


def flips_of(
    rows: list[NDArray[np.uint8]], network: Network, layout: Layout, made_by: str
) -> FaultMap:
    """The fault map that turns the network's stored bits into these rows.

    Args:
        rows: per layer (n_outputs, n_inputs) bits, as a fault injector left them.
        made_by: goes into the provenance.
    """
    cells = np.zeros(layout.n_cells, np.uint8)
    for i, (bits, layer) in enumerate(zip(rows, network.layers, strict=True)):
        layout.put_rows(cells, i, "weights", bits ^ unpack(layer.weights, layer.n_inputs))
    none = np.zeros_like(layout.stored_mask)
    return FaultMap(layout, pack(cells), none, none, {"model": made_by})


def to_input(network: Network, images: NDArray[np.uint8]) -> Tensor:
    """Images as the models take them: 0..255 as they are, bits as +-1; maps channel-first."""
    x = torch.from_numpy(images).to(torch.float32)
    first = network.layers[0]
    if first.input == "bits":
        x = 2 * x - 1
    if isinstance(first, Conv):
        w = first.window
        x = x.view(-1, w.height, w.width, w.channels).permute(0, 3, 1, 2).contiguous()
    return x


def scores(forward: Forward, x: Tensor, batch: int) -> NDArray[np.int32]:
    """(n_images, n_classes) integer scores of inputs, `batch` images at once."""
    with torch.inference_mode():
        return torch.cat([forward(part) for part in torch.split(x, batch)]).to(torch.int32).numpy()


def flip_bernoulli(weights: list[Tensor], clean: list[Tensor], ber: float) -> None:
    """New faults from torch's own generator, as a user writes them.

    Args:
        weights: changed in place.
        clean: the weights without faults.
        ber: chance of each weight to be negated.
    """
    for weight, right in zip(weights, clean, strict=True):
        weight.copy_(right * (1 - 2 * torch.bernoulli(torch.full_like(right, ber))))
