"""BoardDevice: the driver of a real or virtual board; only the URL tells them apart.

Only words that differ are written, and what was written is read back. `session` has the frames.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim import registers
from ..sim.bits import Words
from ..sim.core import Core, core_of
from ..sim.device import Faults, lasting
from ..sim.exceptions import BoardError, InputError
from ..sim.golden import classify
from ..sim.hardware import table_number, take_apart, written
from ..sim.injector import ReadErrors
from ..sim.memory import bank_words
from ..sim.network import Network, check_images
from ..sim.registers import Registers
from . import link
from .link import Command, Counters
from .port import Port, RecordingPort, ReplayPort, SerialPort
from .session import RETRIES, Progress, Session

DEFAULT_BAUD = 3_000_000
DEFAULT_TIMEOUT_S = 5.0
_ID_BYTES = 16

Run = tuple[int, int, Words]  # bank, address, consecutive words


class BoardDevice:
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
        self.name = self.url = opened.url
        self._core, self._layout = core, core.layout
        self._network: Network | None = None
        self._memory: list[Words] | None = None  # what the board holds; None: not known
        self._is_disturbed = False  # the injectors are on
        self._has_written = False  # who serves a board lets one host at a time do so
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

    def load(self, network: Network) -> None:
        """Write every bank and read it back; clears faults.

        Raises:
            InputError: the network is of another core.
            BoardError: the board does not answer, or a word reads back otherwise than written.
        """
        self._check_network(network)
        self._network = network
        words = bank_words(written(network, self._layout), self._layout)
        self._store(words, [(bank, 0, w) for bank, w in enumerate(words)])
        self.disturb(None)

    def adopt(self, network: Network) -> None:
        """As `load`, of a network that the board holds already: reads every word, writes none.

        Raises:
            InputError: the network is of another core.
            BoardError: the board does not answer, or holds something else.
        """
        self._check_network(network)
        words = bank_words(written(network, self._layout), self._layout)
        n_other = sum(int((a != b).sum()) for a, b in zip(words, self.read_back(), strict=True))
        if n_other:
            raise BoardError(
                f"{self.url}: does not hold network {network.name!r}: {n_other} words are others"
            )
        self._network, self._memory = network, words

    def inject(self, faults: Faults | None) -> None:
        """Write the words that change, as the faulty memory would read them, or set the injectors.

        None undoes both.

        Raises:
            InputError: the map is of other layer shapes, the read errors of another core, or the
                faults transient.
            BoardError: as `load`.
        """
        network, memory = self._loaded()
        errors = faults if isinstance(faults, ReadErrors) else None
        map_ = None if isinstance(faults, ReadErrors) else lasting(faults, self.name)
        words = bank_words(written(network, self._layout, map_), self._layout)
        runs = [
            (bank, *run) for bank, new in enumerate(words) for run in changed(memory[bank], new)
        ]
        self._store(words, runs)
        self.disturb(errors)

    def disturb(self, errors: ReadErrors | None) -> None:
        """Set the injectors, whose next image is number 0, over what the memory holds; None: off.

        Raises:
            InputError: the errors are of another core.
            BoardError: the board does not answer.
        """
        if errors is not None and errors.core != self._core:
            raise InputError(f"the read errors are not of the core of {self.url}")
        if self._core.injector is not None:
            writes = (errors or ReadErrors(self._core, 0.0, 0.0)).registers()
            self._session.ask(
                Command.WRITE, [link.write_payload(b, 0, w) for b, w in writes.items()]
            )
            self._is_disturbed = errors is not None

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
        data = check_images(network, images)
        if network.image_max == 1:
            data = np.packbits(data, axis=1, bitorder="little")
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

    def registers(self) -> Registers:
        """What the core counted since its reset, and what was set.

        Raises:
            BoardError: the board was built without registers, or as `load`.
        """
        place = (self._register_bank, 0, registers.n_words(self._core))
        words = self._read([place])[0]
        return registers.unpack(words, has_injectors=self._core.injector is not None)

    @property
    def n_tables(self) -> int:
        """Threshold tables that the board holds."""
        return take_apart(self._layout).tables

    def select(self, table: str | None) -> None:
        """Run on the thresholds of a table from the next image on; None: the network's own.

        Raises:
            InputError: the network has no such table, or the board holds one only.
            BoardError: the board does not answer, or does not take the table.
        """
        number = table_number(self._loaded()[0], self._layout, table)
        if self.n_tables > 1:
            self._set(registers.TABLE, number)
            if self.registers().table != number:
                raise BoardError(f"{self.url}: does not take threshold table {number}")

    def bound_margins(self, bound: int) -> None:
        """Count images whose margin is less than the bound as `low_margins` from now on.

        Raises:
            BoardError: as `registers`.
        """
        self._set(registers.BOUND, bound)

    def read_back(self) -> list[Words]:
        """The words of every bank as the datapath reads them now."""
        return self._read([(b, 0, bank.n_words) for b, bank in enumerate(self._layout.banks)])

    def close(self) -> None:
        """Release the port."""
        self._session.close()

    def _check_network(self, network: Network) -> None:
        if replace(core_of(network, self._layout), injector=self._core.injector) != self._core:
            raise InputError(f"the board's core is not for the layers of {network.name!r}")

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
    def _register_bank(self) -> int:
        bank = registers.bank(self._core)
        if self.identity.n_banks <= bank:
            raise BoardError(f"{self.url}: was built without registers")
        return bank

    def _set(self, register: int, value: int) -> None:
        word = np.array([value], np.uint64)
        self._session.ask(Command.WRITE, [link.write_payload(self._register_bank, register, word)])

    def _loaded(self) -> tuple[Network, list[Words]]:
        if self._network is None or self._memory is None:
            raise InputError(f"load a network into {self.url} first")
        return self._network, self._memory

    def _store(self, words: list[Words], runs: Sequence[Run]) -> None:
        """Make the memory hold `words`, by writing the runs in which it does not."""
        self._memory, self._has_written = None, True
        most = link.max_words(self.identity.max_payload)
        requests = [
            link.write_payload(bank, at, run[at - address :][:count])
            for bank, address, run in runs
            for at, count in link.chunks(address, len(run), most)
        ]
        self._session.ask(Command.WRITE, requests)
        self._verify(runs)
        self._memory = words

    def _verify(self, runs: Sequence[Run]) -> None:
        read = self._read([(bank, address, len(words)) for bank, address, words in runs])
        for (bank, address, words), got in zip(runs, read, strict=True):
            wrong = np.flatnonzero(words != got)
            if len(wrong):
                i = wrong[0]
                self._memory = None
                raise BoardError(
                    f"{self.url}: bank {self._layout.banks[bank].name}, address {address + i} "
                    f"reads {got[i]:#x}, written was {words[i]:#x}; it is broken or was reset"
                )

    def _read(self, places: Sequence[tuple[int, int, int]]) -> list[Words]:
        """Words of (bank, address, count)."""
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


def changed(old: Words, new: Words) -> list[tuple[int, Words]]:
    """(address, words) of every run of consecutive words that differ.

    >>> [(a, list(w)) for a, w in changed(np.uint64([1, 2, 3, 4]), np.uint64([1, 5, 6, 4]))]
    [(1, [np.uint64(5), np.uint64(6)])]
    """
    where = np.flatnonzero(old != new)
    runs = (list(run) for _, run in groupby(enumerate(where), lambda pair: pair[1] - pair[0]))
    return [(int(run[0][1]), new[run[0][1] : run[-1][1] + 1]) for run in runs]
