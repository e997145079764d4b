"""Exact numbers for the constants of a graph: rationals, and rational multiples of square roots.

What a graph does with its stored floats before they meet the data (`var + eps`, its root, a product
of scales) is done here without rounding, so that the mathematics the graph states is what is
lowered, not what one float kernel makes of it. Large tensors stay floats as long as every operation
on them is exact in float64; small ones become arrays of `Fraction` where it is not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # floats and integers as stored, or objects that are all Fractions

MAX_RATIONALS = 1 << 16  # elements; parameters of channels are few, weights stay floats
MAX_BITS = 4096  # of a numerator or denominator: a forged graph must not square without end


@dataclass(frozen=True, eq=False)
class Root:
    """factor * sqrt(radicand), element by element.

    Attributes:
        factor, radicand: Fractions of shapes that broadcast; radicand > 0.
    """

    factor: Array
    radicand: Array


def rationals(value: Array) -> Array:
    """The same numbers as Fractions.

    Raises:
        ValueError: not finite, or too many.
    """
    if value.dtype == object:
        return value
    if value.size > MAX_RATIONALS:
        raise ValueError(f"{value.size} numbers; exact arithmetic takes at most {MAX_RATIONALS}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("a number is not finite")
    found = np.empty(value.shape, object)
    found.reshape(-1)[:] = [Fraction(x) for x in value.reshape(-1).tolist()]
    return found


def rational_root(value: Fraction) -> Fraction | None:
    """The square root of a number >= 0 if it is rational.

    >>> rational_root(Fraction(9, 4))
    Fraction(3, 2)
    """
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    is_square = top * top == value.numerator and bottom * bottom == value.denominator
    return Fraction(top, bottom) if is_square else None


def root(value: Array) -> Array | Root:
    """Square roots: Fractions if all are rational.

    Raises:
        ValueError: a number is not positive.
    """
    radicand = rationals(value)
    if not (radicand > 0).all():
        raise ValueError("a square root needs positive numbers")
    found = [rational_root(x) for x in radicand.reshape(-1)]
    if None not in found:
        roots = np.empty(radicand.shape, object)
        roots.reshape(-1)[:] = found
        return roots
    return Root(np.full(radicand.shape, Fraction(1), object), radicand)


def add(a: Array | Root, b: Array | Root, sign: int = 1) -> Array | Root:
    """a + b, or a - b for sign -1."""
    if isinstance(a, Root) or isinstance(b, Root):
        raise ValueError("a sum with a square root that is not rational")
    exact = _floats(a, b)
    if exact:
        x, y = exact[0], sign * exact[1]
        total = x + y
        part = total - x  # TwoSum: the rounding error of x + y, exactly
        if ((x - (total - part)) + (y - part) == 0).all():
            return np.asarray(total)
    return _checked(lambda x, y: x + sign * y, a, b)


def multiply(a: Array | Root, b: Array | Root) -> Array | Root:
    """a * b."""
    if isinstance(b, Root) and not isinstance(a, Root):
        a, b = b, a
    if isinstance(a, Root):
        if isinstance(b, Root):
            return _product_of_roots(a, b)
        return Root(_checked(_times, a.factor, rationals(b)), a.radicand)
    assert not isinstance(b, Root)
    exact = _floats(a, b)
    if exact and all((x.astype(np.float32) == x).all() for x in exact):
        return np.asarray(exact[0] * exact[1])  # 24 x 24 bits fit 53
    return _checked(_times, a, b)


def divide(a: Array | Root, b: Array | Root) -> Array | Root:
    """a / b.

    Raises:
        ValueError: a divisor is 0.
    """
    return multiply(a, reciprocal(b))


def reciprocal(value: Array | Root) -> Array | Root:
    """1 / value.

    Raises:
        ValueError: it is 0 somewhere.
    """
    if isinstance(value, Root):  # 1 / (f sqrt r) = sqrt r / (f r)
        return Root(reciprocal(_checked(_times, value.factor, value.radicand)), value.radicand)  # type: ignore[arg-type]
    found = rationals(value)
    if not found.all():
        raise ValueError("a divisor is 0")
    return np.asarray(Fraction(1) / found)


def _product_of_roots(a: Root, b: Root) -> Array | Root:
    factor = _checked(_times, a.factor, b.factor)
    within = root(_checked(_times, a.radicand, b.radicand))
    return multiply(within, factor)


def _times(x: Array, y: Array) -> Array:
    return np.asarray(x * y)


def _floats(a: Array, b: Array) -> tuple[Array, Array] | None:
    """Both as float64 if that loses nothing."""
    if object in (a.dtype, b.dtype) or not all(np.isfinite(x).all() for x in (a, b)):
        return None
    found = a.astype(np.float64), b.astype(np.float64)
    if any(
        x.dtype.kind in "iu" and (abs(y) > 2.0**53).any()
        for x, y in zip((a, b), found, strict=True)
    ):
        return None
    return found


def _checked(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    x, y = rationals(a), rationals(b)
    if math.prod(np.broadcast_shapes(x.shape, y.shape)) > MAX_RATIONALS:
        raise ValueError(f"exact arithmetic takes at most {MAX_RATIONALS} numbers")
    value = np.asarray(function(x, y), object)
    check_bits(value)
    return value


def check_bits(*columns: Array) -> None:
    """Refuse Fractions that need too many bits.

    Raises:
        ValueError: one does.
    """
    for column in columns:
        for number in column.reshape(-1):
            if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
                raise ValueError(f"an exact number would need more than {MAX_BITS} bits")
