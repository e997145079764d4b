"""Layers as the library takes them: panels of weights, limits, and where rows stand in memory.

The structs mirror those of _engine.h, _engine_inject.h and _engine.cpp, field by field.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import Words, unpack
from .layers import Conv, Layer, Pool
from .memory import Layout
from .network import Network
from .sampling import CBanks

BITS_PANEL, BYTES_PANEL = 16, 32  # neurons computed together, see _engine.h
_ALIGNMENT = 64


class CLayer(ctypes.Structure):
    """Mirror of `Layer` in _engine.h."""

    _fields_ = (
        ("n_inputs", ctypes.c_int64),
        ("n_outputs", ctypes.c_int64),
        ("is_uint8", ctypes.c_int64),
        ("panels", ctypes.c_void_p),
        ("limits", ctypes.c_void_p),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("kernel", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("pad", ctypes.c_int64),
        ("pool_kernel", ctypes.c_int64),
        ("pool_stride", ctypes.c_int64),
    )


class CChain(ctypes.Structure):
    """Mirror of `Chain` in _engine.cpp."""

    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("n_layers", ctypes.c_int64),
        ("levels", ctypes.c_void_p),
        ("n_levels", ctypes.c_int64),
        ("start", ctypes.c_int64),
        ("given", ctypes.c_void_p),
        ("keep", ctypes.c_int64),
        ("kept", ctypes.c_void_p),
        ("adds", ctypes.c_int64),
    )


class CStored(ctypes.Structure):
    """Mirror of `Stored` in _engine_inject.h."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("thresholds", ctypes.c_void_p),
        ("n_banks", ctypes.c_int64),
        ("weight_cell", ctypes.c_int64),
        ("weight_bank", ctypes.c_int64),
        ("weight_row", ctypes.c_int64),
        ("threshold_cell", ctypes.c_int64),
        ("threshold_bank", ctypes.c_int64),
        ("threshold_bits", ctypes.c_int64),
    )


class CReads(ctypes.Structure):
    """Mirror of `Reads` in _engine.cpp."""

    _fields_ = (
        ("roots", ctypes.c_void_p),
        ("banks", ctypes.POINTER(CBanks)),
        ("p01", ctypes.c_double),
        ("p10", ctypes.c_double),
        ("n_words", ctypes.c_int64),
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """All layers of a network for the library, and the arrays that keep its pointers alive.

    Attributes:
        layers: one struct for each layer.
        panels, limits: what they point to.
    """

    layers: ctypes.Array[CLayer]
    panels: tuple[NDArray[Any], ...]
    limits: tuple[NDArray[np.int32], ...]

    def room(self) -> "Prepared":
        """Arrays of its own with the same pads; the layers still point at this one's."""
        panels = tuple(_aligned(p.shape, p.dtype) for p in self.panels)
        for ours, theirs in zip(panels, self.panels, strict=True):
            ours[-1] = theirs[-1]  # pad neurons
        layers = (CLayer * len(self.layers))(*self.layers)
        return Prepared(layers, panels, tuple(limits.copy() for limits in self.limits))

    @cached_property
    def panels_at(self) -> ctypes.Array[ctypes.c_void_p]:
        """Address of each layer's panels."""
        return _addresses(self.panels)

    @cached_property
    def limits_at(self) -> ctypes.Array[ctypes.c_void_p]:
        """Address of each layer's limits."""
        return _addresses(self.limits)


def prepare(network: Network) -> Prepared:
    """Lay out all layers of a network."""
    panels = tuple(_panels(layer) for layer in network.layers)
    limits = tuple(_limits(layer) for layer in network.layers)
    structs = [
        _struct_of(layer, p.ctypes.data, t.ctypes.data)
        for layer, p, t in zip(network.layers, panels, limits, strict=True)
    ]
    return Prepared((CLayer * len(structs))(*structs), panels, limits)


def stored(network: Network, layout: Layout) -> ctypes.Array[CStored]:
    """Where the rows of each layer stand; the network must outlive it.

    Args:
        layout: a plain one, for the shapes of the network.
    """
    first: dict[tuple[int, str], int] = {}
    for bank in layout.banks:
        first.setdefault((bank.layer, bank.kind), bank.first_cell)
    structs = []
    for i, (layer, shape, fold) in enumerate(
        zip(network.layers, layout.shapes, layout.folds, strict=True)
    ):
        row = layout.n_steps(i) * fold.simd
        structs.append(
            CStored(
                layer.weights.ctypes.data,
                None if layer.thresholds is None else layer.thresholds.ctypes.data,
                fold.pe,
                first[i, "weights"],
                layout.n_folds(i) * row,
                row,
                first.get((i, "thresholds"), 0),
                layout.n_folds(i) * shape.threshold_bits,
                shape.threshold_bits,
            )
        )
    return (CStored * len(structs))(*structs)


def contiguous(network: Network) -> bool:
    """Whether the library may read its weights and thresholds where they are."""
    arrays = [a for la in network.layers for a in (la.weights, la.thresholds) if a is not None]
    return all(a.flags.c_contiguous and a.flags.aligned for a in arrays)


def _struct_of(layer: Layer, panels: int, limits: int) -> CLayer:
    plain = (layer.n_inputs, layer.n_outputs, layer.input == "uint8", panels, limits)
    if not isinstance(layer, Conv):
        return CLayer(*plain, 0, 0, 0, 0, 0, 0, 1, 1)
    w, pool = layer.window, layer.pool or Pool(1, 1)
    shape = (w.height, w.width, w.channels, w.kernel, w.stride, w.pad)
    return CLayer(*plain, *shape, pool.kernel, pool.stride)


def _panels(layer: Layer) -> NDArray[Any]:
    return _byte_panels(layer) if layer.input == "uint8" else _bit_panels(layer)


def _limits(layer: Layer) -> NDArray[np.int32]:
    is_uint8 = layer.input == "uint8"
    panel = BYTES_PANEL if is_uint8 else BITS_PANEL
    never = np.iinfo(np.int32).max if is_uint8 else 0
    limits = np.full(-(-layer.n_outputs // panel) * panel, never, np.int32)  # pad neurons keep it
    if layer.thresholds is not None:
        # P >= theta is the same as n - P < n + 1 - theta.
        limits[: layer.n_outputs] = (
            layer.thresholds if is_uint8 else layer.n_inputs + 1 - layer.thresholds
        )
    return limits


def _bit_panels(layer: Layer) -> Words:
    n_panels, n_words = -(-layer.n_outputs // BITS_PANEL), layer.weights.shape[1]
    rows = np.zeros((n_panels * BITS_PANEL, n_words), np.uint64)
    rows[: layer.n_outputs] = layer.weights
    panels = _aligned((n_panels, n_words, BITS_PANEL), np.uint64)
    panels[:] = rows.reshape(n_panels, BITS_PANEL, n_words).transpose(0, 2, 1)
    return panels


def _byte_panels(layer: Layer) -> NDArray[np.int32]:
    n_panels, n_quads = -(-layer.n_outputs // BYTES_PANEL), -(-layer.n_inputs // 8) * 2
    rows = np.zeros((n_panels * BYTES_PANEL, 4 * n_quads), np.int8)
    bits = unpack(layer.weights, layer.n_inputs).view(np.int8)
    rows[: layer.n_outputs, : layer.n_inputs] = 2 * bits - np.int8(1)
    panels = _aligned((n_panels, n_quads, BYTES_PANEL), np.int32)
    panels[:] = rows.view(np.int32).reshape(n_panels, BYTES_PANEL, n_quads).transpose(0, 2, 1)
    return panels


def lines(n_tiles: int, n_lines: int) -> Words:
    """(n_tiles, n_lines, 8) zeroed lines of eight images."""
    room = _aligned((n_tiles, n_lines, 8), np.uint64)
    room[:] = 0
    return room


def _addresses(arrays: Sequence[NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))


def _aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An uninitialised array on a cache line: the kernels load whole lines."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    skip = -room.ctypes.data % _ALIGNMENT
    aligned: NDArray[Any] = room[skip : skip + n_bytes].view(dtype).reshape(shape)
    return aligned
