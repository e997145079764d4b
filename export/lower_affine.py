"""Lowering arithmetic with constants: scales, shifts, batch norms, on whatever stands before them.

On a float input and on lanes one number for all is absorbed, on sums one for each neuron.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from onnx import NodeProto

from .exact import Array, Root, check_bits, reciprocal
from .folding import attributes, refuse
from .graph import Graph
from .lower_state import Affine, Lanes, State, Sums, lanes_of, sums_of


def mul(graph: Graph, node: NodeProto, state: State) -> State:
    """A product with a constant, which may be negative or an exact root."""
    return _scaled(graph, node, state, _side(graph, node), is_divisor=False)


def div(graph: Graph, node: NodeProto, state: State) -> State:
    """A quotient by a constant."""
    return _scaled(graph, node, state, 1, is_divisor=True)


def add(graph: Graph, node: NodeProto, state: State) -> State:
    """A sum with a constant."""
    return _shifted(node, state, graph.numbers(node, _side(graph, node), "addend"))


def sub(graph: Graph, node: NodeProto, state: State) -> State:
    """A constant taken from it, or it taken from a constant."""
    if _side(graph, node) == 1:
        return _shifted(node, state, np.negative(graph.numbers(node, 1, "subtrahend")))
    negative = _times(node, state, np.array(Fraction(-1), object))
    return _shifted(node, negative, graph.numbers(node, 0, "minuend"))


def neg(graph: Graph, node: NodeProto, state: State) -> State:
    """Its negative."""
    return _times(node, state, np.array(Fraction(-1), object))


def batch_norm(graph: Graph, node: NodeProto, state: State) -> State:
    """A batch norm of the neurons or channels."""
    sums = sums_of(node, state)
    has = attributes(node)
    if has.get("training_mode", 0):
        raise refuse(node, "it is in training mode", "inference mode")
    if sums.site.window is not None and sums.axis:
        raise refuse(node, "its channels are not the first dimension", "(batch, channels, ...)")
    names = ("gamma", "beta", "mean", "var")
    columns = [graph.numbers(node, i, name) for i, name in enumerate(names, 1)]
    n = len(sums.signs)
    for name, column in zip(names, columns, strict=True):
        if column.shape != (n,):
            raise refuse(
                node,
                f"{name} has shape {column.shape} for {n} neurons of {sums.site.matmul!r}",
                f"({n},)",
            )
    gamma, beta, mean, var = columns
    spread = var + Fraction(float(np.float32(has.get("epsilon", 1e-5))))
    if not (spread > 0).all():
        j = int(np.flatnonzero(spread <= 0)[0])
        raise refuse(
            node, f"var + eps must be positive, not {float(spread[j])} of neuron {j}", "var > 0"
        )
    over = _over_root(node, sums.affine.plus(-mean), spread)
    return _behind(node, state, over.times(gamma).plus(beta))


def biased(node: NodeProto, state: State, bias: Array) -> State:
    """The bias of a node that multiplies too."""
    if not bias.any():
        return state
    sums = sums_of(node, state)
    affine = sums.affine.plus(per_neuron(node, sums, bias))
    return replace(
        state, value=replace(sums, affine=affine, site=replace(sums.site, affine=affine))
    )


def _side(graph: Graph, node: NodeProto) -> int:
    """Which input of a node of two is the constant."""
    return 0 if node.input and node.input[0] in graph.constants else 1


def _scaled(graph: Graph, node: NodeProto, state: State, index: int, *, is_divisor: bool) -> State:
    value = graph.exact(node, index, "divisor" if is_divisor else "factor")
    if not isinstance(value, Root):
        value = graph.numbers(node, index, "divisor" if is_divisor else "factor")
    try:
        value = reciprocal(value) if is_divisor else value
    except ValueError as error:
        raise refuse(node, str(error), "divisors that are not 0") from error
    if not isinstance(value, Root):
        return _times(node, state, value)
    sums = sums_of(node, state)  # f sqrt r = f r / sqrt r
    over = _over_root(node, sums.affine, per_neuron(node, sums, value.radicand))
    factor = per_neuron(node, sums, np.multiply(value.factor, value.radicand))
    return _behind(node, state, over.times(factor))


def _over_root(node: NodeProto, affine: Affine, radicand: Array) -> Affine:
    found = affine.over_root(radicand)
    if found is None:
        raise refuse(
            node,
            "it divides by a square root what another square root has divided already",
            "one batch norm a layer; more where var + eps is the square of a rational",
        )
    return found


def _times(node: NodeProto, state: State, factor: Array) -> State:
    value = state.value
    if isinstance(value, Sums):
        return _behind(node, state, value.affine.times(per_neuron(node, value, factor)))
    lanes, number = lanes_of(node, state, padded=True), _one(node, value, factor)
    if not number:
        raise refuse(node, "it makes all lanes 0", "a factor that is not 0")
    return _onward(
        node, state, replace(lanes, unit=lanes.unit * number, offset=lanes.offset * number)
    )


def _shifted(node: NodeProto, state: State, addend: Array) -> State:
    value = state.value
    if isinstance(value, Sums):
        return _behind(node, state, value.affine.plus(per_neuron(node, value, addend)))
    lanes = lanes_of(node, state, padded=True)
    return _onward(node, state, replace(lanes, offset=lanes.offset + _one(node, value, addend)))


def _onward(node: NodeProto, state: State, lanes: Lanes) -> State:
    _check(node, np.array([lanes.unit, lanes.offset], object))
    return replace(state, value=lanes)


def _behind(node: NodeProto, state: State, affine: Affine) -> State:
    _check(node, affine.scale, affine.shift, affine.radicand, affine.rest)
    sums = sums_of(node, state)
    axes = (*sums.axes, sums.axis)
    behind = replace(sums, affine=affine, tail=(*sums.tail, node), axes=axes)
    return replace(state, value=behind)


def _check(node: NodeProto, *columns: Array) -> None:
    try:
        check_bits(*columns)
    except ValueError as error:
        raise refuse(node, str(error), "fewer scales and shifts") from error


def _one(node: NodeProto, lanes: Lanes, value: Array) -> Fraction:
    """The number that a constant holds everywhere."""
    value = np.asarray(value, object)
    numbers = value.reshape(-1)
    if not len(numbers) or (numbers != numbers[0]).any() or value.ndim > len(lanes.shape) + 1:
        raise refuse(
            node,
            f"a constant {value.shape} of different numbers meets a tensor that is no sum",
            "one number for all lanes",
        )
    return Fraction(numbers[0])


def per_neuron(node: NodeProto, sums: Sums, value: Array) -> Array:
    """(n_outputs,) of a constant that is broadcast over the neurons or channels of sums."""
    n = len(sums.signs)
    n_dims = 2 if sums.site.window is None else 4  # with the batch
    value = np.asarray(value, object)
    axis = n_dims - 1 if sums.axis else 1
    shape = (1,) * (n_dims - value.ndim) + value.shape
    if len(shape) != n_dims or shape[axis] not in (1, n) or value.size != shape[axis]:
        raise refuse(
            node, f"constant is {value.shape}", f"one number, or one for each of {n} neurons"
        )
    return np.broadcast_to(value.reshape(-1), (n,))
