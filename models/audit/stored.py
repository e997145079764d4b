"""Weights of a language model in a memory that lies: int8 or signs, under the kit's fault maps.

The memory is that of `sim.memory`: a bank for each layer, a neuron after the other, its bits from
lane 0 on in words of 64. An int8 weight takes eight lanes, its lowest bit first; a binary one takes
one. Any error model of `sim.errors` draws a `FaultMap` for that layout, and what is read back is
decoded into the model. Scales, biases, norms, embeddings, the layer that makes logits and whatever
is not chosen stand elsewhere, in memory that tells the truth.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...sim.bits import Words, pack, unpack
from ...sim.exceptions import InputError
from ...sim.faults import FaultMap
from ...sim.memory import MAX_WIDTH, Fold, Layout, Shape
from .language import Language, block_linears

Storage = Literal["int8", "binary"]
LayersOf = Callable[[Any], dict[str, nn.Linear]]
_INT8_MAX = 127


@dataclass(frozen=True)
class _Code:
    """How a weight becomes bits.

    Attributes:
        n_bits: of a weight.
        encode: (n_outputs, n_inputs) float weights to packed rows and the scale of each row.
        decode: packed rows, n_inputs and scales to weights.
    """

    n_bits: int
    encode: Callable[[NDArray[np.float32]], tuple[Words, NDArray[np.float32]]]
    decode: Callable[[Words, int, NDArray[np.float32]], NDArray[np.float32]]


def _to_int8(weights: NDArray[np.float32]) -> tuple[Words, NDArray[np.float32]]:
    scale = np.abs(weights).max(1, keepdims=True) / np.float32(_INT8_MAX)
    whole = np.rint(weights / np.where(scale > 0, scale, 1)).astype(np.int8)
    padded = np.zeros((len(whole), -(-whole.shape[1] // 8) * 8), np.int8)
    padded[:, : whole.shape[1]] = whole
    return padded.view("<u8").astype(np.uint64, copy=False), scale


def _from_int8(rows: Words, n: int, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    whole = np.ascontiguousarray(rows.astype("<u8", copy=False)).view(np.int8)[:, :n]
    return whole.astype(np.float32) * scale


def _to_signs(weights: NDArray[np.float32]) -> tuple[Words, NDArray[np.float32]]:
    return pack(weights >= 0), np.abs(weights).mean(1, keepdims=True)


def _from_signs(rows: Words, n: int, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(unpack(rows, n) == 1, scale, -scale)


_CODES: dict[Storage, _Code] = {
    "int8": _Code(8, _to_int8, _from_int8),
    "binary": _Code(1, _to_signs, _from_signs),
}
STORAGES: tuple[Storage, ...] = tuple(_CODES)


@dataclass(frozen=True, eq=False)
class Stored:
    """Dense layers of a model as a memory holds them.

    Attributes:
        layout: of all of them.
        rows: of each layer, (n_outputs, n_words) packed.
        scales: of each layer, (n_outputs, 1).
    """

    storage: Storage
    layout: Layout
    rows: dict[str, Words]
    scales: dict[str, NDArray[np.float32]]

    def read(self, faults: FaultMap | None) -> dict[str, Words]:
        """Rows of each layer as they are read back.

        Raises:
            InputError: the map is of another layout.
        """
        if faults is None:
            return self.rows
        if faults.layout != self.layout:
            raise InputError("the fault map is not for the layout of this model")
        found = {}
        for bank, (name, rows) in zip(self.layout.banks, self.rows.items(), strict=True):
            words = slice(bank.first_cell // 64, bank.first_cell // 64 + rows.size)
            flip, low, high = (
                plane[words].reshape(rows.shape)
                for plane in (faults.flip, faults.stuck0, faults.stuck1)
            )
            found[name] = (rows ^ flip) & ~low | high
        return found


def stored(language: Language, storage: Storage, layers_of: LayersOf = block_linears) -> Stored:
    """Dense layers of a model, written.

    Args:
        layers_of: which ones; all but the last, or some of them.

    Raises:
        InputError: an unknown storage, or the model has no such layer.
    """
    if storage not in _CODES:
        raise InputError(f"storage must be one of {', '.join(STORAGES)}, not {storage!r}")
    code, layers = _CODES[storage], layers_of(language.model)
    if not layers:
        raise InputError(f"model {language.name!r} has no dense layer to store")
    written = {name: code.encode(_weights(layer.weight)) for name, layer in layers.items()}
    shapes = tuple(
        Shape(layer.in_features * code.n_bits, layer.out_features, "bits", False)
        for layer in layers.values()
    )
    layout = Layout(shapes, tuple(Fold(1, MAX_WIDTH) for _ in shapes))
    return Stored(
        storage,
        layout,
        {name: rows for name, (rows, _) in written.items()},
        {name: scale for name, (_, scale) in written.items()},
    )


def _weights(weight: Tensor) -> NDArray[np.float32]:
    return weight.detach().float().numpy()


@torch.no_grad()
def as_read(language: Language, memory: Stored, faults: FaultMap | None = None) -> Language:
    """A copy of the model with the weights that the memory returns; None is one without faults."""
    model: Any = copy.deepcopy(language.model)
    layers, code = block_linears(model), _CODES[memory.storage]
    for name, rows in memory.read(faults).items():
        layer = layers[name]
        weights = code.decode(rows, layer.in_features, memory.scales[name])
        layer.weight.copy_(torch.from_numpy(weights))
    return Language(f"{language.name}, {memory.storage}", model, language.tokenizer)
