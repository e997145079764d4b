"""The error models by name; a new one is one line here."""

from dataclasses import fields
from typing import Any

from ..exceptions import InputError
from .iid import Iid
from .model import ErrorModel
from .stuck import Stuck

MODELS: dict[str, type[ErrorModel]] = {
    Iid.name: Iid,
    Stuck.name: Stuck,
}


def from_json(values: dict[str, Any]) -> ErrorModel:
    """The model that `describe` wrote down.

    Raises:
        InputError: an unknown model, or fields that are missing, unknown or out of range.
    """
    name = values.get("model")
    if name not in MODELS:
        raise InputError(f"errors: model must be among {sorted(MODELS)}, not {name!r}")
    known = {f.name for f in fields(MODELS[name])}  # type: ignore[arg-type]
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "model"}
    for mean in ("p01", "p10"):  # what `describe` adds
        if mean not in known:
            given.pop(mean, None)
    if unknown := sorted(set(given) - known):
        raise InputError(f"errors: {name} takes {sorted(known)}, not {unknown}")
    try:
        return MODELS[name](**given)
    except TypeError as error:
        raise InputError(f"errors: {name}: {error}") from error
