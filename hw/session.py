"""Requests in flight over a byte stream, and their answers by sequence number and CRC.

Never are more frames unanswered than the window, by default as many as the board has pages: so
nothing is lost on a line that cannot hold bytes back, and the next frames are on the line while the
board works. Whatever has arrived is taken at once and as many frames follow in one write. A frame
that the line damaged or lost is sent again, which is safe for all: they overwrite, read or infer,
and none adds to anything. A lost byte is known by the silence behind it, long before a board that
is only slow would be given up.
"""

import logging
import time
from collections.abc import Callable, Sequence

from ..sim.exceptions import BoardError, InputError
from . import link
from .link import Command, Frame, Identity, Status
from .port import PAUSE_S, Port

RETRIES = 5
MAX_WINDOW = 128  # half of all sequence numbers: no late answer is taken for one that is owed
_IDENTITY_BYTES = 256  # more than an identity takes; nothing else is wanted before it came
_FIRST_PROBE_S = 0.02
_PATIENCE = 1.5  # growth of the pause between probes of a silent board: it may be a slow one

Progress = Callable[[int], None]
Answer = tuple[Status, bytes]

_log = logging.getLogger(__name__)


class Session:
    """The driver's end of the link; owns its port.

    Attributes:
        identity: of the board, once `synchronise` was called.
        n_retries: how often frames were sent again.
    """

    def __init__(
        self,
        port: Port,
        timeout_s: float,
        window: int | None = None,
        retries: int = RETRIES,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Take the port over; sends nothing yet.

        Args:
            timeout_s: how long the board may be silent.
            window: frames in flight; None for the board's pages. More is right only on a line that
                holds bytes back.
            retries: in a row without an answer, before it gives up.
            pause_s: silence inside an answer after which its rest is taken for lost; one that is
                too short loses nothing but time.

        Raises:
            InputError: the window is not 1..128.
        """
        if window is not None and not 1 <= window <= MAX_WINDOW:
            raise InputError(f"the window must be 1..{MAX_WINDOW} frames, not {window}")
        self.url = port.url
        self.identity: Identity | None = None
        self.n_retries = 0
        self._port, self._timeout_s, self._window = port, timeout_s, window
        self._retries, self._pause_s = retries, pause_s
        self._sequence = 0
        self._rest = b""
        self._is_noisy = False  # what was received last held bytes of no frame

    def close(self) -> None:
        """Release the port."""
        self._port.close()

    def ask(
        self, command: Command, payloads: Sequence[bytes], progress: Progress | None = None
    ) -> list[bytes]:
        """Payloads of the answers, after their status, in order.

        Args:
            progress: called with the number of answers so far, at least every 256.

        Raises:
            BoardError: the board refuses, does not answer, or another one does.
        """
        answers = self.exchange(command, payloads, progress)
        for status, text in answers:
            if status is Status.FORBIDDEN:
                raise BoardError(f"{self.url}: {text.decode(errors='replace')}")
            if command is Command.LEASE and status is Status.UNKNOWN_COMMAND:
                raise BoardError(
                    f"{self.url}: is a board itself, not one of stoic serve; leave the token out"
                )
            if status is not Status.OK:
                raise BoardError(f"{self.url}: refused {command.name}: {status.name}")
        return [payload for _, payload in answers]

    def lease(self, token: str) -> None:
        """Take a served board for this connection alone.

        Raises:
            BoardError: another client has it, the token is wrong, or this is no served board.
        """
        self.synchronise()
        self.ask(Command.LEASE, [token.encode()])

    def exchange(
        self, command: Command, payloads: Sequence[bytes], progress: Progress | None = None
    ) -> list[Answer]:
        """Status and payload of the answers, in order, none of a damaged frame.

        After one that is not OK nothing more is sent, so there may be fewer answers than payloads.

        Raises:
            BoardError: the board does not answer, or another one does.
        """
        assert self.identity is not None, "synchronise first"
        window = self._window or self.identity.n_pages
        answers: list[Answer] = []
        n, n_sent, n_told, failures = len(payloads), 0, 0, 0
        base = self._sequence + 1  # sequence number of payload 0, modulo 256
        while len(answers) < n:
            upto = min(n, len(answers) + window)
            if n_sent < upto:
                frames = [
                    link.encode(Frame((base + i) % 256, command, payloads[i]))
                    for i in range(n_sent, upto)
                ]
                self._port.write(b"".join(frames))
                n_sent, self._sequence = upto, base + upto - 1
            before = len(answers)
            problem = self._take_answers(answers, base, n_sent, command)
            if len(answers) > before:
                failures = 0
                if any(status is not Status.OK for status, _ in answers[before:]):
                    n = n_sent
                if progress and len(answers) - n_told >= 256:
                    n_told = len(answers)
                    progress(n_told)
            if not problem:
                continue
            failures += 1
            self.n_retries += 1
            _log.warning("%s: %s; sending again", self.url, problem)
            if failures > self._retries:
                raise BoardError(f"{self.url}: gave up after {failures - 1} retries: {problem}")
            if self.synchronise() != self.identity:
                raise BoardError(f"{self.url}: another board answers now")
            n_sent = len(answers)
            base = self._sequence + 1 - n_sent
        if progress:
            progress(len(answers))
        return answers

    def _take_answers(self, answers: list[Answer], base: int, n_sent: int, command: Command) -> str:
        """Add the answers that have arrived, in order; what went wrong behind them, or ""."""
        for frame in (frames := self._receive(self._timeout_s)):
            status = self._status(frame)
            if len(answers) == n_sent or frame.sequence != (base + len(answers)) % 256:
                return "an answer did not come"
            if status.is_damage:
                return f"a frame arrived with {status.name}"
            if frame.command != command | link.ANSWER:
                return "an answer did not come"
            answers.append((status, frame.payload[1:]))
        return "" if frames else "an answer did not come"

    def synchronise(self) -> Identity:
        """Ask who is there, less and less often, until the board is in step again and answers.

        A board that has seen a damaged frame throws everything away until the line is silent.

        Raises:
            BoardError: no answer, another protocol, or none of this kit's boards.
        """
        waited_s, wait_s = 0.0, _FIRST_PROBE_S
        while waited_s < self._timeout_s:
            self._sequence = (self._sequence + 1) % 256
            self._port.write(link.encode(Frame(self._sequence, Command.IDENTIFY)))
            since_s = time.monotonic()
            while frames := self._receive(wait_s):
                for frame in frames:
                    if (found := self._identity(frame)) is not None:
                        self.identity = self.identity or found
                        return found
                since_s = time.monotonic()
            waited_s += max(wait_s, time.monotonic() - since_s)
            wait_s *= 1.0 if self._is_noisy else _PATIENCE  # a noisy line needs many
        raise BoardError(
            f"{self.url}: no answer in {self._timeout_s:g} s; check cable, baud rate and bitstream"
        )

    def _identity(self, frame: Frame) -> Identity | None:
        """The identity in an answer to the last request, None when it is not that."""
        status, head = self._status(frame), (frame.sequence, frame.command)
        if head != (self._sequence, Command.IDENTIFY | link.ANSWER) or status is not Status.OK:
            return None
        said = frame.payload[1:]
        if said and said[0] != link.PROTOCOL:  # the rest is then that protocol's
            raise BoardError(
                f"{self.url}: speaks protocol {said[0]}, this kit speaks {link.PROTOCOL}; "
                "program a bitstream of this kit"
            )
        try:
            return link.unpack_identity(said)
        except ValueError as error:
            raise BoardError(f"{self.url}: {error}; another kit's board") from error

    def _status(self, frame: Frame) -> Status:
        if not frame.payload or not frame.command & link.ANSWER:
            return Status.CUT_OFF  # no answer at all: damage that the CRC did not see, or an echo
        try:
            status = Status(frame.payload[0])
        except ValueError as error:
            raise BoardError(f"{self.url}: {error}; another kit's board") from error
        if status is Status.BUSY:
            raise BoardError(f"{self.url}: busy: {frame.payload[1:].decode(errors='replace')}")
        return status

    def _receive(self, timeout_s: float) -> list[Frame]:
        """Every frame that is here, at least one; none when the line falls silent before it.

        Nor is there one when all that comes for as long as a board may be silent is noise. Whether
        any was is known afterwards.
        """
        most = self.identity.max_payload if self.identity else _IDENTITY_BYTES
        timeout_s = min(timeout_s, self._pause_s) if self._rest else timeout_s
        end_s = time.monotonic() + self._timeout_s
        frames: list[Frame] = []
        is_silent = self._is_noisy = False
        while not (frames or is_silent or (self._is_noisy and time.monotonic() > end_s)):
            least = link.missing(self._rest, most) if self._rest else link.OVERHEAD_BYTES + 1
            data = self._rest + self._port.read(least, timeout_s)
            timeout_s = min(timeout_s, self._pause_s)
            is_silent = len(data) - len(self._rest) < least
            frames, self._rest = link.decode(data, most, final=is_silent)
            self._is_noisy = self._is_noisy or len(self._rest) < len(data)
        return frames
