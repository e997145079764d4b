"""Batch norms of a graph settled where float arithmetic would decide otherwise than mathematics.

Behind integer sums a batch norm and a sign are a threshold. Where the norm is nearly 0 at a sum
that can occur, a float kernel may round to the other side. Its shift (beta) is then moved so that
it is 0 halfway between the two sums that the threshold parts: no decision of exact mathematics
changes, and those of floats are the same, with half a step to spare.
"""

import logging
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..sim.exceptions import ArtefactError
from ..sim.layers import Layer
from .folding import attributes
from .lower import Lowered, lower_model
from .lower_state import Site
from .ties import disagreements_of, first_sums

log = logging.getLogger(__name__)


def settled(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, Mapping[str, list[int]]]:
    """The graph with norms that floats decide as mathematics does, and which neurons were moved.

    Args:
        name: of the network, for messages.

    Returns:
        The graph itself where nothing had to be moved; layer -> neurons.

    Raises:
        ArtefactError: it cannot be lowered, or a decision of exact mathematics would change.
    """
    before = lower_model(model, name)
    moved: dict[str, set[int]] = {}
    for found in disagreements_of(before, model):
        moved.setdefault(found.layer, set()).add(found.neuron)
    if not moved:
        return model, {}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for layer, site in zip(before.network.layers, before.sites, strict=True):
        if neurons := sorted(moved.get(layer.name, ())):
            _move(changed, layer, site, neurons)
    after = lower_model(changed, name)
    if not _is_same(before, after):
        raise ArtefactError(f"{name}: a batch norm cannot be settled without changing a threshold")
    log.info("%s: batch norms moved by less than half a sum, for floats: %s", name, moved)
    return changed, {layer: sorted(neurons) for layer, neurons in moved.items()}


def _move(model: onnx.ModelProto, layer: Layer, site: Site, neurons: list[int]) -> None:
    """Give the norm of these neurons the shift with which it is 0 between two sums."""
    names = {node.output[0] for node in site.tail if node.op_type == "BatchNormalization"}
    norms = [node for node in model.graph.node if node.output[0] in names]
    if len(norms) != 1 or len(site.tail) != 1:
        return  # not a norm alone: what is left is reported where the file is lowered
    [norm] = norms
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    gamma, beta, mean, var = (values[name].astype(np.float64) for name in norm.input[1:5])
    eps = float(np.float32(attributes(norm).get("epsilon", 1e-5)))
    between = _between(layer)
    scale, shift = (
        np.array([float(x) for x in column]) for column in (site.affine.scale, site.affine.shift)
    )
    zero = -gamma * (between * scale + shift - mean) / np.sqrt(var + eps)
    beta[neurons] = np.broadcast_to(zero, beta.shape)[neurons]
    own = f"{norm.output[0]}_settled_shift"
    model.graph.initializer.append(numpy_helper.from_array(beta.astype(np.float32), own))
    old, norm.input[2] = norm.input[2], own
    if not any(old in node.input for node in model.graph.node):
        [tensor] = [t for t in model.graph.initializer if t.name == old]
        model.graph.initializer.remove(tensor)


def _between(layer: Layer) -> NDArray[np.float64]:
    """(n_outputs,) halfway between the last sum that does not fire and the first that does."""
    step = 2 if layer.input == "bits" else 1
    stored = first_sums(layer) - step / 2
    return np.asarray(np.where(layer.negated, -stored, stored), np.float64)


def _is_same(before: Lowered, after: Lowered) -> bool:
    """Whether two graphs are one integer network."""
    networks = (before.network.layers, after.network.layers)
    return [_values(layer) for layer in networks[0]] == [_values(layer) for layer in networks[1]]


def _values(layer: Layer) -> tuple[bytes, bytes, bytes]:
    """Weights, negated rows and thresholds."""
    thresholds = b"" if layer.thresholds is None else layer.thresholds.tobytes()
    return layer.weights.tobytes(), layer.negated.tobytes(), thresholds
