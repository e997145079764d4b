"""Lowering: an ONNX graph, and nothing else, becomes the exact integer network.

    input -> [scale | shift] -> [quantiser]
          -> ([Pad] -> Conv | Im2Col -> MatMul, [affine] -> sign -> [MaxPool])*
          -> [Flatten | Reshape | Transpose]
          -> (MatMul | Gemm | XnorPopcountMatMul, [affine] -> sign)*
          -> MatMul -> [affine, the same for all classes] -> [TopK | ArgMax] -> scores

The walker carries a `State` along the chain of nodes. Each operation is one small function from
state to state, listed in `_STEPS`; a new operation is a new entry. Thresholds come from exact
arithmetic on the parameters as the file stores them, with sign(0) = +1. What is not understood is
refused by name.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto

from ..sim import container
from ..sim.exceptions import ArtefactError, InputError
from ..sim.layers import MAX_INPUTS, UINT8_MAX
from ..sim.network import Network
from . import (
    encoding,
    folding,
    lower_affine,
    lower_conv,
    lower_dense,
    lower_scores,
    lower_shape,
    lower_sign,
)
from .encoding import Encoding
from .folding import refuse
from .graph import Graph, parse, read_graph
from .lower_state import Lanes, Site, State, Step, Sums, image_order


@dataclass(frozen=True, eq=False)
class Lowered:
    """An integer network and, layer by layer, where it came from."""

    network: Network
    sites: tuple[Site, ...]
    encoding: Encoding


def lower(path: Path, *, pixels: bool = False) -> Network:
    """The integer network of an ONNX file.

    Args:
        pixels: an element of the graph's float input is a pixel of 0..255 divided by 255.

    Raises:
        ArtefactError: not there, corrupt, or something in it cannot be lowered exactly.
    """
    return lower_file(path, pixels=pixels).network


def lower_file(path: Path, *, pixels: bool = False) -> Lowered:
    """The integer network of an ONNX file, and where in the file its layers stand."""
    graph = read_graph(path)
    try:
        name = folding.printable(graph.metadata.get("stoic.model", path.stem))
        lowered = _lower(graph, name, pixels=pixels)
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {folding.short(str(error))}") from error
    network = replace(lowered.network, source_sha256=container.file_sha256(path))
    return replace(lowered, network=network)


def lower_model(model: onnx.ModelProto, name: str, *, pixels: bool = False) -> Lowered:
    """The integer network of a graph in memory.

    Raises:
        ArtefactError: something in it cannot be lowered exactly.
    """
    return _lower(parse(model), name, pixels=pixels)


def _lower(graph: Graph, name: str, *, pixels: bool) -> Lowered:
    state = _start(graph)
    chain, shapes = graph.chain()
    tensor, n_exact = graph.input, 0
    for node in chain:
        _measure(graph, shapes, tensor, state)
        step = _STEPS.get(node.op_type)
        if step is None:
            raise refuse(node, "this operation is not understood", ", ".join(sorted(_STEPS)))
        if state.ending and node.op_type not in _LAST:
            raise refuse(node, f"it follows {state.ending}", "nothing behind the chosen class")
        try:
            state = step(graph, node, state)
        except (
            InputError,
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            OverflowError,
            AttributeError,
        ) as error:
            raise refuse(node, f"malformed: {error}", "a node as ONNX defines it") from error
        n_exact += len(state.value.signs) if isinstance(state.value, Sums) else 1
        if n_exact > _MAX_EXACT:
            raise refuse(node, "exact arithmetic would take too long", f"{_MAX_EXACT} steps")
        graph.release(node)
        tensor = node.output[0]
    layers = (*state.layers, lower_scores.scores(graph, state))
    found = state.encoding
    assert found is not None  # nothing multiplies a float
    notes = {
        "n_ties": sum(len(layer.note["ties"]) for layer in layers),
        "n_batch_norms": sum(
            node.op_type == "BatchNormalization" for layer in layers for node in layer.site.tail
        ),
        "input": _input_note(found),
        "layers": [layer.note for layer in layers],
        "metadata": graph.metadata,
    }
    network = Network(
        name,
        tuple(layer.layer for layer in layers),
        notes=notes,
        thermometer=_thermometer(found, pixels=pixels),
    )
    return Lowered(network, tuple(layer.site for layer in layers), found)


# QONNX data type of the graph input: what a lane carries, its least and greatest value, the step
_INTEGERS = {
    "BIPOLAR": (-1, 1, 2),
    "BINARY": (0, 1, 1),
    **{f"UINT{n}": (0, 2**n - 1, 1) for n in range(2, 9)},
    **{f"INT{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1, 1) for n in range(2, 9)},
}


def _start(graph: Graph) -> State:
    type_ = graph.input_type
    if type_ not in _INTEGERS and type_ != "FLOAT32":
        raise ArtefactError(
            f"graph input {graph.input!r} is {type_!r}; supported: UINT8, BIPOLAR and other "
            "integers of at most 8 bits, or any float where the first operation quantises it"
        )
    if math.prod(graph.input_shape) > MAX_INPUTS:  # a forged shape must not fill the memory
        raise ArtefactError(
            f"graph input {graph.input!r} has shape {graph.input_shape}; supported: at most "
            f"{MAX_INPUTS} elements an image"
        )
    order = image_order(graph.input_shape)
    if type_ == "FLOAT32":
        return State(Lanes(None, order))
    low, high, step = _INTEGERS[type_]
    found = encoding.of_integers(type_, low, high, step)
    if len(found.levels) == 1:  # a bit is (1 + lane) / 2
        unit, offset = Fraction(high - low, 2), Fraction(high + low, 2)
        return State(Lanes("bits", order, unit, offset), encoding=found)
    return State(Lanes("uint8", order, offset=Fraction(low)), encoding=found)


def _measure(graph: Graph, shapes: list[NodeProto], tensor: str, state: State) -> None:
    """Turn what a graph computes of a tensor's shape into constants."""
    value = state.value
    if not shapes or (isinstance(value, Sums) and value.site.window is not None):
        return
    sizes = (len(value.signs),) if isinstance(value, Sums) else value.shape
    for node in shapes:
        names = [name for name in node.input if name]
        if node.op_type == "Shape" and names == [tensor]:
            graph.constants[node.output[0]] = np.array([graph.batch, *sizes], np.int64)
        elif names and all(name in graph.constants for name in names) and len(node.output) == 1:
            args = [graph.constants[name] for name in names]
            graph.constants[node.output[0]] = folding.fold(node, args)


def _input_note(found: Encoding) -> dict[str, object]:
    """What an image of the integer network is, for those who have one of the graph."""
    note: dict[str, object] = {"type": found.type, "n_levels": len(found.levels)}
    if found.levels.tolist() != found.values[1:].tolist():
        note["levels"] = found.levels.tolist()
    return note


def _thermometer(found: Encoding, *, pixels: bool) -> tuple[int, ...]:
    """The pixel from which on the bit of a pixel is 1, where the input is pixels and one bit."""
    if pixels and found.type != "FLOAT32":
        raise InputError(f"the graph's input is {found.type} already, not a pixel / 255")
    if len(found.levels) > 1:
        if pixels:
            raise InputError(
                f"the graph makes {len(found.levels) + 1} values of a pixel, which are not the "
                "pixels themselves; encode images with `stoic encode`"
            )
        return ()
    held = np.arange(UINT8_MAX + 1)
    if found.type == "FLOAT32" and pixels:
        bits = found.lanes(held.astype(np.float32) / np.float32(UINT8_MAX))
    elif found.type == "UINT8":
        bits = found.lanes(held)
    else:
        return ()
    if not bits.any() or bits[0]:
        raise ArtefactError("all pixels give the same bit; supported: a level in 1..255")
    return (int(np.flatnonzero(bits)[0]),)


_MAX_EXACT = 1 << 20  # neurons, each counted at every node behind it: some seconds
_LAST = ("ArgMax", "Cast", "Dropout", "Identity", "LogSoftmax", "Softmax", "TopK")
_STEPS: dict[str, Step] = {
    "Add": lower_affine.add,
    "ArgMax": lower_scores.arg_max,
    "BatchNormalization": lower_affine.batch_norm,
    "BipolarQuant": lower_sign.bipolar_quant,
    "Cast": lower_shape.cast,
    "Conv": lower_conv.conv,
    "Div": lower_affine.div,
    "Dropout": lower_shape.identity,
    "Flatten": lower_shape.flatten,
    "Gemm": lower_dense.gemm,
    "Identity": lower_shape.identity,
    "Im2Col": lower_conv.im2col,
    "IntQuant": lower_sign.quant,
    "LogSoftmax": lower_scores.softmax,
    "MatMul": lower_dense.matmul,
    "MaxPool": lower_conv.max_pool,
    "MaxPoolNHWC": lower_conv.max_pool_nhwc,
    "Mul": lower_affine.mul,
    "MultiThreshold": lower_sign.multi_threshold,
    "Neg": lower_affine.neg,
    "Pad": lower_conv.pad,
    "Quant": lower_sign.quant,
    "Reshape": lower_shape.reshape,
    "Sign": lower_sign.sign,
    "Softmax": lower_scores.softmax,
    "Squeeze": lower_shape.squeeze,
    "Sub": lower_affine.sub,
    "TopK": lower_scores.top_k,
    "Transpose": lower_shape.transpose,
    "Unsqueeze": lower_shape.unsqueeze,
    "XnorPopcountMatMul": lower_dense.xnor_popcount,
}
OPERATIONS = tuple(sorted(_STEPS))
