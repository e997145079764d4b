"""Lowering the end of a graph: what stands behind the last sums must leave every argmax as it is.

The integer network gives the sums of the last layer. A tail of one affine function for all classes
(a scale, a TensorNorm, a batch norm of equal channels) leaves their order, or turns it, which the
negated rows of the layer undo. Softmax, TopK and ArgMax only read the order.

Offsets of the classes' own are taken where they change no argmax: the sums of two classes differ by
an even number, since all of them have the parity of the sum of the lanes, so an offset that is less
than 2 decides nothing but equal sums, and those as argmax does if no later class has more. Whatever
else differs between the classes has no integers in this network, and is refused.
"""

import math
from dataclasses import replace

import numpy as np
from onnx import NodeProto

from ..sim.bits import pack
from ..sim.exceptions import ArtefactError
from ..sim.layers import Dense
from .folding import attributes, printable, refuse
from .graph import Graph
from .lower_state import Affine, Lanes, LoweredLayer, State, Sums, sums_of

_STEP = 2  # by which the sums of two classes differ at least, if they differ


def softmax(graph: Graph, node: NodeProto, state: State) -> State:
    """What keeps the order of the classes."""
    _check_axis(node, _scores_of(node, state), -1)
    return replace(state, ending=node.op_type)


def arg_max(graph: Graph, node: NodeProto, state: State) -> State:
    """The class of the greatest score, the lowest of equals."""
    has = attributes(node)
    if has.get("select_last_index", 0):
        raise refuse(node, "it takes the last of equal scores", "select_last_index 0")
    _check_axis(node, _scores_of(node, state), 0)
    return replace(state, ending=node.op_type)


def top_k(graph: Graph, node: NodeProto, state: State) -> State:
    """The greatest scores or their classes, the lowest of equals first."""
    if not attributes(node).get("largest", 1):
        raise refuse(node, "it takes the least scores", "largest 1")
    _check_axis(node, _scores_of(node, state), -1)
    return replace(state, ending=node.op_type)


def _scores_of(node: NodeProto, state: State) -> Sums:
    if state.ending not in ("", "Softmax", "LogSoftmax"):
        raise refuse(node, f"it follows {state.ending}", "nothing behind the chosen class")
    return sums_of(node, state)


def _check_axis(node: NodeProto, sums: Sums, default: int) -> None:
    axis = attributes(node).get("axis", default)
    if axis not in (1, -1) or sums.site.window is not None:
        raise refuse(node, f"axis is {axis}", "the classes, axis 1 or -1")


def scores(graph: Graph, state: State) -> LoweredLayer:
    """The last layer.

    Raises:
        ArtefactError: the graph does not end in scores, or in scores of classes that are not
            comparable as integers.
    """
    sums = state.value
    if not isinstance(sums, Sums) or sums.site.window:
        if isinstance(sums, Lanes):
            ends = "a sign" if state.layers else "no layer"
        else:
            ends = "a convolution"
        raise ArtefactError(
            f"graph output {graph.outputs[0]!r} comes from {ends}; supported: the sums of a last "
            "MatMul or Gemm, and what keeps their order"
        )
    slope = _common_slope(sums)
    negated = np.full(len(sums.signs), slope < 0)
    signs = -sums.signs if slope < 0 else sums.signs
    n_inputs = sums.signs.shape[1]
    dense = Dense("scores", n_inputs, pack(signs > 0), None, negated, sums.input)
    note = {
        "name": "scores",
        "nodes": [sums.site.matmul, *(printable(node.name) for node in sums.tail)],
        "ties": [],
        "negated": np.flatnonzero(negated).tolist(),
        "constant": [],
        "tail": _tail(sums.affine, sums.tail),
    }
    return LoweredLayer(replace(sums.site, tail=sums.tail), dense, note)


def _common_slope(sums: Sums) -> int:
    """Sign of the scale that all classes share."""
    affine, last = sums.affine, sums.tail[-1] if sums.tail else None
    where = f"node {sums.site.matmul!r}"
    if last is not None:
        where = f"node {printable(last.name)!r} ({last.op_type})"
    for name, column in (
        ("scale", affine.scale),
        ("root", affine.radicand),
        ("offset behind a root", affine.rest),
    ):
        other = np.flatnonzero(column != column[0])
        if len(other):
            j = int(other[0])
            raise ArtefactError(
                f"{where}: the {name} of the scores of class {j} is {float(column[j]):g}, that of "
                f"class 0 is {float(column[0]):g}, so that their order is not that of the integer "
                "sums; supported: one scale and one offset for all classes"
            )
    if not affine.scale[0]:
        raise ArtefactError(
            f"{where}: the scores are multiplied by 0; supported: a scale that is not 0"
        )
    offsets = affine.shift / abs(affine.scale[0])  # in sums
    for j in range(1, len(offsets)):
        low, high = min(offsets[:j]), max(offsets[:j])
        if not (offsets[j] <= low and high - offsets[j] < _STEP):
            raise ArtefactError(
                f"{where}: the offset of class {j} is worth {float(offsets[j] - offsets[0]):+g} "
                "sums beside that of class 0, which changes an argmax; supported: one offset for "
                f"all classes, or offsets that fall from class to class, by less than {_STEP} sums "
                "in all"
            )
    return 1 if affine.scale[0] > 0 else -1


def _tail(affine: Affine, tail: tuple[NodeProto, ...]) -> dict[str, object]:
    """How the graph's scores follow from the sums of its rows; as text where it is exact.

    The offset is that of class 0; where the classes have their own, all stand in `offsets`.
    """
    a, b, v, c = (
        column[0] for column in (affine.scale, affine.shift, affine.radicand, affine.rest)
    )
    root = math.sqrt(v)
    offsets = [str(shift) for shift in affine.shift] if (affine.shift != b).any() else []
    return {
        "scale": float(a) / root,
        "offset": float(b) / root + float(c),
        "exact": f"({a} * s + {b}) / sqrt({v}) + {c}",
        "offsets": offsets,
        "nodes": [node.op_type for node in tail],
    }
