"""Layers as entries of a network file's header, and as rows of tables for people."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exceptions import InputError
from .layers import Conv, Dense, Layer, Pool, Window

Arrays = dict[str, NDArray[Any]]


def kind(layer: Layer) -> str:
    """What a layer is called in files and tables: "conv", "dense" or "scores"."""
    if isinstance(layer, Conv):
        return "conv"
    return "scores" if layer.thresholds is None else "dense"


def entry(layer: Layer) -> dict[str, Any]:
    """What the header says of a layer."""
    values = {
        "kind": kind(layer),
        "name": layer.name,
        "input": layer.input,
        "n_inputs": layer.n_inputs,
        "n_outputs": layer.n_outputs,
        "n_negated": int(layer.negated.sum()),
    }
    if isinstance(layer, Conv):
        values["window"] = asdict(layer.window)
        values["pool"] = layer.pool and asdict(layer.pool)
    return values


def arrays(layer: Layer, i: int) -> Arrays:
    """What the file stores of layer i."""
    found: Arrays = {
        f"{i}.weights": layer.weights,
        f"{i}.negated": layer.negated.astype(np.uint8),
    }
    if layer.thresholds is not None:
        found[f"{i}.thresholds"] = layer.thresholds
    return found


def layer_of(values: dict[str, Any], i: int, arrays: Arrays) -> Layer:
    """Layer i of a file, whose arrays are taken out of `arrays`.

    Raises:
        InputError, KeyError, TypeError, AttributeError: the file is not right.
    """
    if values["kind"] not in ("conv", "dense", "scores"):
        raise InputError(f"layer kind {values['kind']!r} is unknown to this kit")
    name, n_inputs, weights = values["name"], values["n_inputs"], arrays.pop(f"{i}.weights")
    thresholds = None if values["kind"] == "scores" else arrays.pop(f"{i}.thresholds")
    negated, lane = arrays.pop(f"{i}.negated").astype(np.bool_), values["input"]
    if values["kind"] != "conv":
        return Dense(name, n_inputs, weights, thresholds, negated, lane)
    sizes = [values["window"], values["pool"] or {}]
    integers([value for size in sizes for value in size.values()])
    pool = Pool(**values["pool"]) if values["pool"] else None
    window = Window(**values["window"])
    return Conv(name, n_inputs, weights, thresholds, negated, lane, window=window, pool=pool)


def integers(values: Any) -> tuple[int, ...]:
    """A list of integers, and nothing else, as a tuple.

    Raises:
        InputError: it is anything else.
    """
    if not isinstance(values, list) or not all(type(v) is int for v in values):
        raise InputError(f"{values!r} is not a list of integers")
    return tuple(values)


def row(layer: Layer) -> dict[str, Any]:
    """JSON values: kind, shape, stored bits, threshold range, negated rows."""
    limits = layer.thresholds
    n_constant = 0 if limits is None else int(np.isin(limits, layer.threshold_range).sum())
    return {
        "name": layer.name,
        "kind": kind(layer),
        "input": layer.input,
        "n_inputs": layer.n_inputs,
        "n_outputs": layer.n_outputs,
        "n_windows": layer.n_windows,
        "weight_bits": layer.n_inputs * layer.n_outputs,
        "threshold_min": None if limits is None else int(limits.min()),
        "threshold_max": None if limits is None else int(limits.max()),
        "n_constant": n_constant,
        "n_negated": int(layer.negated.sum()),
    }
