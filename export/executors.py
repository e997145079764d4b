"""The qonnx executor as a Device: an ONNX graph, run node by node by code that is not the kit's.

With a file it runs that file, float batch norms included, and answers what they decide. Without
one it runs the integer graph of the network, on which threshold memories exist too.
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.change_batchsize import ChangeBatchSize
from qonnx.transformation.infer_shapes import InferShapes

from ..sim import container
from ..sim.device import lasting
from ..sim.errors import Transient
from ..sim.exceptions import ArtefactError, InputError
from ..sim.faults import FaultMap, check_for, restrict
from ..sim.network import Network, check_images
from .fault_nodes import with_faults
from .graph import read_model
from .integer import integer_model
from .lower import lower_file
from .lower_state import image_order

_log = logging.getLogger(__name__)
_ERRORS_ONLY = 3  # onnxruntime's severity scale
_MAX_BATCH = 1000  # images
_MAX_SUMS = 1 << 23  # of one layer; the executor keeps every tensor of a batch


class OnnxDevice:
    """Scores of a QONNX graph by the qonnx executor.

    Args:
        qonnx_path: the file to run; None runs the integer graph of the network that is loaded.
    """

    name = "onnx"

    def __init__(self, qonnx_path: Path | None = None) -> None:
        self._path = qonnx_path
        self._network: Network | None = None
        self._model: onnx.ModelProto | None = None
        self._n_images = 0
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)  # type: ignore[attr-defined]

    def load(self, network: Network) -> None:
        """Take the network's graph; clears faults.

        Raises:
            ArtefactError: the network was not lowered from this device's file.
        """
        if self._path is not None:
            found = container.file_sha256(self._path) if self._path.is_file() else "no such file"
            if found != network.source_sha256:
                raise ArtefactError(
                    f"{self._path}: network {network.name!r} was lowered from a file with hash "
                    f"{network.source_sha256[:12] or '(none)'}, this one has {found[:12]}; "
                    "import it again, or use the onnx device without a file"
                )
        self._network = network
        self.inject(None)

    def inject(self, faults: FaultMap | Transient | None) -> None:
        """Put fault nodes on the stored bits; None takes them off.

        A float batch norm stores no threshold. Under a map that hits thresholds the integer graph
        of the network runs in place of the file.

        Raises:
            InputError: the map is of another network, or the faults are transient.
        """
        network = self._loaded()
        faults = lasting(faults, self.name)
        hits_thresholds = False
        if faults is not None:
            check_for(network, faults)
            hits_thresholds = restrict(faults, where=("thresholds",)).n_faults > 0
        if self._path is None or hits_thresholds:
            if self._path is not None:
                _log.info("%s has no thresholds to hit: its integer graph runs", self._path)
            self._model = integer_model(network, faults)
        else:
            model = read_model(self._path)
            self._model = model if faults is None else with_faults(model, faults)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores.

        Raises:
            InputError: the images do not fit the network.
            ArtefactError: the graph gives something that is not an integer.
        """
        network = self._loaded()
        assert self._model is not None
        lanes = check_images(network, images).astype(np.float32)
        if network.layers[0].input == "bits":
            lanes = 2 * lanes - 1
        self._n_images += len(lanes)
        if not len(lanes):
            return np.empty((0, network.n_classes), np.int32)
        widest = max(la.n_windows * la.n_outputs for la in network.layers)
        batch = min(len(lanes), _MAX_BATCH, max(1, _MAX_SUMS // widest))
        runner = _Runner(self._model, batch)
        parts = []
        for start in range(0, len(lanes), batch):
            part = lanes[start : start + batch]
            padded = np.concatenate(
                [part, np.ones((batch - len(part), lanes.shape[1]), np.float32)]
            )
            parts.append(runner.run(padded)[: len(part)])
        scores = np.concatenate(parts)
        if not (np.isfinite(scores).all() and (scores == np.rint(scores)).all()):
            raise ArtefactError(
                f"{self._path or network.name}: the graph's scores are not integers"
            )
        return scores.astype(np.int32)

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """Nothing to release."""

    def _loaded(self) -> Network:
        if self._network is None:
            raise InputError(f"load a network into the {self.name} device first")
        return self._network


class _Runner:
    """One graph at one batch size."""

    def __init__(self, model: onnx.ModelProto, batch: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = ModelWrapper(model, make_deepcopy=True)
            self._model = copy.transform(ChangeBatchSize(batch)).transform(  # type: ignore[no-untyped-call]
                InferShapes()
            )
        self._input = self._model.graph.input[0].name
        self._output = self._model.graph.output[0].name
        self._shape = tuple(self._model.get_tensor_shape(self._input) or ())

    def run(self, lanes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The graph's output for (batch, n_inputs) lanes in the order of the integer network."""
        order = image_order(self._shape[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            feed = {self._input: lanes[:, order.ravel()].reshape(self._shape)}
            outputs = execute_onnx(self._model, feed)  # type: ignore[no-untyped-call]
        return np.asarray(outputs[self._output], np.float32)


@dataclass(frozen=True)
class Disagreement:
    """A sum at which the executor's float batch norm decides otherwise than exact mathematics.

    Attributes:
        layer, neuron: which.
        sum: what the neuron computes there, before any negation.
        fires: what exact mathematics says; the executor says the opposite.
        is_tie: the batch norm is exactly 0 there.
    """

    layer: str
    neuron: int
    sum: int
    fires: bool
    is_tie: bool


def disagreements(path: Path) -> list[Disagreement]:
    """Reachable sums at which the executor's batch norms decide otherwise than exact mathematics.

    All sums are tried where lanes are bits. Where they are uint8, those within 64 of the threshold
    and the two ends: a float batch norm is monotone too, so a difference shows at the threshold.

    Raises:
        ArtefactError: the file cannot be lowered.
    """
    lowered, model, found = lower_file(path), read_model(path), []
    makers = {node.output[0]: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for layer, site in zip(lowered.network.layers, lowered.sites, strict=True):
        if site.batch_norm is None or layer.thresholds is None:
            continue
        n, theta = layer.n_inputs, layer.thresholds.astype(np.int64)
        if layer.input == "bits":
            stored = np.broadcast_to(np.arange(-n, n + 1, 2)[:, None], (n + 1, len(theta)))
            first = 2 * theta - n
        else:
            low, high = layer.threshold_range
            near = theta + np.arange(-64, 65)[:, None]
            ends = np.broadcast_to([[low], [high - 1]], (2, len(theta)))
            stored, first = np.concatenate([near.clip(low, high - 1), ends]), theta
        sums = np.where(layer.negated, -stored, stored)
        node = makers[site.batch_norm]
        values = _run_batch_norm(
            node, [constants[name] for name in node.input[1:]], model, sums * float(site.sum_unit)
        )
        ties = {j for j, _ in _ties(lowered.network, layer.name)}
        for k, j in np.argwhere((values >= 0) != (stored >= first)):
            is_tie = int(j) in ties and stored[k, j] == first[j]
            fires = bool(stored[k, j] >= first[j])
            found.append(Disagreement(layer.name, int(j), int(sums[k, j]), fires, bool(is_tie)))
    return found


def _ties(network: Network, layer: str) -> list[list[int]]:
    return next(list(note["ties"]) for note in network.notes["layers"] if note["name"] == layer)


def _run_batch_norm(
    node: onnx.NodeProto,
    constants: list[TensorProto],
    model: onnx.ModelProto,
    sums: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(n, channels) a batch norm node of these sums, by the executor."""
    entry, end = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sums.shape)
        for name in (node.input[0], node.output[0])
    )
    graph = helper.make_graph([node], "batch_norm", [entry], [end], constants)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return _Runner(alone, len(sums)).run(sums.astype(np.float32))
