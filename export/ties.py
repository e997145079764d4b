"""Where float arithmetic decides otherwise than exact mathematics: in onnxruntime and in torch.

The qonnx executor runs every arithmetic node in onnxruntime. Torch has kernels of its own (its
batch norm multiplies before it adds); they are tried where a network ties and torch is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..sim.exceptions import ArtefactError
from ..sim.layers import Layer
from .exact import Root
from .executors import run_graph
from .folding import attributes, short
from .graph import Graph, parse, read_model
from .lower import lower_file
from .lower_state import Site

Run = Callable[[Site, NDArray[np.int64]], NDArray[np.bool_] | None]

_NEAR = 64  # sums on each side of a threshold on uint8


@dataclass(frozen=True)
class Disagreement:
    """A sum at which a float batch norm decides otherwise than exact mathematics.

    Attributes:
        executor: "onnxruntime" or "torch".
        layer, neuron: which.
        sum: what the neuron computes there, before any negation.
        fires: what exact mathematics says; the executor says the opposite.
        is_tie: the batch norm is exactly 0 there.
    """

    executor: str
    layer: str
    neuron: int
    sum: int
    fires: bool
    is_tie: bool


def disagreements(path: Path) -> list[Disagreement]:
    """Reachable sums at which float arithmetic decides otherwise than mathematics.

    All sums are tried where lanes are bits. Where they are uint8, those within 64 of the threshold
    and the two ends: a float tail is monotone too, so a difference shows at the threshold.

    Raises:
        ArtefactError: the file cannot be lowered.
    """
    lowered, model, found = lower_file(path), read_model(path), []
    notes = lowered.network.notes["layers"]
    graph = parse(model)
    runs: list[tuple[str, Run]] = [("onnxruntime", partial(_run_tail, model, graph))]
    if lowered.network.notes["n_ties"] and find_spec("torch"):
        runs.append(("torch", partial(_run_in_torch, graph)))
    for layer, site, note in zip(lowered.network.layers, lowered.sites, notes, strict=True):
        if not site.tail or layer.thresholds is None:
            continue
        stored, first = _sums(layer), first_sums(layer)
        sums = np.where(layer.negated, -stored, stored)
        ties = {j for j, _ in note["ties"]}
        for executor, run in runs:
            fires = run(site, sums)
            for k, j in np.argwhere(fires != (stored >= first)) if fires is not None else ():
                exact = bool(stored[k, j] >= first[j])
                is_tie = int(j) in ties and bool(stored[k, j] == first[j])
                where = layer.name, int(j), int(sums[k, j])
                found.append(Disagreement(executor, *where, exact, is_tie))
    return found


def first_sums(layer: Layer) -> NDArray[np.int64]:
    """(n_outputs,) sum of each stored row from which on it fires."""
    assert layer.thresholds is not None
    theta = layer.thresholds.astype(np.int64)
    return 2 * theta - layer.n_inputs if layer.input == "bits" else theta


def _sums(layer: Layer) -> NDArray[np.int64]:
    """(k, n_outputs) sums of the stored rows to try."""
    n, first = layer.n_inputs, first_sums(layer)
    if layer.input == "bits":
        return np.broadcast_to(np.arange(-n, n + 1, 2)[:, None], (n + 1, len(first)))
    low, high = layer.threshold_range
    near = first + np.arange(-_NEAR, _NEAR + 1)[:, None]
    ends = np.broadcast_to([[low], [high - 1]], (2, len(first)))
    return np.concatenate([near.clip(low, high - 1), ends])


def _values(site: Site, sums: NDArray[np.int64]) -> NDArray[np.float32]:
    """(k, n_outputs) what the node that multiplies makes of sums of the graph's rows."""
    scale, shift = (
        np.array([float(x) for x in column]) for column in (site.affine.scale, site.affine.shift)
    )
    return np.asarray(sums * scale + shift, np.float32)


def _run_tail(
    model: onnx.ModelProto, known: Graph, site: Site, sums: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(k, n_outputs) whether the qonnx executor fires at these sums."""
    values = _values(site, sums)
    is_map = site.window is not None
    if is_map:  # the tail of a map runs on maps of one element
        values = values[:, None, None, :] if site.axes[0] else values[:, :, None, None]
    nodes: list[onnx.NodeProto] = []
    tensor = "sums"
    for number, (node, axis) in enumerate(zip(site.tail, site.axes, strict=True)):
        if is_map and axis != site.axes[number - 1 if number else 0]:
            perm = [0, 2, 3, 1] if axis else [0, 3, 1, 2]
            nodes.append(helper.make_node("Transpose", [tensor], [f"turned{number}"], perm=perm))
            tensor = f"turned{number}"
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        data = next(i for i, name in enumerate(node.input) if name not in known.constants)
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
    try:
        found = run_graph(alone, values).reshape(sums.shape)
    except Exception as error:  # onnxruntime's and qonnx's have no class of their own
        line = f"onnxruntime refuses the nodes behind {site.matmul!r}: {error}"
        raise ArtefactError(f"{short(line)}; supported: graphs that are valid ONNX") from error
    return np.asarray(found >= site.cut)


def _run_in_torch(graph: Graph, site: Site, sums: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """(k, n_outputs) whether torch fires at these sums; None where its kernels are not tried."""
    import torch

    functions: dict[str, Callable[..., Any]] = {
        "Add": torch.add, "Div": torch.div, "Mul": torch.mul, "Neg": torch.neg, "Sub": torch.sub,
    }  # fmt: skip
    x: Any = torch.from_numpy(_values(site, sums))
    for node in site.tail:
        args: list[Any] = []
        for name in node.input:
            value = graph.constants.get(name)
            if value is None:
                args.append(x)
            elif isinstance(value, Root) or value.dtype != np.float32:
                return None  # what the graph computes of its constants has kernels of its own
            elif value.size not in (1, sums.shape[1]):
                return None
            else:
                args.append(torch.from_numpy(value.reshape(-1).copy()))
        if node.op_type == "BatchNormalization":
            eps = float(np.float32(attributes(node).get("epsilon", 1e-5)))
            _, gamma, beta, mean, var = args
            x = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, eps=eps)
        elif node.op_type in functions:
            x = functions[node.op_type](*args)
        else:
            return None
    return np.asarray(x.detach().numpy() >= site.cut)


def _makers(model: onnx.ModelProto, names: list[str]) -> list[onnx.NodeProto]:
    """The nodes, in order, that make the constants of these names."""
    needed, found = set(names), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]
