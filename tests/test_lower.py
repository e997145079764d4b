"""Lowering: the integer network decides as exact mathematics on the file's floats, or refuses."""

import contextlib
import io
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from brevitas.export import export_qonnx as brevitas_export
from brevitas.nn.quant_activation import QuantIdentity
from brevitas.nn.quant_linear import QuantLinear
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from stoic.export.fault_nodes import with_faults
from stoic.export.integer import integer_model
from stoic.export.lower import lower, lower_model
from stoic.export.qonnx import export_qonnx, qonnx_model, to_bytes
from stoic.models.checkpoint import BatchNorm, Checkpoint, Layer
from stoic.sim import faults as fault_maps
from stoic.sim.bits import pack, unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.layers import Dense, Input
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network

GRID = [(i, n) for i in ("bits", "uint8") for n in (1, 7, 63, 64, 65, 100)]


def norm_of_every_kind(rng: np.random.Generator, m: int, n: int, reach: float) -> BatchNorm:
    """Positive, negative and zero scales; integer means with beta 0, and squares, that tie."""
    gamma = rng.normal(size=m)
    beta, mean = rng.normal(size=m), rng.normal(size=m) * reach / 2
    var = rng.uniform(0.1, 2, m) * reach**2
    kind = np.arange(m) % 4
    mean[kind == 1], beta[kind == 1] = (
        (2 * rng.integers(-n // 2, n // 2 + 1, m) + n % 2)[kind == 1],
        0,
    )
    gamma[kind == 2] *= np.array([0, -1, 1])[np.arange((kind == 2).sum()) % 3]
    square = kind == 3  # gamma (s - mean) / k + 2 gamma = 0 at s = mean - 2 k
    var[square], mean[square] = (rng.integers(1, 4, m) ** 2)[square], n % 2
    scale = gamma.astype(np.float32)
    beta[square] = 2 * scale[square]
    eps = (0.0, float(np.float32(1e-5)))[rng.integers(2)]
    return BatchNorm(
        scale, beta.astype(np.float32), mean.astype(np.float32), var.astype(np.float32), eps=eps
    )


def random_checkpoint(seed: int, sizes: tuple[int, ...], lanes: Any) -> Checkpoint:
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        reach = (128 if lanes == "uint8" and i == 0 else 1) * n**0.5
        norm = None if i == len(sizes) - 2 else norm_of_every_kind(rng, m, n, reach)
        layers.append(Layer(f"dense{i}", n, pack(rng.integers(0, 2, (m, n))), norm))
    return Checkpoint("random", lanes, tuple(layers))


def exact_signs(
    norm: BatchNorm, j: int, sums: np.ndarray, unit: Decimal = Decimal(1)
) -> tuple[np.ndarray, bool]:
    """Whether neuron j fires at each sum, and whether one is a tie, in 300 decimal digits.

    Written apart from the kit: float32 values are finite decimals, and a root that is not exact in
    300 digits is irrational, so no sum of it with a rational is 0.
    """
    with localcontext() as context:
        context.prec = 300
        g, b, m, v = (Decimal(float(getattr(norm, k)[j])) for k in ("gamma", "beta", "mean", "var"))
        shift = b * (v + Decimal(norm.eps)).sqrt()
        values = [g * (unit * int(s) - m) + shift for s in sums]
    return np.array([value >= 0 for value in values]), any(value == 0 for value in values)


@pytest.mark.parametrize(("lanes", "n"), GRID)
def test_decides_as_exact_mathematics_at_every_reachable_sum(lanes: Any, n: int) -> None:
    m = 6 if lanes == "uint8" else 24
    checkpoint = random_checkpoint(n, (n, m, 3), lanes)
    network = lower_model(qonnx_model(checkpoint), "n").network
    dense, norm = network.layers[0], checkpoint.layers[0].norm
    assert norm is not None and dense.thresholds is not None
    assert (dense.negated == (norm.gamma < 0)).all()
    before = unpack(checkpoint.layers[0].weights, n)
    assert (unpack(dense.weights, n) == (before ^ dense.negated[:, None])).all()
    sums = np.arange(-255 * n, 255 * n + 1) if lanes == "uint8" else np.arange(-n, n + 1, 2)
    tied = []
    for j in range(m):
        fires, is_tie = exact_signs(norm, j, sums)
        stored = -sums if dense.negated[j] else sums
        compared = stored if lanes == "uint8" else (stored + n) // 2
        assert ((compared >= dense.thresholds[j]) == fires).all(), j
        # its neighbours decide differently unless the neuron is constant: a mutant is seen
        if 0 < fires.sum() < len(fires):
            assert ((compared >= dense.thresholds[j] + 1) != fires).sum() == 1
        tied += [j] * is_tie
    notes = network.notes["layers"][0]
    assert [j for j, _ in notes["ties"]] == tied
    assert network.notes["n_ties"] == len(tied) and tied
    for j, at in notes["ties"]:
        if norm.gamma[j]:
            only, _ = exact_signs(norm, j, np.array([at, at - np.sign(norm.gamma[j])]))
            assert only.tolist() == [True, False]


@pytest.mark.parametrize("lanes", ["bits", "uint8"])
@pytest.mark.parametrize("rates", [(0.05, 0.05), (0.08, 0.01)])
def test_a_faulted_file_lowers_to_the_faulted_network(
    lanes: Any, rates: tuple[float, float], tmp_path: Path
) -> None:
    checkpoint = random_checkpoint(3, (65, 20, 12, 4), lanes)
    export_qonnx(checkpoint, tmp_path / "clean.onnx")
    clean = lower(tmp_path / "clean.onnx")
    assert any(layer.negated.any() for layer in clean.layers)
    layout = layout_of(clean, (Fold(3, 16), Fold(5, 7), Fold(1, 64)))
    faults = Iid(*rates).sample(layout, chip=1)
    export_qonnx(checkpoint, tmp_path / "faulty.onnx", faults)
    expected = fault_maps.apply(clean, faults)
    assert lower(tmp_path / "faulty.onnx").sha256 == expected.sha256 != clean.sha256
    # without one of its fault nodes the file is another network
    model = onnx.load(tmp_path / "faulty.onnx")
    node = next(n for n in model.graph.node if n.name.endswith("_fault_offset"))
    node.op_type, node.input[1] = "Identity", ""
    del node.input[1]
    if rates[0] == rates[1]:
        node = next(n for n in model.graph.node if n.name.endswith("_fault_gain"))
        gain = next(t for t in model.graph.initializer if t.name == node.input[1])
        gain.CopyFrom(numpy_helper.from_array(np.ones(gain.dims, np.float32), gain.name))
        assert lower_model(model, "n").network.sha256 != expected.sha256
    else:  # what was stuck now reads 0, which is no binary weight
        with pytest.raises(ArtefactError, match="weight of neuron"):
            lower_model(model, "n")


def random_network(seed: int, lanes: Any, sizes: tuple[int, ...]) -> Network:
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        kind: Input = lanes if i == 0 else "bits"
        low, high = (-255 * n, 255 * n + 1) if kind == "uint8" else (0, n + 1)
        thresholds = rng.integers(low, high + 1, m, dtype=np.int32)
        last = i == len(sizes) - 2
        weights = pack(rng.integers(0, 2, (m, n)))
        clean = np.zeros(m, np.bool_)
        layers.append(Dense(f"d{i}", n, weights, None if last else thresholds, clean, kind))
    return Network("random", tuple(layers))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["bits", "uint8"]),
    st.lists(st.integers(1, 70), min_size=2, max_size=4),
)
def test_the_integer_graph_lowers_to_the_network_it_was_made_of_faults_in_thresholds_included(
    seed: int, lanes: Any, sizes: list[int]
) -> None:
    network = random_network(seed, lanes, tuple(sizes))
    assert lower_model(integer_model(network), "n").network.sha256 == network.sha256
    faults = Iid(0.1, 0.03, seed).sample(layout_of(network), 0, ("weights", "thresholds"))
    faulty = fault_maps.apply(network, faults)
    assert lower_model(integer_model(network, faults), "n").network.sha256 == faulty.sha256


def brevitas_sequence(scale: float, dynamo: bool) -> onnx.ModelProto:
    """What others write: signs of a float input, scaled hidden weights, a file not cleaned."""

    class Weight(SignedBinaryWeightPerTensorConst):
        scaling_const = scale

    class Unit(SignedBinaryWeightPerTensorConst):
        scaling_const = 1.0

    def sign() -> torch.nn.Module:
        return QuantIdentity(act_quant=SignedBinaryActPerTensorConst)

    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(9)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    net = torch.nn.Sequential(
        torch.nn.Flatten(),
        sign(),
        QuantLinear(12, 9, bias=False, weight_quant=Weight),
        norm,
        sign(),
        QuantLinear(9, 3, bias=False, weight_quant=Unit),
    )
    model: onnx.ModelProto = brevitas_export(  # type: ignore[no-untyped-call]
        net.eval(), args=torch.zeros(1, 3, 4), dynamo=dynamo
    )
    return model


def test_reads_raw_files_of_both_exporters_and_absorbs_a_scale_exactly() -> None:
    raw = brevitas_sequence(0.1, dynamo=False)
    network = lower_model(raw, "n").network
    assert [layer.input for layer in network.layers] == ["bits", "bits"]
    with contextlib.redirect_stdout(io.StringIO()):
        other = brevitas_sequence(0.1, dynamo=True)
    assert {n.op_type for n in other.graph.node} > {"Gemm", "Reshape"}
    assert lower_model(other, "n").network.sha256 == network.sha256
    norm = next(n for n in raw.graph.node if n.op_type == "BatchNormalization")
    values = {t.name: numpy_helper.to_array(t) for t in raw.graph.initializer}
    gamma, beta, mean, var = (values[name] for name in norm.input[1:])
    thresholds = network.layers[0].thresholds
    assert thresholds is not None
    sums = np.arange(-12, 13, 2)
    unit = Decimal(float(np.float32(0.1)))  # as the file stores it
    norm_of = BatchNorm(gamma, beta, mean, var, float(np.float32(1e-5)))
    for j in range(9):
        fires, _ = exact_signs(norm_of, j, sums, unit)
        stored = -sums if gamma[j] < 0 else sums
        assert (((stored + 12) // 2 >= thresholds[j]) == fires).all()


# ---- refusals: one line that names the node ----


def model_of(nodes: list[Any], constants: dict[str, Any], shape: Any = (1, 4)) -> onnx.ModelProto:
    images, scores = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
        for name, size in (("x", shape), ("y", (1, 2)))
    )
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [images], [scores], tensors)
    note = graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
    return helper.make_model(graph)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"the_{op}", **attributes)


ONES = np.ones((4, 2), np.float32)
WRONG = np.array([[1, 1], [1, -1], [1, 0.5], [1, 1]], np.float32)
TWO = np.array([1, 2], np.float32)
SQUARE = np.ones((2, 2), np.float32)
BN = {k: np.ones(2, np.float32) for k in "gbmv"}
HIDDEN = [
    node("MatMul", "x w", "s"),
    node("BatchNormalization", "s g b m v", "n"),
    node("BipolarQuant", "n one", "h", domain="qonnx.custom_op.general"),
    helper.make_node("MatMul", ["h", "w2"], ["y"], name="last"),
]
FULL = {"w": ONES, "w2": SQUARE, "one": np.float32(1), **BN}

REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "relu": (
        model_of([node("MatMul", "x w", "s"), node("Relu", "s", "y")], {"w": ONES}),
        "the_Relu.*not understood",
    ),
    "weights that are not binary": (
        model_of([node("MatMul", "x w", "y")], {"w": WRONG}),
        "the_MatMul.*neuron 1, input 2 is 0.5",
    ),
    "NaN weight": (
        model_of([node("MatMul", "x w", "y")], {"w": np.where(WRONG < 1, np.nan, WRONG)}),
        r"the_MatMul.*not finite at \[1, 1\]",
    ),
    "weights that do not fit": (
        model_of([node("MatMul", "x w", "y")], {"w": SQUARE}),
        "the_MatMul.*do not fit",
    ),
    "image that was not flattened": (
        model_of([node("MatMul", "x w", "y")], {"w": ONES}, (1, 1, 4)),
        "the_MatMul.*do not fit",
    ),
    "weights from outside": (model_of([node("MatMul", "x x", "y")], {}), "'x' is used by 2 nodes"),
    "NaN mean": (
        model_of(HIDDEN, FULL | {"m": np.array([0, np.nan], np.float32)}),
        r"the_BatchNormalization.*mean 'm' is not finite at \[1\]",
    ),
    "negative variance": (
        model_of(HIDDEN, FULL | {"v": np.array([1, -1], np.float32)}),
        r"the_BatchNormalization.*var \+ eps must be positive, not -0.99.* of neuron 1",
    ),
    "channels that do not fit": (
        model_of(HIDDEN, FULL | {k: np.ones(3, np.float32) for k in "gbmv"}),
        r"the_BatchNormalization.*shape \(3,\) for 2 neurons of 'the_MatMul'",
    ),
    "scale per channel": (
        model_of(HIDDEN, FULL | {"one": np.array([1, 2], np.float32)}),
        r"the_BipolarQuant.*scale is \[1.0, 2.0\].*supported: one scale",
    ),
    "scale of zero": (
        model_of(HIDDEN, FULL | {"one": np.float32(0)}),
        "the_BipolarQuant.*a scale that is not 0",
    ),
    "scores with an offset each": (
        model_of([node("MatMul", "x w", "s"), node("Add", "s b", "y")], {"w": ONES, "b": TWO}),
        r"the_Add.*offset of class 1 is worth \+1 sums beside that of class 0",
    ),
    "scores with a scale each": (
        model_of([node("MatMul", "x w", "y")], {"w": ONES * TWO}),
        "the_MatMul': the scale of the scores of class 1 is 2",
    ),
    "scores times zero": (
        model_of(
            [node("MatMul", "x w", "s"), node("Mul", "s c", "y")],
            {"w": ONES, "c": np.float32(0)},
        ),
        "the_Mul.*multiplied by 0",
    ),
    "sign at the end": (
        model_of(
            [node("MatMul", "x w", "s"), node("BipolarQuant", "s one", "y")],
            {"w": ONES, "one": np.float32(1)},
        ),
        "comes from a sign",
    ),
    "ONNX Sign at a tie": (
        model_of([node("MatMul", "x w", "s"), node("Sign", "s", "y")], {"w": ONES}),
        "the_Sign.*gives 0",
    ),
    "a branch": (
        model_of([node("MatMul", "x w", "s"), node("Add", "s s", "y")], {"w": ONES}),
        "'s' is used by 2 nodes",
    ),
    "a residual": (
        model_of(
            [node("MatMul", "x w", "s"), node("Relu", "s", "r"), node("Add", "s r", "y")],
            {"w": ONES},
        ),
        "'s' is used by 2 nodes.*plain chain",
    ),
    "nodes out of order": (
        model_of([node("Flatten", "z", "y"), node("MatMul", "x w", "z")], {"w": ONES}),
        "the_Flatten.*'z' is used before it is made",
    ),
    "a constant expression that cannot be exact": (
        model_of(
            [node("Pow", "v c", "r"), node("Add", "r c", "w2"), node("MatMul", "x w2", "y")],
            {"v": ONES * 2, "c": np.float32(0.5)},
        ),
        "the_Add.*square root that is not rational",
    ),
    "constants of too many bits": (
        model_of(
            [
                helper.make_node("Mul", [f"w{i}"] * 2, [f"w{i + 1}"], name=f"square{i}")
                for i in range(40)
            ]
            + [node("MatMul", "x w40", "y")],
            {"w0": ONES / 3},
        ),
        "square.*more than 4096 bits",
    ),
    "constants that blow up": (
        model_of(
            [node("Mul", "a b", "w"), node("MatMul", "x w", "y")],
            {"a": np.ones((9999, 1), np.float32), "b": np.ones((1, 9999), np.float32)},
        ),
        "the_Mul.*broadcast each other",
    ),
    "an attribute of the wrong type": (
        model_of([node("Flatten", "x", "f", axis="one"), node("MatMul", "f w", "y")], {"w": ONES}),
        "the_Flatten.*axis is one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_line_that_names_the_node(case: str, tmp_path: Path) -> None:
    model, line = REFUSED[case]
    path = tmp_path / "foreign.onnx"
    path.write_bytes(to_bytes(model))
    with pytest.raises(ArtefactError, match=line) as error:
        lower(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))


def test_the_hidden_layer_that_the_refusals_vary_is_accepted() -> None:
    assert lower_model(model_of(HIDDEN, FULL), "n").network.n_classes == 2


def test_refuses_a_float_input_and_external_data() -> None:
    model, _ = REFUSED["relu"]
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.quantization_annotation[:]
    with pytest.raises(ArtefactError, match=r"the_MatMul.*no integer type.*UINT8 or BIPOLAR"):
        lower_model(plain, "n")
    plain.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(ArtefactError, match="initializer 'w' cannot be read.*another file"):
        lower_model(plain, "n")


SMALL = to_bytes(qonnx_model(random_checkpoint(0, (3, 2, 2), "bits")))


@settings(max_examples=300, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 2 * len(SMALL)),
)
def test_a_damaged_file_is_refused_or_is_still_a_network(
    damage: list[tuple[int, int]], length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(SMALL)
    for place, value in damage:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(data[:length])
    try:
        assert isinstance(lower(path), Network)
    except ArtefactError as error:
        assert "\n" not in str(error)


def test_fault_nodes_refuse_thresholds_and_other_shapes() -> None:
    model = qonnx_model(random_checkpoint(0, (9, 5, 2), "bits"))
    network = lower_model(model, "n").network
    faults = Iid(0.5, 0.5).sample(layout_of(network), 0, ("thresholds",))
    with pytest.raises(InputError, match=r"\d+ faults are in threshold memories"):
        with_faults(model, faults)
    other = random_network(0, "bits", (8, 5, 2))
    with pytest.raises(InputError, match="not for the layer shapes"):
        with_faults(model, Iid(0.5, 0.5).sample(layout_of(other), 0))
