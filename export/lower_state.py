"""What lowering carries along a chain of nodes: lanes that a layer reads, or sums it has made.

Every tensor of lanes knows, position by position, which lane of the integer network it holds. So a
reshape or transpose only moves these numbers, whatever order the graph likes, and a layer reads its
columns in the order of the integer network: maps channel-last.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from ..sim.layers import Input, Layer, Pool, Window
from .graph import Constant, Graph, refuse

ONE = Fraction(1)
Order = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Site:
    """Where a layer stands in the graph.

    Attributes:
        matmul: name of the node that multiplies.
        weights: the tensor it multiplies by.
        unit: its weights are +-unit.
        sum_unit: its sums are multiples of this, once the unit of its lanes is counted too.
        is_transposed: that tensor is (n_inputs, n_outputs), not (n_outputs, n_inputs).
        columns: (n_inputs,) lane of the integer network that each column of a dense layer reads.
        window: of a convolution, whose tensor is (n_outputs, channels, ky, kx); None is dense.
        batch_norm: the tensor that a batch norm makes of the sums, if there is one.
    """

    matmul: str
    weights: str
    unit: Fraction
    sum_unit: Fraction
    is_transposed: bool = False
    columns: Order = field(default_factory=lambda: np.empty(0, np.int64))
    window: Window | None = None
    batch_norm: str | None = None

    def as_stored(self, rows: NDArray[Any]) -> NDArray[Any]:
        """(n_outputs, n_inputs) values of the integer network's rows, shaped as the tensor."""
        if self.window is not None:
            tensor = kernels(rows, self.window)
        else:
            tensor = rows[:, self.columns]
            tensor = tensor.T if self.is_transposed else tensor
        return np.ascontiguousarray(tensor)


def kernels(rows: NDArray[Any], window: Window) -> NDArray[Any]:
    """(n_outputs, channels, ky, kx) of (n_outputs, n_inputs) rows with lanes (ky, kx, channel)."""
    k = window.kernel
    return rows.reshape(len(rows), k, k, window.channels).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Lanes:
    """What the next layer reads: uint8, signs of +-unit, or (None) floats yet without a sign.

    Attributes:
        order: shaped as the tensor of one image; the lane of the integer network at each position.
        pad: elements of padding around the map, with what the integer network pads.
    """

    input: Input | None
    order: Order
    unit: Fraction = ONE
    pad: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image, without padding."""
        return self.order.shape


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """gamma (s - mean) / sqrt(var + eps) + beta, each (n_outputs,)."""

    gamma: Constant
    beta: Constant
    mean: Constant
    var: Constant
    eps: float


@dataclass(frozen=True, eq=False)
class Sums:
    """site.sum_unit * (signs @ lanes), then `norm` if there is one, with `pool` somewhere between.

    Attributes:
        signs: (n_outputs, n_inputs), lanes in the order of the integer network.
        pool: of a convolution, or None.
        raw_pool: the node that pools the sums themselves, before any batch norm.
    """

    site: Site
    input: Input
    signs: NDArray[np.int8]
    norm: BatchNorm | None = None
    pool: Pool | None = None
    raw_pool: NodeProto | None = None


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """A finished layer with what the import has to say about it."""

    site: Site
    layer: Layer
    note: dict[str, Any]


@dataclass(frozen=True, eq=False)
class State:
    """Where lowering stands: behind some finished layers, with lanes or sums in its hand."""

    value: Lanes | Sums
    layers: tuple[LoweredLayer, ...] = ()


Step = Callable[[Graph, NodeProto, State], State]


def lanes_of(node: NodeProto, state: State, *, padded: bool = False) -> Lanes:
    """The lanes that a node is given.

    Args:
        padded: the node can take them with padding around.
    """
    if not isinstance(state.value, Lanes):
        raise refuse(
            node, f"it follows {state.value.site.matmul!r} without a sign", "a sign between"
        )
    if state.value.pad and not padded:
        raise refuse(node, "its input is padded", "padding right before a Conv")
    return state.value


def sums_of(node: NodeProto, state: State) -> Sums:
    """The sums that a node is given, with neither batch norm nor constant behind them."""
    if not isinstance(state.value, Sums):
        raise refuse(node, "it does not follow a MatMul or Conv", "MatMul, Gemm or Conv before it")
    if state.value.norm is not None:
        raise refuse(node, "a batch norm or constant already stands before it", "one per layer")
    return state.value


def multiplied(node: NodeProto, lanes: Lanes, rows: Constant, state: State, **where: Any) -> State:
    """The state behind a node that multiplies lanes by binary rows.

    Args:
        rows: (n_outputs, n_inputs) weights, lanes in the order of the integer network.
        where: of the `Site`: how the tensor is laid out.
    """
    if lanes.input is None:
        raise refuse(
            node,
            "the graph input has no integer type",
            "a UINT8 or BIPOLAR input, or BipolarQuant first",
        )
    unit = abs(float(rows[0, 0]))
    odd = np.argwhere(np.abs(rows) != unit)
    if unit == 0 or len(odd):
        j, i = odd[0] if len(odd) else (0, 0)
        raise refuse(
            node,
            f"weight of neuron {j}, input {i} is {rows[j, i]}",
            "binary weights +-c, one c > 0 a layer",
        )
    scale = Fraction(unit)
    name = node.name or node.output[0]
    site = Site(name, node.input[1], scale, scale * lanes.unit, **where)
    signs = np.where(rows > 0, 1, -1).astype(np.int8)
    return replace(state, value=Sums(site, lanes.input, signs))


def channel_first(height: int, width: int, channels: int) -> Order:
    """(channels, height, width) lanes of a map that the integer network has channel-last."""
    order = np.arange(height * width * channels, dtype=np.int64)
    return order.reshape(height, width, channels).transpose(2, 0, 1)


def image_order(shape: tuple[int, ...]) -> Order:
    """Lanes of a graph input: three dimensions are a map, channel-first; others lie as they come.

    Args:
        shape: of one image, without the batch.

    >>> image_order((2, 1, 2)).tolist()
    [[[0, 2]], [[1, 3]]]
    """
    if len(shape) == 3:
        return channel_first(shape[1], shape[2], shape[0])
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
