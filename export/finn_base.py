"""finn-base, the ancestor of qonnx, as a second executor of popcount graphs.

Its 0.0.3 was written for onnx 1.7 and numpy 1.19. What it misses in those of today is put back here
before it is imported: `onnx.mapping`, `np.asscalar`, and the names of Python's types in numpy. It
shares its name space `finn` with the FINN compiler, so the two never go into one interpreter.
"""

import os
import tempfile
import types
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..sim.exceptions import ToolError
from ..sim.faults import FaultMap
from ..sim.network import Network
from .builder import QONNX
from .executors import Floats, GraphDevice, Run
from .finn_form import popcount_model

_DOMAIN = "finn.custom_op.general"
_MISSING = (
    "finn-base is not here: `pip install --no-deps finn-base==0.0.3` under PIP_CONSTRAINT and "
    "PIP_BUILD_CONSTRAINT=constraints.txt, with a pip before 26.3 (later ones refuse its metadata, "
    "and so does uv)"
)


class FinnBaseDevice(GraphDevice):
    """Scores of the network's popcount graph by finn-base, one image at a time."""

    name = "finn-base"
    low_bit = 0

    def __init__(self) -> None:
        super().__init__()
        _execute()  # refused before anything is computed

    def graph_of(self, network: Network, faults: FaultMap | None) -> onnx.ModelProto:
        """The popcount graph, its operations under the names that they had in finn-base."""
        model = popcount_model(network, faults)
        for node in model.graph.node:
            if node.domain == QONNX:
                node.domain = _DOMAIN
        for opset in model.opset_import:
            if opset.domain == QONNX:
                opset.domain, opset.version = _DOMAIN, 1
        for tensor in model.graph.initializer:  # it asks for the shapes of these too
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(value)
        return model

    def batch_of(self, network: Network, n_images: int) -> int:
        """One: Im2Col's shapes are of one image."""
        return 1

    def runner(self, model: onnx.ModelProto, batch: int) -> Run:
        """Its `execute_onnx`."""
        wrapper, execute = _execute()
        copy = wrapper(model)
        entry, end = copy.graph.input[0].name, copy.graph.output[0].name

        def run(images: Floats) -> Floats:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.asarray(execute(copy, {entry: images})[end], np.float32)

        return run


def _execute() -> tuple[Any, Any]:
    """finn-base's graph and its executor.

    Raises:
        ToolError: it is not installed, or the FINN compiler stands in its place.
    """
    put_back()
    os.environ.setdefault("FINN_BUILD_DIR", tempfile.gettempdir())
    try:
        wrapper = import_module("finn.core.modelwrapper")
        executor = import_module("finn.core.onnx_exec")
    except ImportError as error:
        raise ToolError(f"{_MISSING} ({error})") from error
    return wrapper.ModelWrapper, executor.execute_onnx


def put_back() -> None:
    """What finn-base expects of onnx and numpy."""
    if not hasattr(onnx, "mapping"):
        to_numpy = {}
        for code in TensorProto.DataType.values():
            try:
                to_numpy[code] = helper.tensor_dtype_to_np_dtype(code)
            except KeyError:
                continue  # a type that numpy does not have
        mapping: Any = types.SimpleNamespace(
            TENSOR_TYPE_TO_NP_TYPE=to_numpy,
            NP_TYPE_TO_TENSOR_TYPE={dtype: code for code, dtype in to_numpy.items()},
        )
        setattr(onnx, "mapping", mapping)  # noqa: B010
    if not hasattr(np, "asscalar"):
        setattr(np, "asscalar", lambda a: np.asarray(a).item())  # noqa: B010
    for name, kind in (("str", str), ("int", int), ("float", float), ("object", object)):
        if name not in np.__dict__:
            setattr(np, name, kind)
