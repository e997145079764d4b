"""CIFAR's binary records: a label byte, then 32 x 32 pixels in planes R, G, B.

Copies of the set differ in the order of their records. So the records are put into an order of
their own, that of their SHA-256, which no origin changes and which tells nothing about a class.
"""

import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import ArtefactError

SIDE, CHANNELS = 32, 3
_BYTES = 1 + CHANNELS * SIDE * SIDE


@dataclass(frozen=True)
class Records:
    """One part of a data set.

    Attributes:
        files: names; each may also be there as `<name>.xz`.
        n_images: in all of them.
        sha256: of the records of all files, in their own order.
    """

    files: tuple[str, ...]
    n_images: int
    sha256: str


def path_of(folder: Path, name: str) -> Path | None:
    """The file of that name, compressed or not, if it is there."""
    paths = (folder / name, folder / f"{name}.xz")
    return next((path for path in paths if path.is_file()), None)


def read_records(folder: Path, part: Records) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 32, 32, 3), channel-last, and labels (n,), if they are exactly the ones expected.

    Raises:
        ArtefactError: a file is missing or unreadable, or the contents have another hash.
    """
    raw = b"".join(_read(folder, name) for name in part.files)
    if len(raw) != part.n_images * _BYTES:
        raise ArtefactError(
            f"{folder}: {', '.join(part.files)} hold {len(raw)} bytes, not {part.n_images} records "
            f"of {_BYTES}; remove them to fetch them again"
        )
    records = [raw[start : start + _BYTES] for start in range(0, len(raw), _BYTES)]
    records.sort(key=lambda record: hashlib.sha256(record).digest())
    body = b"".join(records)
    found = hashlib.sha256(body).hexdigest()
    if found != part.sha256:
        raise ArtefactError(
            f"{folder}: records of {', '.join(part.files)} hash to {found[:12]}, not "
            f"{part.sha256[:12]}; remove them to fetch them again"
        )
    table = np.frombuffer(body, np.uint8).reshape(-1, _BYTES)
    planes = table[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), table[:, 0].copy()


def _read(folder: Path, name: str) -> bytes:
    path = path_of(folder, name)
    if path is None:
        raise ArtefactError(f"{folder / name}: no such file, nor with .xz")
    try:
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ArtefactError(
            f"{path}: not an xz file ({error}); remove it to fetch it again"
        ) from error
