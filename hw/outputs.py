"""Where results go: files that can be written, found out before the work and not after it."""

from pathlib import Path

from ..sim.container import make_folder
from ..sim.exceptions import ArtefactError


def checked(path: Path | None) -> Path | None:
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
