"""FINN skips the conversion of a fully binary QONNX. Run with FINN's sources on PYTHONPATH."""

import numpy as np
from finn.builder.build_dataflow_config import DataflowBuildConfig
from finn.builder.build_dataflow_steps import step_qonnx_to_finn, step_streamline, step_tidy_up
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper


def model() -> ModelWrapper:
    """x -> BipolarQuant -> MatMul -> BipolarQuant -> MatMul, as Brevitas writes it."""
    rng = np.random.default_rng(0)
    constants = {
        "one": np.ones(1, np.float32),
        "w0": rng.choice([-1, 1], (16, 8)).astype(np.float32),
        "w1": rng.choice([-1, 1], (8, 4)).astype(np.float32),
    }
    custom = {"domain": "qonnx.custom_op.general"}
    nodes = [
        helper.make_node("BipolarQuant", ["x", "one"], ["a"], **custom),
        helper.make_node("BipolarQuant", ["w0", "one"], ["v0"], **custom),
        helper.make_node("MatMul", ["a", "v0"], ["s"]),
        helper.make_node("BipolarQuant", ["s", "one"], ["b"], **custom),
        helper.make_node("BipolarQuant", ["w1", "one"], ["v1"], **custom),
        helper.make_node("MatMul", ["b", "v1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "binary",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 2)]
    return ModelWrapper(helper.make_model(graph, opset_imports=opsets, ir_version=9))


if __name__ == "__main__":
    config = DataflowBuildConfig(
        output_dir="/tmp/finn_binaryquant", synth_clk_period_ns=10, generate_outputs=[]
    )
    after = step_tidy_up(step_qonnx_to_finn(model(), config), config)
    left = [node.name for node in after.graph.node if node.op_type == "BipolarQuant"]
    print(f"BipolarQuant nodes left after step_qonnx_to_finn: {len(left)} of 4, expected 0")
    try:
        step_streamline(after, config)
        print("step_streamline passes")
    except Exception as error:  # what FINN raises is what is shown
        print(f"step_streamline: {type(error).__name__}: {error}")
