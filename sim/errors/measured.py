"""Measured data of other authors, read from the files that they published.

Nothing here is shipped with the kit: a file is looked for in the data folder (`--data-root`, or
STOIC_DATA), loose as in its repository or in an archive of it, and its contents must hash to what
the kit was tested with.
"""

import hashlib
import lzma
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..exceptions import ArtefactError, InputError


@dataclass(frozen=True)
class File:
    """One published file.

    Attributes:
        folder: in the data folder.
        name: of the file, wherever below `folder` it lies.
        archive: in `folder`, a .tar.xz in which the file is looked for next; "" for none.
        sha256: of the contents, decoded.
        origin: where to get it.
    """

    folder: str
    name: str
    archive: str
    sha256: str
    origin: str


@lru_cache(maxsize=16)
def read(file: File, data_root: Path | None) -> bytes:
    """The contents of a file, if they are exactly the ones expected.

    Raises:
        InputError: there is no data folder, or the file is not in it.
        ArtefactError: unreadable, or the contents have another hash.
    """
    if data_root is None:
        raise InputError(
            f"measured data are needed: put {file.name} of {file.origin} into "
            f"<data folder>/{file.folder}/ and give --data-root <data folder>, or set STOIC_DATA"
        )
    folder = data_root / file.folder
    archive = folder / file.archive
    loose = sorted(folder.rglob(file.name))
    if loose:
        place, content = loose[0], loose[0].read_bytes()
    elif file.archive and archive.is_file():
        place, content = archive, _member(archive, file.name)
    else:
        also = f" (or {file.archive})" if file.archive else ""
        raise InputError(f"{folder} has no {file.name}{also}; get it from {file.origin}")
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ArtefactError(
            f"{place}: {file.name} hashes to {found[:12]}, not {file.sha256[:12]}; "
            f"get it from {file.origin}"
        )
    return content


def _member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for member in tar:
                if Path(member.name).name == name and (content := tar.extractfile(member)):
                    return content.read()
    except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as error:
        raise ArtefactError(f"{archive}: not a readable .tar.xz file ({error})") from error
    raise ArtefactError(f"{archive}: has no {name}")
