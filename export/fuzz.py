"""Damaged graphs through the reader: each is a network or one clear line, soon, in little memory.

`python -m stoic.export.fuzz --seconds 600 --json FILE` damages small graphs of every kind that is
read (bytes, and the protobuf's own parts: shapes, types, names, attributes, data, nodes) and lowers
them. Anything but a network or an `ArtefactError` of one line is a failure, and so are a case that
takes longer than 10 s and memory without end. Keys of the JSON object:

    n_cases, n_networks, n_refused      what became of the cases
    n_messages                          different refusals met, numbers and names left out
    slowest_s, memory_growth_mib        of all cases; the latter is the growth of the process
    failures                            [case number, what happened]; run again with --seed, --only
    seconds, seeds, command, kit_version
"""

import argparse
import json
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from ..sim import container
from ..sim.entry import exit_with
from ..sim.exceptions import ArtefactError
from ..sim.layers import Input, Pool
from ..sim.random_network import random_conv_network, random_network
from .builder import OPSET, Builder
from .finn_form import popcount_model, product_model
from .folding import FOLDED
from .integer import integer_model
from .lower import OPERATIONS, lower_model

LIMIT_S = 10  # of one case
_ADDRESS_SPACE = 8 << 30  # bytes; a case that wants more fails with MemoryError
_SIZES = (0, 1, -1, 2, 3, 7, 255, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))
_VALUES = (0.0, -0.0, 1.0, -1.0, 0.1, float("nan"), float("inf"), 1e-45, 3.4e38)

Mutation = Callable[[onnx.ModelProto, random.Random], None]


@dataclass
class Fuzzed:
    """What was found; the keys are explained above."""

    n_cases: int = 0
    n_networks: int = 0
    n_refused: int = 0
    n_messages: int = 0
    slowest_s: float = 0.0
    memory_growth_mib: float = 0.0
    failures: list[list[Any]] = field(default_factory=list)


def corpus() -> list[bytes]:
    """Small graphs: dense and convolution, on bits, uint8 and floats, in every form."""
    rng, found = np.random.default_rng(0), [_foreign()]
    kinds: tuple[Input, ...] = ("bits", "uint8")
    for kind in kinds:
        dense = random_network((9, 6, 5, 3), kind, rng)
        convs = ((3, 2, 1, 0, Pool(2, 1)), (2, 2, 1, 0, None))
        for network in (dense, random_conv_network((6, 5, 2), convs, (3,), kind, rng)):
            found += [popcount_model(network), product_model(network), integer_model(network)]
            found.append(integer_model(network, standard=True))
    return [bytes(model.SerializeToString()) for model in found]


def _foreign() -> onnx.ModelProto:
    """What Brevitas writes, in small: quantised pixels, batch norms, a TensorNorm tail, TopK."""
    rng = np.random.default_rng(1)

    def some(*shape: int) -> NDArray[np.floating]:
        return rng.normal(size=shape)

    graph = Builder()
    constant = graph.constant
    one, half = constant("one", np.ones(1)), constant("half", np.array(0.5))
    quant = [constant(*pair) for pair in (("s", np.array(1 / 128)), ("z", np.zeros(())))]
    pixels = graph.node("Mul", ["images", constant("two", np.array(2.0))], "doubled")
    pixels = graph.node("Sub", [pixels, one], "centred")
    bits = constant("n_bits", np.array(8))
    has: dict[str, Any] = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    lanes = graph.node("Quant", [pixels, *quant, bits], "lanes", **has)
    kept = graph.node("BipolarQuant", [constant("w0", some(3, 2, 2, 2)), one], "w0_signs")
    lanes = graph.node("Conv", [lanes, kept], "sums", kernel_shape=[2, 2])
    norm = [constant(f"bn{k}", abs(some(3)) if k == 3 else some(3)) for k in range(4)]
    lanes = graph.node("BatchNormalization", [lanes, *norm], "normed", epsilon=1e-4)
    lanes = graph.node("BipolarQuant", [lanes, one], "signs")
    lanes = graph.node("MaxPool", [lanes], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    lanes = graph.node("Reshape", [lanes, graph.integers("shape", [1, -1])], "flat")
    kept = graph.node("BipolarQuant", [constant("w1", some(4, 12)), half], "w1_signs")
    bias = constant("bias", some(4))
    lanes = graph.node("Gemm", [lanes, kept, bias], "more", transB=1, alpha=0.5)
    lanes = graph.node("Mul", [lanes, constant("scales", some(4))], "scaled")
    lanes = graph.node("BipolarQuant", [lanes, half], "more_signs")
    kept = graph.node("BipolarQuant", [constant("w2", some(4, 3)), one], "w2_signs")
    lanes = graph.node("MatMul", [lanes, kept], "scores")
    root = graph.node("Pow", [constant("var", np.array([2.0])), half], "root")
    lanes = graph.node("Div", [graph.node("Sub", [lanes, one], "minus"), root], "over")
    k = graph.integers("k", [1])
    graph.node("TopK", [lanes, k], "best")
    graph.nodes[-1].output.append("classes")
    entry = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 2, 6, 5])
    end = onnx.helper.make_tensor_value_info("classes", onnx.TensorProto.INT64, [1, 1])
    made = onnx.helper.make_graph(graph.nodes, "g", [entry], [end], graph.constants)
    return onnx.helper.make_model(made, opset_imports=OPSET, ir_version=9)


def damaged(source: bytes, rng: random.Random) -> bytes:
    """One damaged graph."""
    if rng.random() < 0.3:
        return _bytes(source, rng)
    model = onnx.load_model_from_string(source)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            rng.choice(_MUTATIONS)(model, rng)
        except (IndexError, TypeError, ValueError):
            continue  # nothing there to damage
    return bytes(model.SerializeToString())


def _bytes(source: bytes, rng: random.Random) -> bytes:
    data = bytearray(source)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        where = rng.randrange(len(data))
        data[where] = rng.randrange(256)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    if rng.random() < 0.2:
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        data[a:b] = data[a:b] * rng.choice((0, 2, 3)) if b - a < 4096 else b""
    return bytes(data)


def _dims(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_SIZES)


def _input_shape(model: onnx.ModelProto, rng: random.Random) -> None:
    dims = rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.shape.dim
    if rng.random() < 0.2:
        dims.add().dim_value = rng.choice(_SIZES)
    else:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(_SIZES)


def _element_type(model: onnx.ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.5:
        rng.choice(model.graph.initializer).data_type = rng.randrange(25)
    else:
        model.graph.input[0].type.tensor_type.elem_type = rng.randrange(25)


def _data(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    value = numpy_helper.to_array(tensor).copy()
    flat = value.reshape(-1)
    for _ in range(rng.choice((1, 1, 3, len(flat)))):
        with np.errstate(invalid="ignore", over="ignore"):
            flat[rng.randrange(len(flat))] = np.array(rng.choice(_VALUES)).astype(value.dtype)
    if rng.random() < 0.3:
        value = rng.choice((value.reshape(-1), value[None], value.T, value.astype(np.float64)))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def _op_type(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice([*OPERATIONS, *FOLDED, "Relu", "If", "\n", ""])


def _attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    if node.attribute and rng.random() < 0.3:
        del node.attribute[rng.randrange(len(node.attribute))]
        return
    names = (
        "axis", "axes", "perm", "kernel_shape", "strides", "pads", "dilations", "group", "mode",
        "auto_pad", "alpha", "beta", "transA", "transB", "epsilon", "training_mode", "value", "to",
        "out_scale", "out_bias", "data_layout", "signed", "narrow", "rounding_mode", "kernel_size",
        "stride", "pad_amount", "pad_value", "largest", "ceil_mode", "allowzero",
    )  # fmt: skip
    value = rng.choice(
        (
            rng.choice(_SIZES),
            rng.choice(_VALUES),
            "text",
            [rng.choice(_SIZES) for _ in range(rng.randrange(1, 9))],
            [rng.choice(_VALUES) for _ in range(2)],
        )
    )
    name = rng.choice(names)
    for k, attribute in enumerate(node.attribute):
        if attribute.name == name:
            del node.attribute[k]
            break
    node.attribute.append(onnx.helper.make_attribute(name, value))


def _names(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    names = [name for n in model.graph.node for name in (*n.input, *n.output)]
    names += ["", "nothing", "line\nbreak", "\x00"]
    where = node.input if rng.random() < 0.7 else node.output
    if rng.random() < 0.2:
        where.append(rng.choice(names))
    elif rng.random() < 0.2:
        del where[rng.randrange(len(where))]
    else:
        where[rng.randrange(len(where))] = rng.choice(names)


def _nodes(model: onnx.ModelProto, rng: random.Random) -> None:
    nodes = model.graph.node
    k = rng.randrange(len(nodes))
    if rng.random() < 0.4:
        del nodes[k]
        return
    if rng.random() < 0.5:  # a step of arithmetic between two nodes
        tensor, made = nodes[k].output[0], f"{nodes[k].output[0]}_more"
        constant = rng.choice(model.graph.initializer).name
        op = rng.choice(("Mul", "Add", "Div", "Sub", "Pow", "Sqrt", "Neg", "Shape", "Reshape"))
        node = onnx.helper.make_node(
            op, [tensor, constant][: 1 + (op not in ("Sqrt", "Neg"))], [made]
        )
        for other in nodes:
            for i, name in enumerate(other.input):
                other.input[i] = made if name == tensor else name
        nodes.insert(k + 1, node)
        return
    copy = onnx.NodeProto()
    copy.CopyFrom(nodes[k])
    nodes.insert(rng.randrange(len(nodes)), copy)


def _annotation(model: onnx.ModelProto, rng: random.Random) -> None:
    notes = model.graph.quantization_annotation
    value = rng.choice(
        ("BIPOLAR", "BINARY", "UINT8", "INT8", "UINT2", "INT32", "FLOAT32", "", "\n")
    )
    if not notes:
        raise IndexError("no annotation")
    notes[0].quant_parameter_tensor_names[0].value = value


_MUTATIONS: tuple[Mutation, ...] = (
    _dims, _input_shape, _element_type, _data, _data, _op_type, _attribute, _attribute, _names,
    _nodes, _nodes, _annotation,
)  # fmt: skip


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"it takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def try_case(data: bytes) -> str:
    """ "" for a network, the line of a refusal.

    Raises:
        Exception: whatever else happens is a failure.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        return "not ONNX"
    try:
        lower_model(model, "fuzzed")
    except ArtefactError as error:
        line = str(error)
        if "\n" in line or not line.strip():
            raise RuntimeError(f"not one line: {line!r}") from error
        return line
    return ""


def fuzz(seconds: float, seed: int, n_cases: int | None = None, only: int | None = None) -> Fuzzed:
    """Damage and lower until the time is over, or so many cases."""
    sources, found, messages = corpus(), Fuzzed(), set()
    for source in sources:
        if try_case(source):
            raise RuntimeError("a graph of the corpus is refused as it is")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    numbers = iter(range(1 << 62)) if only is None else iter([only])
    for number in numbers:
        if time.monotonic() - start > seconds or (n_cases and found.n_cases >= n_cases):
            break
        rng = random.Random(f"{seed}:{number}")
        data = damaged(rng.choice(sources), rng)
        began = time.monotonic()
        try:
            with _alarm(LIMIT_S):
                line = try_case(data)
        except Exception as error:  # what the reader let through is what is looked for
            found.failures.append([number, f"{type(error).__name__}: {error}"[:300]])
            if only is not None:
                raise
        else:
            found.n_networks += not line
            found.n_refused += bool(line)
            messages.add(re.sub(r"'[^']*'|[0-9.]+|\[.*?\]|\(.*?\)", "", line)[:120])
        found.n_cases += 1
        found.slowest_s = max(found.slowest_s, time.monotonic() - began)
    found.n_messages = len(messages)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found.memory_growth_mib = grown / 1024
    return found


def main() -> int:
    """Fuzz and write the JSON file."""
    parser = argparse.ArgumentParser(description="damaged graphs through the reader")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=None)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    found = fuzz(given.seconds, given.seed, only=given.only)
    result = {
        **asdict(found),
        "seconds": given.seconds,
        "seeds": [given.seed],
        "command": " ".join(["python -m stoic.export.fuzz", *sys.argv[1:]]),
        "kit_version": container.kit_version(),
    }
    container.write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({k: v for k, v in result.items() if k != "failures"}))
    for number, what in found.failures[:20]:
        print(f"case {number}: {what}", file=sys.stderr)
    return 1 if found.failures else 0


if __name__ == "__main__":
    exit_with(main)
