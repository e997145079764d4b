"""An integer network in the operations of FINN's front end, integers throughout.

    popcounts:  bits 0, 1 -> [Im2Col] -> XnorPopcountMatMul -> MultiThreshold -> [MaxPoolNHWC]
    products:   bits -1, +1 -> MatMul | Conv -> MultiThreshold -> [MaxPool]

The first is what FINN has after streamlining, channel-last, and what a second executor runs. The
second is what its builder is given: it makes the first by itself. Layers on uint8 are products with
weights +-1 in both. Thresholds are those of the network, so nothing is left to round.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..sim.bits import unpack
from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, apply, check_for
from ..sim.layers import Conv, Layer
from ..sim.memory import layout_of
from ..sim.network import Network, require_one_chain
from .builder import OPSET, Builder
from .fault_nodes import read_constants
from .lower_state import kernels


def popcount_model(
    network: Network, faults: FaultMap | None = None, batch: int = 1
) -> onnx.ModelProto:
    """The graph of popcounts; its scores are those of the network.

    Faults in weights are nodes on the stored bits; thresholds are written as the memory reads them.

    Raises:
        InputError: an ensemble, a thermometer input, or a map of another network.
    """
    require_one_chain(network, "FINN's form")
    graph, types = Builder(), {"images": "UINT8"}
    is_bits = network.layers[0].input == "bits"
    if is_bits:
        types["images"] = "BINARY"
    if faults is not None:
        check_for(network, faults)
    layout = layout_of(network) if faults is None else faults.layout
    read = network if faults is None else apply(network, faults)
    first, lanes = network.layers[0], "images"
    if isinstance(first, Conv):
        lanes = graph.node("Transpose", [lanes], "image_maps", perm=[0, 2, 3, 1])
        types[lanes] = types["images"]
    for i, layer in enumerate(network.layers):
        pops = layer.input == "bits"
        weights = unpack(layer.weights, layer.n_inputs).astype(np.float32)
        name = graph.constant(f"{layer.name}_weights", (weights if pops else 2 * weights - 1).T)
        types[name] = "BINARY" if pops else "BIPOLAR"
        if faults is not None:
            a, b = read_constants(faults, layout.weight_cells(i))
            if pops:  # bits 0 and 1: a flip is 1 - bit, stuck at 0 is 0
                b = np.where(a == -1, np.float32(1), np.where(b > 0, np.float32(1), np.float32(0)))
            types[(name := graph.faulty(name, a.T, b.T))] = "BINARY" if pops else "BIPOLAR"
        if isinstance(layer, Conv):
            lanes = _windows(graph, layer, lanes, types)
        elif i and isinstance(network.layers[i - 1], Conv):
            lanes = graph.node("Flatten", [lanes], f"{layer.name}_lanes", axis=1)
            types[lanes] = "BINARY"
        op_type = "XnorPopcountMatMul" if pops else "MatMul"
        lanes = graph.node(op_type, [lanes, name], f"{layer.name}_sums")
        types[lanes] = "UINT32" if pops else "INT32"
        thresholds = read.layers[i].thresholds
        if thresholds is None:
            lanes = _products(graph, layer, lanes, types) if pops else lanes
        else:
            cuts = graph.constant(f"{layer.name}_thresholds", thresholds[:, None])
            types[cuts] = types[lanes]
            has: dict[str, Any] = {"out_dtype": "BINARY"}
            if isinstance(layer, Conv):
                has["data_layout"] = "NHWC"
            lanes = graph.node("MultiThreshold", [lanes, cuts], f"{layer.name}_bits", **has)
            types[lanes] = "BINARY"
        if isinstance(layer, Conv) and layer.pool is not None:
            k, stride = layer.pool.kernel, layer.pool.stride
            sizes = {"kernel_shape": [k, k], "strides": [stride, stride], "pads": [0] * 4}
            lanes = graph.node("MaxPoolNHWC", [lanes], f"{layer.name}_pooled", **sizes)
            types[lanes] = "BINARY"
    return _with_shapes(_model(network, graph, lanes, types, batch), network, batch)


def product_model(network: Network, batch: int = 1) -> onnx.ModelProto:
    """The graph of products, for FINN's builder; its scores are those of the network.

    Raises:
        InputError: an ensemble, a thermometer input, or padding around bits, which FINN fills
            with 0.
    """
    require_one_chain(network, "FINN's form")
    graph, types = Builder(), {"images": "UINT8"}
    if network.layers[0].input == "bits":
        types["images"] = "BIPOLAR"
    lanes = "images"
    for i, layer in enumerate(network.layers):
        weights = 2 * unpack(layer.weights, layer.n_inputs).astype(np.float32) - 1
        if isinstance(layer, Conv):
            if layer.window.pad and layer.input == "bits":
                raise InputError(
                    f"layer {layer.name!r} pads bits with -1; FINN pads with 0, so that it takes "
                    "only convolutions on bits without padding"
                )
            k, stride, pad = layer.window.kernel, layer.window.stride, layer.window.pad
            name = graph.constant(f"{layer.name}_weights", kernels(weights, layer.window))
            sizes = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [pad] * 4}
            sizes |= {"dilations": [1, 1]}
            lanes = graph.node("Conv", [lanes, name], f"{layer.name}_sums", group=1, **sizes)
        else:
            before = network.layers[i - 1] if i else None
            if isinstance(before, Conv):
                weights = _columns_first(weights, before)
                lanes = graph.node("Flatten", [lanes], f"{layer.name}_lanes", axis=1)
                types[lanes] = "BIPOLAR"
            name = graph.constant(f"{layer.name}_weights", weights.T)
            lanes = graph.node("MatMul", [lanes, name], f"{layer.name}_sums")
        types[name], types[lanes] = "BIPOLAR", "INT32"
        if layer.thresholds is None:
            continue
        cuts = layer.thresholds.astype(np.int64)
        cuts = cuts if layer.input == "uint8" else 2 * cuts - layer.n_inputs
        kept = graph.constant(f"{layer.name}_thresholds", cuts[:, None])
        has: dict[str, Any] = {
            "out_dtype": "BIPOLAR",
            "out_scale": 2.0,
            "out_bias": -1.0,
            "data_layout": "NCHW" if isinstance(layer, Conv) else "NC",
        }
        lanes = graph.node("MultiThreshold", [lanes, kept], f"{layer.name}_bits", **has)
        types[kept], types[lanes] = "INT32", "BIPOLAR"
        if isinstance(layer, Conv) and layer.pool is not None:
            k, stride = layer.pool.kernel, layer.pool.stride
            sizes = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [0] * 4}
            sizes |= {"dilations": [1, 1]}
            lanes = graph.node("MaxPool", [lanes], f"{layer.name}_pooled", ceil_mode=0, **sizes)
            types[lanes] = "BIPOLAR"
    return _model(network, graph, lanes, types, batch)


def _with_shapes(model: onnx.ModelProto, network: Network, batch: int) -> onnx.ModelProto:
    """The graph of popcounts with the shape of every tensor: its executors infer none of maps."""
    shapes: dict[str, list[int]] = {}
    for layer in network.layers:
        made: list[int] = [layer.n_outputs]
        if isinstance(layer, Conv):
            window = layer.window
            made = [window.rows, window.columns, layer.n_outputs]
            shapes["image_maps"] = shapes.get("image_maps") or [
                window.height,
                window.width,
                window.channels,
            ]
            shapes[f"{layer.name}_windows"] = [window.rows, window.columns, layer.n_inputs]
            shapes[f"{layer.name}_pooled"] = list(layer.out_shape)
        shapes[f"{layer.name}_lanes"] = [layer.n_inputs]
        for tensor in ("sums", "bits", "twice"):
            shapes[f"{layer.name}_{tensor}"] = made
    stored = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node[:]:
        tensor = node.output[0]
        shape = [batch, *shapes[tensor]] if tensor in shapes else stored.get(node.input[0])
        if shape is None or tensor == model.graph.output[0].name:
            continue
        stored[tensor] = shape  # of a fault node: what it reads
        value = helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape)
        model.graph.value_info.append(value)
    return model


def _columns_first(weights: NDArray[np.float32], before: Conv) -> NDArray[np.float32]:
    """Columns in the order of channel-first maps, which a graph flattens."""
    rows, columns, channels = before.out_shape
    maps = weights.reshape(len(weights), rows, columns, channels)
    return np.ascontiguousarray(maps.transpose(0, 3, 1, 2).reshape(len(weights), -1))


def _windows(graph: Builder, layer: Conv, lanes: str, types: dict[str, str]) -> str:
    window = layer.window
    shape = f"(1,{window.height},{window.width},{window.channels})"
    spread = graph.node(
        "Im2Col",
        [lanes],
        f"{layer.name}_windows",
        kernel_size=[window.kernel] * 2,
        stride=[window.stride] * 2,
        input_shape=shape,
        pad_amount=[window.pad] * 4,
        pad_value=0,
        dilations=[1, 1],
    )
    types[spread] = types[lanes]
    return spread


def _products(graph: Builder, layer: Layer, pops: str, types: dict[str, str]) -> str:
    """2 P - n of popcounts."""
    two = graph.constant(f"{layer.name}_two", np.array([2]))
    minus = graph.constant(f"{layer.name}_minus_n", np.array([-layer.n_inputs]))
    twice = graph.node("Mul", [pops, two], f"{layer.name}_twice")
    scores = graph.node("Add", [twice, minus], "scores")
    types.update({two: "UINT2", minus: "INT32", twice: "UINT32", scores: "INT32"})
    return scores


def _model(
    network: Network, graph: Builder, scores: str, types: dict[str, str], batch: int
) -> onnx.ModelProto:
    first = network.layers[0]
    image = [network.n_inputs]
    if isinstance(first, Conv):
        image = [first.window.channels, first.window.height, first.window.width]
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, *image])
    end = helper.make_tensor_value_info(scores, TensorProto.FLOAT, [batch, network.n_classes])
    made = helper.make_graph(graph.nodes, network.name, [entry], [end], graph.constants)
    for tensor, value in types.items():
        note = made.quantization_annotation.add(tensor_name=tensor)
        note.quant_parameter_tensor_names.add(key="finn_datatype", value=value)
    return helper.make_model(made, opset_imports=OPSET, ir_version=9, producer_name="stoic")
