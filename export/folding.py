"""Folding what a graph computes of its constants alone, exactly or not at all."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..sim.exceptions import ArtefactError
from . import exact
from .exact import Array, Root

Constant = Array | Root

_LONGEST, _LONGEST_NAME = 1000, 100  # characters of a refusal, of a name
EXACT_FLOAT32 = 2**24  # float32 holds every integer up to here
_FLOATS: dict[int, type[np.floating]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
}
_INTEGERS: dict[int, type[np.integer | np.bool_]] = {
    TensorProto.INT8: np.int8,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.UINT8: np.uint8,
}


def refuse(node: NodeProto, why: str, supported: str) -> ArtefactError:
    """The one line with which a node is refused: its name, its type, the reason, what would do."""
    label = node.name or f"that makes {', '.join(node.output) or 'nothing'}"
    op_type = printable(node.op_type)
    line = f"node {printable(label)!r} ({op_type}): {why}; supported: {supported}"
    return ArtefactError(short(line))


def short(line: str) -> str:
    """A line without breaks that a forged name cannot make longer than a screen."""
    line = " ".join(line.split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    return line


def printable(name: str) -> str:
    """A name of a file that was forged or damaged, as a terminal may show it."""
    shown = name if isinstance(name, str) and name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}..."


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes of a node as Python values; strings decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in values.items()}


def array(tensor: TensorProto, raw: bytes | None = None) -> NDArray[Any]:
    """A stored tensor.

    Args:
        raw: its data, where it is not in the tensor.

    Raises:
        ArtefactError: it cannot be read, or holds neither floats nor integers.
    """
    try:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError("its data is in another file")
        if tensor.HasField("segment"):
            raise ValueError("it is in segments")
        if min(tensor.dims, default=0) < 0:
            raise ValueError(f"its dimensions are {list(tensor.dims)}")
        if raw is None:
            value = numpy_helper.to_array(tensor)
        else:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            value = np.frombuffer(raw, dtype).reshape(tensor.dims)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise ArtefactError(f"initializer {tensor.name!r} cannot be read: {error}") from error
    if value.dtype.kind not in "fiub":
        raise ArtefactError(
            f"initializer {tensor.name!r} holds {value.dtype}; supported: floats and integers"
        )
    return value


def fold(node: NodeProto, args: list[Constant]) -> Constant:
    """Value of a node of constants.

    Raises:
        ArtefactError: the operation is unknown, its constants do not fit, or it cannot be exact.
    """
    function = _FOLDS.get(node.op_type)
    if function is None:
        raise refuse(node, "an operation on constants that is not folded", f"{sorted(_FOLDS)}")
    try:
        return function(node, *args)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError) as error:
        why = f"its constants do not fit: {str(error) or type(error).__name__}"
        raise refuse(node, why, "constants whose value is exact") from error


def plain(value: Constant) -> Array:
    """Numbers that are no roots.

    Raises:
        ValueError: they are.
    """
    if isinstance(value, Root):
        raise ValueError("a square root that is not rational")
    return value


def signs(x: Array, scale: Array) -> Array:
    """+-scale as `x` is >= 0 or not; NaN is refused.

    Raises:
        ValueError: a number is not finite, a scale is 0, or the two do not broadcast to x.
    """
    if x.dtype == object:
        x = np.where(x >= 0, np.float32(1), np.float32(-1))
    if not (np.isfinite(x).all() and np.isfinite(_as_float(scale)).all() and scale.all()):
        raise ValueError("values must be finite and the scale not 0")
    if np.broadcast_shapes(x.shape, scale.shape) != x.shape:
        raise ValueError(f"a scale of shape {scale.shape} for {x.shape}")
    if (scale == 1).all():
        return np.where(x >= 0, np.int8(1), np.int8(-1))  # a quarter of the memory
    return np.where(x >= 0, scale, -scale)


def one_bit(node: NodeProto, x: Array, scale: Array, zero: Array, bits: Array) -> Array:
    """A Quant of one signed bit, which qonnx takes for a sign.

    Raises:
        ValueError: another width, unsigned, or a zero point.
    """
    if bits.size != 1 or bits.reshape(-1)[0] != 1 or not attributes(node).get("signed", 1):
        raise ValueError("weights of more than one signed bit")
    if zero.any():
        raise ValueError("a zero point")
    signs(x, scale)  # refuses what does not fit
    is_one = np.where(scale > 0, x >= 0, x <= 0)  # the sign of x / scale
    return np.where(is_one, scale, -scale)


def _as_float(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype == object else value


def _value(node: NodeProto) -> Constant:
    has = attributes(node)
    if isinstance(has.get("value"), TensorProto):
        return array(has["value"])
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in has:
            return np.array(has[name], dtype)
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in has:
            return np.array(list(has[name]), dtype)
    raise ValueError("only the attributes value, value_float(s) and value_int(s) are read")


def _same(node: NodeProto, x: Constant, *others: Constant) -> Constant:
    return x


def _cast(node: NodeProto, x: Constant) -> Constant:
    to = attributes(node).get("to")
    value = plain(x)
    if to in _FLOATS and value.dtype == object:
        return value
    dtype = None if to is None else {**_FLOATS, **_INTEGERS}.get(to)
    if dtype is None:
        raise ValueError(f"a cast to type {to}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("a number is not finite")
    cast = value.astype(dtype)
    if not (cast == value).all():
        raise ValueError("a cast that changes a value")
    return cast


def _transpose(node: NodeProto, x: Constant) -> Constant:
    return np.transpose(plain(x), attributes(node).get("perm"))


def _axes(node: NodeProto, args: tuple[Constant, ...]) -> tuple[int, ...]:
    given = plain(args[0]).reshape(-1).tolist() if args else attributes(node).get("axes")
    if given is None:
        raise ValueError("no axes")
    return tuple(int(axis) for axis in given)


def _unsqueeze(node: NodeProto, x: Constant, *axes: Constant) -> Constant:
    return np.expand_dims(plain(x), _axes(node, axes))


def _squeeze(node: NodeProto, x: Constant, *axes: Constant) -> Constant:
    return np.squeeze(plain(x), _axes(node, axes))


def _reshape(node: NodeProto, x: Constant, shape: Constant) -> Constant:
    value = plain(x)
    sizes = [int(size) for size in plain(shape).reshape(-1)]
    if not attributes(node).get("allowzero", 0):
        sizes = [value.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return value.reshape(sizes)


def _flatten(node: NodeProto, x: Constant) -> Constant:
    value, axis = plain(x), int(attributes(node).get("axis", 1))
    return value.reshape(math.prod(value.shape[:axis]), -1)


def _concat(node: NodeProto, *parts: Constant) -> Constant:
    return np.concatenate([plain(part) for part in parts], int(attributes(node)["axis"]))


def _gather(node: NodeProto, x: Constant, indices: Constant) -> Constant:
    value, at = plain(x), plain(indices)
    if value.ndim != 1 or at.size > value.size:
        raise ValueError("only elements of a vector are gathered")
    return np.asarray(value[at.astype(np.int64)])


def _elementwise(
    function: Callable[[Constant, Constant], Constant],
) -> Callable[..., Constant]:
    def run(node: NodeProto, a: Constant, b: Constant) -> Constant:
        shapes = [x.factor.shape if isinstance(x, Root) else x.shape for x in (a, b)]
        shape = np.broadcast_shapes(*shapes)
        if math.prod(shape) > max(1, *map(math.prod, shapes)):
            raise ValueError(f"{shapes[0]} and {shapes[1]} broadcast each other")
        return function(a, b)

    return run


def _power(node: NodeProto, x: Constant, exponent: Constant) -> Constant:
    e = exact.rationals(plain(exponent)).reshape(-1)
    if len(e) != 1 or e[0] not in (Fraction(1, 2), Fraction(-1, 2), 1, 2, -1):
        raise ValueError("a power other than 1/2, -1/2, 1, 2, -1")
    if e[0] in (1, 2):
        return x if e[0] == 1 else exact.multiply(x, x)
    if e[0] == -1:
        return exact.reciprocal(x)
    found = exact.root(plain(x))
    return found if e[0] > 0 else exact.reciprocal(found)


def _negative(node: NodeProto, x: Constant) -> Constant:
    return exact.multiply(x, np.array(-1.0))


def _matmul(node: NodeProto, a: Constant, b: Constant) -> Constant:
    x, y = plain(a), plain(b)
    if x.ndim != 2 or y.ndim not in (1, 2) or x.shape[0] * math.prod(y.shape[1:]) > x.size + y.size:
        raise ValueError(f"{x.shape} times {y.shape} is no small product")
    value = None
    if _is_exact(x) and _is_exact(y):
        value = np.asarray(x.astype(np.float64) @ y.astype(np.float64))
    if value is None or not _is_exact(value):
        raise ValueError("a product of matrices that are not small multiples of 1/2")
    return value


def _is_exact(value: Array) -> bool:
    twice = 2 * value.astype(np.float64)
    return bool((np.abs(twice) <= EXACT_FLOAT32).all() and (twice == np.rint(twice)).all())


_FOLDS: dict[str, Callable[..., Constant]] = {
    "Add": _elementwise(exact.add),
    "BipolarQuant": lambda node, x, scale: signs(plain(x), plain(scale)),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _value,
    "Div": _elementwise(exact.divide),
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _same,
    "MatMul": _matmul,
    "Mul": _elementwise(exact.multiply),
    "Neg": _negative,
    "Pow": _power,
    "Quant": lambda node, *args: one_bit(node, *map(plain, args)),
    "Reciprocal": lambda node, x: exact.reciprocal(x),
    "Reshape": _reshape,
    "Sign": lambda node, x: np.sign(plain(x)),
    "Sqrt": lambda node, x: exact.root(plain(x)),
    "Squeeze": _squeeze,
    "Sub": _elementwise(lambda a, b: exact.add(a, b, -1)),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
FOLDED = tuple(sorted(_FOLDS))
