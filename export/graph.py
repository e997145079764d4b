"""Reading an ONNX graph as a chain: its constants folded exactly, everything odd refused by name.

Nothing here knows layers. A constant is folded only where the result is exact in any arithmetic:
signs, transposes, new axes, and sums and products of small multiples of one half.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from ..sim.exceptions import ArtefactError

Constant = NDArray[Any]

EXACT_FLOAT32 = 2**24  # float32 holds every integer up to here
_ANNOTATION = "finn_datatype"  # key under which QONNX keeps a tensor's integer type


def refuse(node: NodeProto, why: str, supported: str) -> ArtefactError:
    """The one line with which a node is refused: its name, its type, the reason, what would do."""
    label = node.name or f"that makes {', '.join(node.output) or 'nothing'}"
    op_type = repr(node.op_type)[1:-1]  # a damaged name stays on one line
    return ArtefactError(f"node {label!r} ({op_type}): {why}; supported: {supported}")


@dataclass(frozen=True, eq=False)
class Graph:
    """A checked graph.

    Attributes:
        nodes: in order, those whose value depends on the graph input.
        constants: by tensor name, folded.
        input_shape: of one image, without the batch.
        input_type: QONNX data type of the input, "FLOAT32" when it has none.
    """

    nodes: tuple[NodeProto, ...]
    constants: dict[str, Constant]
    input: str
    input_shape: tuple[int, ...]
    input_type: str
    output: str

    def constant(self, node: NodeProto, index: int, what: str) -> Constant:
        """The constant at an input of a node.

        Raises:
            ArtefactError: there is none, or it has an element that is not a finite number.
        """
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.constants:
            raise refuse(node, f"{what} {name!r} is not a constant", f"a constant {what}")
        value = self.constants[name]
        if not np.isfinite(value).all():
            place = [int(i) for i in np.argwhere(~np.isfinite(value))[0]]
            raise refuse(node, f"{what} {name!r} is not finite at {place}", "finite numbers")
        return value

    def chain(self) -> list[NodeProto]:
        """The nodes from input to output.

        Raises:
            ArtefactError: the graph branches or ends before its output.
        """
        users: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                users.setdefault(name, []).append(node)
        tensor, found = self.input, []
        while tensor != self.output:
            following = users.get(tensor, [])
            if len(following) != 1 or len(following[0].output) != 1:
                names = [node.name for node in following]
                raise ArtefactError(
                    f"tensor {tensor!r} is used by {len(following)} nodes {names}; supported: a "
                    f"plain chain of nodes, one output each, {self.input!r} to {self.output!r}"
                )
            found.append(following[0])
            tensor = following[0].output[0]
        if len(found) != len(self.nodes):
            extra = next(node for node in self.nodes if node not in found)
            raise refuse(extra, "it is not on the way to the output", "a plain chain of nodes")
        return found


def read_model(path: Path) -> onnx.ModelProto:
    """An ONNX file as it is.

    Raises:
        ArtefactError: not there, or not ONNX.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ArtefactError(f"{path}: corrupt or not an ONNX file ({error})") from error
    if not model.graph.node:
        raise ArtefactError(f"{path}: corrupt or not an ONNX file (it has no nodes)")
    return model


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The key-value pairs that a model carries."""
    return {entry.key: entry.value for entry in model.metadata_props}


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes of a node as Python values; strings decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in values.items()}


def parse(model: onnx.ModelProto) -> Graph:
    """The graph with its constants folded.

    Raises:
        ArtefactError: not one input and one output of float32, an unreadable tensor, a tensor made
            twice or used before it is made, or a constant expression that cannot be folded exactly.
    """
    graph = model.graph
    if graph.sparse_initializer:
        raise ArtefactError("the graph has sparse initializers; supported: dense ones")
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ArtefactError(
            f"the graph has inputs {[i.name for i in inputs]} and outputs "
            f"{[o.name for o in graph.output]}; supported: one of each"
        )
    entry = inputs[0]
    known, nodes = {entry.name, *constants}, []
    for node in graph.node:
        names = [name for name in node.input if name]
        for name in names:
            if name not in known:
                raise refuse(node, f"{name!r} is used before it is made", "nodes in order")
        for name in node.output:
            if name in known:
                raise refuse(node, f"{name!r} is made a second time", "tensors that are made once")
            known.add(name)
        if all(name in constants for name in names):
            if len(node.output) != 1:
                raise refuse(node, f"it has {len(node.output)} outputs", "one output")
            constants[node.output[0]] = _fold(node, [constants[name] for name in names])
        else:
            nodes.append(node)
    types = {
        note.tensor_name: pair.value
        for note in graph.quantization_annotation
        for pair in note.quant_parameter_tensor_names
        if pair.key == _ANNOTATION
    }
    return Graph(
        nodes=tuple(nodes),
        constants=constants,
        input=entry.name,
        input_shape=_image_shape(entry),
        input_type=types.get(entry.name, "FLOAT32"),
        output=graph.output[0].name,
    )


def _image_shape(entry: onnx.ValueInfoProto) -> tuple[int, ...]:
    tensor = entry.type.tensor_type
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    if tensor.elem_type != onnx.TensorProto.FLOAT or len(shape) < 2 or min(shape[1:]) < 1:
        raise ArtefactError(
            f"graph input {entry.name!r} has element type {tensor.elem_type} and shape {shape}; "
            "supported: float32 (batch, n, ...) with every dimension but the batch given"
        )
    return shape[1:]


def _array(tensor: onnx.TensorProto) -> Constant:
    try:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("its data is in another file")
        value = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtefactError(f"initializer {tensor.name!r} cannot be read: {error}") from error
    if value.dtype.kind not in "fiub":
        raise ArtefactError(
            f"initializer {tensor.name!r} holds {value.dtype}; supported: floats and integers"
        )
    return value


def _fold(node: NodeProto, args: list[Constant]) -> Constant:
    """Value of a node of constants."""
    if node.op_type not in _FOLDS:
        raise refuse(node, "an operation on constants that is not folded", f"{sorted(_FOLDS)}")
    n_args, exact, function = _FOLDS[node.op_type]
    if len(args) != n_args:
        raise refuse(node, f"it has {len(args)} inputs", f"{n_args}")
    if exact and not all(map(_is_exact, args)):
        raise refuse(node, "its constants are not small multiples of 1/2", "exact folding only")
    try:
        value = function(node, args)
    except (ValueError, TypeError, IndexError) as error:
        raise refuse(node, f"its constants do not fit: {error}", "matching shapes") from error
    if exact and not _is_exact(value):
        raise refuse(node, "its value is not a small multiple of 1/2", "exact folding only")
    return value


def _is_exact(value: Constant) -> bool:
    twice = 2 * value.astype(np.float64)
    return bool((np.abs(twice) <= EXACT_FLOAT32).all() and (twice == np.rint(twice)).all())


def _attribute_tensor(node: NodeProto, args: list[Constant]) -> Constant:
    value = attributes(node).get("value")
    if not isinstance(value, onnx.TensorProto):
        raise ValueError("only the attribute `value` is read")
    return _array(value)


def _bipolar(node: NodeProto, args: list[Constant]) -> Constant:
    x, scale = args
    if not (np.isfinite(x).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("values must be finite and the scale positive")
    if scale.size != 1:
        raise ValueError(f"one scale for all, not {scale.shape}")
    return np.where(x >= 0, 1.0, -1.0) * float(scale.reshape(-1)[0])


def _transpose(node: NodeProto, args: list[Constant]) -> Constant:
    return np.transpose(args[0], attributes(node).get("perm"))


def _unsqueeze(node: NodeProto, args: list[Constant]) -> Constant:
    return np.expand_dims(args[0], tuple(int(axis) for axis in args[1].reshape(-1)))


def _elementwise(
    function: Callable[..., Constant],
) -> Callable[[NodeProto, list[Constant]], Constant]:
    def fold(node: NodeProto, args: list[Constant]) -> Constant:
        shape = np.broadcast_shapes(args[0].shape, args[1].shape)
        if shape not in (args[0].shape, args[1].shape):
            raise ValueError(f"{args[0].shape} and {args[1].shape} broadcast each other")
        return function(args[0].astype(np.float64), args[1].astype(np.float64))

    return fold


def _matmul(node: NodeProto, args: list[Constant]) -> Constant:
    a, b = args
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] * math.prod(b.shape[1:]) > a.size + b.size:
        raise ValueError(f"{a.shape} times {b.shape} is no small product")
    return np.asarray(a.astype(np.float64) @ b.astype(np.float64))


# op type: number of constants, whether every value in and out must be exact in float32, function
_FOLDS: dict[str, tuple[int, bool, Callable[[NodeProto, list[Constant]], Constant]]] = {
    "Constant": (0, False, _attribute_tensor),
    "Identity": (1, False, lambda node, args: args[0]),
    "Transpose": (1, False, _transpose),
    "Unsqueeze": (2, False, _unsqueeze),
    "BipolarQuant": (2, False, _bipolar),
    "Mul": (2, True, _elementwise(np.multiply)),
    "Add": (2, True, _elementwise(np.add)),
    "Sub": (2, True, _elementwise(np.subtract)),
    "MatMul": (2, True, _matmul),
}
