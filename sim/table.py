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
        """The value of a key; an integer is taken where a number is wanted.

        Raises:
            InputError: it is missing and has no default, or is not of that kind.
        """
        value = self._values.pop(key, default)
        if value is _REQUIRED:
            raise InputError(f"{self._path}: [{self._name}] needs {key!r}")
        if value is default:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                f"{self._path}: [{self._name}] {key} must be {kind.__name__}, not {value!r}"
            )
        return value

    def take_all(self, key: str, of: type, default: Any = _REQUIRED) -> Any:
        """The values of a key that holds a list, as a tuple.

        Raises:
            InputError: it is missing and has no default, or an entry is not of that kind.
        """
        values = self.take(key, list, default)
        if values is default:
            return values
        for value in values:
            if not isinstance(value, of) or isinstance(value, bool):
                raise InputError(
                    f"{self._path}: [{self._name}] {key} must be a list of {of.__name__}, "
                    f"not {value!r}"
                )
        return tuple(values)

    def take_names(self, key: str, default: Any = _REQUIRED) -> Any:
        """One text or a list of texts, as a tuple.

        Raises:
            InputError: it is missing and has no default, or is something else.
        """
        if isinstance(self._values.get(key), str):
            return (self._values.pop(key),)
        return self.take_all(key, str, default)

    def rest(self) -> dict[str, Any]:
        """The entries that nobody took; they count as taken now."""
        values, self._values = self._values, {}
        return values

    def has(self, key: str) -> bool:
        """Whether it is there and not yet taken."""
        return key in self._values

    def finish(self) -> None:
        """Refuse, with InputError, the keys that nobody took."""
        if self._values:
            raise InputError(
                f"{self._path}: [{self._name}] has unknown keys {sorted(self._values)}"
            )
