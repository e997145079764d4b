"""Data sets: found, checked against the SHA-256 of their decoded contents, split.

A set is looked for in a data folder, in the cache of the kit and where its Debian package puts it;
last it is fetched into the cache, from that package (no root needed) or from its own public site.
Whatever the origin, the decoded arrays must be exactly the ones that the hashes here name.
"""

import gzip
import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import ArtefactError, InputError
from .records import Records, path_of, read_records

log = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]
ON_OFF = "magic-on-off"
"""Coded events of MAGIC as an on/off observation, see `weak_labels.trigger.images`."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
N_VALIDATION = 10_000
CACHE = Path(".data")
_TIMEOUT_S = 60


@dataclass(frozen=True)
class File:
    """One idx file: its name, the shape in it, and the SHA-256 of the bytes after its header."""

    name: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Pair:
    """One part of a data set as idx files."""

    images: File
    labels: File


Part = Pair | Records


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        train, test: its parts; of both the same kind.
        url: folder of the idx files on the set's own public site, or the archive of its records.
        package: Debian package that holds them in /usr/share/datasets/<name>/, or None.
    """

    train: Part
    test: Part
    url: str
    package: str | None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files."""
        return _names(self.train) + _names(self.test)


def _names(part: Part) -> tuple[str, ...]:
    return part.files if isinstance(part, Records) else (part.images.name, part.labels.name)


def _idx_files(train: tuple[str, str], test: tuple[str, str]) -> tuple[Pair, Pair]:
    def pair(stem: str, n: int, sha256: tuple[str, str]) -> Pair:
        return Pair(
            File(f"{stem}-images-idx3-ubyte.gz", (n, 28, 28), sha256[0]),
            File(f"{stem}-labels-idx1-ubyte.gz", (n,), sha256[1]),
        )

    return pair("train", 60_000, train), pair("t10k", 10_000, test)


SOURCES = {
    "fashion-mnist": Source(
        *_idx_files(
            train=(
                "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
                "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
            ),
            test=(
                "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
                "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
            ),
        ),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        package="dataset-fashion-mnist",
    ),
    "mnist": Source(
        *_idx_files(
            train=(
                "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            ),
            test=(
                "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
            ),
        ),
        url="https://storage.googleapis.com/cvdf-datasets/mnist",
        package=None,
    ),
    "cifar10": Source(
        train=Records(
            tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            50_000,
            "e47348e92e1b30ac0f7c8442987cf05d07f7556eaf7a09b8fae52543df7266c6",
        ),
        test=Records(
            ("test_batch.bin",),
            10_000,
            "c601bf85e16d3df5ce4a9a274bdaa4475e7a92eb0939ca63c602ccc780548819",
        ),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        package=None,
    ),
}
"""Sources: Xiao et al. 2017, arXiv 1708.07747 (MIT); LeCun et al. 1998, Proc. IEEE 86 (11);
Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"."""


NAMES = (*SOURCES, ON_OFF)


@dataclass(frozen=True, eq=False)
class Images:
    """Images (n, height, width[, channels]) uint8, and their classes (n,) uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def load(name: str, split: str, root: Path | None = None, cache: Path = CACHE) -> Images:
    """One split of a data set; the last 10,000 training images are the validation split.

    Args:
        name: a key of SOURCES, or ON_OFF.
        split: one of SPLITS; train and validation share no image, test is never selected on.
        root: folder of data sets, searched first; holds <name>/<files>.
        cache: folder that is searched next, and into which a missing set is fetched.

    Raises:
        InputError: unknown name or split, or the set is nowhere and cannot be fetched.
        ArtefactError: the files are there but not what they should be.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if name == ON_OFF:
        from .weak_labels import trigger  # torch and scikit-learn, for this set alone

        return trigger.images(split, root)
    source = _source(name)
    folder = find(name, root, cache) or fetch(name, cache)
    images, labels = read_part(folder, source.test if split == "test" else source.train)
    if split != "test":
        part = slice(-N_VALIDATION, None) if split == "validation" else slice(-N_VALIDATION)
        images, labels = images[part], labels[part]
    return Images(images, labels)


def find(name: str, root: Path | None = None, cache: Path = CACHE) -> Path | None:
    """Folder that holds all files of the set, or None."""
    source = _source(name)
    folders = [cache / name, Path("/usr/share/datasets") / name]
    for folder in [root / name, *folders] if root else folders:
        if all(path_of(folder, name) for name in source.files):
            return folder
    return None


def fetch(name: str, cache: Path = CACHE) -> Path:
    """Fetch a data set into <cache>/<name> and check it, unless it is there already.

    Raises:
        InputError: neither the Debian package nor the public site can be reached.
        ArtefactError: what came is not the data set.
    """
    source, target = _source(name), cache / name
    if find(name, None, cache) == target:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        folder = _from_package(name, source, Path(scratch)) or _from_site(
            name, source, Path(scratch)
        )
        for part in (source.train, source.test):
            read_part(folder, part)
        target.mkdir(exist_ok=True)
        for file in source.files:
            (folder / file).replace(target / file)
    return target


def hashes(name: str) -> dict[str, str]:
    """{file or files: SHA-256 of their decoded contents} that a data set must have."""
    found = {}
    for part in (_source(name).train, _source(name).test):
        if isinstance(part, Records):
            found[" ".join(part.files)] = part.sha256
        else:
            found |= {file.name: file.sha256 for file in (part.images, part.labels)}
    return found


def read_part(folder: Path, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and labels of one part, if they are exactly the ones expected.

    Raises:
        ArtefactError: unreadable, or the decoded contents have another hash.
    """
    if isinstance(part, Records):
        return read_records(folder, part)
    return read_idx(folder, part.images), read_idx(folder, part.labels)


def read_idx(folder: Path, file: File) -> NDArray[np.uint8]:
    """The array in an idx file, if it is exactly the one expected.

    Raises:
        ArtefactError: unreadable, or its decoded contents have another hash.
    """
    path = folder / file.name
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ArtefactError(
            f"{path}: not a gzip file ({error}); remove it to fetch it again"
        ) from error
    body = raw[4 + 4 * len(file.shape) :]
    found = hashlib.sha256(body).hexdigest()
    if found != file.sha256:
        raise ArtefactError(
            f"{path}: decoded contents hash to {found[:12]}, not {file.sha256[:12]}; "
            "remove it to fetch it again"
        )
    return np.frombuffer(body, np.uint8).reshape(file.shape).copy()


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise InputError(f"data set must be one of {', '.join(SOURCES)}, not {name!r}")
    return SOURCES[name]


def _from_package(name: str, source: Source, scratch: Path) -> Path | None:
    """Folder in `scratch` with the package's files, or None if there is no such package here."""
    if source.package is None or not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    log.info("fetching %s from the Debian package %s", name, source.package)
    try:
        subprocess.run(
            ["apt-get", "download", source.package], cwd=scratch, check=True, capture_output=True
        )
        package = next(scratch.glob("*.deb"))
        subprocess.run(
            ["dpkg", "-x", package.name, "."], cwd=scratch, check=True, capture_output=True
        )
    except (subprocess.CalledProcessError, OSError, StopIteration) as error:
        log.info("no package %s here (%s)", source.package, error)
        return None
    return scratch / "usr/share/datasets" / name


def _from_site(name: str, source: Source, scratch: Path) -> Path:
    if isinstance(source.train, Records):
        archive = scratch / "archive"
        _download(name, source, source.url, archive)
        _unpack(archive, source.files, scratch)
        archive.unlink()
    else:
        for file in source.files:
            _download(name, source, f"{source.url}/{file}", scratch / file)
    return scratch


def _download(name: str, source: Source, url: str, target: Path) -> None:
    log.info("fetching %s", url)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        install = f"install the Debian package {source.package}, or " if source.package else ""
        kind = "idx .gz" if isinstance(source.train, Pair) else ".bin"
        raise InputError(
            f"data set {name} is not here and {url} does not answer ({error}); {install}"
            f"put its {kind} files into <data folder>/{name}/ and name that folder"
        ) from error


def _unpack(archive: Path, files: tuple[str, ...], folder: Path) -> None:
    """Take the files of these names out of a tar archive, whatever folder they stand in there."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if Path(member.name).name in files else None
                if content is not None:
                    (folder / Path(member.name).name).write_bytes(content.read())
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ArtefactError(f"{archive}: not an archive of the data set ({error})") from error
