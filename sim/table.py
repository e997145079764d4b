"""A TOML table that is read key by key, so that a wrong key or value is refused by name."""

from pathlib import Path
from typing import Any

from .exceptions import InputError

_REQUIRED: Any = object()


class Table:
    """A TOML table whose entries are taken one by one, so that unknown ones can be named."""

    def __init__(self, path: Path, name: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{path}: needs a table [{name}]")
        self._path, self._name, self._values = path, name, dict(values)

    def take(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        """The value of a key.

        Raises:
            InputError: it is missing and has no default, or is not of that kind.
        """
        value = self._values.pop(key, default)
        if value is _REQUIRED:
            raise InputError(f"{self._path}: [{self._name}] needs {key!r}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise InputError(
                f"{self._path}: [{self._name}] {key} must be {kind.__name__}, not {value!r}"
            )
        return value

    def finish(self) -> None:
        """Refuse, with InputError, the keys that nobody took."""
        if self._values:
            raise InputError(
                f"{self._path}: [{self._name}] has unknown keys {sorted(self._values)}"
            )
