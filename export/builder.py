"""Writing graphs: nodes and constants in order, each named after the tensor that it makes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from .fault_nodes import fault_nodes

QONNX = "qonnx.custom_op.general"
OPSET = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)]
_OF_QONNX = (
    "BipolarQuant",
    "Im2Col",
    "MaxPoolNHWC",
    "MultiThreshold",
    "Quant",
    "XnorPopcountMatMul",
)


class Builder:
    """Collects nodes and constants in order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Name of the tensor that a node makes."""
        domain = QONNX if op_type in _OF_QONNX else ""
        self.nodes.append(
            helper.make_node(op_type, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def constant(self, name: str, value: NDArray[np.number]) -> str:
        """Name of a float32 tensor."""
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def integers(self, name: str, values: list[int]) -> str:
        """Name of an int64 tensor."""
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def faulty(self, stored: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> str:
        """Name of the tensor that is read of a stored one, as `a * stored + b`."""
        nodes, constants = fault_nodes(stored, a, b)
        self.nodes.extend(nodes)
        self.constants.extend(constants)
        return str(nodes[-1].output[0])
