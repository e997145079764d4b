"""Lowering what follows the sums: batch norm or a constant, then the sign that ends a layer."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from onnx import NodeProto

from ..sim.bits import pack
from ..sim.exceptions import InputError
from ..sim.layers import Conv, Dense, Layer
from ..sim.thresholds import Thresholds, from_batch_norm
from .graph import Constant, Graph, attributes, refuse
from .lower_state import (
    ONE,
    BatchNorm,
    Lanes,
    LoweredLayer,
    State,
    Sums,
    channel_first,
    lanes_of,
    sums_of,
)


def batch_norm(graph: Graph, node: NodeProto, state: State) -> State:
    """A batch norm of the neurons or channels."""
    sums = sums_of(node, state)
    has = attributes(node)
    if has.get("training_mode", 0):
        raise refuse(node, "it is in training mode", "inference mode")
    names = ("gamma", "beta", "mean", "var")
    gamma, beta, mean, var = (graph.constant(node, i, name) for i, name in enumerate(names, 1))
    eps = float(np.float32(has.get("epsilon", 1e-5)))
    norm = BatchNorm(gamma, beta, mean, var, eps)
    site = replace(sums.site, batch_norm=node.output[0])
    return replace(state, value=replace(sums, norm=norm, site=site))


def constant(node: NodeProto, sums: Sums, value: Constant, sign: int = 1) -> BatchNorm:
    """Sums plus or minus a constant, written as a batch norm of scale 1."""
    n = len(sums.signs)
    n_dims = 1 if sums.site.window is None else 3  # of one image's sums, channels first
    shape = (1,) * (n_dims + 1 - value.ndim) + value.shape  # with the batch
    if len(shape) != n_dims + 1 or shape[1] not in (1, n) or value.size != shape[1]:
        raise refuse(
            node, f"constant is {value.shape}", f"one number, or one for each of {n} neurons"
        )
    one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
    beta = np.broadcast_to(sign * value.astype(np.float64).reshape(-1), (n,))
    return BatchNorm(one, beta, zero, one, 0.0)


def add(graph: Graph, node: NodeProto, state: State) -> State:
    """A constant on top of the sums."""
    sums = sums_of(node, state)
    index = 0 if node.input[0] in graph.constants else 1
    norm = constant(node, sums, graph.constant(node, index, "addend"))
    return replace(state, value=replace(sums, norm=norm))


def sub(graph: Graph, node: NodeProto, state: State) -> State:
    """A constant taken from the sums."""
    sums = sums_of(node, state)
    norm = constant(node, sums, graph.constant(node, 1, "subtrahend"), -1)
    return replace(state, value=replace(sums, norm=norm))


def bipolar_quant(graph: Graph, node: NodeProto, state: State) -> State:
    """A sign that is +1 at 0."""
    scale = graph.constant(node, 1, "scale")
    if scale.size != 1 or not (scale > 0).all():
        raise refuse(node, f"scale is {scale.tolist()}", "one positive scale")
    unit = Fraction(float(scale.reshape(-1)[0]))
    if isinstance(state.value, Sums):
        return _compare(node, state, state.value, unit)
    lanes = lanes_of(node, state)
    if lanes.input == "uint8":
        raise refuse(node, "the sign of a UINT8 input is always +1", "a MatMul on it")
    return replace(state, value=replace(lanes, input="bits", unit=unit))


def sign(graph: Graph, node: NodeProto, state: State) -> State:
    """ONNX' own sign, where no sum is a tie."""
    if not isinstance(state.value, Sums):
        raise refuse(node, "it does not follow a MatMul or Conv", "BipolarQuant")
    after = _compare(node, state, state.value, ONE)
    ties = after.layers[-1].note["ties"]
    if ties:
        raise refuse(
            node, f"Sign gives 0 at {len(ties)} reachable sums: {ties[:3]}", "BipolarQuant"
        )
    return after


def _compare(node: NodeProto, state: State, sums: Sums, unit: Fraction) -> State:
    """Sums, norm and sign become a layer with thresholds."""
    n_inputs = sums.signs.shape[1]
    found = _thresholds(node, sums)
    if sums.raw_pool is not None and found.negated.any():
        j = int(np.flatnonzero(found.negated)[0])
        raise refuse(
            sums.raw_pool,
            f"it takes the greatest sum of channel {j}, whose batch-norm scale is negative, so "
            "that this is an AND of its bits",
            "OR pooling: MaxPool behind the batch norm or the sign",
        )
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
    # the sum at which a tie falls, as the graph computes it: of the row before negation
    at = found.values.astype(np.int64)
    at = np.where(found.negated, -1, 1) * (at if sums.input == "uint8" else 2 * at - n_inputs)
    pools = [sums.raw_pool.name] if sums.raw_pool is not None else []
    note = {
        "name": layer.name,
        "nodes": [sums.site.matmul, *pools, node.name],
        "ties": [[int(j), int(at[j])] for j in np.flatnonzero(found.is_tie)],
        "negated": np.flatnonzero(found.negated).tolist(),
        "constant": np.flatnonzero(np.isin(found.values, layer.threshold_range)).tolist(),
    }
    lowered = LoweredLayer(sums.site, layer, note)
    return State(Lanes("bits", order, unit), (*state.layers, lowered))


def _thresholds(node: NodeProto, sums: Sums) -> Thresholds:
    n_outputs, n_inputs = sums.signs.shape
    norm = sums.norm or constant(node, sums, np.zeros(1))
    try:
        found = from_batch_norm(
            norm.gamma,
            norm.beta,
            norm.mean,
            norm.var,
            norm.eps,
            n_inputs,
            sums.input,
            sums.site.sum_unit,
        )
        if found.values.shape != (n_outputs,):
            raise InputError(
                f"batch norm: {found.values.shape[0]} channels for {n_outputs} neurons"
            )
    except InputError as error:
        raise refuse(
            node, f"of {sums.site.matmul!r}, {error}", "finite per-neuron values"
        ) from error
    return found
