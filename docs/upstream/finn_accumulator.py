"""FINN declares XNOR accumulators that their popcount does not fit. Run with FINN on PYTHONPATH."""

import numpy as np
from finn.transformation.fpgadataflow.convert_to_hw_layers import (
    InferBinaryMatrixVectorActivation,
)
from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveUniqueNodeNames
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

QONNX = "qonnx.custom_op.general"

if __name__ == "__main__":
    for k in (9, 64, 128, 144):
        weights = (np.arange(k) % 2).astype(np.float32)[:, None]  # half of them are 1
        graph = helper.make_graph(
            [helper.make_node("XnorPopcountMatMul", ["x", "w"], ["y"], domain=QONNX)],
            "xnor",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, k])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
            [numpy_helper.from_array(weights, "w")],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)]
        model = ModelWrapper(helper.make_model(graph, opset_imports=opsets, ir_version=9))
        model.set_tensor_datatype("x", DataType["BINARY"])
        model.set_tensor_datatype("w", DataType["BINARY"])
        model = model.transform(InferShapes()).transform(InferDataTypes())
        found = execute_onnx(model, {"x": weights.T})["y"].max()  # inputs equal to the weights
        model = model.transform(InferBinaryMatrixVectorActivation())
        model = model.transform(SpecializeLayers("xc7z020clg400-1"))
        model = model.transform(GiveUniqueNodeNames()).transform(MinimizeAccumulatorWidth())
        unit = model.graph.node[0]
        declared = DataType[getCustomOp(unit).get_nodeattr("accDataType")]
        fits = "fits" if found <= declared.max() else "DOES NOT FIT"
        print(f"K={k}: {declared.name} holds at most {declared.max():g}; popcount {found:g} {fits}")
