"""One container for every artefact: safetensors with a versioned JSON header in its metadata."""

import hashlib
import json
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from .exceptions import ArtefactError


def kit_version() -> str:
    """Version of the installed kit."""
    return metadata.version("stoic")


def write(
    path: Path, form: str, version: int, header: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Write header and arrays; the file appears whole or not at all.

    Args:
        form: name of the format, e.g. "stoic-network".
        header: JSON values; the kit version is added.
    """
    text = json.dumps({**header, "kit_version": kit_version()}, sort_keys=True)
    whole = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    stamp = {
        "format": form,
        "version": str(version),
        "header": text,
        "content_sha256": content_sha256(text, whole),
    }
    write_whole(path, _in_order(to_bytes(whole, metadata=stamp)))


def content_sha256(header: str, arrays: dict[str, NDArray[Any]]) -> str:
    """Hash of everything in a file: header text, names, types, shapes and values of the arrays."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name},{array.dtype.str},{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: equal contents give equal bytes.

    The library writes its metadata in the random order of a hash map.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the arrays aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes so that a reader, or a run that is killed, never sees half a file.

    Raises:
        ArtefactError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device or a pipe, which must not be replaced
            path.write_bytes(data)
            return
        part = path.with_name(path.name + ".part")
        try:
            part.write_bytes(data)
        except OSError:
            part.unlink(missing_ok=True)  # half a file on a full disk
            raise
        part.replace(path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror})") from error


def make_folder(path: Path) -> None:
    """Make a folder, and see that files can be written there, before long work begins.

    Raises:
        ArtefactError: they cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror})") from error


def writable(path: Path | None) -> Path | None:
    """The path, if a file can be written there; folders that it lacks are not made yet.

    Raises:
        ArtefactError: it cannot.
    """
    if path is None or path.is_char_device() or path.is_fifo():
        return path  # e.g. /dev/stdout, beside which there need be no room
    if path.is_dir():
        raise ArtefactError(f"{path}: cannot be written (it is a folder)")
    make_folder(next(above for above in path.absolute().parents if above.exists()))
    return path


def rewritable(path: Path | None) -> Path | None:
    """As `writable`, of a file that may be one of those that are read: the whole is read first."""
    return writable(path)


def appendable(path: Path | None) -> Path | None:
    """The path, if lines can be appended to a file there.

    Raises:
        ArtefactError: they cannot.
    """
    if path is None or not path.exists():
        return writable(path)
    try:
        path.open("a").close()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def read(
    path: Path, form: str, version: int, remedy: str = ""
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a file of the wanted format.

    Args:
        remedy: what to do with a file of another version, said in the error.

    Raises:
        ArtefactError: no such file, corrupt, truncated, of another format or of another version.
    """
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise ArtefactError(f"{path}: {what}")
    try:
        with safe_open(path, framework="numpy") as file:
            stamp = file.metadata() or {}
            if stamp.get("format") != form:
                found = stamp.get("format", "foreign")
                raise ArtefactError(f"{path}: is a {found!r} file, not {form!r}")
            if stamp.get("version") != str(version):
                raise ArtefactError(
                    f"{path}: format version {stamp.get('version')}, this kit reads version "
                    f"{version}{remedy and '; '}{remedy}"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ArtefactError(f"{path}: corrupt or not a {form} file ({error})") from error
    try:
        header = json.loads(stamp["header"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path}: header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise ArtefactError(f"{path}: header must be a JSON object, not {type(header).__name__}")
    content = content_sha256(stamp["header"], arrays)
    if content != stamp.get("content_sha256"):
        raise ArtefactError(f"{path}: corrupt, its contents do not match the hash that it carries")
    return header, arrays


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
