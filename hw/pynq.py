"""PynqDevice: a core on the bus of a Zynq's processor, through pynq's Overlay, MMIO and DMA.

The overlay has `stoic_zynq` as cell `stoic` and an AXI DMA as cell `dma` (`flows/vivado.py`). Words
go through the registers of `stoic_axil` (docs/axil.md), images and scores through the DMA, a batch
at a time. An access that the core refuses (SLVERR) would end Python with a bus error on a Zynq, so
memories are asked only while no image is inside, and only what is there.
"""

import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim import registers
from ..sim.bits import Words
from ..sim.core import Core, image_bytes
from ..sim.exceptions import ArtefactError, BoardError, ToolError
from ..sim.network import Network
from .hosted import HostedCore, Place, Run

MAGIC, VERSION = 0x494F5453, 1  # "STOI", of the map of registers
STATUS, N_BANKS, IMAGE_BYTES, N_CLASSES, CORE = 0x08, 0x0C, 0x10, 0x14, 0x30
POINTER, LOW, HIGH = 0x40, 0x44, 0x48
BATCH_BYTES = 1 << 20  # of images in a packet, at most
DEFAULT_TIMEOUT_S = 5.0
_ID_WORDS = 4


class Mmio(Protocol):
    """pynq's MMIO, or the default driver of a cell."""

    def read(self, offset: int) -> int:
        """The 32-bit word at a byte offset."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Write it."""


class Channel(Protocol):
    """pynq's driver of one direction of an AXI DMA."""

    @property
    def idle(self) -> bool:
        """Whether the last transfer has ended."""
        ...

    def transfer(self, array: NDArray[Any], start: int = 0, nbytes: int = 0) -> None:
        """Begin to move bytes of a buffer."""

    def wait(self) -> None:
        """Return when they have moved."""


class Dma(Protocol):
    """pynq's driver of an AXI DMA."""

    sendchannel: Channel
    recvchannel: Channel


class Overlay(Protocol):
    """pynq's Overlay of a block design of `flows/vivado.py`."""

    stoic: Mmio
    dma: Dma


Allocate = Callable[..., NDArray[Any]]  # pynq.allocate: shape and dtype to a buffer for the DMA


class PynqDevice(HostedCore):
    """A core behind AXI4-Lite and a DMA, as a Device."""

    def __init__(
        self,
        overlay: Overlay,
        allocate: Allocate,
        core: Core,
        *,
        batch_bytes: int = BATCH_BYTES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Check that the overlay was built for this core.

        Args:
            overlay: on the chip already (`open_pynq`).
            allocate: pynq's.
            core: of the network that will be loaded.
            batch_bytes: of images in a packet of the DMA, at most.
            timeout_s: for a batch, and for the images inside to leave.

        Raises:
            BoardError: what answers is no core of this kit, or another one.
        """
        super().__init__(core, "pynq")
        self._mmio, self._dma, self._timeout_s = overlay.stoic, overlay.dma, timeout_s
        self._mark = int.from_bytes(os.urandom(4), "little") | 1  # a reset makes the pointer 0
        self._check_identity()
        self._batch = max(1, batch_bytes // image_bytes(core))
        self._images = allocate((self._batch, image_bytes(core)), np.uint8)
        self._scores = allocate((self._batch, core.layout.shapes[-1].n_outputs), np.int32)
        self._first = self.registers().images

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores of images, one packet of the DMA after the other.

        Raises:
            InputError: the images do not fit the network.
            BoardError: the core stopped, or was reset meanwhile.
        """
        network, _ = self._loaded()
        data = self._image_bytes(network, images)
        before = self.registers().images
        scores = np.empty((len(data), network.n_classes), np.int32)
        for start in range(0, len(data), self._batch):
            part = data[start : start + self._batch]
            scores[start : start + len(part)] = self._packet(part)
        self._settle()
        counted = (self.registers().images - before) % (1 << 32)
        if counted != len(data):
            raise BoardError(
                f"{self.url}: counted {counted} images, sent were {len(data)}; it was reset, or "
                "another host uses it"
            )
        return scores

    def counters(self) -> dict[str, int]:
        """Images classified since this device was made, or since it told of a reset."""
        return {"images": (self.registers().images - self._first) % (1 << 32)}

    def _loaded(self) -> tuple[Network, list[Words]]:
        """What it holds, unless it was reset meanwhile."""
        self._check_mark()
        return super()._loaded()

    def _check_mark(self) -> None:
        """A reset moves the pointer, and so does another host: nothing else tells of them."""
        if self._memory is not None and self._mmio.read(POINTER) != self._mark:
            self._tell_of_reset()

    def _leave(self, bank: int, address: int) -> None:
        """Look whether a call brought the pointer here, and put it where nobody else does."""
        if self._mmio.read(POINTER) != bank << 16 | address & 0xFFFF:
            self._tell_of_reset()
        self._mmio.write(POINTER, self._mark)

    def _tell_of_reset(self) -> None:
        self._memory = None
        self._first = self._unpacked(self._words(self._register_place)).images
        raise BoardError(
            f"{self.url}: it was reset, its overlay was loaded again, another host asked it, or a "
            "call was broken off; load the network again"
        )

    def close(self) -> None:
        """Give the buffers back; the overlay stays on the chip."""
        for buffer in (self._images, self._scores):
            free = getattr(buffer, "freebuffer", None)  # of pynq's buffers
            if free is not None:
                free()

    @property
    def _n_banks(self) -> int:
        return self._mmio.read(N_BANKS)

    def _check_identity(self) -> None:
        found = self._mmio.read(0x00), self._mmio.read(0x04)
        if found != (MAGIC, VERSION):
            raise BoardError(
                f"{self.url}: answers {found[0]:#010x} version {found[1]}, a core of this kit "
                f"{MAGIC:#010x} version {VERSION}"
            )
        words = [self._mmio.read(CORE + 4 * i) for i in range(_ID_WORDS)]
        built = b"".join(word.to_bytes(4, "little") for word in words)
        wanted = bytes.fromhex(self._core.sha256)[: len(built)]
        if built != wanted:
            raise BoardError(
                f"{self.url}: built for layout {built.hex()[:12]}, the network's folding is "
                f"layout {wanted.hex()[:12]}; load the bitstream of this network and board, "
                "built without a wish"
            )

    def _packet(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Scores of at most a batch."""
        n = len(images)
        self._images[:n] = images
        receive, send = self._dma.recvchannel, self._dma.sendchannel
        receive.transfer(self._scores, nbytes=n * self._scores[0].nbytes)
        send.transfer(self._images, nbytes=images.nbytes)
        for channel, what in ((send, "take the images"), (receive, "give the scores")):
            end = time.monotonic() + self._timeout_s
            while not channel.idle:
                if time.monotonic() > end:
                    self._memory = None
                    raise BoardError(
                        f"{self.url}: did not {what} of a batch of {n} in {self._timeout_s:g} s; "
                        "it was reset or is broken: load the overlay again"
                    )
            channel.wait()  # also lets the processor see what the DMA wrote
        return np.array(self._scores[:n])

    def _settle(self) -> None:
        """Return once no image is inside: the core refuses its memories before."""
        end = time.monotonic() + self._timeout_s
        while self._mmio.read(STATUS) & 1:
            if time.monotonic() > end:
                raise BoardError(f"{self.url}: an image stays inside; load the overlay again")

    def _write(self, runs: Sequence[Run]) -> None:
        self._check_mark()
        self._settle()
        for bank, address, words in runs:
            self._mmio.write(POINTER, bank << 16 | address)
            for word in words.tolist():
                self._mmio.write(LOW, word & 0xFFFFFFFF)
                self._mmio.write(HIGH, word >> 32)
            self._leave(bank, address + len(words))

    def _read(self, places: Sequence[Place]) -> list[Words]:
        self._check_mark()
        if any(bank != registers.bank(self._core) for bank, _, _ in places):
            self._settle()
        found = []
        for bank, address, count in places:
            found.append(self._words((bank, address, count)))
            self._leave(bank, address + count)
        return found

    def _words(self, place: Place) -> Words:
        bank, address, count = place
        self._mmio.write(POINTER, bank << 16 | address)
        words = [self._mmio.read(LOW) | self._mmio.read(HIGH) << 32 for _ in range(count)]
        return np.array(words, np.uint64)


def open_pynq(bitstream: Path, core: Core) -> PynqDevice:
    """Load an overlay and open its core; runs on the board itself.

    Args:
        bitstream: `*.bit` of the board, with its `*.hwh` beside it.

    Raises:
        ArtefactError: a file is missing.
        ToolError: the package pynq is not installed.
        BoardError: the chip does not take the overlay, or it is of another core.
    """
    for path in (bitstream, bitstream.with_suffix(".hwh")):
        if not path.is_file():
            raise ArtefactError(f"{path}: not there; stoic synth writes the project that makes it")
    try:
        pynq = import_module("pynq")
    except ImportError as error:
        raise ToolError(
            f"the Python package pynq is missing ({error}); this runs on the board, where it is"
        ) from error
    try:
        overlay = pynq.Overlay(str(bitstream))
        return PynqDevice(overlay, pynq.allocate, core)
    except (OSError, RuntimeError, AttributeError) as error:
        raise BoardError(f"{bitstream}: not loaded ({error})") from error
