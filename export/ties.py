"""Where an executor's float arithmetic decides otherwise than exact mathematics."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..sim.layers import Layer
from .executors import run_graph
from .graph import parse, read_model
from .lower import lower_file
from .lower_state import Site

_NEAR = 64  # sums on each side of a threshold on uint8


@dataclass(frozen=True)
class Disagreement:
    """A sum at which the executor's float batch norm decides otherwise than exact mathematics.

    Attributes:
        layer, neuron: which.
        sum: what the neuron computes there, before any negation.
        fires: what exact mathematics says; the executor says the opposite.
        is_tie: the batch norm is exactly 0 there.
    """

    layer: str
    neuron: int
    sum: int
    fires: bool
    is_tie: bool


def disagreements(path: Path) -> list[Disagreement]:
    """Reachable sums at which the executor's float arithmetic decides otherwise than mathematics.

    All sums are tried where lanes are bits. Where they are uint8, those within 64 of the threshold
    and the two ends: a float tail is monotone too, so a difference shows at the threshold.

    Raises:
        ArtefactError: the file cannot be lowered.
    """
    lowered, model, found = lower_file(path), read_model(path), []
    notes = lowered.network.notes["layers"]
    for layer, site, note in zip(lowered.network.layers, lowered.sites, notes, strict=True):
        if not site.tail or layer.thresholds is None:
            continue
        stored, first = _sums(layer, layer.thresholds.astype(np.int64))
        sums = np.where(layer.negated, -stored, stored)
        fires = _run_tail(site, model, sums)
        ties = {j for j, _ in note["ties"]}
        for k, j in np.argwhere(fires != (stored >= first)):
            exact = bool(stored[k, j] >= first[j])
            is_tie = int(j) in ties and bool(stored[k, j] == first[j])
            found.append(Disagreement(layer.name, int(j), int(sums[k, j]), exact, is_tie))
    return found


def _sums(layer: Layer, theta: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(k, n_outputs) sums of the stored rows to try, and the first of each that fires."""
    n = layer.n_inputs
    if layer.input == "bits":
        return np.broadcast_to(np.arange(-n, n + 1, 2)[:, None], (n + 1, len(theta))), 2 * theta - n
    low, high = layer.threshold_range
    near = theta + np.arange(-_NEAR, _NEAR + 1)[:, None]
    ends = np.broadcast_to([[low], [high - 1]], (2, len(theta)))
    return np.concatenate([near.clip(low, high - 1), ends]), theta


def _run_tail(site: Site, model: onnx.ModelProto, sums: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(k, n_outputs) whether the executor fires at these sums of the graph's rows."""
    scale, shift = (
        np.array([float(x) for x in column]) for column in (site.affine.scale, site.affine.shift)
    )
    values = (sums * scale + shift).astype(np.float32)
    is_map = site.window is not None
    if is_map:  # the tail of a map runs on maps of one element
        values = values[:, None, None, :] if site.axes[0] else values[:, :, None, None]
    nodes: list[onnx.NodeProto] = []
    tensor = "sums"
    constants = parse(model).constants
    for number, (node, axis) in enumerate(zip(site.tail, site.axes, strict=True)):
        if is_map and axis != site.axes[number - 1 if number else 0]:
            perm = [0, 2, 3, 1] if axis else [0, 3, 1, 2]
            nodes.append(helper.make_node("Transpose", [tensor], [f"turned{number}"], perm=perm))
            tensor = f"turned{number}"
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        data = next(i for i, name in enumerate(node.input) if name not in constants)
        moved.input[data] = tensor
        nodes.append(moved)
        tensor = node.output[0]
    makers = _makers(model, [name for node in nodes for name in node.input])
    used = {name for node in (*makers, *nodes) for name in node.input}
    graph = helper.make_graph(
        [*makers, *nodes],
        "tail",
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, values.shape)],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)],
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    found = run_graph(alone, values).reshape(sums.shape)
    return np.asarray(found >= site.cut)


def _makers(model: onnx.ModelProto, names: list[str]) -> list[onnx.NodeProto]:
    """The nodes, in order, that make the constants of these names."""
    needed, found = set(names), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]
