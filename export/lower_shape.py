"""Lowering nodes that only move lanes about."""

import math
from dataclasses import replace

import numpy as np
from onnx import NodeProto

from .folding import attributes, refuse
from .graph import Graph
from .lower_state import State, Sums, lanes_of

_CAST = {1: "FLOAT", 11: "DOUBLE"}  # TensorProto types that hold every lane and sum
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def identity(graph: Graph, node: NodeProto, state: State) -> State:
    """Nothing, as Identity and Dropout do when nobody trains."""
    has = attributes(node)
    if has.get("training_mode", 0) or (
        graph.has_input(node, 2) and graph.constant(node, 2, "mode").any()
    ):
        raise refuse(node, "it is in training mode", "inference mode")
    return state


def cast(graph: Graph, node: NodeProto, state: State) -> State:
    """Another type that holds the same numbers."""
    to = attributes(node).get("to")
    if to not in _CAST:
        raise refuse(node, f"a cast to type {to}", " or ".join(_CAST.values()))
    return state


def flatten(graph: Graph, node: NodeProto, state: State) -> State:
    """All dimensions but the batch become one."""
    if _is_flat(state):
        return state
    lanes = lanes_of(node, state)
    axis = attributes(node).get("axis", 1)
    if axis != 1:
        raise refuse(node, f"axis is {axis}", "axis 1")
    return replace(state, value=replace(lanes, order=lanes.order.reshape(-1)))


def reshape(graph: Graph, node: NodeProto, state: State) -> State:
    """Other dimensions behind the batch."""
    if _is_flat(state) and len(graph.constant(node, 1, "shape").reshape(-1)) == 2:
        return state
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
    sums = state.value
    if isinstance(sums, Sums):
        wanted = _TO_FIRST if sums.axis else _TO_LAST
        perm = list(attributes(node).get("perm", []))
        if sums.site.window is None or perm != wanted:
            raise refuse(node, f"perm is {perm} on sums", f"{wanted} on the sums of a map")
        return replace(state, value=replace(sums, axis=0 if sums.axis else -1))
    lanes = lanes_of(node, state)
    n_dims = len(lanes.shape) + 1
    perm = list(attributes(node).get("perm", range(n_dims)[::-1]))
    if sorted(perm) != list(range(n_dims)) or perm[0] != 0:
        raise refuse(node, f"perm is {perm}", f"an order of {n_dims} dimensions, the batch first")
    order = lanes.order.transpose([axis - 1 for axis in perm[1:]])
    return replace(state, value=replace(lanes, order=order))


def squeeze(graph: Graph, node: NodeProto, state: State) -> State:
    """Dimensions of one element left out."""
    lanes = lanes_of(node, state)
    n_dims = len(lanes.shape) + 1
    axes = [axis % n_dims for axis in _axes(graph, node)]
    if not axes or 0 in axes or any(lanes.shape[axis - 1] != 1 for axis in axes):
        raise refuse(node, f"axes are {axes} of {lanes.shape}", "dimensions of 1, not the batch")
    return replace(
        state, value=replace(lanes, order=lanes.order.squeeze(tuple(a - 1 for a in axes)))
    )


def unsqueeze(graph: Graph, node: NodeProto, state: State) -> State:
    """New dimensions of one element."""
    lanes = lanes_of(node, state)
    axes = _axes(graph, node)
    n_dims = len(lanes.shape) + 1 + len(axes)
    places = sorted(axis % n_dims for axis in axes)
    if not places or 0 in places or len(axes) > 8:
        raise refuse(node, f"axes are {axes}", "new dimensions behind the batch")
    order = np.expand_dims(lanes.order, tuple(place - 1 for place in places))
    return replace(state, value=replace(lanes, order=order))


def _axes(graph: Graph, node: NodeProto) -> list[int]:
    if graph.has_input(node, 1):
        return [int(axis) for axis in graph.constant(node, 1, "axes").reshape(-1)]
    return [int(axis) for axis in attributes(node).get("axes", [])]


def _is_flat(state: State) -> bool:
    """Whether they are the sums of a dense layer, which have one dimension already."""
    return isinstance(state.value, Sums) and state.value.site.window is None
