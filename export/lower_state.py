"""What lowering carries along a chain of nodes: lanes that a layer reads, or sums it has made.

Every tensor of lanes knows, position by position, which lane of the integer network it holds. So a
reshape or transpose only moves these numbers, whatever order the graph likes, and a layer reads its
columns in the order of the integer network: maps channel-last.

What a position holds is `unit * lane + offset`, and what a sum has become since is an affine
function of it for each neuron. Both are exact rationals (and one square root for each neuron), so
scales and constants of any sign and size are absorbed wherever they stand.
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
from .encoding import Encoding
from .exact import Array, rational_root
from .folding import printable, refuse
from .graph import Graph

ZERO, ONE = Fraction(0), Fraction(1)
Order = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Site:
    """Where a layer stands in the graph.

    Attributes:
        matmul: name of the node that multiplies.
        sums: the tensor that it makes.
        weights: the tensor it multiplies by.
        stored: (2, n_outputs) what that tensor holds where a bit of the row is 0, and where 1.
        affine: what that node makes of a sum.
        is_transposed: that tensor is (n_inputs, n_outputs), not (n_outputs, n_inputs).
        columns: (n_inputs,) lane of the integer network that each column of a dense layer reads.
        window: of a convolution, whose tensor is (n_outputs, channels, ky, kx); None is dense.
        tail: the arithmetic nodes between that tensor and the comparison.
        axes: of the channels, where each of them stands.
        cut: (n_outputs,) float32 that the graph compares with.
    """

    matmul: str
    sums: str
    weights: str
    stored: NDArray[np.float64]
    affine: "Affine"
    is_transposed: bool = False
    columns: Order = field(default_factory=lambda: np.empty(0, np.int64))
    window: Window | None = None
    tail: tuple[NodeProto, ...] = ()
    axes: tuple[int, ...] = ()
    cut: NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32))

    def as_stored(self, rows: NDArray[Any]) -> NDArray[Any]:
        """(n_outputs, n_inputs) values of the integer network's rows, shaped as the tensor."""
        if self.window is not None and not self.is_transposed:
            tensor = kernels(rows, self.window)
        else:
            tensor = rows if self.window is not None else rows[:, self.columns]
            tensor = tensor.T if self.is_transposed else tensor
        return np.ascontiguousarray(tensor)


def kernels(rows: NDArray[Any], window: Window) -> NDArray[Any]:
    """(n_outputs, channels, ky, kx) of (n_outputs, n_inputs) rows with lanes (ky, kx, channel)."""
    k = window.kernel
    return rows.reshape(len(rows), k, k, window.channels).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Lanes:
    """What the next layer reads, or (input None) floats of the graph input, yet without a sign.

    A position holds unit * lane + offset: of a lane of bits that is -1 or +1, of uint8 0..255, of
    a float whatever it is.

    Attributes:
        order: shaped as the tensor of one image; the lane of the integer network at each position.
        pad: elements of padding around the map, with what the integer network pads.
        window: windows of the map that are spread out, one to a row, as Im2Col does.
    """

    input: Input | None
    order: Order
    unit: Fraction = ONE
    offset: Fraction = ZERO
    pad: int = 0
    window: Window | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image, without padding."""
        return self.order.shape

    @property
    def padding(self) -> Fraction:
        """What a position of padding must hold: bit 0, or a pixel of 0."""
        return self.offset - (self.unit if self.input == "bits" else 0)


@dataclass(frozen=True, eq=False)
class Affine:
    """(scale * s + shift) / sqrt(radicand) + rest of a sum s, each (n_outputs,) of Fractions.

    Where the radicand is 1 the rest is 0.
    """

    scale: Array
    shift: Array
    radicand: Array
    rest: Array

    def times(self, factor: Array) -> "Affine":
        """Multiplied by a number for each neuron."""
        return Affine(self.scale * factor, self.shift * factor, self.radicand, self.rest * factor)

    def plus(self, value: Array) -> "Affine":
        """With a number added for each neuron."""
        plain = np.where(self.radicand == 1, value, np.full(value.shape, ZERO))
        return replace(self, shift=self.shift + plain, rest=self.rest + (value - plain))

    def over_root(self, radicand: Array) -> "Affine | None":
        """Divided by sqrt(radicand) for each neuron; None where that would nest two roots."""
        scale, shift, within, rest = (
            column.copy() for column in (self.scale, self.shift, self.radicand, self.rest)
        )
        for j, value in enumerate(np.broadcast_to(radicand, scale.shape)):
            root = rational_root(value)
            if root is not None:
                scale[j], shift[j], rest[j] = (x[j] / root for x in (scale, shift, rest))
            elif within[j] == 1:
                within[j] = value
            else:
                return None
        return Affine(scale, shift, within, rest)

    @property
    def slope(self) -> NDArray[np.int64]:
        """(n_outputs,) sign of what a greater sum does."""
        return np.array([(a > 0) - (a < 0) for a in self.scale], np.int64)


def affine_of(n: int, scale: Array | Fraction, shift: Array | Fraction = ZERO) -> Affine:
    """scale * s + shift for n neurons."""
    columns = []
    for value in (scale, shift, ONE, ZERO):
        column = np.empty(n, object)
        column[:] = value
        columns.append(column)
    return Affine(*columns)


@dataclass(frozen=True, eq=False)
class Sums:
    """What a layer makes of its lanes: an affine function of the integer sums of its rows.

    Attributes:
        signs: (n_outputs, n_inputs), lanes in the order of the integer network.
        affine: what the tensor holds of a sum.
        tail, axes: the arithmetic nodes that made it, and where the channels stood there.
        axis: where the channels of a map stand behind the batch: 0 first, -1 last.
        pool: of a convolution, or None.
        pooled_by: the node that takes the greatest of what the sums are where it stands.
        pooled_slope: (n_outputs,) sign of the affine function there.
    """

    site: Site
    input: Input
    signs: NDArray[np.int8]
    affine: Affine
    tail: tuple[NodeProto, ...] = ()
    axes: tuple[int, ...] = ()
    axis: int = 0
    pool: Pool | None = None
    pooled_by: NodeProto | None = None
    pooled_slope: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """A finished layer with what the import has to say about it."""

    site: Site
    layer: Layer
    note: dict[str, Any]


@dataclass(frozen=True, eq=False)
class State:
    """Where lowering stands: behind some finished layers, with lanes or sums in its hand.

    Attributes:
        encoding: how a graph input becomes lanes, once that is known.
        is_quantised: a node has made lanes of it.
        ending: the node that picks a class of the scores, behind which nothing may come.
    """

    value: Lanes | Sums
    layers: tuple[LoweredLayer, ...] = ()
    encoding: Encoding | None = None
    is_quantised: bool = False
    ending: str = ""


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
    if state.value.window is not None and not padded:
        raise refuse(node, "its input is spread out in windows", "a matrix behind Im2Col")
    return state.value


def sums_of(node: NodeProto, state: State) -> Sums:
    """The sums that a node is given."""
    if not isinstance(state.value, Sums):
        raise refuse(node, "it does not follow a MatMul or Conv", "MatMul, Gemm or Conv before it")
    return state.value


def multiplied(
    node: NodeProto,
    lanes: Lanes,
    rows: Array,
    state: State,
    *,
    pops: bool = False,
    axis: int = 0,
    **where: Any,
) -> State:
    """The state behind a node that multiplies lanes by binary rows.

    Args:
        rows: (n_outputs, n_inputs) weights, lanes in the order of the integer network.
        pops: it counts equal bits, 0 and 1, in place of summing products.
        axis: of the channels of its map.
        where: of the `Site`: how the tensor is laid out.
    """
    if lanes.input is None:
        raise refuse(
            node,
            "the graph input has no integer type",
            "a UINT8 or BIPOLAR input, or BipolarQuant first",
        )
    units = np.abs(rows[:, :1]) if not pops else np.full((len(rows), 1), 1, rows.dtype)
    odd = (rows != 0) & (rows != 1) if pops else (np.abs(rows) != units) | (rows == 0)
    if odd.any():
        j, i = np.argwhere(odd)[0]
        which = "0 and 1" if pops else "+-c, one c > 0 a neuron"
        raise refuse(
            node, f"weight of neuron {j}, input {i} is {rows[j, i]}", f"binary weights {which}"
        )
    signs = np.where(rows > 0, np.int8(1), np.int8(-1))
    n_outputs, n_inputs = signs.shape
    if pops:
        half = Fraction(1, 2)
        if (lanes.input, lanes.unit, lanes.offset) != ("bits", half, half):
            raise refuse(node, "its lanes are not 0 and 1", "BINARY lanes")
        affine = affine_of(n_outputs, half, half * n_inputs)
        stored = np.repeat([[0.0], [1.0]], n_outputs, axis=1)
    else:
        scale = np.array([Fraction(float(c)) for c in units[:, 0]], object)
        total = signs.sum(axis=1, dtype=np.int64).astype(object)
        affine = affine_of(n_outputs, scale * lanes.unit, scale * lanes.offset * total)
        high = units[:, 0].astype(np.float64)
        stored = np.array([-high, high])
    name = printable(node.name or node.output[0])
    site = Site(name, node.output[0], node.input[1], stored, affine, **where)
    return replace(state, value=Sums(site, lanes.input, signs, affine, axis=axis))


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
