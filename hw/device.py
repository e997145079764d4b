"""BoardDevice: the driver of a real or virtual board; only the URL tells them apart.

`hosted` says what is written and read back; `session` has the frames.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim import on_chip
from ..sim.bits import Words
from ..sim.core import Core
from ..sim.exceptions import BoardError, InputError
from ..sim.golden import classify
from ..sim.network import Network
from . import link
from .hosted import HostedCore, Place, Run
from .link import Command, Counters
from .port import PAUSE_S, Port, RecordingPort, ReplayPort, SerialPort
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
        pause_s: float = PAUSE_S,
        record: Path | None = None,
    ) -> None:
        """Open the port, wait for the board and check that it was built for this core.

        Args:
            port: pyserial URL, e.g. /dev/ttyUSB1, a pty, socket://127.0.0.1:5000.
            core: of the network that will be loaded.
            baud: of a real UART.
            timeout_s, window, retries, pause_s: as in `Session`.
            record: file for the traffic, for a RecordedDevice.

        Raises:
            BoardError: port missing or busy, no answer, another protocol, or another core.
        """
        opened = SerialPort(port, baud, timeout_s, pause_s) if isinstance(port, str) else port
        super().__init__(replace(core, store=0), opened.url)  # what it keeps it says itself
        self._n_kept = 0
        self._records: Words | None = None  # images and labels that the chip keeps
        self._session = Session(opened, timeout_s, window, retries, pause_s)
        try:
            if isinstance(opened, SerialPort) and opened.token:
                self._session.lease(opened.token)
            recording = RecordingPort(opened, record, core) if record else None
            if recording:
                self._session = Session(recording, timeout_s, window, retries, pause_s)
            self.identity = self._session.synchronise()
            self._check_identity()
            if recording:
                recording.keep()
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
        self._check_held(retries_before, network, memory)
        return scores

    def keep(self, images: NDArray[np.generic], labels: NDArray[np.generic]) -> bool:
        """Write images and labels into the chip and read them back; False where they do not fit.

        Raises:
            InputError: the images do not fit the network, or a label is none of its classes.
            BoardError: as `load`.
        """
        network, _ = self._loaded()
        if not 0 < len(images) <= self.identity.n_images_on_chip:
            return False
        least, most = int(labels.min()), int(labels.max())
        if not 0 <= least <= most < network.n_classes:
            raise InputError(f"labels must be 0..{network.n_classes - 1}, not {least}..{most}")
        self._records = None
        records = on_chip.records(self._image_bytes(network, images), labels)
        self._write([(on_chip.IMAGE_BANK, 0, records)])
        self._check_kept(records)
        self._records, self._n_kept = records, len(images)
        return True

    def confusion(self) -> NDArray[np.int64]:
        """(n_classes, n_classes) kept images of each label (row) given each class: the chip counts.

        Raises:
            InputError: no images are kept.
            BoardError: as `infer`.
        """
        network, memory = self._loaded()
        if self._records is None:
            raise InputError(f"keep images in {self.url} first")
        retries_before, n_classes = self._session.n_retries, network.n_classes
        # a run begins at 0, so one that is asked for twice does no harm; the board answers what
        # follows once the run is done
        self._write([(on_chip.COUNT_BANK, on_chip.IMAGES, np.array([self._n_kept], np.uint64))])
        n_words = n_classes * on_chip.row_words(n_classes)
        places = [(on_chip.COUNT_BANK, 0, on_chip.N_COUNTS), (on_chip.CONFUSION_BANK, 0, n_words)]
        counts, words = self._read(places)
        confusion = on_chip.unpack_confusion(words, n_classes)
        if self._session.n_retries != retries_before:
            self._check_kept(self._records)
        self._check_held(retries_before, network, memory)
        told = {on_chip.IMAGES: int(confusion.sum()), on_chip.CORRECT: int(np.trace(confusion))}
        if told[on_chip.IMAGES] != self._n_kept or any(counts[i] != n for i, n in told.items()):
            raise BoardError(
                f"{self.url}: counted {counts[on_chip.IMAGES]} images, {counts[on_chip.CORRECT]} "
                f"right, but by class {told[on_chip.IMAGES]} and {told[on_chip.CORRECT]}; kept are "
                f"{self._n_kept}; it was reset, or another host uses it"
            )
        return confusion

    def _check_kept(self, records: Words) -> None:
        (read,) = self._read([(on_chip.IMAGE_BANK, 0, len(records))])
        wrong = np.flatnonzero(read != records)
        if len(wrong):
            i = wrong[0]
            raise BoardError(
                f"{self.url}: word {i} of its images reads {read[i]:#x}, written was "
                f"{records[i]:#x}; it is broken or was reset"
            )

    def _check_held(self, retries_before: int, network: Network, memory: list[Words]) -> None:
        """What the board holds, where frames were sent again, as to one that was reset, or where
        another host may have written.
        """
        is_clean = self._session.n_retries == retries_before
        if is_clean and self._has_written:
            return
        self._verify([(bank, 0, words) for bank, words in enumerate(memory)])
        if not self._has_written:
            self._check_table(network)
        if self._is_disturbed and not is_clean:
            raise BoardError(
                f"{self.url}: frames were sent again while read errors were on, so which image "
                "met which is not known; set them and infer again"
            )

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
        if me.layout != wanted:
            raise BoardError(
                f"{self.url}: built for layout {me.layout.hex()[:12]}, the network's folding is "
                f"layout {wanted.hex()[:12]}; program the bitstream of this network and board"
            )
        self._first = self._last = self._ask_counters()  # when it was first and last asked

    @property
    def _n_banks(self) -> int:
        return self.identity.n_banks

    def _loaded(self) -> tuple[Network, list[Words]]:
        """What it holds, unless its counters went back meanwhile: a reset is not told otherwise."""
        found = super()._loaded()
        self._read_counters()
        return found

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
        before, retries_before = self._last.images, self._session.n_retries
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
        last, self._last = self._last, self._ask_counters()
        if self._last.is_before(last):
            self._memory = self._records = None
            frames = f"{last.good_frames} frames, now {self._last.good_frames}"
            raise BoardError(
                f"{self.url}: had executed {frames}: it was reset or lost power meanwhile; "
                "load the network again"
            )
        return self._last

    def _ask_counters(self) -> Counters:
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
