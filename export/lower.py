"""Lowering: an ONNX graph, and nothing else, becomes the exact integer network.

    input -> ([Pad] -> Conv -> [batch norm | constant] -> sign -> [MaxPool])*
          -> [Flatten | Reshape | Transpose]
          -> (MatMul | Gemm with +-c weights -> [batch norm | constant] -> sign)*
          -> MatMul with +-1 weights -> scores

The walker carries a `State` along the chain of nodes. Each operation is one small function from
state to state, listed in `_STEPS`; a new operation is a new entry. Thresholds come from exact
arithmetic on the parameters as the file stores them, with sign(0) = +1. What is not understood is
refused by name.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from ..sim import container
from ..sim.bits import pack
from ..sim.exceptions import ArtefactError, InputError
from ..sim.layers import MAX_INPUTS, Dense, Input
from ..sim.network import Network
from . import lower_conv, lower_dense, lower_norm, lower_shape
from .graph import Graph, metadata, parse, read_model, refuse
from .lower_state import Lanes, LoweredLayer, Site, State, Step, Sums, image_order


@dataclass(frozen=True, eq=False)
class Lowered:
    """An integer network and, layer by layer, where it came from."""

    network: Network
    sites: tuple[Site, ...]


def lower(path: Path) -> Network:
    """The integer network of an ONNX file.

    Raises:
        ArtefactError: not there, corrupt, or something in it cannot be lowered exactly.
    """
    return lower_file(path).network


def lower_file(path: Path) -> Lowered:
    """The integer network of an ONNX file, and where in the file its layers stand."""
    model = read_model(path)
    try:
        lowered = lower_model(model, metadata(model).get("stoic.model", path.stem))
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error}") from error
    network = replace(lowered.network, source_sha256=container.file_sha256(path))
    return replace(lowered, network=network)


def lower_model(model: onnx.ModelProto, name: str) -> Lowered:
    """The integer network of a graph in memory.

    Raises:
        ArtefactError: something in it cannot be lowered exactly.
    """
    graph = parse(model)
    state = State(_start(graph))
    for node in graph.chain():
        step = _STEPS.get(node.op_type)
        if step is None:
            raise refuse(node, "this operation is not understood", ", ".join(sorted(_STEPS)))
        try:
            state = step(graph, node, state)
        except (InputError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise refuse(node, f"malformed: {error}", "a node as ONNX defines it") from error
    layers = (*state.layers, _scores(graph, state))
    notes = {
        "n_ties": sum(len(layer.note["ties"]) for layer in layers),
        "n_batch_norms": sum(layer.site.batch_norm is not None for layer in layers),
        "layers": [layer.note for layer in layers],
        "metadata": metadata(model),
    }
    network = Network(name, tuple(layer.layer for layer in layers), notes=notes)
    return Lowered(network, tuple(layer.site for layer in layers))


def _start(graph: Graph) -> Lanes:
    inputs: dict[str, Input | None] = {"UINT8": "uint8", "BIPOLAR": "bits", "FLOAT32": None}
    if graph.input_type not in inputs:
        raise ArtefactError(
            f"graph input {graph.input!r} is {graph.input_type!r}; supported: UINT8, BIPOLAR, "
            "or any float where the first operation is BipolarQuant"
        )
    if math.prod(graph.input_shape) > MAX_INPUTS:  # a forged shape must not fill the memory
        raise ArtefactError(
            f"graph input {graph.input!r} has shape {graph.input_shape}; supported: at most "
            f"{MAX_INPUTS} elements an image"
        )
    return Lanes(inputs[graph.input_type], image_order(graph.input_shape))


def _scores(graph: Graph, state: State) -> LoweredLayer:
    sums = state.value
    if not isinstance(sums, Sums) or sums.norm or sums.site.window or sums.site.sum_unit != 1:
        if isinstance(sums, Lanes):
            ends = "a sign" if state.layers else "no layer"
        elif sums.norm:
            ends = "a batch norm or constant"
        elif sums.site.window:
            ends = "a convolution"
        else:
            ends = f"sums of unit {float(sums.site.sum_unit)}"
        raise ArtefactError(
            f"graph output {graph.output!r} comes from {ends}; supported: the plain sums of a last "
            "MatMul with weights and lanes of exactly +-1 (or uint8 lanes)"
        )
    n_outputs, n_inputs = sums.signs.shape
    clean = np.zeros(n_outputs, np.bool_)
    dense = Dense("scores", n_inputs, pack(sums.signs > 0), None, clean, sums.input)
    note = {
        "name": "scores",
        "nodes": [sums.site.matmul],
        "ties": [],
        "negated": [],
        "constant": [],
    }
    return LoweredLayer(sums.site, dense, note)


_STEPS: dict[str, Step] = {
    "Add": lower_norm.add,
    "BatchNormalization": lower_norm.batch_norm,
    "BipolarQuant": lower_norm.bipolar_quant,
    "Conv": lower_conv.conv,
    "Flatten": lower_shape.flatten,
    "Gemm": lower_dense.gemm,
    "Identity": lower_shape.identity,
    "MatMul": lower_dense.matmul,
    "MaxPool": lower_conv.max_pool,
    "Pad": lower_conv.pad,
    "Reshape": lower_shape.reshape,
    "Sign": lower_norm.sign,
    "Sub": lower_norm.sub,
    "Transpose": lower_shape.transpose,
}
