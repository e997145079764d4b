"""A board for colleagues over TCP: one lease at a time, and nothing that changes it without one.

Clients speak the frames of the host link and get the board's answers; LEASE with the token takes
the board until the client leaves or falls silent. Without a lease a client may identify, read words
and counters, and infer, which change neither weights nor thresholds nor injectors, and while
another one holds the lease it may identify only: what it asks would disturb the counters and the
images of read errors. Frames of clients reach the board through a `Session`, so what a line damages
is sent again here; a frame longer than the board takes is dropped, and so is one that breaks off.
"""

import errno
import hmac
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ..sim.exceptions import ArtefactError, BoardError, InputError, StoicError
from . import link
from .link import Command, Frame, Status
from .port import PAUSE_S
from .session import Answer, Session

MAX_CLIENTS = 16
LEAST_IDLE_S, MOST_IDLE_S = 0.1, 7 * 86400
READ_ONLY = (Command.IDENTIFY, Command.COUNTERS, Command.READ, Command.INFER)
_READ_ONLY_TEXT = (  # no whole URL: the command line takes what stands before its @ for a secret
    b"read-only without a lease; put the token into the URL, before the host: TOKEN@host:port"
)
_MOST_AT_ONCE = 1 << 16
_CLOSED = (errno.EBADF, errno.EINVAL)  # what `accept` says of a socket that `close` hung up

Log = Callable[[dict[str, Any]], None]


@dataclass
class Client:
    """Who is connected, and what it asked for so far."""

    socket: socket.socket
    name: str
    frames: Counter[str] = field(default_factory=Counter)
    n_refused: int = 0


class Server:
    """Serves a board until it is closed or the board is gone; owns the session and its socket.

    Args:
        session: with the board, not yet synchronised.
        host, port: where to listen, a name or an address of IPv4 or IPv6; 0 takes a free port.
        token: what a client must know to get the lease; None gives it to whoever asks first.
        idle_s: a client that is silent so long is put out; None: never.
        log: is given every event as JSON values, one at a time.

    Raises:
        InputError: as `check_idle`.
        BoardError: the board does not answer, or the port cannot be listened on.
    """

    def __init__(
        self,
        session: Session,
        host: str,
        port: int,
        token: str | None,
        idle_s: float | None,
        log: Log,
    ) -> None:
        check_idle(idle_s)
        self._session, self._token, self._idle_s, self._write_log = session, token, idle_s, log
        self._log_lock = threading.Lock()
        self._identity = session.synchronise()
        self._lock = threading.Lock()  # of the board and of all below
        self._holder: Client | None = None
        self._clients: list[Client] = []
        self._failure: StoicError | None = None
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listening = socket.create_server((host, port), family=family)
        except OSError as error:
            place = _place(host, port)
            raise BoardError(f"cannot listen on {place}: {error.strerror}") from error
        self.host, self.port = self._listening.getsockname()[:2]

    @property
    def url(self) -> str:
        """For clients on this machine; with `token@` before the host it takes the lease."""
        return f"socket://{_place(self.host, self.port)}"

    def serve(self) -> None:
        """Until `close`.

        Raises:
            BoardError: the board is gone.
            ArtefactError: the log takes no events any more.
        """
        while True:
            try:
                connection, (host, port, *_) = self._listening.accept()
            except OSError as error:
                if self._failure:
                    raise self._failure from error
                if error.errno in _CLOSED:
                    return
                # the client left already, or this process has too many files open: others go on
                self._log({"event": "accept", "why": error.strerror})
                time.sleep(PAUSE_S)
                continue
            connection.settimeout(self._idle_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(connection, _place(host, port))
            with self._lock:
                is_welcome = len(self._clients) < MAX_CLIENTS
                if is_welcome:
                    self._clients.append(client)
            talk = self._talk if is_welcome else self._turn_away
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Put everybody out and release the board."""
        for end in (self._listening, *(client.socket for client in self._clients)):
            _hang_up(end)
        self._session.close()

    def _turn_away(self, client: Client) -> None:
        """Tell one too many once it asked, and let it read that: what is unread resets the line."""
        why = f"{MAX_CLIENTS} clients are connected already"
        self._log({"event": "turn away", "client": client.name, "why": why})
        client.socket.settimeout(PAUSE_S)
        end = time.monotonic() + PAUSE_S
        with client.socket, suppress(OSError):
            client.socket.recv(_MOST_AT_ONCE)
            self._put_out(client, why)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(_MOST_AT_ONCE) and time.monotonic() < end:
                pass

    def _talk(self, client: Client) -> None:
        """Answer a client until it leaves, is put out, or the board is gone."""
        self._log({"event": "connect", "client": client.name})
        why = "left"
        try:
            for frames in self._requests(client):
                for command, group in groupby(frames, lambda frame: frame.command):
                    self._answer(client, command, list(group))
        except TimeoutError:
            why = f"silent for {self._idle_s:g} s"
            self._put_out(client, f"put out after {self._idle_s:g} s of silence")
        except BoardError as error:
            why = str(error)
            self._put_out(client, f"the board is gone: {error}")
            self._failure = error
            _hang_up(self._listening)
        except OSError as error:
            why = f"connection lost ({error.strerror})"
        finally:
            with self._lock:
                if had_lease := self._holder is client:
                    self._holder = None
                self._clients.remove(client)
            client.socket.close()
            self._log(
                {
                    "event": "disconnect",
                    "client": client.name,
                    "why": why,
                    "had_lease": had_lease,
                    "frames": dict(client.frames),
                    "n_refused": client.n_refused,
                }
            )

    def _requests(self, client: Client) -> Iterator[list[Frame]]:
        """Frames as they come, every whole and undamaged one that the board would take.

        A frame that breaks off is garbage; what stands behind its start is looked at again.
        """
        rest = b""
        while (data := self._receive(client, is_inside=bool(rest))) or rest:
            frames, rest = link.decode(rest + data, self._identity.max_payload, final=not data)
            if frames:
                yield frames

    def _receive(self, client: Client, is_inside: bool) -> bytes:
        """Bytes of a client; none when it has left, or falls silent inside a frame."""
        if not is_inside:
            return client.socket.recv(_MOST_AT_ONCE)
        client.socket.settimeout(PAUSE_S)
        try:
            return client.socket.recv(_MOST_AT_ONCE)
        except TimeoutError:
            return b""
        finally:
            client.socket.settimeout(self._idle_s)

    def _answer(self, client: Client, command: int, frames: list[Frame]) -> None:
        """Execute or refuse frames of one command."""
        payloads = [frame.payload for frame in frames]
        answers: list[Answer] = []
        while len(answers) < len(payloads):
            answers += self._execute(client, command, payloads[len(answers) :])
        name = Command(command).name if command in set(Command) else f"{command:#x}"
        client.frames[name] += len(frames)
        refusals = [text for status, text in answers if status in (Status.BUSY, Status.FORBIDDEN)]
        if refusals:
            client.n_refused += len(refusals)
            self._log(
                {
                    "event": "refuse",
                    "client": client.name,
                    "command": name,
                    "n_frames": len(refusals),
                    "why": refusals[0].decode(),
                }
            )
        client.socket.sendall(
            b"".join(
                link.encode(Frame(frame.sequence, command | link.ANSWER, bytes([status]) + payload))
                for frame, (status, payload) in zip(frames, answers, strict=True)
            )
        )

    def _execute(self, client: Client, command: int, payloads: list[bytes]) -> list[Answer]:
        """Answers to some of the payloads, at least one."""
        with self._lock:
            if command == Command.LEASE:
                return [self._lease(client, payload) for payload in payloads]
            if command == Command.IDENTIFY and not any(payloads):
                if self._holder in (None, client):  # whether the board is still there
                    return self._session.exchange(Command.IDENTIFY, payloads)
                return [(Status.OK, link.pack_identity(self._identity))] * len(payloads)
            if refusal := self._refusal(client, command):
                return [refusal] * len(payloads)
            return self._session.exchange(Command(command), payloads)

    def _refusal(self, client: Client, command: int) -> Answer | None:
        if self._token is None and self._holder is None:
            self._holder = client
        if self._holder is client:
            return None if command in set(Command) else (Status.UNKNOWN_COMMAND, b"")
        if self._holder is not None:
            return Status.BUSY, f"leased to {self._holder.name}; come back later".encode()
        if command not in READ_ONLY:
            return Status.FORBIDDEN, _READ_ONLY_TEXT
        return None

    def _lease(self, client: Client, token: bytes) -> Answer:
        if self._token is None or not hmac.compare_digest(token, self._token.encode()):
            return Status.FORBIDDEN, b"wrong token"
        if self._holder is not None and self._holder is not client:
            return Status.BUSY, f"leased to {self._holder.name}; come back later".encode()
        self._holder = client
        self._log({"event": "lease", "client": client.name})
        return Status.OK, b""

    def _log(self, event: dict[str, Any]) -> None:
        with self._log_lock:
            try:
                self._write_log(event)
            except OSError as error:
                why = f"events cannot be written any more ({error.strerror})"
                self._failure = self._failure or ArtefactError(f"{why}; nobody is served")
                _hang_up(self._listening)

    def _put_out(self, client: Client, why: str) -> None:
        """Tell a client, if it still listens, in a frame that it did not ask for."""
        answer = Frame(0, Command.IDENTIFY | link.ANSWER, bytes([Status.BUSY]) + why.encode())
        try:
            client.socket.sendall(link.encode(answer))
        except OSError:
            pass  # it is gone, which is what was wanted


def check_idle(idle_s: float | None) -> None:
    """Refuse what no socket can wait for.

    Raises:
        InputError: not 0.1 s to a week, nor None.
    """
    if idle_s is not None and not LEAST_IDLE_S <= idle_s <= MOST_IDLE_S:
        raise InputError(f"idle-s must be {LEAST_IDLE_S}..{MOST_IDLE_S} s, not {idle_s:g}")


def _place(host: str, port: int) -> str:
    """Address as it stands in a URL.

    >>> _place("lab", 5000), _place("::1", 5000)
    ('lab:5000', '[::1]:5000')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hang_up(end: socket.socket) -> None:
    """Close a socket on which another thread may wait."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # not connected any more
    end.close()
