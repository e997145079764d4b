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
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sim.bits import lane_mask, unpack
from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, check_for
from ..sim.layers import Dense, Layer
from ..sim.memory import shapes_of
from ..sim.network import Network, check_images, require_plain
from ..sim.thresholds import from_batch_norm
from .checkpoint import Checkpoint, load_checkpoint
from .nets import build_model, encode
from .noise import weight_cells

_EXACT_IN_FLOAT32 = 1 << 24
_CHUNK = 4096


def integers(checkpoint: Checkpoint) -> Network:
    """The integer network of a checkpoint, made without an ONNX file, to evaluate training with.

    What is deployed is lowered from the exported file and nothing else; the two must be equal.
    """
    layers, tied = [], []
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
        layers.append(Dense(layer.name, layer.n_inputs, weights, values, negated, domain))
    return Network(checkpoint.name, tuple(layers), notes={"n_tied_neurons": tied})


class FrozenMlp(nn.Module):
    """An integer network in torch.

    Args:
        network: whose bits and thresholds it holds as +-1 and integers.

    Raises:
        InputError: a sum could leave the range in which float32 is exact.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        require_plain(network, "torch")
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
        self.limits: list[Tensor] = []
        for i, layer in enumerate(self.network.layers):
            bits = torch.from_numpy(unpack(layer.weights, layer.n_inputs))
            weights = 2 * bits.to(torch.float32) - 1  # (n_outputs, n_inputs)
            self.weights.append(
                weights if faults is None else weight_cells(faults, i).read(weights)
            )
            if layer.thresholds is None:
                continue
            values = torch.from_numpy(layer.thresholds).long()
            if faults is not None:
                values = _read_thresholds(values, layer, i, faults)
            sums = values if layer.input == "uint8" else 2 * values - layer.n_inputs
            self.limits.append(sums.to(torch.float32))  # (n_outputs,) least sum that fires

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Sums of every layer, first to last, each (batch, n_outputs) float32 of integer value."""
        sums = []
        for i, weights in enumerate(self.weights):
            sums.append(x @ weights.T)
            if i < len(self.limits):
                x = torch.where(sums[-1] >= self.limits[i], 1.0, -1.0)
        return sums

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_classes) int32 scores of inputs encoded by `nets.encode`."""
        return self.hidden(x)[-1].to(torch.int32)


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


def freeze(checkpoint: Checkpoint) -> FrozenMlp:
    """The checkpoint with exact integer thresholds in place of its batch norms."""
    return FrozenMlp(integers(checkpoint))


class TorchDevice:
    """Torch as a Device.

    Args:
        checkpoint_path: evaluate this checkpoint's own frozen integers, which must be of the shapes
            of the network that is loaded; None evaluates the loaded network's.
    """

    name = "torch"

    def __init__(self, checkpoint_path: Path | None = None) -> None:
        self._own = None if checkpoint_path is None else integers(load_checkpoint(checkpoint_path))
        self._model: FrozenMlp | None = None
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
        self._model = FrozenMlp(self._own or network)

    def inject(self, faults: FaultMap | None) -> None:
        """Read through the map; None reads the truth."""
        self._loaded().inject(faults)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores."""
        model = self._loaded()
        u8 = torch.from_numpy(check_images(model.network, images))
        domain = model.network.layers[0].input
        self._n_images += len(u8)
        parts = [model(encode(x, domain)) for x in torch.split(u8, _CHUNK)]
        return cast(NDArray[np.int32], torch.cat(parts).numpy())

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """Nothing to release."""

    def _loaded(self) -> FrozenMlp:
        if self._model is None:
            raise InputError("load a network into the torch device first")
        return self._model


@dataclass(frozen=True)
class LayerDisagreement:
    """Decisions of one hidden layer on its exact inputs.

    Attributes:
        n_decisions: images x neurons.
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
    for u8 in torch.split(torch.from_numpy(check_images(frozen.network, images)), _CHUNK):
        x = encode(u8, checkpoint.input)
        sums = frozen.hidden(x)
        for i, norm in enumerate(model.norm_layers):
            exact = sums[i] >= frozen.limits[i]
            floating = norm(sums[i] * flipped_rows[i]) >= 0  # the model's rows are not negated
            different[i] += int((exact != floating).sum())
        floating, exact = model(x), sums[-1]
        n_scores += int((floating != exact).any(1).sum())
        n_classes += int((floating.argmax(1) != exact.argmax(1)).sum())
    tied = frozen.network.notes["n_tied_neurons"]
    layers = tuple(
        LayerDisagreement(layer.name, len(images) * layer.n_outputs, n, n_tied)
        for layer, n, n_tied in zip(checkpoint.layers, different, tied, strict=False)
    )
    return Disagreements(len(images), layers, n_scores, n_classes)
