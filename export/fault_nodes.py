"""A fault map as plain ONNX: every faulty weight is read through `stored * a + b`.

    healthy  a = 1, b = 0              stuck at 0  a = 0, b = low
    flip     a = -1, b = low + high    stuck at 1  a = 0, b = high

A bit 0 is stored as `low`, a bit 1 as `high`: -c and +c, or 0 and 1 where a graph counts bits.

The nodes stand between the stored tensor and the layer that reads it, so the stored weights stay
what they are and any ONNX runtime reproduces what the memory did to them.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, check_for, restrict
from .lower import lower_model


def read_constants(
    faults: FaultMap, cells: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(a, b), shaped as `cells`, with which the +-1 values stored in these cells are read."""
    flip, stuck0, stuck1 = (
        faults.cells(plane)[cells].astype(np.float32) for plane in ("flip", "stuck0", "stuck1")
    )
    return 1 - 2 * flip - stuck0 - stuck1, stuck1 - stuck0


def fault_nodes(
    stored: str, a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes and constants that make the tensor `{stored}_read` of the tensor `stored`."""
    names = [f"{stored}_{part}" for part in ("gain", "kept", "offset", "read")]
    gain, kept, offset, read = names
    nodes = [
        helper.make_node("Mul", [stored, gain], [kept], name=f"{stored}_fault_gain"),
        helper.make_node("Add", [kept, offset], [read], name=f"{stored}_fault_offset"),
    ]
    return nodes, [numpy_helper.from_array(a, gain), numpy_helper.from_array(b, offset)]


def with_faults(model: onnx.ModelProto, faults: FaultMap) -> onnx.ModelProto:
    """The graph with fault nodes on its stored weights; the argument is left alone.

    A row that lowering stores negated is the negative of the graph's row: what sticks at 0 in
    memory sticks at +1 there.

    Raises:
        ArtefactError: the graph cannot be lowered.
        InputError: the map is of other shapes, has faults outside the weights, or a faulty layer's
            weights are shared with another layer.
    """
    lowered = lower_model(model, model.graph.name)
    check_for(lowered.network, faults)
    others = restrict(faults, where=["thresholds"]).n_faults
    if others:
        raise InputError(
            f"{others} faults are in threshold memories, which a graph with float batch norms does "
            "not have; restrict the map to weights"
        )
    stored = [site.weights for site in lowered.sites]
    if len(set(stored)) < len(stored):
        raise InputError(f"layers share a stored tensor: {stored}; faults need one each")
    faulty = onnx.ModelProto()
    faulty.CopyFrom(model)
    for i, (layer, site) in enumerate(zip(lowered.network.layers, lowered.sites, strict=True)):
        if not restrict(faults, layers=[i]).n_faults:
            continue
        a, b = read_constants(faults, faults.layout.weight_cells(i))
        low, high = np.where(layer.negated, site.stored[::-1], site.stored)[:, :, None]
        b = np.where(a == -1, low + high, np.where(b < 0, low, np.where(b > 0, high, 0)))
        b = b.astype(np.float32)
        nodes = fault_nodes(site.weights, site.as_stored(a), site.as_stored(b))
        _insert(faulty.graph, site.weights, *nodes)
    return faulty


def _insert(
    graph: onnx.GraphProto,
    tensor: str,
    nodes: Iterable[NodeProto],
    constants: Iterable[TensorProto],
) -> None:
    """Put nodes behind `tensor`; whatever used it now uses the output of the last of them."""
    added = list(nodes)
    users = [k for k, node in enumerate(graph.node) if tensor in node.input]
    for k in users:
        names = [added[-1].output[0] if n == tensor else n for n in graph.node[k].input]
        graph.node[k].ClearField("input")
        graph.node[k].input.extend(names)
    for offset, node in enumerate(added):
        graph.node.insert(users[0] + offset, node)
    graph.initializer.extend(constants)
