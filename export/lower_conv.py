"""Lowering convolutions, their padding, and pooling, on channel-first and channel-last maps.

A convolution of the integer network pads bits with -1 and pixels with 0, compares, then pools by
OR. Max pooling of signs is that OR. So is max pooling before the sign, where what is pooled grows
with what is compared: behind the batch norm always, in front of it unless the scale is negative.
FINN writes a convolution as Im2Col and a matrix, channel-last.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from ..sim.bits import lane_mask
from ..sim.exceptions import InputError
from ..sim.layers import Conv, Pool, Window
from .folding import attributes, refuse
from .graph import Graph
from .lower_affine import biased
from .lower_state import Lanes, LoweredLayer, State, Sums, channel_first, lanes_of, multiplied


def conv(graph: Graph, node: NodeProto, state: State) -> State:
    """A convolution, with bias or without."""
    lanes = lanes_of(node, state, padded=True)
    weights = graph.constant(node, 1, "weights")
    height, width, channels, axis = _map(node, lanes)
    if axis or weights.ndim != 4 or not weights.size or weights.shape[1] != channels:
        raise refuse(
            node, f"weights {weights.shape} do not fit a map {lanes.shape}", "matching channels"
        )
    has = {"group": 1, **attributes(node)}
    if has["group"] != 1:
        raise refuse(node, f"it has {has['group']} groups", "one group")
    kernel, stride, pad = _window(node, has, weights.shape[2:])
    if pad and lanes.padding:
        raise refuse(
            node,
            f"it pads {pad} with 0, but a lane of {_holds(lanes)} and no 0",
            f"a Pad node of {float(lanes.padding)} before it, or no padding; zeros on a UINT8 "
            "input",
        )
    try:
        window = Window(height, width, channels, kernel, stride, lanes.pad + pad)
    except InputError as error:
        raise refuse(node, str(error), "a window that fits its map") from error
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    after = multiplied(node, lanes, rows, state, window=window)
    if not graph.has_input(node, 2):
        return after
    return biased(node, after, graph.numbers(node, 2, "bias").reshape(-1, 1, 1))


def im2col(graph: Graph, node: NodeProto, state: State) -> State:
    """Windows of a channel-last map, one to a row: a matrix must follow."""
    lanes = lanes_of(node, state, padded=True)
    height, width, channels, axis = _map(node, lanes)
    if not axis:
        raise refuse(node, "its map is channel-first", "(batch, height, width, channels)")
    has = attributes(node)
    size, steps = list(has.get("kernel_size", [])), list(has.get("stride", []))
    pads, dilations = list(has.get("pad_amount", [0] * 4)), list(has.get("dilations", [1, 1]))
    is_square = len(size) == len(steps) == 2 and len({*size}) == len({*steps}) == 1
    if not is_square or len(pads) != 4 or len({*pads}) > 1 or dilations != [1, 1]:
        raise refuse(
            node,
            f"kernel_size {size}, stride {steps}, pad_amount {pads}, dilations {dilations}",
            "square kernel, stride and pads, dilation 1",
        )
    wide = int(pads[0])
    if wide and Fraction(has.get("pad_value", 0)) != lanes.padding:
        raise refuse(
            node,
            f"it pads {lanes.input} with {has.get('pad_value', 0)}",
            f"{float(lanes.padding)}, which the lanes can hold",
        )
    try:
        window = Window(height, width, channels, int(size[0]), int(steps[0]), lanes.pad + wide)
    except InputError as error:
        raise refuse(node, str(error), "a window that fits its map") from error
    return replace(state, value=replace(lanes, pad=0, window=window))


def pad(graph: Graph, node: NodeProto, state: State) -> State:
    """Padding of a map with what the integer network pads."""
    lanes = lanes_of(node, state, padded=True)
    axis = _map(node, lanes)[3]
    has = {"mode": "constant", "value": 0.0, **attributes(node)}
    if has["mode"] != "constant" or len(node.input) > 3:
        raise refuse(node, f"mode is {has['mode']!r}", "mode 'constant' on all axes")
    pads = graph.constant(node, 1, "pads").tolist() if len(node.input) > 1 else has.get("pads")
    value = has["value"]
    if graph.has_input(node, 2):
        value = graph.constant(node, 2, "value").reshape(-1)[0]
    sides = np.array(pads, np.int64).reshape(2, -1)  # before, after
    wide = int(sides.max())
    around = [0, wide, wide, 0] if axis else [0, 0, wide, wide]
    if sides.tolist() != [around] * 2:
        raise refuse(node, f"pads are {pads}", "the same on all four sides, and only there")
    if lanes.input is None:
        raise refuse(node, "it pads a float input", "BipolarQuant before it, or a UINT8 input")
    if wide and Fraction(float(value)) != lanes.padding:
        raise refuse(
            node,
            f"it pads {lanes.input} with {float(value)}",
            f"{float(lanes.padding)}, which the lanes can hold"
            if lanes.input == "bits"
            else f"{float(lanes.padding):g} on a {_type(state)} input",
        )
    return replace(state, value=replace(lanes, pad=lanes.pad + wide))


def max_pool(graph: Graph, node: NodeProto, state: State) -> State:
    """OR pooling of a convolution's signs, or of the sums that they are the signs of."""
    return _pooled(node, state, 0)


def max_pool_nhwc(graph: Graph, node: NodeProto, state: State) -> State:
    """The same of a channel-last map."""
    return _pooled(node, state, -1)


def _pooled(node: NodeProto, state: State, axis: int) -> State:
    has = attributes(node)
    kernel, stride, wide = _window(node, has, tuple(has.get("kernel_shape", ())))
    if wide or has.get("ceil_mode", 0):
        raise refuse(node, "it pads, or has ceil_mode", "whole windows inside the map")
    pool = Pool(kernel, stride)
    value = state.value
    if isinstance(value, Sums):
        if value.site.window is None or value.pool is not None or value.axis != axis:
            raise refuse(node, "it does not pool a convolution, once", "one pool after a Conv")
        pooled = replace(value, pool=pool, pooled_by=node, pooled_slope=value.affine.slope)
        return replace(state, value=pooled)
    before = state.layers[-1].layer if state.layers else None
    is_fresh = (
        isinstance(before, Conv)
        and before.pool is None
        and not value.pad
        and np.array_equal(value.order, _order(before.out_shape, axis))
    )
    if not isinstance(before, Conv) or not is_fresh:
        raise refuse(node, "it does not pool a convolution's signs, once", "one pool after a Conv")
    last = state.layers[-1]
    if value.unit < 0:  # the greatest of negatives is an OR of the opposite bits
        last = _complement(last, before)
        before = last.layer
        value = replace(value, unit=-value.unit)
        assert isinstance(before, Conv)
    try:
        made = replace(before, pool=pool)
    except InputError as error:
        raise refuse(node, str(error), "a pool that fits its map") from error
    note = {**last.note, "nodes": [*last.note["nodes"], node.name]}
    layers = (*state.layers[:-1], replace(last, layer=made, note=note))
    return replace(state, value=replace(value, order=_order(made.out_shape, axis)), layers=layers)


def _complement(lowered: LoweredLayer, layer: Conv) -> LoweredLayer:
    """The layer that fires where this one does not: P < theta is n - P >= n - theta + 1."""
    assert layer.thresholds is not None
    top = 1 if layer.input == "uint8" else layer.n_inputs + 1
    weights = ~layer.weights & lane_mask(layer.n_inputs)
    thresholds = (top - layer.thresholds.astype(np.int64)).astype(np.int32)
    turned = replace(layer, weights=weights, thresholds=thresholds, negated=~layer.negated)
    note = {**lowered.note, "negated": np.flatnonzero(turned.negated).tolist()}
    return replace(lowered, layer=turned, note=note)


def _order(shape: tuple[int, int, int], axis: int) -> Any:
    order = channel_first(*shape)
    return order.transpose(1, 2, 0) if axis else order


def _holds(lanes: Lanes) -> str:
    low, high = lanes.offset - lanes.unit, lanes.offset + lanes.unit
    return f"{lanes.input} holds {float(low):g} or {float(high):g}"


def _type(state: State) -> str:
    return state.encoding.type if state.encoding is not None else "FLOAT32"


def _map(node: NodeProto, lanes: Lanes) -> tuple[int, int, int, int]:
    """(height, width, channels) of lanes that are a map, and the axis of its channels."""
    if len(lanes.shape) == 3 and lanes.window is None:
        channels, height, width = lanes.shape
        if np.array_equal(lanes.order, channel_first(height, width, channels)):
            return height, width, channels, 0
        height, width, channels = lanes.shape
        if np.array_equal(lanes.order.ravel(), np.arange(lanes.order.size)):
            return height, width, channels, -1
    raise refuse(
        node,
        f"its input of shape {lanes.shape} is not a map in the order of the image",
        "(batch, channels, height, width)",
    )


def _window(
    node: NodeProto, has: dict[str, Any], kernel_shape: tuple[int, ...]
) -> tuple[int, int, int]:
    """(kernel, stride, pad) of a square window."""
    kernel = list(has.get("kernel_shape", kernel_shape))
    strides = list(has.get("strides", [1, 1]))
    pads = list(has.get("pads", [0, 0, 0, 0]))
    dilations = list(has.get("dilations", [1, 1]))
    is_square = (
        len(kernel) == len(strides) == 2 and len(pads) == 4 and tuple(kernel) == kernel_shape
    )
    if not (
        is_square
        and len({*kernel}) == len({*strides}) == len({*pads}) == 1
        and dilations == [1, 1]
        and has.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    ):
        raise refuse(
            node,
            f"kernel {kernel}, strides {strides}, pads {pads}, dilations {dilations}, auto_pad "
            f"{has.get('auto_pad', 'NOTSET')}",
            "square kernel, stride and pads, dilation 1, no auto_pad",
        )
    return int(kernel[0]), int(strides[0]), int(pads[0])
