"""Files that a command writes: none takes the place of what it reads or of another one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..sim.container import appendable, rewritable, writable
from ..sim.exceptions import InputError


def is_output(hint: Any) -> bool:
    """Whether it is the annotation of an option that names a file which is written."""
    return bool(_callbacks(hint) & {writable, rewritable, appendable})


def keep_apart(values: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Refuse a command that would write a file which it reads, or one file twice.

    Args:
        values: of its options, by name.
        hints: their annotations.

    Raises:
        InputError: it would.
    """
    outputs = [name for name in values if is_output(hints.get(name))]
    read = {path for name in values.keys() - set(outputs) for path in _files(values[name])}
    written: set[Path] = set()
    for name in outputs:
        for path in _files(values[name]):
            if path in read and rewritable not in _callbacks(hints[name]):
                raise InputError(f"{values[name]}: is what is read; give another file to write")
            if path in written:
                raise InputError(f"{values[name]}: is to be written twice; give two files")
            written.add(path)


def is_among(file: Path, result: Any) -> bool:
    """Whether a file is one of those that a result names."""
    return not set(_files(file)).isdisjoint(_named(result))


def _named(value: Any) -> Iterator[Path]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _named(one)
    elif isinstance(value, Path):
        yield from _files(value)


def _files(value: Any) -> Iterator[Path]:
    """Files of an option, where links lead; no folder, and no device, which may be named twice.

    Text counts where a file has that name.
    """
    for one in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(one, str | Path):
            continue
        with suppress(OSError):  # such a name has no file
            path = Path(one)
            if path.is_file() or (isinstance(one, Path) and not path.exists()):
                yield Path(os.path.realpath(path))


def _callbacks(hint: Any) -> set[Any]:
    return {getattr(option, "callback", None) for option in getattr(hint, "__metadata__", ())}
