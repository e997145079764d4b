"""Large files that are wrong in one place: each must be one clear line, soon, in little memory.

`python -m stoic.export.hostile --json FILE` writes a dense network of 8 MB as Brevitas does, makes
it wrong in every way below, and reads each file. Memory is the growth of the process's resident set
at its highest, which Linux measures anew for each case; a MiB of it is the interpreter's. Keys of
the JSON object:

    rows                each case: case, file_bytes, seconds, memory_per_byte (growth less a MiB,
                        over the bytes of the file), line ("" for what is read as a network)
    n_cases, n_failures, slowest_s, greatest_memory_per_byte
    limit_s, limit_memory_per_byte, command, kit_version
"""

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..sim import container
from ..sim.entry import exit_with
from ..sim.exceptions import ArtefactError
from .builder import OPSET, Builder
from .lower import lower_file

LIMIT_S = 5.0
LIMIT_MEMORY = 2.0  # bytes for a byte of the file
_SPARE = 1 << 20  # bytes
_MMAP_THRESHOLD = -3  # of glibc's mallopt: larger blocks come from the system and go back to it
_SIZES = (784, 1024, 1024, 10)

Change = Callable[[onnx.ModelProto], object]  # in place; what it returns is of no interest


@dataclass(frozen=True)
class Row:
    """What became of a file; the keys are explained above."""

    case: str
    file_bytes: int
    seconds: float
    memory_per_byte: float
    line: str

    @property
    def is_right(self) -> bool:
        """Refused in one line that fits a screen, within the limits."""
        is_line = 0 < len(self.line) < 2000 and self.line.isprintable()
        return is_line and self.seconds < LIMIT_S and self.memory_per_byte <= LIMIT_MEMORY


def model() -> onnx.ModelProto:
    """Pixels / 255 to ten scores: float weights, their signs, batch norms, a scale behind them."""
    rng, graph = np.random.default_rng(1), Builder()
    one = graph.constant("one", np.array(1.0))
    lanes = graph.node("BipolarQuant", ["images", one], "signs0")
    for k, (n, m) in enumerate(zip(_SIZES, _SIZES[1:], strict=False), 1):
        rows = graph.constant(f"weights{k}", rng.normal(size=(n, m)))
        kept = graph.node("BipolarQuant", [rows, one], f"rows{k}")
        lanes = graph.node("MatMul", [lanes, kept], f"sums{k}")
        if k < len(_SIZES) - 1:
            norm = [graph.constant(f"bn{k}_{i}", abs(rng.normal(size=m)) + 0.1) for i in range(4)]
            lanes = graph.node("BatchNormalization", [lanes, *norm], f"normed{k}")
            lanes = graph.node("BipolarQuant", [lanes, one], f"signs{k}")
    graph.node("Mul", [lanes, graph.constant("tenth", np.array(0.1))], "scores")
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, _SIZES[0]])
    end = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, _SIZES[-1]])
    made = helper.make_graph(graph.nodes, "g", [entry], [end], graph.constants)
    return helper.make_model(made, opset_imports=OPSET, ir_version=9)


def _data(name: str, change: Callable[[Any], Any]) -> Change:
    def run(it: onnx.ModelProto) -> None:
        tensor = next(t for t in it.graph.initializer if t.name == name)
        value = change(numpy_helper.to_array(tensor).copy())
        tensor.CopyFrom(numpy_helper.from_array(value, name))

    return run


def _first(value: float) -> Callable[[Any], Any]:
    def run(array: Any) -> Any:
        array.flat[-1] = value
        return array

    return run


def _dims(name: str, *dims: int) -> Change:
    def run(it: onnx.ModelProto) -> None:
        tensor = next(t for t in it.graph.initializer if t.name == name)
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return run


def _input(*dims: int, kind: int = TensorProto.FLOAT) -> Change:
    def run(it: onnx.ModelProto) -> None:
        it.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", kind, dims))

    return run


def _op(name: str, op_type: str, **attributes: Any) -> Change:
    def run(it: onnx.ModelProto) -> None:
        node = next(n for n in it.graph.node if n.name == name)
        node.op_type = op_type
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())

    return run


def _wire(name: str, index: int, tensor: str) -> Change:
    def run(it: onnx.ModelProto) -> None:
        next(n for n in it.graph.node if n.name == name).input[index] = tensor

    return run


def _behind(n: int, op_type: str, *constants: str) -> Change:
    """So many more nodes at the end."""

    def run(it: onnx.ModelProto) -> None:
        tensor = "scores"
        for k in range(n):
            it.graph.node.append(helper.make_node(op_type, [tensor, *constants], [f"more{k}"]))
            tensor = f"more{k}"
        it.graph.output[0].name = tensor

    return run


def _varints(it: onnx.ModelProto) -> None:
    """A file of the same size whose integers take eight times as much."""
    del it.graph.initializer[1:]
    it.graph.initializer[0].CopyFrom(TensorProto(name="one", data_type=7, dims=[1 << 23]))
    it.graph.initializer[0].int64_data.extend(np.ones(1 << 23, np.int64))


def _domain(it: onnx.ModelProto) -> None:
    it.graph.node[-1].domain = "com.example"


def _segment(it: onnx.ModelProto) -> None:
    it.graph.initializer[1].segment.end = 9


def _in_another_file(location: str) -> Change:
    def run(it: onnx.ModelProto) -> None:
        tensor = it.graph.initializer[1]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return run


def _names(value: str) -> Change:
    def run(it: onnx.ModelProto) -> None:
        it.graph.node[-1].name, it.graph.node[-1].op_type = value, value

    return run


def _many(field: str, n: int) -> Change:
    def run(it: onnx.ModelProto) -> None:
        for _ in range(n):
            getattr(it.graph, field).add()

    return run


_CHANGES: dict[str, Change] = {
    "a weight is NaN": _data("weights3", _first(np.nan)),
    "a weight is infinite": _data("weights1", _first(np.inf)),
    "weights of strings": _data("weights2", lambda w: w.reshape(-1)[:9].astype(str).astype(object)),
    "weights of complex numbers": _data("weights3", lambda w: w.astype(np.complex64)),
    "weights in three dimensions": _data("weights2", lambda w: w[None]),
    "weights transposed": _data("weights1", lambda w: w.T.copy()),
    "a scale of 0": _data("one", _first(0)),
    "a variance below 0": _data("bn2_3", _first(-9)),
    "a mean that is NaN": _data("bn2_2", _first(np.nan)),
    "a gamma that is infinite": _data("bn1_0", _first(np.inf)),
    "a gamma too few": _data("bn2_0", lambda g: g[1:]),
    "scores times 0": _data("tenth", _first(0)),
    "a weight matrix of 2^62 elements": _dims("weights2", 1 << 31, 1 << 31),
    "a weight matrix of -1 rows": _dims("weights2", -1, 1024),
    "a weight matrix of no row": _dims("weights2", 0, 1024),
    "a weight matrix of 2^63 - 1 rows": _dims("weights2", (1 << 63) - 1),
    "an image of 2^40 elements": _input(1, 1 << 40),
    "an image of 2^24 elements": _input(1, 1 << 24),
    "an image of 0 elements": _input(1, 0),
    "an image of doubles": _input(1, 784, kind=TensorProto.DOUBLE),
    "an image without a batch": _input(784),
    "an operation that nobody knows": _op("sums3", "Frobnicate"),
    "an activation of two bits": _op("signs2", "Relu"),
    "a batch norm in training": _op("normed2", "BatchNormalization", training_mode=1),
    "an epsilon of -1e9": _op("normed1", "BatchNormalization", epsilon=-1e9),
    "a weight that is the image": _wire("sums3", 1, "images"),
    "a tensor that nobody makes": _wire("sums2", 0, "nothing"),
    "a tensor that is made later": _wire("sums1", 0, "signs2"),
    "a node of its own output": _wire("sums2", 0, "sums2"),
    "a branch": _wire("scores", 1, "sums2"),
    "no input": lambda it: it.graph.ClearField("input"),
    "no output": lambda it: it.graph.ClearField("output"),
    "no nodes": lambda it: it.graph.ClearField("node"),
    "no graph": lambda it: it.ClearField("graph"),
    "no weights": lambda it: it.graph.ClearField("initializer"),
    "an output that nobody makes": lambda it: setattr(it.graph.output[0], "name", "?"),
    "names of control characters": _names("a\x1b[31m\nb\u202e"),
    "a name of a megabyte": _names("n" * (1 << 20)),
    "data in a file that is not there": _in_another_file("nothing.bin"),
    "data outside of the folder": _in_another_file("../../../../etc/hostname"),
    "data in a device": _in_another_file("/dev/zero"),
    "data of the model itself": _in_another_file("case.onnx"),
    "5,000 softmaxes": _behind(5000, "Softmax"),
    "300 tenths": _behind(300, "Mul", "tenth"),
    "4,000 tenths": _behind(4000, "Mul", "tenth"),
    "an operation of another domain": _domain,
    "a model with functions": lambda it: it.functions.add(name="MatMul"),
    "no opset": lambda it: it.ClearField("opset_import"),
    "data in segments": _segment,
    "50,000 empty nodes": _many("node", 50_000),
    "300,000 empty tensors": _many("initializer", 300_000),
    "300,000 empty annotations": _many("quantization_annotation", 300_000),
    "sparse weights": _many("sparse_initializer", 1),
    "8 million integers of a byte": _varints,
    "weights stored twice": lambda it: it.graph.initializer.append(it.graph.initializer[1]),
}


def cases() -> Iterator[tuple[str, bytes]]:
    """What each file is, and its bytes."""
    whole = model().SerializeToString()
    n, rng = len(whole), np.random.default_rng(2)
    yield "empty", b""
    yield "zeros", bytes(n)
    yield "noise", rng.bytes(n)
    yield "text", b"not a network " * (n // 14)
    yield "twice", whole + whole
    for percent in (10, 50, 90):
        yield f"the first {percent} %", whole[: n * percent // 100]
    yield "all but the last byte", whole[:-1]
    yield "all but the first byte", whole[1:]
    for name, change in _CHANGES.items():
        it = onnx.ModelProto.FromString(whole)
        change(it)
        yield name, it.SerializeToString()


def measure(folder: Path, every: int = 1) -> Iterator[Row]:
    """Read every so-manieth case from a file, after the network as it is."""
    path = folder / "case.onnx"
    path.write_bytes(model().SerializeToString())
    lower_file(path)  # imports and caches are there now
    # what the reader holds is measured, not what glibc keeps for later
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 17)
    for name, data in islice(cases(), 0, None, every):
        size = len(data)
        path.write_bytes(data)
        del data
        yield _read(name, path, size)


def _read(name: str, path: Path, size: int) -> Row:
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest
    start, line = time.process_time(), ""
    try:
        lower_file(path)
    except ArtefactError as error:
        line = str(error)
    seconds = time.process_time() - start
    grown = max(0, _resident("VmHWM") - before - _SPARE)
    line = line.replace(str(path.parent), "")
    return Row(name, size, seconds, grown / max(1, size), line)


def _resident(key: str) -> int:
    """Bytes of this process that are in memory, as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key + ":"))


def main() -> int:
    """Read all cases and write the JSON file."""
    parser = argparse.ArgumentParser(description="large wrong files through the reader")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="one case of so many")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = list(measure(Path(folder), given.every))
    wrong = [row for row in rows if not row.is_right]
    result = {
        "n_cases": len(rows),
        "n_failures": len(wrong),
        "slowest_s": max(row.seconds for row in rows),
        "greatest_memory_per_byte": max(row.memory_per_byte for row in rows),
        "limit_s": LIMIT_S,
        "limit_memory_per_byte": LIMIT_MEMORY,
        "rows": [asdict(row) for row in rows],
        "command": " ".join(["python -m stoic.export.hostile", *sys.argv[1:]]),
        "kit_version": container.kit_version(),
    }
    container.write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}))
    for row in wrong:
        print(json.dumps(asdict(row)), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    exit_with(main)
