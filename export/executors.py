"""ONNX graphs run by code that is not the kit's, as Devices.

| device | runs | by |
|---|---|---|
| `onnx` | the QONNX file, float batch norms included, or the integer graph | qonnx, node by node |
| `onnxruntime` | the integer graph in standard ONNX | onnxruntime, as it is |
| `finn` | the popcount graph, FINN's form | qonnx, node by node |
| `finn-base` | the same | finn-base, its ancestor (`finn_base.py`) |

With a file a device answers what the file's own arithmetic decides. Without one it runs the integer
graph of the network, on which threshold memories exist too.
"""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.change_batchsize import ChangeBatchSize
from qonnx.transformation.infer_shapes import InferShapes

from ..sim import container
from ..sim.device import Faults, lasting
from ..sim.exceptions import ArtefactError, InputError
from ..sim.faults import FaultMap, check_for, restrict
from ..sim.layers import Conv
from ..sim.network import Network, check_images
from .encoding import Encoding
from .fault_nodes import with_faults
from .finn_form import popcount_model
from .graph import read_model
from .integer import integer_model
from .lower import Lowered, lower_file
from .lower_state import image_order

_log = logging.getLogger(__name__)
_ERRORS_ONLY = 3  # onnxruntime's severity scale
_MAX_BATCH = 1000  # images
_MAX_SUMS = 1 << 23  # of one layer; the qonnx executor keeps every tensor of a batch
_NEAR = 0.01  # how far from an integer a sum of scaled float weights may be

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]  # (batch, ...) as the graph takes them -> (batch, n_classes)


class GraphDevice(ABC):
    """Scores of a graph by an executor: what its subclasses share.

    Args:
        file: the QONNX file to run; None runs the integer graph of the network that is loaded.
    """

    name = "graph"
    low_bit = -1  # what the integer graph is given for a bit 0

    def __init__(self, file: Path | None = None) -> None:
        self._path = file
        self._lowered: Lowered | None = None
        self._network: Network | None = None
        self._model: onnx.ModelProto | None = None
        self._n_images = 0

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
            self._lowered = lower_file(self._path)
        self._network = network
        self.inject(None)

    def inject(self, faults: Faults | None) -> None:
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
        self._model = None
        if self._path is None or hits_thresholds:
            if self._path is not None:
                _log.info("%s has no thresholds to hit: its integer graph runs", self._path)
            self._graph = self.graph_of(network, faults)
            return
        model = read_model(self._path)
        self._model = model if faults is None else with_faults(model, faults)
        assert self._lowered is not None
        _end_at(self._model, self._lowered.sites[-1].sums)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores.

        Raises:
            InputError: the images do not fit the network.
            ArtefactError: the graph gives something that is not an integer.
        """
        network = self._loaded()
        lanes = check_images(network, images)
        self._n_images += len(lanes)
        if not len(lanes):
            return np.empty((0, network.n_classes), np.int32)
        model = self._graph if self._model is None else self._model
        batch = self.batch_of(network, len(lanes))
        run = self.runner(model, batch)
        shape = _shape(model)[1:]
        feed = self._feed(network, lanes)[:, image_order(shape).ravel()].reshape(-1, *shape)
        parts = []
        for start in range(0, len(feed), batch):
            part = feed[start : start + batch]
            spare = np.repeat(part[:1], batch - len(part), axis=0)
            parts.append(run(np.concatenate([part, spare]))[: len(part)])
        return self._integers(np.concatenate(parts))

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """Let go of the graph."""
        self._model = None

    def graph_of(self, network: Network, faults: FaultMap | None) -> onnx.ModelProto:
        """The integer graph that this executor runs."""
        return integer_model(network, faults)

    @abstractmethod
    def runner(self, model: onnx.ModelProto, batch: int) -> Run:
        """What runs a graph on batches of so many images."""

    def batch_of(self, network: Network, n_images: int) -> int:
        """How many images it takes at a time."""
        widest = max(la.n_windows * la.n_outputs for la in network.layers)
        return min(n_images, _MAX_BATCH, max(1, _MAX_SUMS // widest))

    def _feed(self, network: Network, images: NDArray[np.uint8]) -> Floats:
        """(n_images, n_inputs) what the graph is given for images, channel-last."""
        if self._model is None or self._lowered is None:
            is_bits = network.layers[0].input == "bits" and not network.thermometer
            low = self.low_bit if is_bits else 0
            values = np.linspace(low, 1, 2) if is_bits else np.arange(256)
            return np.asarray(values[images], np.float32)
        found: Encoding = self._lowered.encoding
        if found.type == "UINT8":
            return images.astype(np.float32)
        lanes = images >= network.thermometer[0] if network.thermometer else images
        return found.values[lanes.astype(np.int64)]

    def _integers(self, values: Floats) -> NDArray[np.int32]:
        """Scores of the integer network, of what the graph makes of its last sums."""
        network = self._loaded()
        scores = values.astype(np.float64)
        where = str(self._path or network.name)
        near = 0.0
        if self._model is not None and self._lowered is not None:
            affine = self._lowered.sites[-1].affine
            scale, shift = (np.array([float(x) for x in c]) for c in (affine.scale, affine.shift))
            if (scale != 1).any():
                scores, near = (scores - shift) / scale, _NEAR
            else:
                scores = scores - shift
            negated = self._lowered.network.layers[-1].negated
            scores = np.where(negated, -scores, scores)
        if not np.isfinite(scores).all() or (abs(scores - np.rint(scores)) > near).any():
            raise ArtefactError(f"{where}: the graph's scores are not integers")
        return np.rint(scores).astype(np.int32)

    def _loaded(self) -> Network:
        if self._network is None:
            raise InputError(f"load a network into the {self.name} device first")
        return self._network


class OnnxDevice(GraphDevice):
    """Scores of a QONNX graph by the qonnx executor."""

    name = "onnx"

    def runner(self, model: onnx.ModelProto, batch: int) -> Run:
        """The qonnx executor."""
        return qonnx_runner(model, batch)


class OnnxRuntimeDevice(GraphDevice):
    """Scores of the network's integer graph in standard ONNX by onnxruntime.

    Args:
        threads: of onnxruntime.
    """

    name = "onnxruntime"

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        self._threads = threads

    def graph_of(self, network: Network, faults: FaultMap | None) -> onnx.ModelProto:
        """Nothing but operations of standard ONNX."""
        return integer_model(network, faults, standard=True)

    def runner(self, model: onnx.ModelProto, batch: int) -> Run:
        """A session."""
        return onnxruntime_runner(model, batch, self._threads)


class FinnDevice(GraphDevice):
    """Scores of the network's popcount graph by the qonnx executor."""

    name = "finn"
    low_bit = 0

    def graph_of(self, network: Network, faults: FaultMap | None) -> onnx.ModelProto:
        """What FINN has after streamlining."""
        return popcount_model(network, faults)

    def batch_of(self, network: Network, n_images: int) -> int:
        """One where there are maps: Im2Col's shapes are of one image."""
        is_map = any(isinstance(layer, Conv) for layer in network.layers)
        return 1 if is_map else super().batch_of(network, n_images)

    def runner(self, model: onnx.ModelProto, batch: int) -> Run:
        """The qonnx executor."""
        is_map = any(node.op_type == "Im2Col" for node in model.graph.node)
        return run_of_maps(model) if is_map else qonnx_runner(model, batch)


def run_of_maps(model: onnx.ModelProto) -> Run:
    """The qonnx executor on a graph whose shapes are written in it."""
    wrapper: Any = ModelWrapper(model, make_deepcopy=True)
    return lambda images: _executed(wrapper, images)


def qonnx_runner(model: onnx.ModelProto, batch: int) -> Run:
    """Run a QONNX graph node by node."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy: Any = ModelWrapper(model, make_deepcopy=True)
        copy = copy.transform(ChangeBatchSize(batch))  # type: ignore[no-untyped-call]
    return lambda images: run_graph(copy.model, images)


def run_graph(model: onnx.ModelProto, values: Floats) -> Floats:
    """What the qonnx executor makes of one input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy: Any = ModelWrapper(model, make_deepcopy=True)
        return _executed(copy.transform(InferShapes()), values)


def _executed(wrapper: Any, values: Floats) -> Floats:
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entry = wrapper.graph.input[0].name
        outputs = execute_onnx(wrapper, {entry: values})  # type: ignore[no-untyped-call]
    return np.asarray(outputs[wrapper.graph.output[0].name], np.float32)


def onnxruntime_runner(model: onnx.ModelProto, batch: int, threads: int = 1) -> Run:
    """Run a graph of standard ONNX at once."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (copy.graph.input[0], copy.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    options = onnxruntime.SessionOptions()  # type: ignore[attr-defined]
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(  # type: ignore[attr-defined]
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    entry = copy.graph.input[0].name
    return lambda images: np.asarray(session.run(None, {entry: images})[0], np.float32)


def _shape(model: onnx.ModelProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)


def _end_at(model: onnx.ModelProto, tensor: str) -> None:
    """Leave out what stands behind a tensor of a chain, and make it the output."""
    nodes = list(model.graph.node)
    last = next(i for i, node in enumerate(nodes) if tensor in node.output)
    needed, kept = {tensor}, []
    for node in reversed(nodes[: last + 1]):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    if [output.name for output in model.graph.output] != [tensor]:
        del model.graph.output[:]
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, ["n", "classes"])
        )
