"""The lab log: one JSON line for every run on a board, with what was noted beside it.

time_utc, command, kit_version      of the run
url, build_id, layout_id, clock_hz  what the board said about itself
board                               as it was named, or null
bitstream, bitstream_sha256         of the build with that build id, where it is found; or null
notes                               as given: temperature, voltage, who, why
network, network_sha256, ...        what the command reports of the run
"""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim.container import kit_version
from ..sim.exceptions import ArtefactError
from .link import Identity
from .port import split_token

_log = logging.getLogger(__name__)

FILE = "lab.jsonl"
Notes = Annotated[
    list[str] | None,
    typer.Option("--note", help='For the lab log, e.g. "core 0.95 V, 41 C"; repeatable.'),
]
LogFile = Annotated[
    Path | None, typer.Option("--log", metavar="LAB.jsonl", help="Lab log; lab.jsonl beside NET.")
]


def opened(file: Path) -> Path:
    """The log, once a line can be appended to it: refused before a run, not after it.

    Raises:
        ArtefactError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()
    except OSError as error:
        raise ArtefactError(f"{file}: no run can be logged there ({error.strerror})") from error
    return file


def write(
    file: Path, command: str, identity: Identity, notes: list[str] | None, values: dict[str, Any]
) -> None:
    """Append the line of a run.

    Args:
        values: more of the run: "url", and "network_file" and "board" if there are any.

    Raises:
        ArtefactError: it cannot be written.
    """
    values = dict(values)
    network_file, board = values.pop("network_file", None), values.get("board")
    folder = network_file.parent / board if network_file and board else None
    line = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "kit_version": kit_version(),
        "build_id": identity.build.hex(),
        "layout_id": identity.layout.hex(),
        "clock_hz": identity.clock_hz,
        "notes": notes or [],
        **bitstream(folder, identity),
        **values,
        "url": split_token(values["url"])[0],
    }
    try:
        with file.open("a") as log:
            log.write(json.dumps(line, default=str) + "\n")
    except OSError as error:
        raise ArtefactError(f"{file}: the run is not logged ({error.strerror})") from error


def bitstream(folder: Path | None, identity: Identity) -> dict[str, Any]:
    """Name and hash of the bitstream that `stoic synth` made of this build in a folder."""
    found: dict[str, Any] = {"bitstream": None, "bitstream_sha256": None}
    if folder is None or not (file := folder / "build.json").is_file():
        return found
    top = folder / "src" / "stoic_top.v"
    if not top.is_file() or identity.build[::-1].hex() not in top.read_text():
        return found  # of other gates than the board has
    try:
        made = dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:  # a run is worth more than the name of its bitstream
        _log.warning("%s: no build's JSON (%s); stoic synth makes it anew", file, error)
        return found
    return {key: made.get(key) for key in found}
