"""Batch norms of a graph settled: floats decide what exact mathematics does, on any machine.

Behind integer sums a batch norm and a sign are a threshold. Where the norm is so near to 0 at one
of the two sums that the threshold parts that float32 may round to the other side, which kernels of
different processors do differently, its shift (beta) is moved so that it is 0 halfway between
them. No decision of exact mathematics changes, and floats have half a step to spare.
"""

import logging
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..sim.layers import Layer
from .folding import attributes
from .lower import lower_model
from .lower_state import Site
from .ties import first_sums

CLEAR = 2.0**-22  # of the terms of a norm: four roundings of float32

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


def settled(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, Mapping[str, list[int]]]:
    """The graph with norms that floats decide as mathematics does, and which neurons were moved.

    Norms are moved that stand alone between a product and a sign, as the kit writes them. One with
    sums or parameters so large that half a step is not clear of 0 stays as it is, with a warning.

    Args:
        name: of the network, for messages.

    Returns:
        The graph itself where nothing was moved; layer -> neurons.

    Raises:
        ArtefactError: it cannot be lowered.
    """
    lowered = lower_model(model, name)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    moved: dict[str, list[int]] = {}
    for layer, site in zip(lowered.network.layers, lowered.sites, strict=True):
        if len(site.tail) == 1 and site.tail[0].op_type == "BatchNormalization":
            if neurons := _settle(changed, layer, site):
                moved[layer.name] = neurons
    return (changed, moved) if moved else (model, {})


def _settle(model: onnx.ModelProto, layer: Layer, site: Site) -> list[int]:
    """Move the norm of a layer where it is near 0; the neurons of which that is so."""
    [norm] = [n for n in model.graph.node if n.output[0] == site.tail[0].output[0]]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    gamma, beta, mean, var = (
        numpy_helper.to_array(tensors[name]).astype(np.float64) for name in norm.input[1:5]
    )
    eps = float(np.float32(attributes(norm).get("epsilon", 1e-5)))
    with np.errstate(all="ignore"):  # what is not finite is not clear, and stays
        slope = gamma / np.sqrt(var + eps)
        sums = _parted(layer) * _floats(site.affine.scale) + _floats(site.affine.shift)
        near = (gamma != 0) & ~_is_clear(slope, beta, mean, sums).all(axis=0)
        halfway = (-slope * (sums.mean(axis=0) - mean)).astype(np.float32).astype(np.float64)
        fires = slope * (sums - mean) + halfway > 0
        parts = fires[1] & ~fires[0] & _is_clear(slope, halfway, mean, sums).all(axis=0)
    if stays := int((near & ~parts).sum()):
        log.warning("%s: %d batch norms are too large for float32 to be settled", layer.name, stays)
    neurons = near & parts
    if not neurons.any():
        return []
    values = np.where(neurons, halfway, beta).astype(np.float32)
    own = norm.input[2]
    if sum(list(node.input).count(own) for node in model.graph.node) > 1:
        own = f"{norm.output[0]}_shift"
        model.graph.initializer.add()
        tensors[own] = model.graph.initializer[-1]
        norm.input[2] = own
    tensors[own].CopyFrom(numpy_helper.from_array(values, own))
    log.info("%s: %d batch norms are 0 halfway between two sums now", layer.name, neurons.sum())
    return [int(j) for j in np.flatnonzero(neurons)]


def _parted(layer: Layer) -> Floats:
    """(2, n_outputs) sums of the graph's rows: the last that does not fire, the first that does."""
    step = 2 if layer.input == "bits" else 1
    stored = first_sums(layer) - np.array([[step], [0]])
    return np.asarray(np.where(layer.negated, -stored, stored), np.float64)


def _is_clear(slope: Floats, beta: Floats, mean: Floats, sums: Floats) -> NDArray[np.bool_]:
    """(2, n_outputs) whether float32 cannot take a norm at these sums for one of the other sign."""
    terms = abs(slope) * (abs(sums) + abs(mean)) + abs(beta)
    return np.asarray(abs(slope * (sums - mean) + beta) > CLEAR * terms)


def _floats(column: NDArray[np.object_]) -> Floats:
    return np.array([float(x) for x in column])
