"""Lowering: an ONNX graph, and nothing else, becomes the exact integer network.

    input -> [Flatten | Reshape]
          -> (MatMul | Gemm with +-c weights -> [batch norm | constant] -> sign)*
          -> MatMul with +-1 weights -> scores

The walker carries a state along the chain of nodes: `_Lanes` (what a layer reads) or `_Sums` (what
a layer computed and has not yet compared). Each operation is one small function from state to
state, listed in `_STEPS`; a new operation is a new entry. Thresholds come from exact arithmetic on
the parameters as the file stores them, with sign(0) = +1. What is not understood is refused by
name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from ..sim import container
from ..sim.bits import pack
from ..sim.exceptions import ArtefactError, InputError
from ..sim.layers import Dense, Input
from ..sim.network import Network
from ..sim.thresholds import from_batch_norm
from .graph import Constant, Graph, attributes, metadata, parse, read_model, refuse

_ONE = Fraction(1)


@dataclass(frozen=True)
class Site:
    """Where a layer stands in the graph.

    Attributes:
        matmul: name of the node that multiplies.
        weights: the tensor it multiplies by.
        is_transposed: that tensor is (n_inputs, n_outputs), not (n_outputs, n_inputs).
        unit: its weights are +-unit.
        sum_unit: its sums are multiples of this, once the unit of its lanes is counted too.
        batch_norm: the tensor that a batch norm makes of the sums, if there is one.
    """

    matmul: str
    weights: str
    is_transposed: bool
    unit: Fraction
    sum_unit: Fraction
    batch_norm: str | None = None


@dataclass(frozen=True, eq=False)
class Lowered:
    """An integer network and, layer by layer, where it came from."""

    network: Network
    sites: tuple[Site, ...]


@dataclass(frozen=True)
class _Lanes:
    """What the next layer reads: uint8, signs of +-unit, or (None) floats yet without a sign."""

    input: Input | None
    shape: tuple[int, ...]  # of one image
    unit: Fraction = _ONE


@dataclass(frozen=True, eq=False)
class _BatchNorm:
    gamma: Constant
    beta: Constant
    mean: Constant
    var: Constant
    eps: float


@dataclass(frozen=True, eq=False)
class _Sums:
    """site.sum_unit * (signs @ lanes), then `norm` if there is one."""

    site: Site
    input: Input
    signs: NDArray[np.int8]  # (n_outputs, n_inputs)
    norm: _BatchNorm | None = None


@dataclass(frozen=True, eq=False)
class _Layer:
    """A finished layer with what the import has to say about it."""

    site: Site
    dense: Dense
    note: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _State:
    value: _Lanes | _Sums
    layers: tuple[_Layer, ...] = ()


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
    state = _State(_start(graph))
    for node in graph.chain():
        step = _STEPS.get(node.op_type)
        if step is None:
            raise refuse(node, "this operation is not understood", ", ".join(sorted(_STEPS)))
        try:
            state = step(graph, node, state)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise refuse(node, f"malformed: {error}", "a node as ONNX defines it") from error
    layers = (*state.layers, _scores(graph, state))
    notes = {
        "n_ties": sum(len(layer.note["ties"]) for layer in layers),
        "n_batch_norms": sum(layer.site.batch_norm is not None for layer in layers),
        "layers": [layer.note for layer in layers],
        "metadata": metadata(model),
    }
    network = Network(name, tuple(layer.dense for layer in layers), notes=notes)
    return Lowered(network, tuple(layer.site for layer in layers))


def _start(graph: Graph) -> _Lanes:
    inputs: dict[str, Input | None] = {"UINT8": "uint8", "BIPOLAR": "bits", "FLOAT32": None}
    if graph.input_type not in inputs:
        raise ArtefactError(
            f"graph input {graph.input!r} is {graph.input_type!r}; supported: UINT8, BIPOLAR, "
            "or any float where the first operation is BipolarQuant"
        )
    return _Lanes(inputs[graph.input_type], graph.input_shape)


def _lanes(node: NodeProto, state: _State) -> _Lanes:
    if not isinstance(state.value, _Lanes):
        raise refuse(
            node, f"it follows {state.value.site.matmul!r} without a sign", "a sign between"
        )
    return state.value


def _sums(node: NodeProto, state: _State) -> _Sums:
    if not isinstance(state.value, _Sums):
        raise refuse(node, "it does not follow a MatMul", "MatMul or Gemm before it")
    if state.value.norm is not None:
        raise refuse(node, "a batch norm or constant already stands before it", "one per layer")
    return state.value


def _identity(graph: Graph, node: NodeProto, state: _State) -> _State:
    return state


def _flatten(graph: Graph, node: NodeProto, state: _State) -> _State:
    lanes = _lanes(node, state)
    axis = attributes(node).get("axis", 1)
    if axis != 1:
        raise refuse(node, f"axis is {axis}", "axis 1")
    return replace(state, value=replace(lanes, shape=(math.prod(lanes.shape),)))


def _reshape(graph: Graph, node: NodeProto, state: _State) -> _State:
    lanes = _lanes(node, state)
    target = graph.constant(node, 1, "shape").tolist()
    n = math.prod(lanes.shape)
    if not (isinstance(target, list) and len(target) == 2 and target[1] in (-1, n)):
        raise refuse(node, f"shape is {target}", f"(batch, {n})")
    return replace(state, value=replace(lanes, shape=(n,)))


def _matmul(graph: Graph, node: NodeProto, state: _State) -> _State:
    weights = graph.constant(node, 1, "weights")
    return replace(state, value=_multiply(node, _lanes(node, state), weights, transposed=True))


def _gemm(graph: Graph, node: NodeProto, state: _State) -> _State:
    has = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(node)}
    if has["alpha"] != 1 or has["beta"] != 1 or has["transA"]:
        raise refuse(
            node, f"alpha, beta, transA are not 1, 1, 0: {has}", "alpha 1, beta 1, transA 0"
        )
    weights = graph.constant(node, 1, "weights")
    sums = _multiply(node, _lanes(node, state), weights, transposed=not has["transB"])
    if len(node.input) > 2 and node.input[2]:
        bias = graph.constant(node, 2, "bias")
        if bias.any():
            sums = replace(sums, norm=_constant(node, sums, bias, 1))
    return replace(state, value=sums)


def _multiply(node: NodeProto, lanes: _Lanes, weights: Constant, *, transposed: bool) -> _Sums:
    if lanes.input is None:
        raise refuse(
            node,
            "the graph input has no integer type",
            "a UINT8 or BIPOLAR input, or BipolarQuant first",
        )
    n = lanes.shape[0] if len(lanes.shape) == 1 else None
    rows = weights.T if transposed else weights
    if rows.ndim != 2 or rows.shape[1] != n or not len(rows):
        raise refuse(
            node, f"weights {weights.shape} do not fit lanes {lanes.shape}", "matching shapes"
        )
    unit = abs(float(rows[0, 0]))
    odd = np.argwhere(np.abs(rows) != unit)
    if unit == 0 or len(odd):
        j, i = odd[0] if len(odd) else (0, 0)
        raise refuse(
            node,
            f"weight of neuron {j}, input {i} is {rows[j, i]}",
            "binary weights +-c, one c > 0 a layer",
        )
    scale = Fraction(unit)
    name = node.name or node.output[0]
    site = Site(name, node.input[1], transposed, scale, scale * lanes.unit)
    return _Sums(site, lanes.input, np.where(rows > 0, 1, -1).astype(np.int8))


def _batch_norm(graph: Graph, node: NodeProto, state: _State) -> _State:
    sums = _sums(node, state)
    has = attributes(node)
    if has.get("training_mode", 0):
        raise refuse(node, "it is in training mode", "inference mode")
    names = ("gamma", "beta", "mean", "var")
    gamma, beta, mean, var = (graph.constant(node, i, name) for i, name in enumerate(names, 1))
    eps = float(np.float32(has.get("epsilon", 1e-5)))
    norm = _BatchNorm(gamma, beta, mean, var, eps)
    site = replace(sums.site, batch_norm=node.output[0])
    return replace(state, value=replace(sums, norm=norm, site=site))


def _constant(node: NodeProto, sums: _Sums, constant: Constant, sign: int) -> _BatchNorm:
    """Sums plus or minus a constant, written as a batch norm of scale 1."""
    n = len(sums.signs)
    if constant.shape[:-1] not in ((), (1,)) or constant.shape[-1:] not in ((), (1,), (n,)):
        raise refuse(
            node, f"constant is {constant.shape}", f"one number, or one for each of {n} neurons"
        )
    one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
    beta = np.broadcast_to(sign * constant.astype(np.float64).reshape(-1), (n,))
    return _BatchNorm(one, beta, zero, one, 0.0)


def _add(graph: Graph, node: NodeProto, state: _State) -> _State:
    sums = _sums(node, state)
    index = 0 if node.input[0] in graph.constants else 1
    norm = _constant(node, sums, graph.constant(node, index, "addend"), 1)
    return replace(state, value=replace(sums, norm=norm))


def _sub(graph: Graph, node: NodeProto, state: _State) -> _State:
    sums = _sums(node, state)
    norm = _constant(node, sums, graph.constant(node, 1, "subtrahend"), -1)
    return replace(state, value=replace(sums, norm=norm))


def _bipolar_quant(graph: Graph, node: NodeProto, state: _State) -> _State:
    scale = graph.constant(node, 1, "scale")
    if scale.size != 1 or not (scale > 0).all():
        raise refuse(node, f"scale is {scale.tolist()}", "one positive scale")
    unit = Fraction(float(scale.reshape(-1)[0]))
    if isinstance(state.value, _Sums):
        return _compare(node, state, state.value, unit)
    if state.value.input == "uint8":
        raise refuse(node, "the sign of a UINT8 input is always +1", "a MatMul on it")
    return replace(state, value=replace(state.value, input="bits", unit=unit))


def _sign(graph: Graph, node: NodeProto, state: _State) -> _State:
    if not isinstance(state.value, _Sums):
        raise refuse(node, "it does not follow a MatMul", "BipolarQuant")
    after = _compare(node, state, state.value, _ONE)
    ties = after.layers[-1].note["ties"]
    if ties:
        raise refuse(
            node, f"Sign gives 0 at {len(ties)} reachable sums: {ties[:3]}", "BipolarQuant"
        )
    return after


def _compare(node: NodeProto, state: _State, sums: _Sums, unit: Fraction) -> _State:
    """Sums, norm and sign become a layer with thresholds."""
    n_outputs, n_inputs = sums.signs.shape
    norm = sums.norm or _constant(node, sums, np.zeros(1), 1)
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
    name = f"dense{len(state.layers)}"
    signs = np.where(found.negated[:, None], -sums.signs, sums.signs)
    dense = Dense(name, n_inputs, pack(signs > 0), found.values, found.negated, sums.input)
    # the sum at which a tie falls, as the graph computes it: of the row before negation
    at = found.values.astype(np.int64)
    at = np.where(found.negated, -1, 1) * (at if sums.input == "uint8" else 2 * at - n_inputs)
    note = {
        "name": name,
        "nodes": [sums.site.matmul, node.name],
        "ties": [[int(j), int(at[j])] for j in np.flatnonzero(found.is_tie)],
        "negated": np.flatnonzero(found.negated).tolist(),
        "constant": np.flatnonzero(np.isin(found.values, dense.threshold_range)).tolist(),
    }
    layer = _Layer(sums.site, dense, note)
    return _State(_Lanes("bits", (n_outputs,), unit), (*state.layers, layer))


def _scores(graph: Graph, state: _State) -> _Layer:
    sums = state.value
    if not isinstance(sums, _Sums) or sums.norm is not None or sums.site.sum_unit != 1:
        if isinstance(sums, _Lanes):
            ends = "a sign" if state.layers else "no layer"
        else:
            ends = (
                "a batch norm or constant"
                if sums.norm
                else f"sums of unit {float(sums.site.sum_unit)}"
            )
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
    return _Layer(sums.site, dense, note)


_STEPS: dict[str, Callable[[Graph, NodeProto, _State], _State]] = {
    "Add": _add,
    "BatchNormalization": _batch_norm,
    "BipolarQuant": _bipolar_quant,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": _identity,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Sign": _sign,
    "Sub": _sub,
}
