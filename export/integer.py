"""An integer network as an ONNX graph without floats in its decisions, threshold memories included.

    stored weights +-1 -> [fault nodes] -> MatMul | Conv -> Sub(cut) -> sign -> [MaxPool]
    stored threshold bits +-1 -> [fault nodes] -> MatMul(place values) -> Add -> cut

The sign is BipolarQuant in QONNX and Sign in standard ONNX, which any runtime has.

Every number is a small multiple of one half, so float32 kernels cannot round, and the cut lies half
a step below the first sum that fires, so no sum is ever a tie.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..sim.bits import unpack
from ..sim.exceptions import InputError
from ..sim.faults import FaultMap, check_for
from ..sim.layers import UINT8_MAX, Conv, Layer
from ..sim.memory import Layout, layout_of, threshold_bits
from ..sim.network import Network
from .builder import OPSET, Builder
from .fault_nodes import read_constants
from .folding import EXACT_FLOAT32
from .lower_state import kernels


def integer_model(
    network: Network, faults: FaultMap | None = None, batch: int = 1, *, standard: bool = False
) -> onnx.ModelProto:
    """The graph of a network whose memories lie as the map says.

    Args:
        standard: write nothing but operations of standard ONNX.

    Raises:
        InputError: the map is of another network, or a sum could exceed what float32 holds exactly.
    """
    if faults is not None:
        check_for(network, faults)
    if len(network.members) > 1:
        raise InputError(
            f"the integer graph takes one member; {network.name!r} has {len(network.members)}"
        )
    layout = layout_of(network) if faults is None else faults.layout
    first = network.layers[0]
    reach = max(la.n_inputs * (UINT8_MAX if la.input == "uint8" else 1) for la in network.layers)
    if 4 * reach >= EXACT_FLOAT32:
        raise InputError(f"sums reach {reach}; float32 graphs are exact up to {EXACT_FLOAT32 // 4}")
    graph = Builder()
    lanes = "images" if not network.thermometer else _thermometer(graph, network, standard=standard)
    for i, layer in enumerate(network.layers):
        weights = 2 * unpack(layer.weights, layer.n_inputs).astype(np.float32) - 1
        cells = layout.weight_cells(i)
        if isinstance(layer, Conv):
            weights, cells = kernels(weights, layer.window), kernels(cells, layer.window)
        elif i and isinstance(network.layers[i - 1], Conv):
            lanes = graph.node("Transpose", [lanes], f"{layer.name}_maps", perm=[0, 2, 3, 1])
            lanes = graph.node("Flatten", [lanes], f"{layer.name}_lanes", axis=1)
        kept = _stored(graph, f"{layer.name}_weights", weights, faults, cells)
        if isinstance(layer, Conv):
            lanes = _convolve(graph, layer, lanes, kept)
        else:
            rows = graph.node("Transpose", [kept], f"{layer.name}_columns", perm=[1, 0])
            lanes = graph.node("MatMul", [lanes, rows], f"{layer.name}_sums")
        if layer.thresholds is not None:
            cut = _cut(graph, layer, i, layout, faults)
            above = graph.node("Sub", [lanes, cut], f"{layer.name}_above")
            lanes = _sign(graph, above, layer.name, standard=standard)
        if isinstance(layer, Conv) and layer.pool is not None:
            k, stride = layer.pool.kernel, layer.pool.stride
            sizes = {"kernel_shape": [k, k], "strides": [stride, stride]}
            lanes = graph.node("MaxPool", [lanes], f"{layer.name}_pooled", **sizes)
    image = [network.n_inputs]
    if isinstance(first, Conv):
        channels = first.window.channels // max(1, len(network.thermometer))
        image = [channels, first.window.height, first.window.width]
    shapes = (("images", [batch, *image]), (lanes, [batch, network.n_classes]))
    images, scores = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes)
    made = helper.make_graph(graph.nodes, network.name, [images], [scores], graph.constants)
    note = made.quantization_annotation.add(tensor_name="images")
    note.quant_parameter_tensor_names.add(
        key="finn_datatype", value="UINT8" if network.image_max > 1 else "BIPOLAR"
    )
    opset = OPSET[:1] if standard else OPSET
    return helper.make_model(made, opset_imports=opset, ir_version=9, producer_name="stoic")


def _thermometer(graph: Builder, network: Network, *, standard: bool) -> str:
    """Tensor of the signs that pixels have above each level, as the first layer reads them."""
    first, levels = network.layers[0], np.array(network.thermometer) - 0.5
    lanes = "images"
    if len(levels) > 1:  # the levels of a pixel are neighbours
        axes = graph.integers("level_axes", [2])
        lanes = graph.node("Unsqueeze", [lanes, axes], "pixels")
        levels = levels[:, None, None] if isinstance(first, Conv) else levels
    cuts = graph.constant("levels", levels)
    above = graph.node("Sub", [lanes, cuts], "above_levels")
    lanes = _sign(graph, above, "image", standard=standard)
    if len(levels) == 1:
        return lanes
    shape = [first.n_inputs]
    if isinstance(first, Conv):
        shape = [first.window.channels, first.window.height, first.window.width]
    return graph.node("Reshape", [lanes, graph.integers("lanes", [-1, *shape])], "image_lanes")


def _convolve(graph: Builder, layer: Conv, lanes: str, kept: str) -> str:
    """Tensor (batch, n_outputs, rows, columns) of sums, behind the padding of the layer."""
    k, stride, pad = layer.window.kernel, layer.window.stride, layer.window.pad
    if pad:
        pads = graph.integers(f"{layer.name}_pads", [0, 0, pad, pad] * 2)
        value = np.array(0.0 if layer.input == "uint8" else -1.0)
        padding = graph.constant(f"{layer.name}_padding", value)
        lanes = graph.node("Pad", [lanes, pads, padding], f"{layer.name}_padded", mode="constant")
    sizes = {"kernel_shape": [k, k], "strides": [stride, stride]}
    return graph.node("Conv", [lanes, kept], f"{layer.name}_sums", **sizes)


def _cut(graph: Builder, layer: Layer, index: int, layout: Layout, faults: FaultMap | None) -> str:
    """Tensor that sums are compared with: 2 theta - n - 1, or theta - 1/2.

    It is (n_outputs,), or (n_outputs, 1, 1) for the maps of a convolution.
    """
    n_bits = layout.shapes[index].threshold_bits
    bits = 2 * threshold_bits(layer, n_bits).astype(np.float32) - 1
    cells = layout.threshold_cells(index)
    kept = _stored(graph, f"{layer.name}_threshold_bits", bits, faults, cells)
    place = 2.0 ** np.arange(n_bits)  # a bit is (1 + its sign) / 2
    if layer.input == "uint8":
        place[-1] = -place[-1]
        place, shift = place / 2, place.sum() / 2 - 0.5
    else:
        shift = place.sum() - layer.n_inputs - 1
    weighted = graph.node(
        "MatMul", [kept, graph.constant(f"{layer.name}_places", place)], f"{layer.name}_weighted"
    )
    shifted = graph.constant(f"{layer.name}_shift", np.array([shift]))
    cut = graph.node("Add", [weighted, shifted], f"{layer.name}_cut")
    if not isinstance(layer, Conv):
        return cut
    axes = graph.integers(f"{layer.name}_cut_axes", [1, 2])
    return graph.node("Unsqueeze", [cut, axes], f"{layer.name}_cut_of_maps")


def _sign(graph: Builder, above: str, name: str, *, standard: bool) -> str:
    """Lanes of +-1: whether a tensor, which is never 0, is positive."""
    if standard:
        return graph.node("Sign", [above], f"{name}_bits")
    one = graph.constant(f"{name}_scale", np.ones(1))
    return graph.node("BipolarQuant", [above, one], f"{name}_bits")


def _stored(
    graph: Builder,
    name: str,
    signs: NDArray[np.float32],
    faults: FaultMap | None,
    cells: NDArray[np.int64],
) -> str:
    """Name of the +-1 tensor that is read when `signs` are stored in these cells."""
    graph.constant(name, signs)
    return name if faults is None else graph.faulty(name, *read_constants(faults, cells))
