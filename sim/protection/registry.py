"""Protections by name, as a campaign's file writes them; a new one is one line here."""

from dataclasses import fields
from typing import Any

from ..exceptions import InputError
from ..fields import checked, plain
from .compose import Compose
from .interleave import Interleaved
from .nothing import Nothing
from .polarity import Polarity
from .protection import Protection
from .replicate import Replicate
from .secded import Secded
from .thresholds import Thresholds

PROTECTIONS: dict[str, type[Protection]] = {
    p.name: p for p in (Nothing, Secded, Interleaved, Replicate, Polarity, Thresholds, Compose)
}


def describe(protection: Protection) -> dict[str, Any]:
    """JSON values from which `from_json` makes the same protection."""
    values: dict[str, Any] = {"name": protection.name}
    for f in fields(protection):
        values[f.name] = _plain(plain(type(protection), f.name, getattr(protection, f.name)))
    return values


def from_json(values: str | dict[str, Any]) -> Protection:
    """The protection of a name alone, or of a name and parameters.

    Args:
        values: e.g. "secded", {"name": "interleave", "degree": 8} or
            {"name": "compose", "of": ["secded", {"name": "interleave"}]}.

    Raises:
        InputError: an unknown name, or parameters that are unknown, missing or out of range.
    """
    if not isinstance(values, str | dict):
        raise InputError(f"a protection must be a name or a table, not {values!r}")
    given: dict[str, Any] = {"name": values} if isinstance(values, str) else dict(values)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in PROTECTIONS:
        raise InputError(f"a protection's name must be among {sorted(PROTECTIONS)}, not {name!r}")
    kind = PROTECTIONS[name]
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(given) - known):
        raise InputError(f"protection {name!r} takes {sorted(known)}, not {unknown}")
    if name == Compose.name and isinstance(given.get("of"), list):
        given["of"] = [from_json(v) for v in given["of"]]
    try:
        return kind(
            **checked(kind, {k: _tuples(v) for k, v in given.items()}, f"protection {name!r}")
        )
    except TypeError as error:
        raise InputError(f"protection {name!r}: {error}") from error


def label(protection: Protection) -> str:
    """A short name for tables and figures: names, and what differs from the defaults."""
    if isinstance(protection, Compose):
        return " + ".join(map(label, protection.of))
    given = [
        f"{f.name}={getattr(protection, f.name)}"
        for f in fields(protection)
        if f.metadata.get("chosen") is None and getattr(protection, f.name) != f.default
    ]
    return f"{protection.name}({', '.join(given)})" if given else protection.name


def _plain(value: Any) -> Any:
    if isinstance(value, Protection):
        return describe(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
