"""Convolutions from graph to integers: exact mathematics, refusals, and every world the same."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stoic.export import lower_conv, lower_sign
from stoic.export.executors import OnnxDevice
from stoic.export.integer import integer_model
from stoic.export.lower import lower, lower_model
from stoic.export.qonnx import export_qonnx
from stoic.export.ties import disagreements
from stoic.hw.cli import run
from stoic.models.checkpoint import BatchNorm, Checkpoint, Layer, load_checkpoint, save_checkpoint
from stoic.models.data import Images, load
from stoic.models.frozen import TorchDevice, float_disagreements, integers
from stoic.models.recipe import load_recipe
from stoic.models.topology import ConvSize, layer_shapes
from stoic.models.train import fit
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim.agreement import agree, find_mutants, reference_scores, try_mutants
from stoic.sim.bits import pack, unpack
from stoic.sim.device import Device
from stoic.sim.engine import EngineDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError
from stoic.sim.layers import Conv, Input
from stoic.sim.memory import KINDS, Fold, layout_of
from stoic.sim.network import Network

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
Map = NDArray[Any]  # (channels, height, width) of integers or Decimals


# ---- a graph written by hand, and what it computes, node by node, in exact numbers ----


class Net:
    """Collects ONNX nodes, and runs each on one image as it is added, in 100 decimal digits."""

    def __init__(self, image: Map, kind: Input) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.image = image
        self.kind: Input = kind
        self.value, self.name = image, "images"
        self.turn = 1  # -1 where arithmetic has turned the order of what it was given

    def add(self, op: str, value: Map, *constants: Any, **attributes: Any) -> None:
        names = []
        for k, constant in enumerate(constants):
            names.append(f"c{len(self.nodes)}_{k}")
            self.constants.append(numpy_helper.from_array(np.asarray(constant), names[-1]))
        out, number = f"t{len(self.nodes)}", len(self.nodes)
        domain = "qonnx.custom_op.general" if op in ("BipolarQuant", "MultiThreshold") else ""
        self.nodes.append(
            helper.make_node(
                op, [self.name, *names], [out], name=f"{op}_{number}", domain=domain, **attributes
            )
        )
        self.name, self.value = out, value

    def pad(self, n: int, value: float) -> None:
        sides = np.array([0, 0, n, n] * 2)
        padded = _padded(self.value, n, _exact(value))
        self.add("Pad", padded, sides, np.float32(value), mode="constant")

    def conv(self, weights: NDArray[np.float32], stride: int, zeros: int = 0) -> None:
        x = _padded(self.value, zeros, Decimal(0))
        m, _, k, _ = weights.shape
        rows, columns = ((n - k) // stride + 1 for n in x.shape[1:])
        exact = np.vectorize(_exact, otypes=[object])(weights)
        out = np.empty((m, rows, columns), object)
        for j in range(m):
            for y in range(rows):
                for column in range(columns):
                    at = np.s_[
                        :, y * stride : y * stride + k, column * stride : column * stride + k
                    ]
                    out[j, y, column] = (x[at] * exact[j]).sum()
        sizes = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [zeros] * 4}
        self.add("Conv", out, weights, **sizes)

    def batch_norm(self, g: Any, b: Any, m: Any, v: Any) -> None:
        columns = [[_exact(a) for a in column] for column in (g, b, m, v)]
        out = np.empty(self.value.shape, object)
        for j, (gamma, beta, mean, var) in enumerate(zip(*columns, strict=True)):
            out[j] = gamma * (self.value[j] - mean) / var.sqrt() + beta  # powers of two
        self.add("BatchNormalization", out, g, b, m, v, epsilon=0.0)

    def sign(self, scale: float) -> None:
        unit = _exact(scale)
        fires = np.vectorize(lambda z: unit if z >= 0 else -unit, otypes=[object])(self.value)
        self.add("BipolarQuant", fires, np.float32(scale))

    def threshold(self, cuts: NDArray[np.float32], scale: float, bias: float) -> None:
        exact = np.vectorize(_exact, otypes=[object])(cuts)[:, :, None]
        fires = np.vectorize(int, otypes=[object])(self.value >= exact)
        value = fires * _exact(scale) + _exact(bias)
        sizes = {"out_scale": scale, "out_bias": bias, "out_dtype": "BIPOLAR"}
        self.add("MultiThreshold", value, cuts, **sizes)

    def arithmetic(self, op: str, constant: NDArray[np.float32]) -> None:
        """A product, sum or difference with a constant, on either side."""
        exact = np.vectorize(_exact, otypes=[object])(constant)
        if op in ("from", "Neg") or (op in ("Mul", "Div") and constant.reshape(-1)[0] < 0):
            self.turn = -self.turn
        if op == "from":
            self.add("Sub", exact - self.value, constant)
            self.nodes[-1].input[:] = list(self.nodes[-1].input)[::-1]
        elif op == "Neg":
            self.add("Neg", -self.value)
        else:
            function = {"Mul": np.multiply, "Add": np.add, "Sub": np.subtract, "Div": np.divide}[op]
            self.add(op, function(self.value, exact), constant)

    def pool(self, k: int, stride: int) -> None:
        rows, columns = ((n - k) // stride + 1 for n in self.value.shape[1:])
        out = np.empty((len(self.value), rows, columns), object)
        for y in range(rows):
            for column in range(columns):
                at = np.s_[:, y * stride : y * stride + k, column * stride : column * stride + k]
                out[:, y, column] = self.value[at].max(axis=(1, 2))
        self.add("MaxPool", out, kernel_shape=[k, k], strides=[stride] * 2)

    def model(self) -> onnx.ModelProto:
        entry, end = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in (
                ("images", (1, *self.image.shape)),
                (self.name, (1, *self.value.shape)),
            )
        )
        graph = helper.make_graph(self.nodes, "g", [entry], [end], self.constants)
        note = graph.quantization_annotation.add(tensor_name="images")
        kind = "UINT8" if self.kind == "uint8" else "BIPOLAR"
        note.quant_parameter_tensor_names.add(key="finn_datatype", value=kind)
        return helper.make_model(graph)


def _padded(x: Map, n: int, value: Decimal) -> Map:
    channels, height, width = x.shape
    padded = np.full((channels, height + 2 * n, width + 2 * n), value, object)
    padded[:, n : n + height, n : n + width] = x
    return padded


def _exact(value: Any) -> Decimal:
    return Decimal(float(value))


def _scales(rng: np.random.Generator, m: int, n: int, reach: float, *, signed: bool) -> Any:
    """Batch norms of positive, negative and zero scale; half of them tie at a reachable sum."""
    gamma = rng.normal(size=m).astype(np.float32)
    gamma[rng.random(m) < 0.1] = 0
    gamma = gamma if signed else abs(gamma)
    var = (4.0 ** rng.integers(0, 3, m)).astype(np.float32)
    mean = (2 * rng.integers(-n // 3, n // 3 + 1, m) + n % 2) * np.float32(reach)
    beta = (rng.normal(size=m) * (rng.random(m) < 0.5)).astype(np.float32)
    return gamma, beta, mean.astype(np.float32), var


def _arithmetic(draw: st.DrawFn, net: Net, rng: np.random.Generator, channels: int) -> None:
    """A few products and sums; divisors are powers of two, so that decimals stay exact."""
    for _ in range(draw(st.integers(0, 2))):
        op = draw(st.sampled_from(("Mul", "Div", "Add", "Sub", "from", "Neg")))
        shape = draw(st.sampled_from([(), (1, 1, 1), (channels, 1, 1)] if channels else [()]))
        signs = rng.choice([-1, 1], shape)
        value = signs * (2.0 ** rng.integers(-2, 3, shape))
        if op == "Mul":
            value = signs * rng.choice([0.1, 0.75, 3], shape)
        elif op in ("Add", "Sub", "from"):
            value = rng.choice([0.5, 1, -2, 0.1], shape)
        net.arithmetic(op, np.asarray(value, np.float32))


@st.composite
def nets(draw: st.DrawFn) -> tuple[Net, list[int] | None]:
    """A net that has run on an image, and its integer scores; None where it must be refused."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind: Input = draw(st.sampled_from(("bits", "uint8")))
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    pixels = rng.integers(0, 256, shape) if kind == "uint8" else rng.choice([-1, 1], shape)
    net = Net(np.vectorize(Decimal, otypes=[object])(pixels), kind)
    low: float = 0.0 if kind == "uint8" else -1.0  # what padding holds
    reach, refused = (60.0 if kind == "uint8" else 1.0), False
    n_layers, lane = draw(st.integers(1, 2)), 1.0
    for i in range(n_layers):
        channels, height, width = net.value.shape
        kernel = draw(st.integers(1, min(3, height, width)))
        stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, kernel - 1))
        zeros = draw(st.integers(0, pad)) if not low else 0
        if pad - zeros:
            net.pad(pad - zeros, low)
        m = draw(st.integers(1, 5))
        unit = draw(st.sampled_from((1.0, 0.25)))
        net.conv(
            (unit * rng.choice([-1, 1], (m, channels, kernel, kernel))).astype(np.float32),
            stride,
            zeros,
        )
        rows, columns = net.value.shape[1:]
        before = draw(st.booleans())
        if before:
            _arithmetic(draw, net, rng, m)
        where = draw(st.sampled_from(("nowhere", "norm", "signs") + ("sums",) * (not before)))
        k = draw(st.integers(1, min(3, rows, columns)))
        pool = k, draw(st.integers(1, 2))
        if where == "sums":
            net.pool(*pool)
        n = kernel * kernel * channels
        ending = draw(st.sampled_from(("norm", "constant", "nothing")))
        if ending == "norm":
            norm = _scales(rng, m, n, unit * reach, signed=draw(st.booleans()))
            refused |= where == "sums" and bool((norm[0] < 0).any())
            net.batch_norm(*norm)
        elif ending == "constant":
            shift = (rng.integers(-n, n + 1, (m, 1, 1)) * unit).astype(np.float32)
            moved = net.value + np.vectorize(_exact, otypes=[object])(shift)
            net.add("Add", moved, shift)
        if where == "norm":
            net.pool(*pool)
        elif where != "sums":
            _arithmetic(draw, net, rng, m)
        lane = draw(st.sampled_from((1.0, 0.5, -1.0, -0.25)))
        if draw(st.booleans()):
            net.sign(lane)
            offset = 0.0
        else:
            cuts = rng.choice([0, 1, -2, 0.1, unit], (draw(st.sampled_from((1, m))), 1))
            offset = draw(st.sampled_from((-lane, 0.0))) if i < n_layers - 1 else -lane
            net.threshold(cuts.astype(np.float32), 2 * lane, offset)
            offset += lane  # lanes are offset +- lane
        if where == "signs":
            net.pool(*pool)
            lane = abs(lane)  # the greatest of two values is an OR of the greater one
        if draw(st.booleans()):
            factor = rng.choice([-2.0, 0.5])
            net.arithmetic("Mul", np.asarray(factor, np.float32))
            offset, lane = offset * factor, lane * factor
            if i < n_layers - 1:
                shift = rng.choice([-1.0, 0.25])
                net.arithmetic("Add", np.asarray(shift, np.float32))
                offset += shift
        low, reach = offset - lane, abs(lane)
    order = draw(st.sampled_from(("flatten", "reshape", "transpose")))
    if order == "reshape":
        net.add("Reshape", net.value.ravel(), np.array([1, -1]))
    else:
        if order == "transpose":
            net.add("Transpose", net.value.transpose(1, 2, 0), perm=[0, 2, 3, 1])
        net.add("Flatten", net.value.ravel(), axis=1)
    unit = draw(st.sampled_from((1.0, 0.1)))
    weights = (unit * rng.choice([-1, 1], (net.value.size, 3))).astype(np.float32)
    columns = np.vectorize(_exact, otypes=[object])(weights)
    net.add("MatMul", net.value @ columns, weights)
    sums = net.value / _exact(abs(weights).max()) / _exact(lane)
    net.turn = 1 if lane > 0 else -1
    _arithmetic(draw, net, rng, 0)
    scores = [int(s) * net.turn for s in sums]
    assert scores.index(max(scores)) == list(net.value).index(max(net.value))
    return net, None if refused else scores


def channel_last(image: Map, kind: Input) -> NDArray[np.uint8]:
    values = np.asarray(image.transpose(1, 2, 0).reshape(1, -1), np.int64)
    return (values if kind == "uint8" else values > 0).astype(np.uint8)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_lowered_graph_decides_as_exact_mathematics(data: st.DataObject) -> None:
    with localcontext() as context:
        context.prec = 100
        net, scores = data.draw(nets())
    image = channel_last(net.image, net.kind)
    if scores is None:
        with pytest.raises(
            ArtefactError, match="MaxPool_.*scale behind it is negative.*AND.*supported: OR"
        ):
            lower_model(net.model(), "n")
        return
    network = lower_model(net.model(), "n").network
    assert golden.scores(network, image).tolist() == [scores]


# ---- mutants of lowering ----


def a_net() -> Net:
    """Two channels in, both signs of scale, padding, pooling of signs: all that can go wrong."""
    rng = np.random.default_rng(5)
    pixels = rng.choice([-1, 1], (2, 6, 7))
    net = Net(np.vectorize(Decimal, otypes=[object])(pixels), "bits")
    for m, pooled in ((9, True), (12, False)):
        net.pad(1, -1)
        shape = (m, len(net.value), 3, 3)
        net.conv(rng.choice([-1, 1], shape).astype(np.float32), 1)
        net.batch_norm(*_scales(rng, m, 9 * shape[1], 1, signed=True))
        net.sign(1)
        if pooled:
            net.pool(2, 2)
    net.add("Flatten", net.value.ravel(), axis=1)
    weights = rng.choice([-1, 1], (net.value.size, 40)).astype(np.float32)
    net.add("MatMul", net.value @ np.vectorize(_exact, otypes=[object])(weights), weights)
    return net


def _change(i: int, **changes: Callable[[Conv], object]) -> Callable[[Network], Network]:
    def mutate(network: Network) -> Network:
        layers = list(network.layers)
        conv = layers[i]
        assert isinstance(conv, Conv)
        layers[i] = replace(conv, **{k: f(conv) for k, f in changes.items()})  # type: ignore[arg-type]
        return replace(network, layers=tuple(layers))

    return mutate


def _lanes(permutation: tuple[int, ...]) -> Callable[[Conv], object]:
    def mutate(conv: Conv) -> object:
        bits = unpack(conv.weights, conv.n_inputs)
        rows = bits.reshape(-1, 3, 3, conv.window.channels).transpose(0, *permutation)
        return pack(rows.reshape(bits.shape))

    return mutate


MUTANTS: dict[str, Callable[[Network], Network]] = {
    "ky and kx swapped": _change(0, weights=_lanes((2, 1, 3))),
    "channel before window": _change(1, weights=_lanes((3, 1, 2))),
    "rows not negated": _change(
        0, weights=lambda conv: pack(unpack(conv.weights, conv.n_inputs) ^ conv.negated[:, None])
    ),
    "thresholds one up": _change(1, thresholds=lambda conv: _one_up(conv)),
}


def _one_up(conv: Conv) -> NDArray[np.int32]:
    assert conv.thresholds is not None
    return np.asarray(np.minimum(conv.thresholds + 1, conv.n_inputs + 1), np.int32)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_lowered_network_is_caught(name: str) -> None:
    net = a_net()
    network = lower_model(net.model(), "n").network
    image = channel_last(net.image, "bits")
    expected = [[int(v) for v in net.value]]
    assert any(layer.negated.any() for layer in network.layers)
    assert golden.scores(network, image).tolist() == expected
    assert golden.scores(MUTANTS[name](network), image).tolist() != expected


def test_maps_flattened_in_the_order_of_the_graph_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unchanged(height: int, width: int, channels: int) -> NDArray[np.int64]:
        return np.arange(height * width * channels).reshape(channels, height, width)

    net = a_net()
    for module in (lower_conv, lower_sign):
        monkeypatch.setattr(module, "channel_first", unchanged)
    monkeypatch.setattr("stoic.export.lower.image_order", lambda s: unchanged(s[1], s[2], s[0]))
    network = lower_model(net.model(), "n").network
    got = golden.scores(network, channel_last(net.image, "bits")).tolist()
    assert got != [[int(v) for v in net.value]]


# ---- refusals ----


def refused_net(build: Callable[[Net], None], kind: Input = "bits") -> onnx.ModelProto:
    image = np.full((2, 6, 6), Decimal(1), object)
    net = Net(image, kind)
    build(net)
    net.name = "nowhere"  # the output's shape is never asked for
    model = net.model()
    model.graph.output[0].name = model.graph.node[-1].output[0]
    return model


W = np.ones((3, 2, 3, 3), np.float32)
NONE: Map = np.zeros(0, object)


def _conv(weights: Any = W, **attributes: Any) -> Callable[[Net], None]:
    return lambda net: net.add("Conv", NONE, weights, **attributes)


def _pad(sides: list[int], *value: float, **attributes: Any) -> Callable[[Net], None]:
    values = [np.float32(v) for v in value]
    return lambda net: net.add("Pad", NONE, np.array(sides), *values, **attributes)


def _then(*builds: Callable[[Net], None]) -> Callable[[Net], None]:
    def build(net: Net) -> None:
        for part in builds:
            part(net)

    return build


def _node(op: str, *constants: Any, **attributes: Any) -> Callable[[Net], None]:
    return lambda net: net.add(op, NONE, *constants, **attributes)


SIGN = _node("BipolarQuant", np.float32(1))
POOL = _node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
ALL = [0, 0, 1, 1, 0, 0, 1, 1]
NEGATIVE = [np.array(v, np.float32) for v in ([1, -1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1])]

REFUSED: dict[str, tuple[Callable[[Net], None], str]] = {
    "zeros around bits": (
        _conv(pads=[1] * 4),
        "Conv_0.*pads 1 with 0, but a lane of bits.*supported: a Pad node of -1",
    ),
    "zeros around bits by a node": (_pad(ALL, 0.0), "Pad_0.*pads bits with 0.0; supported: -1.0"),
    "no value is zeros": (_pad(ALL), "Pad_0.*pads bits with 0.0"),
    "ones around bits": (_pad(ALL, 1.0), "Pad_0.*pads bits with 1.0"),
    "pads on two sides": (_pad([0, 0, 1, 1, 0, 0, 0, 0], -1.0), "Pad_0.*all four sides"),
    "mirrored pads": (_pad(ALL, -1.0, mode="reflect"), "Pad_0.*mode is 'reflect'"),
    "negative pads": (_pad([0, 0, -1, -1] * 2, -1.0), "Pad_0.*all four sides"),
    "pads behind which no Conv stands": (
        _then(_pad(ALL, -1.0), _node("Flatten", axis=1)),
        "Flatten_1.*padded",
    ),
    "more pads than kernel": (
        _then(_pad([0, 0, 3, 3] * 2, -1.0), _conv()),
        r"Conv_1.*pad must be 0\.\.2, not 3",
    ),
    "groups": (_conv(W[:, :2], group=2), "Conv_0.*2 groups"),
    "dilations": (_conv(dilations=[2, 2]), "Conv_0.*dilations"),
    "auto_pad": (_conv(auto_pad="SAME_UPPER"), "Conv_0.*auto_pad SAME_UPPER"),
    "oblong kernel": (_conv(W[:, :, :2]), "Conv_0.*square"),
    "oblong stride": (_conv(strides=[1, 2]), "Conv_0.*square"),
    "channels that do not fit": (_conv(W[:, :1]), "Conv_0.*do not fit a map"),
    "kernel wider than the map": (_conv(np.ones((1, 2, 7, 7), np.float32)), "Conv_0.*does not fit"),
    "weights that are not binary": (_conv(W * np.array([1, 1, 0.5], np.float32)), "Conv_0.*is 0.5"),
    "a transposed map": (
        _then(_node("Transpose", perm=[0, 1, 3, 2]), _conv()),
        "Conv_1.*not a map in the order of the image",
    ),
    "the batch transposed": (_node("Transpose", perm=[1, 0, 2, 3]), "Transpose_0.*batch first"),
    "a flat input": (_then(_node("Flatten", axis=1), _conv()), "Conv_1.*not a map"),
    "a matrix on a map": (_node("MatMul", np.ones((6, 2), np.float32)), "MatMul_0.*do not fit"),
    "no sign between": (_then(_conv(), _conv()), "Conv_1.*'Conv_0' without a sign"),
    "pooled image": (POOL, "MaxPool_0.*one pool after a Conv"),
    "pooled twice": (_then(_conv(), SIGN, POOL, POOL), "MaxPool_3.*once"),
    "pooled before and behind": (_then(_conv(), POOL, SIGN, POOL), "MaxPool_3.*once"),
    "pool with pads": (
        _then(_conv(), SIGN, _node("MaxPool", kernel_shape=[2, 2], pads=[1] * 4)),
        "MaxPool_2.*pads",
    ),
    "pool with ceil_mode": (
        _then(_conv(), SIGN, _node("MaxPool", kernel_shape=[2, 2], ceil_mode=1)),
        "MaxPool_2.*ceil_mode",
    ),
    "pool wider than the map": (
        _then(_conv(), SIGN, _node("MaxPool", kernel_shape=[5, 5])),
        "MaxPool_2.*does not fit",
    ),
    "sums pooled wider than the map": (
        _then(_conv(), _node("MaxPool", kernel_shape=[5, 5]), SIGN),
        "BipolarQuant_2.*does not fit",
    ),
    "sums of a negative scale pooled": (
        _then(_conv(), POOL, _node("BatchNormalization", *NEGATIVE), SIGN),
        "MaxPool_1.*channel 1, whose scale behind it is negative",
    ),
    "a constant across the width": (
        _then(_conv(), _node("Add", np.ones(3, np.float32))),
        r"Add_1.*constant is \(3,\)",
    ),
    "scores of a convolution": (_conv(), "comes from a convolution"),
    "a shape that does not fit": (_node("Reshape", np.array([1, 5, -1])), "Reshape_0.*shape is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_line_that_names_the_node(case: str) -> None:
    build, line = REFUSED[case]
    with pytest.raises(ArtefactError, match=line) as error:
        lower_model(refused_net(build), "n")
    assert "\n" not in str(error.value)


def test_pads_of_pixels_are_zeros() -> None:
    scores = _node("MatMul", np.ones((108, 2), np.float32))
    for first in (_conv(pads=[1] * 4), _then(_pad(ALL, 0.0), _conv())):
        model = refused_net(_then(first, SIGN, _node("Flatten", axis=1), scores), "uint8")
        conv = lower_model(model, "n").network.layers[0]
        assert isinstance(conv, Conv) and conv.window.pad == 1
    with pytest.raises(ArtefactError, match="Pad_0.*pads uint8 with -1.0; supported: 0"):
        lower_model(refused_net(_pad(ALL, -1.0), "uint8"), "n")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "net.onnx"
    convs = (ConvSize(2, 2, pad=1, pool=2), ConvSize(2, 2))
    export_qonnx(random_checkpoint(0, (3, 3, 2), convs, (2,), "bits"), path)
    return path


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_is_still_a_network(data: st.DataObject, small: Path) -> None:
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = small.parent / "damaged.onnx"
    path.write_bytes(content[: data.draw(st.integers(0, 4 * len(content)))])
    try:
        assert isinstance(lower(path), Network)
    except ArtefactError as error:
        assert "\n" not in str(error)


def test_an_image_too_large_is_refused() -> None:
    model = refused_net(_conv())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40
    with pytest.raises(ArtefactError, match="at most 8421504 elements an image"):
        lower_model(model, "n")


# ---- a trained network and an odd one, through every world ----


def random_checkpoint(
    seed: int,
    image: tuple[int, ...],
    convs: tuple[ConvSize, ...],
    sizes: tuple[int, ...],
    kind: Input,
) -> Checkpoint:
    """Random bits; batch norms of both signs of scale."""
    rng = np.random.default_rng(seed)
    shapes = layer_shapes(image, convs, sizes)
    layers = []
    for i, shape in enumerate(shapes):
        n, m = shape.n_inputs, shape.n_outputs
        norm = None
        if i < len(shapes) - 1:
            spread = n**0.5 * (147 if kind == "uint8" and i == 0 else 1)
            columns = (
                rng.normal(size=m),
                rng.normal(size=m),
                rng.normal(size=m) * spread,
                rng.random(m) * spread**2,
            )
            gamma, beta, mean, var = (column.astype(np.float32) for column in columns)
            norm = BatchNorm(gamma, beta, mean, var, 1e-5)
        weights = pack(rng.integers(0, 2, (m, n)))
        layers.append(Layer(f"l{i}", n, weights, norm, shape.window, shape.pool))
    return Checkpoint("random", kind, tuple(layers))


@pytest.fixture(scope="module")
def vgg3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a VGG3 of full size, trained for a moment."""
    folder = tmp_path_factory.mktemp("vgg3")
    training = load("fashion-mnist", "train", ROOT)
    part = Images(training.images[:256], training.labels[:256])
    recipe = replace(load_recipe("fashion-vgg3"), name="net", epochs=1, n_calibrations=4)
    fit(recipe, 1, part, Images(part.images[:100], part.labels[:100]), folder)
    return folder


def check_every_world(
    folder: Path, images: NDArray[np.uint8], folds: tuple[Fold, ...], devices: list[Device]
) -> None:
    """All devices equal golden under every map, and notice every mutant, injected as faults."""
    checkpoint = load_checkpoint(folder / "net.ckpt")
    export_qonnx(checkpoint, folder / "net.onnx")
    network = lower(folder / "net.onnx")
    assert network.sha256 == integers(checkpoint).sha256
    layout = layout_of(network, folds)
    maps = [None, Iid(0.02, 0.05).sample(layout, 1), Iid(0.03, 0.01).sample(layout, 2, KINDS)]
    reference = reference_scores(network, maps, images)
    assert (reference[0] != reference[1]).any() and (reference[0] != reference[2]).any()
    mutants = find_mutants(network, maps[1], images)
    assert [mutant.kind for mutant in mutants] == ["threshold", "weight", "dropped fault"]
    for device in devices:
        rows = agree(reference, device, network, maps, images)
        assert [row.n_mismatches for row in rows] == [0, 0, 0], device.name
        trials = try_mutants(mutants, device, network, images, layout)
        assert all(trial.is_caught and not trial.n_unexpected for trial in trials), trials


def test_a_vgg3_gives_the_same_scores_in_every_world(vgg3: Path) -> None:
    images = load("fashion-mnist", "test", ROOT).images[:16]
    folds = Fold(8, 9), Fold(16, 36), Fold(4, 64), Fold(1, 64)
    check_every_world(vgg3, images, folds, [TorchDevice(vgg3 / "net.ckpt"), EngineDevice()])
    network = lower(vgg3 / "net.onnx")
    faults = Iid(0.02, 0.05).sample(layout_of(network, folds), 1)
    device = OnnxDevice(vgg3 / "net.onnx")
    (row,) = agree(reference_scores(network, [faults], images), device, network, [faults], images)
    assert not row.n_mismatches
    found = float_disagreements(load_checkpoint(vgg3 / "net.ckpt"), images)
    decisions = [16 * 784 * 64, 16 * 196 * 64, 16 * 2048]
    assert [layer.n_decisions for layer in found.layers] == decisions


@pytest.mark.parametrize("kind", ["bits", "uint8"])
def test_an_odd_network_gives_the_same_scores_in_every_world(kind: Input, tmp_path: Path) -> None:
    convs = (ConvSize(7, 3, 2, 1), ConvSize(9, 2, 1, 1, 3, 1), ConvSize(5, 1))
    checkpoint = random_checkpoint(4, (11, 8, 3), convs, (13, 4), kind)
    save_checkpoint(checkpoint, tmp_path / "net.ckpt")
    high = 256 if kind == "uint8" else 2
    images = np.random.default_rng(0).integers(0, high, (24, 264), dtype=np.uint8)
    folds = (Fold(3, 5), Fold(2, 7), Fold(5, 9), Fold(4, 8), Fold(3, 13))
    file, ckpt = tmp_path / "net.onnx", tmp_path / "net.ckpt"
    devices: list[Device] = [
        TorchDevice(),
        TorchDevice(ckpt),
        OnnxDevice(),
        OnnxDevice(file),
        EngineDevice(),
    ]
    check_every_world(tmp_path, images, folds, devices)
    network = lower(file)
    assert lower_model(integer_model(network), "n").network.sha256 == network.sha256
    faults = Iid(0.02, 0.05).sample(layout_of(network, folds), 1)
    export_qonnx(checkpoint, tmp_path / "faulty.onnx", faults)
    faulty = fault_maps.apply(network, faults)
    assert lower(tmp_path / "faulty.onnx").sha256 == faulty.sha256 != network.sha256
    assert any(layer.negated.any() for layer in network.layers if isinstance(layer, Conv))
    assert disagreements(file) == []


@pytest.mark.parametrize(
    ("name", "image", "n_bits"),
    [
        ("fashion-vgg3", (28, 28), 6_480_448),
        ("cifar-vgg7", (32, 32, 3), 12_973_440),
        ("cifar-cnv", (32, 32, 3), 1_542_848),
    ],
)
def test_the_published_topologies_have_their_weight_bits(
    name: str, image: tuple[int, ...], n_bits: int
) -> None:
    recipe = load_recipe(name)
    shapes = layer_shapes(image, recipe.convs, (*recipe.hidden, 10))
    assert sum(shape.n_inputs * shape.n_outputs for shape in shapes) == n_bits


def test_commands_take_a_convolution_all_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = random_checkpoint(
        6, (28, 28), (ConvSize(6, pad=1, pool=2), ConvSize(8, stride=2)), (9, 10), "uint8"
    )
    save_checkpoint(checkpoint, tmp_path / "net.ckpt")

    def stoic(*arguments: object) -> dict[str, Any]:
        assert run([*map(str, arguments), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    stoic("export", tmp_path / "net.ckpt", "--images", tmp_path / "images")
    net = tmp_path / "net.stoic"
    assert [layer["kind"] for layer in stoic("show", net)["layers"]] == [
        "conv",
        "conv",
        "dense",
        "scores",
    ]
    faults = tmp_path / "chip.faults"
    stoic("faults", "sample", net, "--p01", 0.05, "--p10", 0.05, "-o", faults)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (30, 784), np.uint8))
    scores = []
    for device in ("golden", "engine", "torch", "onnx"):
        out = tmp_path / f"{device}.npy"
        command = ["infer", net, "--input", tmp_path / "x.npy", "--device", device]
        stoic(*command, "--faults", faults, "-o", out)
        scores.append(np.load(out).tolist())
    assert scores[1:] == scores[:1] * 3
