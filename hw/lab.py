"""The lab log: one JSON line for every run on a board, with what was noted beside it.

time_utc, command, kit_version      of the run
url, build_id, layout_id, clock_hz  what the board said about itself
board                               as it was named, or null
bitstream, bitstream_sha256         of the build with that build id beside the network; or null
notes                               as given: temperature, voltage, who, why
network, network_sha256, ...        what the command reports of the run
ended                               "done", "interrupted" or the error, of a run that may end early
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim.container import appendable, kit_version
from ..sim.exceptions import ArtefactError
from .link import Identity
from .port import split_token
from .synth import BUILD

_log = logging.getLogger(__name__)

FILE = "lab.jsonl"
_KEYS = ("bitstream", "bitstream_sha256")
Notes = Annotated[
    list[str] | None,
    typer.Option("--note", help='For the lab log, e.g. "core 0.95 V, 41 C"; repeatable.'),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log", metavar="LAB.jsonl", help="Lab log; lab.jsonl beside NET.", callback=appendable
    ),
]
CampaignLogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="LAB.jsonl",
        help="Lab log; lab.jsonl beside the store.",
        callback=appendable,
    ),
]


def opened(file: Path) -> Path:
    """The log, once a line can be appended to it: refused before a run, not after it.

    Raises:
        ArtefactError: it cannot be written, or is another file.
    """
    appendable(file)
    if file.is_file():
        with file.open("rb") as log:
            if log.read(1) not in (b"", b"{"):
                raise ArtefactError(f"{file}: is no lab log, its first line is no JSON object")
    return file


@contextmanager
def line(
    file: Path, command: str, identity: Identity, notes: list[str] | None, values: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The line of a run, appended when the run ends, also where it fails or is interrupted.

    Args:
        values: as `write` takes them; what is yielded is a copy, which the run adds to.

    Raises:
        ArtefactError: it cannot be written; where the run failed, it is said and the failure stays.
    """
    said = dict(values)
    try:
        yield said
    except BaseException as error:
        url = said["url"]
        why = str(error).replace(url, split_token(url)[0])
        said["ended"] = "interrupted" if isinstance(error, KeyboardInterrupt) else why
        try:
            write(file, command, identity, notes, said)
        except ArtefactError as lost:
            _log.warning("%s", lost)
        raise
    write(file, command, identity, notes, {**said, "ended": "done"})


def write(
    file: Path, command: str, identity: Identity, notes: list[str] | None, values: dict[str, Any]
) -> None:
    """Append the line of a run.

    Args:
        values: more of the run: "url", and "network_files" and "board" if there are any.

    Raises:
        ArtefactError: it cannot be written.
    """
    values = dict(values)
    builds = folders(values.pop("network_files", ()), values.get("board"))
    line = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "kit_version": kit_version(),
        "build_id": identity.build.hex(),
        "layout_id": identity.layout.hex(),
        "clock_hz": identity.clock_hz,
        "notes": notes or [],
        **bitstream(builds, identity),
        **values,
        "url": split_token(values["url"])[0],
    }
    text = json.dumps(line, default=str) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as log:
            log.write((_gap(file) + text).encode())
    except OSError as error:
        raise ArtefactError(f"{file}: the run is not logged ({error.strerror})") from error


def _gap(file: Path) -> str:
    """What ends a last line that broke off, as of a run that was killed."""
    if not file.is_file():
        return ""
    with file.open("rb") as log:
        if not log.seek(0, os.SEEK_END):
            return ""
        log.seek(-1, os.SEEK_END)
        return "" if log.read() == b"\n" else "\n"


def folders(network_files: Iterable[Path], board: str | None) -> list[Path]:
    """Where `stoic synth` put builds of networks: for a board of any clock, or for any board."""
    beside = sorted({file.parent for file in network_files})
    wanted = (board, f"{board}-*MHz") if board else ("*",)
    return [b.parent for f in beside for w in wanted for b in sorted(f.glob(f"{w}/{BUILD}"))]


def bitstream(builds: Iterable[Path], identity: Identity) -> dict[str, Any]:
    """Name and hash of the one bitstream that `stoic synth` made of this build in some folders."""
    found: list[dict[str, Any]] = []
    for folder in builds:
        try:
            made = _made(folder, identity)
        except (OSError, ValueError, TypeError, KeyError) as error:  # what ran is worth more
            file = folder / BUILD
            _log.warning("%s: no build's JSON (%r); stoic synth makes it anew", file, error)
            continue
        if made and made not in found:
            found.append(made)
    if len(found) > 1:
        names = ", ".join(str(made["bitstream"]) for made in found)
        _log.warning("%s have the board's gates; with --board the log names which it is", names)
    return found[0] if len(found) == 1 else dict.fromkeys(_KEYS)


def _made(folder: Path, identity: Identity) -> dict[str, Any]:
    """The bitstream that was made in a folder, if it has the gates of a board."""
    top, file = folder / "src" / "stoic_top.v", folder / BUILD
    if not (top.is_file() and file.is_file()):
        return {}
    if identity.build[::-1].hex() not in top.read_text(errors="replace"):
        return {}
    values = dict(json.loads(file.read_bytes()))
    return {key: values[key] for key in _KEYS}
