"""BoardDevice: the driver of a real or virtual board; only the URL tells them apart.

`hosted` says what is written and read back; `session` has the frames.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.bits import Words
from ..sim.core import Core
from ..sim.exceptions import BoardError
from ..sim.golden import classify
from . import link
from .hosted import HostedCore, Place, Run
from .link import Command, Counters
from .port import Port, RecordingPort, ReplayPort, SerialPort
from .session import RETRIES, Progress, Session

DEFAULT_BAUD = 3_000_000
DEFAULT_TIMEOUT_S = 5.0
_ID_BYTES = 16


class BoardDevice(HostedCore):
    """A board behind a byte stream, as a Device."""

    def __init__(
        self,
        port: str | Port,
        core: Core,
        *,
        baud: int = DEFAULT_BAUD,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        window: int | None = None,
        retries: int = RETRIES,
        record: Path | None = None,
    ) -> None:
        """Open the port, wait for the board and check that it was built for this core.

        Args:
            port: pyserial URL, e.g. /dev/ttyUSB1, a pty, socket://127.0.0.1:5000.
            core: of the network that will be loaded.
            baud: of a real UART.
            timeout_s, window, retries: as in `Session`.
            record: file for the traffic, for a RecordedDevice.

        Raises:
            BoardError: port missing or busy, no answer, another protocol, or another core.
        """
        opened = SerialPort(port, baud, timeout_s) if isinstance(port, str) else port
        super().__init__(core, opened.url)
        self._session = Session(opened, timeout_s, window, retries)
        try:
            if isinstance(opened, SerialPort) and opened.token:
                self._session.lease(opened.token)
            if record:
                recorded = RecordingPort(opened, record, core)
                self._session = Session(recorded, timeout_s, window, retries)
            self.identity = self._session.synchronise()
            self._check_identity()
        except BaseException:
            self.close()
            raise

    def infer(
        self, images: NDArray[np.generic], progress: Progress | None = None
    ) -> NDArray[np.int32]:
        """Scores of images, streamed with as many in flight as the board has pages.

        Args:
            progress: called with the number of images answered so far, now and then.

        Raises:
            InputError: the images do not fit the network.
            BoardError: the board died, lost its memory meanwhile, or contradicts itself.
        """
        network, memory = self._loaded()
        data = self._image_bytes(network, images)
        retries_before = self._session.n_retries
        answers = self._stream([image.tobytes() for image in data], progress)
        n_classes = network.n_classes
        if any(len(answer) != 4 * n_classes + 1 for answer in answers):
            raise BoardError(f"{self.url}: an answer does not hold {n_classes} scores and a class")
        raw = np.frombuffer(b"".join(answers), np.uint8).reshape(len(data), 4 * n_classes + 1)
        scores = np.ascontiguousarray(raw[:, :-1]).view("<i4").astype(np.int32, copy=False)
        if (classify(scores) != raw[:, -1]).any():
            raise BoardError(f"{self.url}: the board's classes are not those of its scores")
        if self._session.n_retries != retries_before:  # a reset also looks like a lost frame
            self._verify([(bank, 0, words) for bank, words in enumerate(memory)])
            if self._is_disturbed:
                raise BoardError(
                    f"{self.url}: frames were sent again while read errors were on, so which image "
                    "met which is not known; set them and infer again"
                )
        return scores

    def counters(self) -> dict[str, int]:
        """What the board counted since this device was made, and the frames sent again."""
        now, first = self._read_counters(), self._first
        return {
            "images": (now.images - first.images) % (1 << 32),
            "good_frames": (now.good_frames - first.good_frames) % (1 << 32),
            "bad_frames": (now.bad_frames - first.bad_frames) % (1 << 16),
            "busy_cycles": (now.busy_cycles - first.busy_cycles) % (1 << 40),
            "retries": self._session.n_retries,
        }

    def close(self) -> None:
        """Release the port."""
        self._session.close()

    def _check_identity(self) -> None:
        me, wanted = self.identity, bytes.fromhex(self._core.sha256)[:_ID_BYTES]
        if me.protocol != link.PROTOCOL:
            raise BoardError(
                f"{self.url}: speaks protocol {me.protocol}, this kit speaks {link.PROTOCOL}"
            )
        if me.layout != wanted:
            raise BoardError(
                f"{self.url}: built for layout {me.layout.hex()[:12]}, the network's folding is "
                f"layout {wanted.hex()[:12]}; program the bitstream of this network and board"
            )
        self._first = self._read_counters()

    @property
    def _n_banks(self) -> int:
        return self.identity.n_banks

    def _write(self, runs: Sequence[Run]) -> None:
        most = link.max_words(self.identity.max_payload)
        requests = [
            link.write_payload(bank, at, run[at - address :][:count])
            for bank, address, run in runs
            for at, count in link.chunks(address, len(run), most)
        ]
        self._session.ask(Command.WRITE, requests)

    def _read(self, places: Sequence[Place]) -> list[Words]:
        most = link.max_words(self.identity.max_payload)
        parts = [
            [(bank, at, n) for at, n in link.chunks(address, count, most)]
            for bank, address, count in places
        ]
        flat = [part for place in parts for part in place]
        answers = iter(self._session.ask(Command.READ, [link.read_payload(*part) for part in flat]))
        read = [b"".join(next(answers) for _ in place) for place in parts]
        for (_, _, count), data in zip(places, read, strict=True):
            if len(data) != count * link.WORD_BYTES:
                raise BoardError(f"{self.url}: asked for {count} words, got {len(data)} bytes")
        return [link.unpack_words(data) for data in read]

    def _stream(self, images: list[bytes], progress: Progress | None) -> list[bytes]:
        """Answers to images; the board, where it is ours alone, must have counted as many."""
        before, retries_before = self._read_counters().images, self._session.n_retries
        answers = self._session.ask(Command.INFER, images, progress)
        counted = (self._read_counters().images - before) % (1 << 32)
        was_clean = self._session.n_retries == retries_before
        if self._has_written and was_clean and counted != len(images):
            raise BoardError(
                f"{self.url}: counted {counted} images, sent were {len(images)}; it was reset, or "
                "another host uses it"
            )
        return answers

    def _read_counters(self) -> Counters:
        try:
            return link.unpack_counters(self._session.ask(Command.COUNTERS, [b""])[0])
        except ValueError as error:
            raise BoardError(f"{self.url}: {error}") from error


class RecordedDevice(BoardDevice):
    """A recording in the place of its board: the same calls give the same scores."""

    def __init__(self, path: Path) -> None:
        """Take the recording that `BoardDevice(..., record=path)` made.

        Raises:
            ArtefactError: not there, or not a recording of this version.
        """
        port = ReplayPort(path)
        super().__init__(port, port.core)
