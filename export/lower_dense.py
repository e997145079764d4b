"""Lowering nodes that multiply by a matrix."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from .exact import Array
from .folding import attributes, refuse
from .graph import Graph
from .lower_affine import biased, per_neuron
from .lower_state import State, Sums, lanes_of, multiplied


def matmul(graph: Graph, node: NodeProto, state: State) -> State:
    """A dense layer without bias, or a convolution behind Im2Col."""
    return _multiplied(node, state, graph.constant(node, 1, "weights"), is_transposed=True)


def xnor_popcount(graph: Graph, node: NodeProto, state: State) -> State:
    """The same on bits 0 and 1, counting those that are equal."""
    weights = graph.constant(node, 1, "weights")
    return _multiplied(node, state, weights, is_transposed=True, pops=True)


def gemm(graph: Graph, node: NodeProto, state: State) -> State:
    """A dense layer, with bias or without."""
    has = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(node)}
    alpha, beta = (Fraction(float(has[name])) for name in ("alpha", "beta"))
    if has["transA"] or not alpha:
        raise refuse(
            node, f"alpha is {float(alpha)}, transA {has['transA']}", "alpha not 0, no transA"
        )
    weights = graph.constant(node, 1, "weights")
    after = _multiplied(node, state, weights, is_transposed=not has["transB"])
    sums = after.value
    assert isinstance(sums, Sums)
    if alpha != 1:
        affine = sums.affine.times(per_neuron(node, sums, np.array([alpha], object)))
        site = replace(sums.site, affine=affine)
        after = replace(after, value=replace(sums, affine=affine, site=site))
    if not graph.has_input(node, 2):
        return after
    return biased(node, after, np.multiply(graph.numbers(node, 2, "bias"), np.array(beta, object)))


def _multiplied(
    node: NodeProto, state: State, weights: Array, *, is_transposed: bool, **how: Any
) -> State:
    lanes = lanes_of(node, state, padded=True)
    rows = weights.T if is_transposed else weights
    if lanes.window is not None:
        n = lanes.window.fan_in
        columns = np.arange(n, dtype=np.int64)  # (ky, kx, channel), as the integer network has them
        how = {**how, "window": lanes.window, "axis": -1}
    else:
        lanes = lanes_of(node, state)
        n = lanes.shape[0] if len(lanes.shape) == 1 else -1
        columns = lanes.order
    if rows.ndim != 2 or rows.shape[1] != n or not len(rows):
        raise refuse(
            node, f"weights {weights.shape} do not fit lanes {lanes.shape}", "matching shapes"
        )
    ordered = np.empty_like(rows)
    ordered[:, columns] = rows
    return multiplied(
        node, lanes, ordered, state, is_transposed=is_transposed, columns=columns, **how
    )
