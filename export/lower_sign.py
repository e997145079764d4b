"""Lowering what makes lanes: the sign that ends a layer, and the first one, on a float input."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from onnx import NodeProto

from ..sim.bits import pack
from ..sim.exceptions import InputError
from ..sim.layers import UINT8_MAX, Conv, Dense, Layer
from ..sim.thresholds import from_affine
from . import encoding
from .exact import Array
from .folding import attributes, printable, refuse
from .graph import Graph
from .lower_affine import per_neuron
from .lower_state import (
    ONE,
    ZERO,
    Lanes,
    LoweredLayer,
    State,
    Sums,
    channel_first,
    lanes_of,
)

_HALF = Fraction(1, 2)
_NONE = np.array(ZERO, object)


def bipolar_quant(graph: Graph, node: NodeProto, state: State) -> State:
    """A sign that is +1 at 0."""
    unit = _number(graph, node, 1, "scale")
    if not unit:
        raise refuse(node, "scale is 0", "a scale that is not 0")
    return _signed(node, state, unit)


def sign(graph: Graph, node: NodeProto, state: State) -> State:
    """ONNX' own sign, where no sum is a tie."""
    lanes = state.value
    if isinstance(lanes, Lanes):
        found = state.encoding
        held = list(range(len(found.values))) if found is not None else []
        if lanes.input == "bits":
            held = [-1, 1]
        if not held or any(lanes.unit * k + lanes.offset == 0 for k in held):
            raise refuse(
                node,
                "it does not follow a MatMul or Conv, and at an input of 0 it gives 0",
                "BipolarQuant",
            )
        return _signed(node, state, ONE)
    after = _compared(node, state, lanes, _NONE, ONE, ZERO)
    ties = after.layers[-1].note["ties"]
    if ties:
        raise refuse(
            node, f"Sign gives 0 at {len(ties)} reachable sums: {ties[:3]}", "BipolarQuant"
        )
    return after


def quant(graph: Graph, node: NodeProto, state: State) -> State:
    """One signed bit anywhere; up to eight bits of a float input."""
    has = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attributes(node)}
    unit, zero = _number(graph, node, 1, "scale"), _number(graph, node, 2, "zero point")
    bits = _number(graph, node, 3, "bit width")
    if not unit or not 1 <= bits <= 8 or bits.denominator != 1 or zero.denominator != 1:
        raise refuse(
            node,
            f"scale {float(unit)}, zero point {float(zero)}, {float(bits)} bits",
            "a scale that is not 0, an integer zero point, 1 to 8 bits",
        )
    if bits == 1 and has["signed"]:  # qonnx takes this for a sign: 1 where x / scale + zero >= 0
        bound = np.array(-zero * unit, object)
        return _signed(node, state, unit, bound, flip=unit < 0, offset=-zero * unit)
    if isinstance(state.value, Sums):
        raise refuse(node, f"activations of {bits} bits", "BipolarQuant, or Quant of one bit")
    if unit < 0:
        raise refuse(node, "a negative scale on a float input", "a positive scale")
    low, high = _range(int(bits), bool(has["signed"]), bool(has["narrow"]))
    reaches = _ROUNDING.get(str(has["rounding_mode"]).upper())
    if reaches is None:
        raise refuse(
            node, f"rounding_mode {has['rounding_mode']!r}", f"one of {', '.join(_ROUNDING)}"
        )
    steps = []
    for k in range(low + 1, high + 1):
        at, strict = reaches(k)
        steps.append(((at - zero) * unit, strict))
    return _encoded(node, state, steps, unit, (low - zero) * unit)


def multi_threshold(graph: Graph, node: NodeProto, state: State) -> State:
    """One threshold a neuron; up to 255, the same for all, of a float input."""
    has = {"out_scale": 1.0, "out_bias": 0.0, **attributes(node)}
    scale, bias = Fraction(float(has["out_scale"])), Fraction(float(has["out_bias"]))
    values = graph.numbers(node, 1, "thresholds")
    if values.ndim != 2 or not values.size or not scale:
        raise refuse(
            node,
            f"thresholds {values.shape}, out_scale {float(scale)}",
            "(channels, thresholds) and a scale that is not 0",
        )
    _check_layout(node, str(has.get("data_layout", "")), state)
    value = state.value
    if isinstance(value, Sums):
        if values.shape[1] != 1:
            raise refuse(
                node, f"{values.shape[1]} thresholds a neuron", "one: activations of one bit"
            )
        cut = values[:, 0]
        shape = (-1,) + (1,) * (0 if value.axis or value.site.window is None else 2)
        bound = per_neuron(node, value, cut.reshape(shape))
        return _compared(node, state, value, bound, scale / 2, bias + scale / 2)
    row = sorted(values[0])
    if (values != values[0]).any() or len(row) > UINT8_MAX:
        raise refuse(
            node,
            f"thresholds {values.shape} that differ between the elements of an input",
            f"the same for all, at most {UINT8_MAX}",
        )
    return _encoded(node, state, [(t, False) for t in row], scale, bias)


def _signed(
    node: NodeProto,
    state: State,
    unit: Fraction,
    bound: Array = _NONE,
    *,
    flip: bool = False,
    offset: Fraction = ZERO,
) -> State:
    """Lanes of +-unit: unit where the value is at least the bound (at most it, to flip)."""
    value = state.value
    if isinstance(value, Sums):
        if flip:
            minus = np.array(Fraction(-1), object)
            value = replace(value, affine=value.affine.times(minus))
            bound = -bound
        return _compared(node, state, value, bound, unit, offset)
    lanes = lanes_of(node, state)
    if lanes.input == "bits":
        low, high = (lanes.offset + s * lanes.unit >= bound[()] for s in (-1, 1))
        if low == high or flip:
            raise refuse(node, "on lanes of two values it is no sign of theirs", "scales > 0")
        return replace(state, value=replace(lanes, unit=unit if high else -unit, offset=offset))
    step: Fraction = bound[()]  # type: ignore[assignment]
    if not flip:
        return _encoded(node, state, [(step, False)], 2 * unit, offset - unit)
    turned = replace(state, value=replace(lanes, unit=-lanes.unit, offset=-lanes.offset))
    return _encoded(node, turned, [(-step, False)], 2 * unit, offset - unit)


def _encoded(
    node: NodeProto,
    state: State,
    steps: list[tuple[Fraction, bool]],
    scale: Fraction,
    bias: Fraction,
) -> State:
    """Lanes of the graph input: bias + scale * the number of steps that it reaches.

    Args:
        steps: rising bounds of unit * x + offset, and whether they must be exceeded.
    """
    lanes = lanes_of(node, state)
    if state.layers or state.is_quantised:
        raise refuse(node, f"it quantises lanes of {lanes.input}", "one quantiser of the input")
    unit, offset = lanes.unit, lanes.offset
    if state.encoding is not None:  # a lane is (x - first) / step of an integer input
        first, second = (Fraction(float(v)) for v in state.encoding.values[:2])
        if lanes.input == "bits":
            unit, offset = 2 * unit, offset - unit
        unit, offset = unit / (second - first), offset - unit * first / (second - first)
    if unit < 0:  # what does not reach a bound is above it in x
        steps = [(-bound, not strict) for bound, strict in reversed(steps)]
        scale, bias = -scale, bias + scale * len(steps)
        unit, offset = -unit, -offset
    found = encoding.of_floats(
        [encoding.level(unit, offset, bound, strict=strict) for bound, strict in steps]
    )
    if state.encoding is not None:
        found = encoding.of_values(found, state.encoding)
        if len(found.levels) == 1 and len(np.unique(found.lanes(state.encoding.values))) == 1:
            raise refuse(
                node, f"it makes all lanes of a {found.type} input equal", "a MatMul on it"
            )
    if len(steps) == 1:  # a bit is (1 + lane) / 2
        value = replace(lanes, input="bits", unit=scale / 2, offset=bias + scale / 2)
    else:
        value = replace(lanes, input="uint8", unit=scale, offset=bias)
    return replace(state, value=value, encoding=found, is_quantised=True)


def _compared(
    node: NodeProto, state: State, sums: Sums, bound: Array, unit: Fraction, offset: Fraction
) -> State:
    """Sums that are at least the bound become lanes of bits: a layer with thresholds."""
    n_outputs, n_inputs = sums.signs.shape
    affine = sums.affine.plus(-np.broadcast_to(bound, (n_outputs,)))
    found = from_affine(
        affine.scale, affine.shift, affine.rest, affine.radicand, n_inputs, sums.input
    )
    _check_pool(sums)
    number = len(state.layers)
    signs = np.where(found.negated[:, None], -sums.signs, sums.signs)
    layer: Layer = Dense(
        f"{'conv' if sums.site.window else 'dense'}{number}",
        n_inputs,
        pack(signs > 0),
        found.values,
        found.negated,
        sums.input,
    )
    order = np.arange(layer.n_outputs, dtype=np.int64)
    if sums.site.window is not None:
        try:
            conv = Conv(**vars(layer), window=sums.site.window, pool=sums.pool)
        except InputError as error:
            raise refuse(node, str(error), "a pool that fits its map") from error
        layer, order = conv, channel_first(*conv.out_shape)
        order = order.transpose(1, 2, 0) if sums.axis else order
    # the sum at which a tie falls, as the graph computes it: of the row before negation
    at = found.values.astype(np.int64)
    at = np.where(found.negated, -1, 1) * (at if sums.input == "uint8" else 2 * at - n_inputs)
    # a comparison with a stored integer is no tie that a float kernel could decide otherwise
    is_tie = found.is_tie & (node.op_type != "MultiThreshold" or bool(sums.tail))
    pools = [sums.pooled_by] if sums.pooled_by is not None else []
    names = [n.name for n in (*sums.tail, *pools, node)]
    note = {
        "name": layer.name,
        "nodes": [sums.site.matmul, *map(printable, names)],
        "ties": [[int(j), int(at[j])] for j in np.flatnonzero(is_tie)],
        "negated": np.flatnonzero(found.negated).tolist(),
        "constant": np.flatnonzero(np.isin(found.values, layer.threshold_range)).tolist(),
    }
    cut = np.array([float(b) for b in np.broadcast_to(bound, (n_outputs,))], np.float32)
    site = replace(sums.site, tail=sums.tail, axes=sums.axes, cut=cut)
    lanes = Lanes("bits", order, unit, offset)
    return replace(state, value=lanes, layers=(*state.layers, LoweredLayer(site, layer, note)))


def _check_pool(sums: Sums) -> None:
    """The greatest of what the sums were must still be the greatest of what they are now."""
    if sums.pooled_by is None or sums.pooled_slope is None:
        return
    turned = np.flatnonzero(sums.affine.slope * sums.pooled_slope < 0)
    if len(turned):
        raise refuse(
            sums.pooled_by,
            f"it takes the greatest sum of channel {turned[0]}, whose scale behind it is negative, "
            "so that this is an AND of its bits",
            "OR pooling: MaxPool behind the batch norm or the sign",
        )


def _check_layout(node: NodeProto, layout: str, state: State) -> None:
    """The channels that a layout names must be those of the sums."""
    sums = state.value
    if not isinstance(sums, Sums):
        return
    wanted = "NC" if sums.site.window is None else ("NHWC" if sums.axis else "NCHW")
    if layout and layout != wanted or (not layout and wanted == "NHWC"):
        raise refuse(node, f"data_layout is {layout!r}", f"{wanted!r}, as the sums lie")


def _number(graph: Graph, node: NodeProto, index: int, what: str) -> Fraction:
    """The one number that a constant holds."""
    values = graph.numbers(node, index, what).reshape(-1)
    if not len(values) or (values != values[0]).any():
        shown = [float(v) for v in values[:4]]
        raise refuse(node, f"{what} is {shown} of {len(values)}", f"one {what}")
    return Fraction(values[0])


def _range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(1 << bits - 1) + narrow, (1 << bits - 1) - 1
    return 0, (1 << bits) - 1 - narrow


def _half_even(k: int) -> tuple[Fraction, bool]:
    return k - _HALF, k % 2 != 0  # at k - 1/2 the even one of k - 1 and k is taken


# rounding mode: from what on, and whether it must be exceeded, a number rounds to k or more
_ROUNDING: dict[str, Callable[[int], tuple[Fraction, bool]]] = {
    "ROUND": _half_even,
    "HALF_EVEN": _half_even,
    "FLOOR": lambda k: (Fraction(k), False),
    "CEIL": lambda k: (Fraction(k - 1), True),
}
