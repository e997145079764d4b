"""Fields of a dataclass as JSON and TOML write them, one text for one value.

The key of a row is the hash of such a text, and 0, 0.0 and False are equal but not one text. So
what a field is decides how its value is written, and a value of another kind is refused.
"""

import math
from dataclasses import fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .exceptions import InputError

_NUMBERS = (bool, int, float, str)


@lru_cache(maxsize=64)
def kinds(cls: type) -> dict[str, tuple[type, ...]]:
    """Field of the dataclass -> the plain kinds that it takes; () where it takes others too."""
    hints = get_type_hints(cls)
    return {f.name: _kinds(hints[f.name]) for f in fields(cls)}


def _kinds(hint: Any) -> tuple[type, ...]:
    union = get_origin(hint) in (Union, UnionType)
    parts = tuple(map(_plain_kind, get_args(hint) if union else (hint,)))
    return parts if set(parts) <= {*_NUMBERS, tuple, NoneType} else ()


def _plain_kind(hint: Any) -> Any:
    """Of a choice of texts a text: which of them, the class says; of a list the tuple it is."""
    origin = get_origin(hint)
    return str if origin is Literal else tuple if origin is tuple else hint


def plain(cls: type, name: str, value: Any) -> Any:
    """The value of a field as it is written: a number of the kind of the field.

    >>> from .errors import Iid
    >>> plain(Iid, "p01", 0), plain(Iid, "seed", 3)
    (0.0, 3)
    """
    kind = kinds(cls)[name]
    if value is None or not kind or tuple in kind:
        return value
    return float(value) + 0.0 if float in kind else kind[0](value)  # -0.0 is 0.0


def checked(cls: type, values: dict[str, Any], who: str) -> dict[str, Any]:
    """These values of fields, each of the kind of its field; whole numbers are numbers too.

    Args:
        values: by the names of fields of the dataclass.
        who: takes the values, for the message.

    Raises:
        InputError: a value is of another kind, or no finite number.
    """
    found, hints = {}, get_type_hints(cls)
    for name, value in values.items():
        kind = kinds(cls)[name]
        taken = (*kind, int) if float in kind else kind
        fits = bool in kind if isinstance(value, bool) else not kind or isinstance(value, taken)
        if not fits or not _is_finite(value) or not _is_whole(hints[name], value):
            wanted = " or ".join(_WORDS[k] for k in kind) or "finite"
            raise InputError(f"{who}: {name} must be {wanted}, not {value!r}")
        found[name] = plain(cls, name, value)
    return found


def _is_finite(value: Any) -> bool:
    """Whether all numbers in it are; an integer beyond all floats is not."""
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False


def _is_whole(hint: Any, value: Any) -> bool:
    """Whether a list holds, at every depth, what its hint says; other values count as whole."""
    if get_origin(hint) in (Union, UnionType):
        return value is None or any(_is_whole(p, value) for p in get_args(hint) if p != NoneType)
    if get_origin(hint) is not tuple:
        return hint is not int or type(value) is int
    each = get_args(hint)[0]
    return isinstance(value, tuple) and all(_is_whole(each, one) for one in value)


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    tuple: "a list",
    NoneType: "left out",
}
