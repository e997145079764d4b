"""Lowering nodes that multiply by a matrix."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from .graph import Constant, Graph, attributes, refuse
from .lower_norm import constant
from .lower_state import State, Sums, lanes_of, multiplied


def matmul(graph: Graph, node: NodeProto, state: State) -> State:
    """A dense layer without bias."""
    return _dense(node, state, graph.constant(node, 1, "weights"), is_transposed=True)


def gemm(graph: Graph, node: NodeProto, state: State) -> State:
    """A dense layer, with bias or without."""
    has = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(node)}
    if has["alpha"] != 1 or has["beta"] != 1 or has["transA"]:
        raise refuse(
            node, f"alpha, beta, transA are not 1, 1, 0: {has}", "alpha 1, beta 1, transA 0"
        )
    weights = graph.constant(node, 1, "weights")
    after = _dense(node, state, weights, is_transposed=not has["transB"])
    if len(node.input) > 2 and node.input[2]:
        bias = graph.constant(node, 2, "bias")
        assert isinstance(after.value, Sums)
        if bias.any():
            after = replace(
                after, value=replace(after.value, norm=constant(node, after.value, bias))
            )
    return after


def _dense(node: NodeProto, state: State, weights: Constant, *, is_transposed: bool) -> State:
    lanes = lanes_of(node, state)
    n = lanes.shape[0] if len(lanes.shape) == 1 else None
    rows = weights.T if is_transposed else weights
    if rows.ndim != 2 or rows.shape[1] != n or not len(rows):
        raise refuse(
            node, f"weights {weights.shape} do not fit lanes {lanes.shape}", "matching shapes"
        )
    columns = lanes.order
    ordered = np.empty_like(rows)
    ordered[:, columns] = rows
    return multiplied(node, lanes, ordered, state, is_transposed=is_transposed, columns=columns)
