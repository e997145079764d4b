"""Frozen checkpoints: batch norm and sign replaced by exact integer thresholds, evaluated by torch.

Float kernels disagree with each other where a batch norm is nearly 0. A frozen network has none
left: its thresholds come from exact arithmetic (`sim/thresholds.py`), its sums are integers below
2^24, which float32 adds without rounding in any order. So torch gives the scores that golden gives.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sim.bits import lane_mask, unpack
from ..sim.device import Faults, lasting
from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, check_for
from ..sim.layers import Conv, Dense, Layer, Window
from ..sim.memory import shapes_of
from ..sim.network import Network, check_images
from ..sim.thresholds import from_batch_norm
from .binary import signs
from .checkpoint import Checkpoint, load_checkpoint
from .nets import build_model, encode
from .noise import weight_cells

_EXACT_IN_FLOAT32 = 1 << 24
_CHUNK = 4096  # images
_MAX_LANES = 1 << 26  # of all windows of the images that are evaluated at once


def integers(checkpoint: Checkpoint) -> Network:
    """The integer network of a checkpoint, made without an ONNX file, to evaluate training with.

    What is deployed is lowered from the exported file and nothing else; the two must be equal.
    """
    layers: list[Layer] = []
    tied = []
    for i, layer in enumerate(checkpoint.layers):
        domain = checkpoint.input if i == 0 else "bits"
        weights, negated = layer.weights, np.zeros(layer.n_outputs, np.bool_)
        values = None
        if (norm := layer.norm) is not None:
            found = from_batch_norm(
                norm.gamma, norm.beta, norm.mean, norm.var, norm.eps, layer.n_inputs, domain
            )
            values, negated = found.values, found.negated
            tied.append(int(found.is_tie.sum()))
            weights = np.where(negated[:, None], ~weights & lane_mask(layer.n_inputs), weights)
        rows = Dense(layer.name, layer.n_inputs, weights, values, negated, domain)
        if layer.window is None:
            layers.append(rows)
        else:
            layers.append(Conv(**vars(rows), window=layer.window, pool=layer.pool))
    return Network(checkpoint.name, tuple(layers), notes={"n_tied_neurons": tied})


class FrozenNet(nn.Module):
    """An integer network in torch.

    Args:
        network: whose bits and thresholds it holds as +-1 and integers.

    Raises:
        InputError: it takes a thermometer code, or a sum could leave the range in which float32 is
            exact.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.thermometer:
            raise InputError(f"torch takes bits or uint8; {network.name!r} has a thermometer input")
        for layer in network.layers:
            if max(abs(v) for v in layer.threshold_range) >= _EXACT_IN_FLOAT32:
                raise InputError(
                    f"layer {layer.name!r}: sums of {layer.n_inputs} inputs exceed 2^24"
                )
        self.network = network
        self.inject(None)

    @torch.no_grad()
    def inject(self, faults: FaultMap | None) -> None:
        """Read weights and thresholds through a fault map; None reads them as they are.

        Raises:
            InputError: the map is of other layer shapes.
        """
        if faults is not None:
            check_for(self.network, faults)
        self.weights: list[Tensor] = []
        self.limits: dict[int, Tensor] = {}  # by number of the layer
        for i, layer in enumerate(self.network.layers):
            stored = torch.from_numpy(unpack(layer.weights, layer.n_inputs)).view(torch.bool)
            read = stored if faults is None else weight_cells(faults, i).read(stored)
            self.weights.append(signs(read))  # (n_outputs, n_inputs)
            if layer.thresholds is None:
                continue
            values = torch.from_numpy(layer.thresholds).long()
            if faults is not None:
                values = _read_thresholds(values, layer, i, faults)
            sums = values if layer.input == "uint8" else 2 * values - layer.n_inputs
            self.limits[i] = sums.to(torch.float32)  # (n_outputs,) least sum that fires

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Sums of every layer, member after member, float32 of integer value.

        Returns:
            each (batch, n_outputs), or (batch, rows, columns, n_outputs) of a convolution.
        """
        sums, given = [], x
        for i, (layer, weights) in enumerate(zip(self.network.layers, self.weights, strict=True)):
            if isinstance(layer, Conv):
                x = _windows(x, layer.window, -1.0 if layer.input == "bits" else 0.0)
            sums.append(x @ weights.T)
            if i not in self.limits:
                x = given  # of the next member
                continue
            x = torch.where(sums[-1] >= self.limits[i], 1.0, -1.0)
            if isinstance(layer, Conv):
                if layer.pool is not None:
                    maps = x.permute(0, 3, 1, 2)
                    x = F.max_pool2d(maps, layer.pool.kernel, layer.pool.stride)
                    x = x.permute(0, 2, 3, 1)  # (batch, rows, columns, channels)
                x = x.flatten(1)
        return sums

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_classes) int32 scores of (batch, n_inputs) lanes; those of members add."""
        sums = self.hidden(x)
        scores = [s.to(torch.int32) for i, s in enumerate(sums) if i not in self.limits]
        return torch.stack(scores).sum(0, dtype=torch.int32)

    @property
    def chunk(self) -> int:
        """Images that are best evaluated at once."""
        lanes = max(layer.n_inputs * layer.n_windows for layer in self.network.layers)
        return min(_CHUNK, max(1, _MAX_LANES // lanes))


def lanes_of(images: Tensor, network: Network) -> Tensor:
    """(n, n_inputs) float32 lanes of a `FrozenNet`: pixels as they are, bits as -1 and +1."""
    x = images.flatten(1).to(torch.float32)
    return x if network.layers[0].input == "uint8" else 2 * x - 1


def _windows(x: Tensor, window: Window, pad: float) -> Tensor:
    """(batch, rows, columns, fan-in) what every window sees of (batch, n_elements) maps.

    Written out and multiplied as a matrix, as no library promises how it computes a convolution.
    """
    maps = x.reshape(len(x), window.height, window.width, window.channels)
    padded = F.pad(maps, [0, 0, *[window.pad] * 4], value=pad)
    k, stride = window.kernel, window.stride
    seen = padded.unfold(1, k, stride).unfold(2, k, stride)  # (batch, rows, columns, c, ky, kx)
    return seen.permute(0, 1, 2, 4, 5, 3).flatten(3)


def _read_thresholds(values: Tensor, layer: Layer, i: int, faults: FaultMap) -> Tensor:
    """(n_outputs,) thresholds as the faulty memory returns them, within the layer's range."""
    cells = faults.layout.threshold_cells(i)  # (n_outputs, n_bits)
    flip, stuck0, stuck1 = (
        torch.from_numpy(faults.cells(name)[cells]).long() for name in ("flip", "stuck0", "stuck1")
    )
    place = torch.arange(cells.shape[1])
    bits = ((((values[:, None] >> place) & 1) ^ flip) & (1 - stuck0)) | stuck1
    read = (bits << place).sum(1)
    if layer.input == "uint8":  # two's complement
        read = read - (bits[:, -1] << cells.shape[1])
    return read.clamp(*layer.threshold_range)


def freeze(checkpoint: Checkpoint) -> FrozenNet:
    """The checkpoint with exact integer thresholds in place of its batch norms."""
    return FrozenNet(integers(checkpoint))


class TorchDevice:
    """Torch as a Device.

    Args:
        checkpoint_path: evaluate this checkpoint's own frozen integers, which must be of the shapes
            of the network that is loaded; None evaluates the loaded network's.
    """

    name = "torch"

    def __init__(self, checkpoint_path: Path | None = None) -> None:
        self._own = None if checkpoint_path is None else integers(load_checkpoint(checkpoint_path))
        self._model: FrozenNet | None = None
        self._n_images = 0

    def load(self, network: Network) -> None:
        """Freeze the network, or the checkpoint that it was made from; clears faults.

        Raises:
            InputError: the checkpoint is of other layer shapes.
        """
        if self._own is not None and shapes_of(self._own) != shapes_of(network):
            raise InputError(
                f"the torch device holds checkpoint {self._own.name!r}, whose layer shapes are not "
                f"those of network {network.name!r}"
            )
        self._model = FrozenNet(self._own or network)

    def inject(self, faults: Faults | None) -> None:
        """Read through the map; None reads the truth."""
        self._loaded().inject(lasting(faults, self.name))

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores."""
        model = self._loaded()
        u8 = torch.from_numpy(check_images(model.network, images))
        self._n_images += len(u8)
        parts = [model(lanes_of(x, model.network)) for x in torch.split(u8, model.chunk)]
        return cast(NDArray[np.int32], torch.cat(parts).numpy())

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """Nothing to release."""

    def _loaded(self) -> FrozenNet:
        if self._model is None:
            raise InputError("load a network into the torch device first")
        return self._model


@dataclass(frozen=True)
class LayerDisagreement:
    """Decisions of one hidden layer on its exact inputs.

    Attributes:
        n_decisions: images x windows x neurons.
        n_different: torch's float batch norm and sign decided otherwise than the exact integers.
        n_tied_neurons: neurons whose batch norm is exactly 0 at a reachable sum.
    """

    name: str
    n_decisions: int
    n_different: int
    n_tied_neurons: int


@dataclass(frozen=True)
class Disagreements:
    """How often torch's own floats decide otherwise than exact arithmetic.

    Attributes:
        n_images_different: images with any score that differs, end to end.
        n_classes_different: images that end in another class.
    """

    n_images: int
    layers: tuple[LayerDisagreement, ...]
    n_images_different: int
    n_classes_different: int


@torch.no_grad()
def float_disagreements(checkpoint: Checkpoint, images: NDArray[np.generic]) -> Disagreements:
    """Compare the float model of a checkpoint with its frozen integers on these images.

    Args:
        images: (n, ...) integers as the checkpoint's network takes them.
    """
    model, frozen = build_model(checkpoint), freeze(checkpoint)
    flipped_rows = [
        torch.from_numpy(np.where(layer.negated, -1.0, 1.0).astype(np.float32))
        for layer in frozen.network.layers
    ]
    different = [0] * len(model.norms)
    n_scores = n_classes = 0
    for u8 in torch.split(torch.from_numpy(check_images(frozen.network, images)), frozen.chunk):
        sums = frozen.hidden(lanes_of(u8, frozen.network))
        for i, norm in enumerate(model.norm_layers):
            exact = (sums[i] >= frozen.limits[i]).flatten(0, -2)
            # the model's rows are not negated
            floating = norm((sums[i] * flipped_rows[i]).flatten(0, -2)) >= 0
            different[i] += int((exact != floating).sum())
        floating, exact = model(encode(u8, checkpoint.input, model.shapes[0])), sums[-1]
        n_scores += int((floating != exact).any(1).sum())
        n_classes += int((floating.argmax(1) != exact.argmax(1)).sum())
    tied = frozen.network.notes["n_tied_neurons"]
    layers = tuple(
        LayerDisagreement(layer.name, len(images) * layer.n_windows * layer.n_outputs, n, n_tied)
        for layer, n, n_tied in zip(frozen.network.layers, different, tied, strict=False)
    )
    return Disagreements(len(images), layers, n_scores, n_classes)
