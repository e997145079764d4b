"""Where the bytes of the host link go: a pyserial URL, and the recording of one.

A recording is JSON lines: a header, then one line for every write and read in the order in which
the driver made them. The driver does the same whenever it reads the same, so a replay needs no
board, and any byte that it would send otherwise than recorded is an error.
"""

import base64
import json
import os
import re
import select
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import serial

from ..sim.container import kit_version
from ..sim.core import Core, from_json, to_json
from ..sim.exceptions import ArtefactError, BoardError, InputError

_SOCKET = re.compile(r"socket://(?:\[[^]]*\]|[^/:]+):(\d{1,5})\b", re.I)
_VIRTUALS = re.compile(r"(tcp|pty)(:|$)")
_MOST_AT_ONCE = 1 << 16
PAUSE_S = 1.0  # longest silence inside an answer; USB adapters hold bytes back for 16 ms
_WITH_TOKEN = re.compile(r"(socket://)([^@/]*)@(.*)", re.I)
FORMAT = "stoic-recording"
VERSION = 1

_T = TypeVar("_T")
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, InputError)


def split_token(url: str) -> tuple[str, str]:
    """URL without the token of a served board, and the token.

    >>> split_token("SOCKET://secret@lab:5000"), split_token("/dev/ttyUSB0")
    (('SOCKET://lab:5000', 'secret'), ('/dev/ttyUSB0', ''))
    """
    match = _WITH_TOKEN.fullmatch(url)
    return (match[1] + match[3], match[2]) if match else (url, "")


class Port(Protocol):
    """A byte stream to a board."""

    url: str

    def read(self, least: int, timeout_s: float) -> bytes:
        """`least` bytes and what else is there; fewer when they do not come in time.

        `timeout_s` is for the first; a longer silence behind it than a pause of the line is a loss.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send everything."""

    def close(self) -> None:
        """Release the port."""


class SerialPort:
    """`/dev/ttyUSB0`, the path of a pty, `socket://host:port`, or any other URL of pyserial.

    Attributes:
        url: without the token.
        token: of `socket://TOKEN@host:port`, a served board; "" for none.
    """

    def __init__(self, url: str, baud: int, timeout_s: float, pause_s: float = PAUSE_S) -> None:
        """Open it for us alone.

        Args:
            pause_s: longest silence inside an answer.

        Raises:
            BoardError: no such port, no permission, busy, or nothing listens there.
        """
        self.url, self.token = split_token(url)
        url = self.url
        try:
            self._serial = serial.serial_for_url(  # type: ignore[no-untyped-call]
                url, baudrate=baud, timeout=timeout_s, write_timeout=timeout_s, exclusive=True
            )
        except (ValueError, re.error) as error:  # the latter of hwgrep://
            raise BoardError(f"{url}: not a port that pyserial knows ({error})") from error
        except OSError as error:
            raise BoardError(f"{url}: {_why_not_open(url, error)}") from error
        self._timeout_s, self._pause_s = timeout_s, pause_s
        try:
            self._fd: int | None = self._serial.fileno()
        except (AttributeError, OSError):
            self._fd = None  # Windows, rfc2217://

    def read(self, least: int, timeout_s: float) -> bytes:
        """`least` bytes and what else is there; fewer when they do not come in time.

        Raises:
            BoardError: the other end is gone.
        """
        try:
            if self._fd is not None:
                return self._read_there(self._fd, least, timeout_s)
            data = b""
            while len(data) < least and (more := self._read_some(timeout_s)):
                data, timeout_s = data + more, min(timeout_s, self._pause_s)
            return data
        except (OSError, TypeError, ValueError) as error:  # the last two: closed by another thread
            raise self._lost(error) from error

    def _read_some(self, timeout_s: float) -> bytes:
        """What is there, or one byte that comes in time: pyserial's timeout is for a whole read."""
        if timeout_s != self._timeout_s:  # setting it costs system calls
            self._serial.timeout = self._timeout_s = timeout_s
        return bytes(self._serial.read(max(1, self._serial.in_waiting)))

    def _read_there(self, fd: int, least: int, timeout_s: float) -> bytes:
        """As `read`; pyserial's would never take more than it asks for: two calls a frame."""
        data = b""
        while len(data) < least and select.select([fd], [], [], timeout_s)[0]:
            timeout_s = min(timeout_s, self._pause_s)
            more = os.read(fd, _MOST_AT_ONCE)
            if not more:
                raise OSError("closed by the other end")
            data += more
        return data

    def write(self, data: bytes) -> None:
        """Send everything.

        Raises:
            BoardError: the other end is gone, or takes no bytes.
        """
        try:
            if self._fd is None:
                self._serial.write(data)
            else:
                self._write_there(self._fd, memoryview(data))
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def _write_there(self, fd: int, data: memoryview) -> None:
        """As `write`; pyserial's burns the processor while a socket is full."""
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                if not select.select([], [fd], [], self._timeout_s)[1]:
                    raise OSError(f"takes no bytes for {self._timeout_s:g} s") from None

    def close(self) -> None:
        """Release the port."""
        self._serial.close()

    def _lost(self, error: Exception) -> BoardError:
        return BoardError(
            f"{self.url}: the connection is gone ({error}); the board died, was unplugged "
            "or serves another host"
        )


def _why_not_open(url: str, error: OSError) -> str:
    text = str(error)
    socket = _SOCKET.match(url)
    if url.lower().startswith("socket://") and not (socket and 0 < int(socket[1]) < 1 << 16):
        return "a socket is socket://host:port, with a port 1..65535"
    if "lock" in text.lower():
        return "busy: another program has this port open"
    if isinstance(error, serial.SerialException) and "refused" in text.lower():
        return "nothing listens there; start the virtual board or correct the URL"
    if _VIRTUALS.match(url):
        return "no such port; that is how stoic virtual names one, it prints the URL of its board"
    if "No such file" in text or "not find" in text.lower():
        return "no such port; plug the board in or correct the path"
    return f"cannot be opened ({text})"


class RecordingPort:
    """A port whose traffic is written down."""

    def __init__(self, port: Port, path: Path, core: Core) -> None:
        """Begin the file, beside its place: what stands there is replaced by `keep`.

        Raises:
            ArtefactError: it cannot be written.
        """
        self.url = port.url
        self._port, self._path = port, path
        self._part: Path | None = None  # not of a device or a pipe, which must not be replaced
        if path.is_file() or not path.exists():
            self._part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = (self._part or path).open("w", buffering=1)
        except OSError as error:
            raise self._lost(error) from error
        header = {"format": FORMAT, "version": VERSION, "kit_version": kit_version()}
        self._note({**header, "url": port.url, **to_json(core)})

    def keep(self) -> None:
        """Put it into its place, the board being what was wanted; it goes on there.

        Raises:
            ArtefactError: it cannot be put there.
        """
        if self._part is None:
            return
        try:
            self._part.replace(self._path)
        except OSError as error:
            raise self._lost(error) from error
        self._part = None

    def read(self, least: int, timeout_s: float) -> bytes:
        """As the port."""
        data = self._port.read(least, timeout_s)
        self._note({"read": base64.b64encode(data).decode()})
        return data

    def write(self, data: bytes) -> None:
        """As the port."""
        self._note({"write": base64.b64encode(data).decode()})
        self._port.write(data)

    def close(self) -> None:
        """Release port and file."""
        self._port.close()
        with suppress(OSError):  # of what is still in the buffer; it was said when it was noted
            self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def _note(self, event: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> ArtefactError:
        return ArtefactError(f"{self._path}: cannot be recorded to ({error.strerror})")


class ReplayPort:
    """A recording in the place of the port."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ArtefactError: not there, or not a recording of this version.
        """
        self.url = f"recording {path}"
        try:
            header, *events = path.read_bytes().splitlines() or [b""]
        except OSError as error:
            raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from error
        self.core = _parse(header, _core, f"{path}: line 1")
        self._events = [_parse(e, _event, f"{path}: line {n}") for n, e in enumerate(events, 2)]
        self._next = 0

    def read(self, least: int, timeout_s: float) -> bytes:
        """What the board answered to this read."""
        return self._take("read")

    def write(self, data: bytes) -> None:
        """Nothing; but it must be what was sent.

        Raises:
            BoardError: the recording is of other images, another network or another kit.
        """
        if self._take("write") != data:
            raise BoardError(f"{self.url}: step {self._next} sends other bytes than were recorded")

    def close(self) -> None:
        """Nothing to release."""

    def _take(self, kind: str) -> bytes:
        is_there = self._next < len(self._events)
        recorded, data = self._events[self._next] if is_there else ("", b"")
        self._next += 1
        if recorded != kind:
            raise BoardError(
                f"{self.url}: step {self._next} is no {kind}; another run was recorded"
            )
        return data


def _parse(line: bytes, meaning: Callable[[Any], _T], where: str) -> _T:
    """What the JSON of a line means."""
    try:
        return meaning(json.loads(line))
    except _WRONG as error:
        raise ArtefactError(f"{where} is corrupt or not of a {FORMAT}: {error}") from error


def _core(header: Any) -> Core:
    ours = {"format": FORMAT, "version": VERSION}
    if not isinstance(header, dict) or {key: header.get(key) for key in ours} != ours:
        raise InputError(f"must begin with {ours}, not {header!r:.60}")
    return from_json(header)


def _event(event: Any) -> tuple[str, bytes]:
    """Kind and bytes."""
    if isinstance(event, dict) and len(event) == 1:
        [(kind, text)] = event.items()
        if kind in ("read", "write") and isinstance(text, str):
            return kind, base64.b64decode(text, validate=True)
    raise InputError(f'must be {{"read": BASE64}} or {{"write": BASE64}}, not {event!r:.60}')
