"""Lowering convolutions, their padding, and pooling, all on channel-first maps.

A convolution of the integer network pads bits with -1 and pixels with 0, compares, then pools by
OR. Max pooling of signs is that OR. So is max pooling before the sign, where what is pooled grows
with the sum: behind the batch norm always, in front of it unless the scale is negative.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from ..sim.exceptions import InputError
from ..sim.layers import Conv, Pool, Window
from .graph import Graph, attributes, refuse
from .lower_norm import constant
from .lower_state import Lanes, State, Sums, channel_first, lanes_of, multiplied


def conv(graph: Graph, node: NodeProto, state: State) -> State:
    """A convolution, with bias or without."""
    lanes = lanes_of(node, state, padded=True)
    weights = graph.constant(node, 1, "weights")
    height, width, channels = _map(node, lanes)
    if weights.ndim != 4 or not weights.size or weights.shape[1] != channels:
        raise refuse(
            node, f"weights {weights.shape} do not fit a map {lanes.shape}", "matching channels"
        )
    has = {"group": 1, **attributes(node)}
    if has["group"] != 1:
        raise refuse(node, f"it has {has['group']} groups", "one group")
    kernel, stride, pad = _window(node, has, weights.shape[2:])
    if pad and lanes.input == "bits":
        raise refuse(
            node,
            f"it pads {pad} with 0, but a lane of bits holds -1 or +1 and no 0",
            "a Pad node of -1 before it, or no padding; zeros on a UINT8 input",
        )
    try:
        window = Window(height, width, channels, kernel, stride, lanes.pad + pad)
    except InputError as error:
        raise refuse(node, str(error), "a window that fits its map") from error
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    after = multiplied(node, lanes, rows, state, window=window)
    if len(node.input) > 2 and node.input[2]:
        bias = graph.constant(node, 2, "bias")
        assert isinstance(after.value, Sums)
        if bias.any():
            norm = constant(node, after.value, bias.reshape(-1, 1, 1))
            after = replace(after, value=replace(after.value, norm=norm))
    return after


def pad(graph: Graph, node: NodeProto, state: State) -> State:
    """Padding of a map with what the integer network pads."""
    lanes = lanes_of(node, state, padded=True)
    _map(node, lanes)
    has = {"mode": "constant", "value": 0.0, **attributes(node)}
    if has["mode"] != "constant" or len(node.input) > 3:
        raise refuse(node, f"mode is {has['mode']!r}", "mode 'constant' on all axes")
    pads = graph.constant(node, 1, "pads").tolist() if len(node.input) > 1 else has.get("pads")
    value = has["value"]
    if len(node.input) > 2 and node.input[2]:
        value = graph.constant(node, 2, "value").reshape(-1)[0]
    sides = np.array(pads, np.int64).reshape(2, -1)  # before, after
    wide = int(sides.max())
    if sides.tolist() != [[0, 0, wide, wide]] * 2:
        raise refuse(node, f"pads are {pads}", "the same on all four sides, and only there")
    if lanes.input is None:
        raise refuse(node, "it pads a float input", "BipolarQuant before it, or a UINT8 input")
    wanted = -lanes.unit if lanes.input == "bits" else Fraction(0)
    if wide and Fraction(float(value)) != wanted:
        raise refuse(
            node,
            f"it pads {lanes.input} with {float(value)}",
            f"{float(wanted)}, which the lanes can hold" if wanted else "0 on a UINT8 input",
        )
    return replace(state, value=replace(lanes, pad=lanes.pad + wide))


def max_pool(graph: Graph, node: NodeProto, state: State) -> State:
    """OR pooling of a convolution's signs, or of the sums that they are the signs of."""
    has = attributes(node)
    kernel, stride, wide = _window(node, has, tuple(has.get("kernel_shape", ())))
    if wide or has.get("ceil_mode", 0):
        raise refuse(node, "it pads, or has ceil_mode", "whole windows inside the map")
    pool = Pool(kernel, stride)
    value = state.value
    if isinstance(value, Sums):
        if value.site.window is None or value.pool is not None:
            raise refuse(node, "it does not pool a convolution, once", "one pool after a Conv")
        raw = node if value.norm is None else None
        return replace(state, value=replace(value, pool=pool, raw_pool=raw))
    before = state.layers[-1].layer if state.layers else None
    is_fresh = (
        isinstance(before, Conv)
        and before.pool is None
        and not value.pad
        and np.array_equal(value.order, channel_first(*before.out_shape))
    )
    if not isinstance(before, Conv) or not is_fresh:
        raise refuse(node, "it does not pool a convolution's signs, once", "one pool after a Conv")
    try:
        pooled = replace(before, pool=pool)
    except InputError as error:
        raise refuse(node, str(error), "a pool that fits its map") from error
    last = state.layers[-1]
    note = {**last.note, "nodes": [*last.note["nodes"], node.name]}
    layers = (*state.layers[:-1], replace(last, layer=pooled, note=note))
    return State(replace(value, order=channel_first(*pooled.out_shape)), layers)


def _map(node: NodeProto, lanes: Lanes) -> tuple[int, int, int]:
    """(height, width, channels) of lanes that are a channel-first map."""
    if len(lanes.shape) == 3:
        channels, height, width = lanes.shape
        if np.array_equal(lanes.order, channel_first(height, width, channels)):
            return height, width, channels
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
