"""Lowering nodes that only move lanes about."""

import math
from dataclasses import replace

from onnx import NodeProto

from .graph import Graph, attributes, refuse
from .lower_state import State, lanes_of


def identity(graph: Graph, node: NodeProto, state: State) -> State:
    """Nothing."""
    return state


def flatten(graph: Graph, node: NodeProto, state: State) -> State:
    """All dimensions but the batch become one."""
    lanes = lanes_of(node, state)
    axis = attributes(node).get("axis", 1)
    if axis != 1:
        raise refuse(node, f"axis is {axis}", "axis 1")
    return replace(state, value=replace(lanes, order=lanes.order.reshape(-1)))


def reshape(graph: Graph, node: NodeProto, state: State) -> State:
    """Other dimensions behind the batch."""
    lanes = lanes_of(node, state)
    target = graph.constant(node, 1, "shape").tolist()
    n = math.prod(lanes.shape)
    if not isinstance(target, list) or len(target) < 2:
        raise refuse(node, f"shape is {target}", f"(batch, ...) of {n} elements an image")
    sizes = target[1:]
    if not attributes(node).get("allowzero", 0):  # a 0 keeps the dimension of its place
        sizes = [lanes.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and target[0] != -1 and known > 0 and n % known == 0:
        sizes[sizes.index(-1)] = n // known
    if min(sizes) < 1 or math.prod(sizes) != n:
        raise refuse(node, f"shape is {target}", f"(batch, ...) of {n} elements an image")
    return replace(state, value=replace(lanes, order=lanes.order.reshape(sizes)))


def transpose(graph: Graph, node: NodeProto, state: State) -> State:
    """Dimensions in another order."""
    lanes = lanes_of(node, state)
    n_dims = len(lanes.shape) + 1
    perm = list(attributes(node).get("perm", range(n_dims)[::-1]))
    if sorted(perm) != list(range(n_dims)) or perm[0] != 0:
        raise refuse(node, f"perm is {perm}", f"an order of {n_dims} dimensions, the batch first")
    order = lanes.order.transpose([axis - 1 for axis in perm[1:]])
    return replace(state, value=replace(lanes, order=order))
