"""Checkpoint -> QONNX: the Brevitas network as a file that others read, with faults on request.

Brevitas writes BipolarQuant for weights and signs; the batch norms stay float32 as the checkpoint
has them, but where float kernels would decide otherwise than exact mathematics (`settle`). The
graph input is annotated UINT8 (pixels 0..255, in float32) or BIPOLAR (-1 and +1); that of a
convolution is a map (batch, channels, height, width), and so are the maps behind it.
"""

import contextlib
import io
import warnings
from pathlib import Path

import onnx
import torch
from brevitas.export import export_qonnx as brevitas_export
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model

from ..models.checkpoint import Checkpoint
from ..models.nets import build_model, encode
from ..sim import container
from ..sim.faults import FaultMap
from ..sim.layers import Input
from .fault_nodes import with_faults
from .settle import settled

DATA_TYPES: dict[Input, str] = {"uint8": "UINT8", "bits": "BIPOLAR"}


def export_qonnx(
    checkpoint: Checkpoint,
    path: Path,
    faults: FaultMap | None = None,
    batch: int = 1,
    *,
    as_trained: bool = False,
) -> None:
    """Write the QONNX file of a checkpoint; equal checkpoints give equal files.

    Args:
        faults: read the stored weights through this map, by nodes of plain ONNX.
        batch: images of the graph input.
        as_trained: leave all batch norms as they are, also where float kernels may decide otherwise
            than the integer network.

    Raises:
        ArtefactError: the graph cannot be lowered, as where a parameter is not finite.
        InputError: the map does not fit, or has faults outside the weights.
    """
    model = qonnx_model(checkpoint, batch)
    if not as_trained:
        model, moved = settled(model, checkpoint.name)
        values = {f"settled_{layer}": f"{neurons}" for layer, neurons in moved.items()}
        stamp(model, checkpoint.name, {"checkpoint_sha256": checkpoint.sha256, **values})
    container.write_whole(path, to_bytes(model if faults is None else with_faults(model, faults)))


def qonnx_model(checkpoint: Checkpoint, batch: int = 1) -> onnx.ModelProto:
    """The clean QONNX graph of a checkpoint: shapes inferred, transposes folded, names readable."""
    first = checkpoint.shapes[0]
    images = encode(torch.zeros(batch, checkpoint.sizes[0]), checkpoint.input, first)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        # the TorchScript exporter: what the dynamo one writes, qonnx' GemmToMatMul cannot read
        network = build_model(checkpoint)
        network.pools_signs = True
        raw = brevitas_export(network, args=images, dynamo=False)  # type: ignore[no-untyped-call]
        wrapper = cleanup_model(ModelWrapper(raw))  # type: ignore[no-untyped-call]
    wrapper.set_tensor_datatype(wrapper.graph.input[0].name, DataType[DATA_TYPES[checkpoint.input]])
    model: onnx.ModelProto = wrapper.model
    stamp(model, checkpoint.name, {"checkpoint_sha256": checkpoint.sha256})
    return model


def stamp(model: onnx.ModelProto, name: str, values: dict[str, str]) -> None:
    """Name a graph and write where it comes from into its metadata."""
    model.graph.name = name
    model.producer_name, model.producer_version = "stoic", container.kit_version()
    entries = {"model": name, "kit_version": container.kit_version(), **values}
    onnx.helper.set_model_props(model, {f"stoic.{key}": value for key, value in entries.items()})


def to_bytes(model: onnx.ModelProto) -> bytes:
    """A model as the bytes of its file, the same every time."""
    return bytes(model.SerializeToString(deterministic=True))
