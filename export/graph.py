"""Reading an ONNX graph as a chain: its constants folded exactly, everything odd refused by name.

Nothing here knows layers.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from ..sim.exceptions import ArtefactError
from . import folding
from .exact import Root, rationals
from .folding import Constant, printable, refuse, short
from .wire import apart, is_inflating

_MAX_NODES = 4096
_OLDEST = 7  # opset since which arithmetic broadcasts and batch norms say no more that they train
_DOMAINS = (
    "",
    "ai.onnx",
    "finn",
    "finn.custom_op.general",
    "onnx.brevitas",
    "qonnx.custom_op.channels_last",
    "qonnx.custom_op.general",
)
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of a ModelProto, a GraphProto, a TensorProto
_ANNOTATION = "finn_datatype"  # key under which QONNX keeps a tensor's integer type
_ELEMENTS: dict[int, str] = {
    TensorProto.FLOAT: "FLOAT32",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT8: "INT8",
}


@dataclass(frozen=True, eq=False)
class Graph:
    """A checked graph.

    Attributes:
        nodes: in order, those whose value depends on the graph input.
        constants: by tensor name, folded.
        batch: as the graph input states it; 1 where it does not.
        input_shape: of one image, without the batch.
        input_type: QONNX data type of the input, "FLOAT32" when it has none.
        outputs: names; all of them of the last node.
        users: how many inputs of nodes take a constant, yet.
        metadata: the key-value pairs that the model carries.
    """

    nodes: tuple[NodeProto, ...]
    constants: dict[str, Constant]
    input: str
    batch: int
    input_shape: tuple[int, ...]
    input_type: str
    outputs: tuple[str, ...]
    users: Counter[str]
    metadata: dict[str, str]

    def release(self, node: NodeProto) -> None:
        """Let go of the constants that no node behind this one takes."""
        _release(node, self.constants, self.users)

    def constant(self, node: NodeProto, index: int, what: str) -> NDArray[Any]:
        """The constant at an input of a node.

        Raises:
            ArtefactError: there is none, it is an irrational root, or it has an element that is not
                a finite number.
        """
        value = self.exact(node, index, what)
        if isinstance(value, Root):
            raise refuse(node, f"{what} is a square root that is not rational", "plain numbers")
        return value

    def exact(self, node: NodeProto, index: int, what: str) -> Constant:
        """The constant at an input of a node, roots included.

        Raises:
            ArtefactError: there is none, or it has an element that is not a finite number.
        """
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.constants:
            raise refuse(node, f"{what} {name!r} is not a constant", f"a constant {what}")
        value = self.constants[name]
        if not isinstance(value, Root) and value.dtype.kind == "f":
            finite = np.isfinite(value)
            if not finite.all():
                place = [int(i) for i in np.argwhere(~finite)[0]]
                raise refuse(node, f"{what} {name!r} is not finite at {place}", "finite numbers")
        return value

    def numbers(self, node: NodeProto, index: int, what: str) -> NDArray[Any]:
        """The constant at an input of a node as Fractions.

        Raises:
            ArtefactError: there is none, it is not finite, too large, or an irrational root.
        """
        try:
            return rationals(self.constant(node, index, what))
        except ValueError as error:
            raise refuse(node, f"{what}: {error}", "a number for each channel") from error

    def has_input(self, node: NodeProto, index: int) -> bool:
        """Whether an optional input of a node is there."""
        return index < len(node.input) and node.input[index] != ""

    def chain(self) -> tuple[list[NodeProto], list[NodeProto]]:
        """The nodes from input to output, and those that only compute shapes.

        Raises:
            ArtefactError: the graph branches or ends before its output.
        """
        measured: set[str] = set()  # tensors made of shapes alone
        shapes, data = [], []
        for node in self.nodes:
            free = [n for n in node.input if n and n not in self.constants]
            if node.op_type == "Shape" or all(name in measured for name in free):
                measured.update(node.output)
                shapes.append(node)
            else:
                data.append(node)
        users: dict[str, list[NodeProto]] = {}
        for node in data:
            for name in node.input:
                users.setdefault(name, []).append(node)
        tensor, found = self.input, []
        while tensor not in self.outputs:
            following = users.get(tensor, [])
            if len(following) != 1:
                names = [node.name for node in following]
                raise ArtefactError(
                    f"tensor {tensor!r} is used by {len(following)} nodes {names}; supported: a "
                    f"plain chain of nodes, {self.input!r} to {self.outputs[0]!r}"
                )
            node = following[0]
            found.append(node)
            spare = [name for name in node.output[1:] if name in users]
            if spare or not node.output:
                raise refuse(node, f"more than its first output is used: {spare}", "one output")
            tensor = next((name for name in node.output if name in self.outputs), node.output[0])
        extra = [name for name in self.outputs if not found or name not in found[-1].output]
        if extra:
            raise ArtefactError(f"graph outputs {extra} are not of the last node; supported: one")
        if len(found) != len(data):
            way = {id(node) for node in found}
            left = next(node for node in data if id(node) not in way)
            raise refuse(left, "it is not on the way to the output", "a plain chain of nodes")
        return found, shapes


def read_model(path: Path) -> onnx.ModelProto:
    """An ONNX file as it is.

    Raises:
        ArtefactError: not there, or not ONNX.
    """
    with _named(path):
        data = _checked(path).read_bytes()
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
        for tensor in model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                tensor.raw_data = _beside(tensor, path)
                tensor.data_location = TensorProto.DEFAULT
                del tensor.external_data[:]
        return model


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Every refusal names the file."""
    try:
        yield
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {short(str(error))}") from error
    except DecodeError as error:
        raise ArtefactError(f"{path}: corrupt or not an ONNX file ({error})") from error
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from error


def _checked(path: Path) -> Path:
    """A file that protobuf may read.

    Raises:
        ArtefactError: not there, or it would fill the memory.
    """
    if not path.is_file():
        raise ArtefactError("no such file")
    if not path.stat().st_size:
        raise ArtefactError("corrupt or not an ONNX file (it is empty)")
    with _mapped(path) as data:
        if is_inflating(data, onnx.ModelProto.DESCRIPTOR):
            raise ArtefactError(
                "corrupt: it states so many messages or integers that they would take more than "
                "twice as much memory; supported: weights as raw data"
            )
    return path


@contextmanager
def _mapped(path: Path) -> Iterator[mmap]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        yield data


def _stored_at(path: Path, data: mmap, begin: int, end: int) -> tuple[str, NDArray[Any]]:
    """Name and value of a tensor that stands between two bytes of a file, data held once."""
    rest, places = apart(data, (_RAW_DATA,), begin, end)
    tensor = TensorProto.FromString(rest)
    raw = None
    if tensor.data_location == TensorProto.EXTERNAL:
        raw = _beside(tensor, path)
        tensor.data_location = TensorProto.DEFAULT
    elif places:
        begin, end = places[-1]
        with path.open("rb") as file:
            file.seek(begin)
            raw = file.read(end - begin)
    return tensor.name, folding.array(tensor, raw)


def _beside(tensor: TensorProto, path: Path) -> bytes:
    """The data of a tensor, from the file beside the model that it names."""
    has = {entry.key: entry.value for entry in tensor.external_data}
    folder = path.parent.resolve()
    beside = (folder / has.get("location", "")).resolve()
    name = f"initializer {tensor.name!r}"
    if not beside.is_relative_to(folder) or not beside.is_file():
        raise ArtefactError(f"{name} is in {has.get('location')!r}; no such file beside the model")
    try:
        offset = int(has.get("offset", 0))
        length = int(has.get("length", beside.stat().st_size - offset))
        needed = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if offset < 0 or length != needed or offset + length > beside.stat().st_size:
            raise ValueError(f"{needed} bytes are needed, not {length} at {offset}")
        with beside.open("rb") as file:
            file.seek(offset)
            data: bytes = file.read(length)
    except (ValueError, KeyError, OSError) as error:
        raise ArtefactError(f"{name} in {beside.name!r} cannot be read: {error}") from error
    return data


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The key-value pairs that a model carries."""
    return {entry.key: entry.value for entry in model.metadata_props}


def read_graph(path: Path) -> Graph:
    """The graph of an ONNX file, whose tensors are held once, and some of them folded.

    Raises:
        ArtefactError: as `read_model` and `parse`.
    """
    with _named(path), _mapped(_checked(path)) as data:
        rest, places = apart(data, (_GRAPH, _INITIALIZER))
        stored = (_stored_at(path, data, *place) for place in places)
        return _parse(onnx.ModelProto.FromString(rest), stored)


def parse(model: onnx.ModelProto) -> Graph:
    """The graph with its constants folded.

    Raises:
        ArtefactError: not one input and one output of float32, an unreadable tensor, a tensor made
            twice or used before it is made, or a constant expression that cannot be folded exactly.
    """
    tensors = model.graph.initializer
    return _parse(model, ((tensor.name, folding.array(tensor)) for tensor in tensors))


def _parse(model: onnx.ModelProto, stored: Iterable[tuple[str, Constant]]) -> Graph:
    graph, constants = model.graph, dict[str, Constant]()
    if not graph.node:
        raise ArtefactError("corrupt or not an ONNX file (it has no nodes)")
    _check_operations(model)
    if graph.sparse_initializer:
        raise ArtefactError("the graph has sparse initializers; supported: dense ones")
    for name, value in stored:
        if name in constants:
            raise ArtefactError(f"initializer {name!r} is stored twice; supported: once")
        constants[name] = value
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1 or not graph.output:
        raise ArtefactError(
            f"the graph has inputs {[i.name for i in inputs]} and outputs "
            f"{[o.name for o in graph.output]}; supported: one of each"
        )
    entry = inputs[0]
    if len(graph.node) > _MAX_NODES:
        raise ArtefactError(
            f"the graph has {len(graph.node)} nodes; supported: at most {_MAX_NODES}"
        )
    users = Counter(name for node in graph.node for name in node.input)
    known, nodes = {entry.name, *constants}, []
    for node in graph.node:
        names = [name for name in node.input if name]
        for name in names:
            if name not in known:
                raise refuse(node, f"{name!r} is used before it is made", "nodes in order")
        for name in filter(None, node.output):
            if name in known:
                raise refuse(node, f"{name!r} is made a second time", "tensors that are made once")
            known.add(name)
        if all(name in constants for name in names):
            if len(node.output) != 1:
                raise refuse(node, f"it has {len(node.output)} outputs", "one output")
            constants[node.output[0]] = folding.fold(node, [constants[name] for name in names])
            _release(node, constants, users)
        else:
            nodes.append(node)
    shape = _image_shape(entry)
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
        batch=max(1, entry.type.tensor_type.shape.dim[0].dim_value) if shape else 1,
        input_shape=shape,
        input_type=types.get(entry.name, _ELEMENTS[entry.type.tensor_type.elem_type]),
        outputs=tuple(output.name for output in graph.output),
        users=users,
        metadata=metadata(model),
    )


def _check_operations(model: onnx.ModelProto) -> None:
    """Operations must be those that their names say."""
    if model.functions:
        raise ArtefactError("the model has functions of its own; supported: inlined ones")
    versions = {opset.domain: opset.version for opset in model.opset_import}
    version, newest = versions.get("", versions.get("ai.onnx", 0)), onnx.defs.onnx_opset_version()
    if not _OLDEST <= version <= newest:
        raise ArtefactError(
            f"the graph is of opset {version} of ONNX; supported: {_OLDEST} to {newest}"
        )
    for node in model.graph.node:
        if node.domain not in _DOMAINS:
            raise refuse(node, f"its domain is {printable(node.domain)!r}", f"{_DOMAINS[1:]}")


def _release(node: NodeProto, constants: dict[str, Constant], users: Counter[str]) -> None:
    for name in node.input:
        users[name] -= 1
        if not users[name]:
            constants.pop(name, None)


def _image_shape(entry: onnx.ValueInfoProto) -> tuple[int, ...]:
    tensor = entry.type.tensor_type
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    if tensor.elem_type not in _ELEMENTS or len(shape) < 2 or min(shape[1:]) < 1:
        raise ArtefactError(
            f"graph input {entry.name!r} has element type {tensor.elem_type} and shape {shape}; "
            "supported: float32, uint8 or int8 (batch, n, ...), every dimension but the batch given"
        )
    return shape[1:]
