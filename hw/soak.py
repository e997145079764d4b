"""A board behind a line that damages bytes: nothing is lost and nothing wrong is taken.

`python -m stoic.hw.soak --frames N --json FILE` (`make soak`) drives a virtual board through a line
that flips, loses or doubles one byte in a hundred, either way, until so many requests were sent:
networks are loaded, fault maps written, images inferred. Every score must be golden's, and at the
end, over a clean line, every word of the memories. Two mutants must fail: a driver and a board that
take frames whose CRC is wrong. The file, counts without units:

    rate, seed                      of damaged bytes; of everything
    frames                          requests on the line, those sent again among them
    bytes, bytes_damaged            both ways
    frames_answered_with_error      by the board
    images, maps, retries
    scores_differ, words_differ     0, or it fails
    mutants                         {name, is_caught, how}
    seconds
"""

import argparse
import json
import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from .. import rtl
from ..sim import golden
from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core, core_of
from ..sim.entry import exit_with
from ..sim.errors.iid import Iid
from ..sim.exceptions import BoardError, ToolError
from ..sim.faults import FaultMap
from ..sim.hardware import seen, written
from ..sim.memory import KINDS, Fold, bank_words, layout_of
from ..sim.network import Network
from ..sim.random_network import random_network
from . import link
from .device import BoardDevice
from .port import SerialPort
from .virtual import VirtualBoard
from .virtual_device import BUILD_DIR

RATE = 0.01
PATIENCE = 200  # failures in a row: at this rate a frame seldom comes through twice
CLOCK_HZ = 125_000  # a silence of 8 ms is 1,024 cycles, so that many damaged frames fit a minute
_IMAGES = 64
# Both decide how many frames fit an hour: only the timeout tells that the last frame in flight lost
# its first byte. So many probes must fit it that hardly ever all of them are damaged.
_TIMEOUT_S = 4.0
_PAUSE_S = 0.05


class GaveUpError(BoardError):
    """The driver gave up on requests that it had sent."""


class NoisyPort(SerialPort):
    """A line on which every byte may be flipped in one bit, lost, or doubled."""

    def __init__(self, url: str, rate: float, seed: int) -> None:
        """`rate`: share of the bytes that are damaged."""
        super().__init__(url, 115200, _TIMEOUT_S, _PAUSE_S)
        self.rate, self.rng = rate, np.random.default_rng(seed)
        self.n_frames = self.n_bytes = self.n_damaged = 0

    def read(self, least: int, timeout_s: float) -> bytes:
        """As the line gives it."""
        return self._damage(super().read(least, timeout_s))

    def write(self, data: bytes) -> None:
        """As the line takes it."""
        self.n_frames += len(link.decode(data)[0])
        super().write(self._damage(data))

    def _damage(self, data: bytes) -> bytes:
        where = np.flatnonzero(self.rng.random(len(data)) < self.rate)
        self.n_bytes, self.n_damaged = self.n_bytes + len(data), self.n_damaged + len(where)
        damaged = bytearray(data)
        for at in map(int, where[::-1]):
            byte = damaged[at]
            flipped = byte ^ 1 << int(self.rng.integers(8))
            ways = (b"", bytes([flipped]), bytes([byte, byte]))
            damaged[at : at + 1] = ways[int(self.rng.integers(3))]
        return bytes(damaged)


@dataclass(frozen=True)
class Outcome:
    """What a soak counted; the docstring of the module explains it."""

    frames: int
    bytes: int
    bytes_damaged: int
    frames_answered_with_error: int
    images: int
    maps: int
    retries: int
    scores_differ: int
    words_differ: int

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost and nothing wrong was taken."""
        return not self.scores_differ and not self.words_differ


def soak(
    url: str, core: Core, network: Network, n_frames: int, rate: float = RATE, seed: int = 1
) -> Outcome:
    """Drive a board over a noisy line until `n_frames` requests were sent, then look at it closely.

    Raises:
        GaveUpError: the driver gave up.
        BoardError: nothing listens there, so nothing was sent.
    """
    port = NoisyPort(url, rate, seed)
    try:
        return _soaked(port, url, core, network, n_frames, seed)
    except BoardError as error:
        if not port.n_frames:
            raise
        raise GaveUpError(f"{error} (after {port.n_frames} requests)") from error


def _soaked(
    port: NoisyPort, url: str, core: Core, network: Network, n_frames: int, seed: int
) -> Outcome:
    rng = np.random.default_rng(seed)
    device = BoardDevice(port, core, timeout_s=_TIMEOUT_S, retries=PATIENCE, pause_s=_PAUSE_S)
    n_images = n_maps = scores_differ = 0
    faults: FaultMap | None = None
    try:
        device.load(network)
        while port.n_frames < n_frames:
            faults = Iid(0.1, 0.1, seed=seed).sample(core.layout, n_maps, KINDS)
            device.inject(faults)
            images = rng.integers(0, network.image_max + 1, (_IMAGES, network.n_inputs), np.uint8)
            wanted = golden.scores(seen(network, core.layout, faults), images)
            scores_differ += int((device.infer(images) != wanted).sum())
            n_images, n_maps = n_images + _IMAGES, n_maps + 1
        counters = device.counters()
    finally:
        device.close()
    clean = BoardDevice(url, core, timeout_s=_TIMEOUT_S)
    try:
        read = clean.read_back()
    finally:
        clean.close()
    return Outcome(
        frames=port.n_frames,
        bytes=port.n_bytes,
        bytes_damaged=port.n_damaged,
        frames_answered_with_error=counters["bad_frames"],
        images=n_images,
        maps=n_maps,
        retries=counters["retries"],
        scores_differ=scores_differ,
        words_differ=_n_wrong(read, bank_words(written(network, core.layout, faults), core.layout)),
    )


def _n_wrong(a: list[NDArray[np.uint64]], b: list[NDArray[np.uint64]]) -> int:
    return sum(int((x != y).sum()) for x, y in zip(a, b, strict=True))


@contextmanager
def blind_driver() -> Iterator[None]:
    """A driver that takes frames whatever their CRC: a mutant."""
    with mock.patch.object(link, "has_its_crc", lambda *_: True):
        yield


@contextmanager
def blind_board(folder: Path) -> Iterator[None]:
    """Virtual boards built meanwhile execute frames whatever their CRC: a mutant."""
    name, old, new = "stoic_link_rx.v", "(crc == RESIDUE)", "1'b1"
    sources = rtl.sources()
    text = next(path for path in sources if path.name == name).read_text()
    if old not in text:
        raise ToolError(f"{name} has no {old!r} any more; correct the mutant")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text.replace(old, new))
    mutated = [folder / name if path.name == name else path for path in sources]
    with mock.patch.object(rtl, "sources", lambda: mutated):
        yield


def fate(board: VirtualBoard, run: Callable[[], Outcome]) -> tuple[bool, str]:
    """Whether a mutant was caught, and how.

    Args:
        board: that runs already.
        run: a soak of it.

    Raises:
        BoardError: the board ended, which shows nothing, or nothing was sent.
    """
    try:
        found = run()
    except GaveUpError as error:
        if not board.is_running:
            raise BoardError(f"{board.url}: the virtual board ended meanwhile") from error
        return True, str(error)
    how = f"{found.scores_differ} scores, {found.words_differ} words"
    return not found.is_good, how


def main(arguments: list[str]) -> None:
    """Soak, try the mutants and write."""
    parser = argparse.ArgumentParser(
        prog="stoic.hw.soak", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--mutant-frames", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    writable(options.json)
    logging.disable(logging.WARNING)  # a line for every frame that is sent again
    network = random_network((40, 8, 3), "bits", np.random.default_rng(options.seed))
    core = core_of(network, layout_of(network, (Fold(2, 20), Fold(1, 8))))

    def run(board: VirtualBoard, n_frames: int) -> Outcome:
        return soak(board.url, core, network, n_frames, seed=options.seed)

    start = time.monotonic()
    with VirtualBoard(core, BUILD_DIR, clock_hz=CLOCK_HZ) as board:
        found = run(board, options.frames)
    seconds = time.monotonic() - start
    mutants = []
    for name, made in (("driver", blind_driver()), ("board", blind_board(BUILD_DIR / "mutant"))):
        with made, VirtualBoard(core, BUILD_DIR, clock_hz=CLOCK_HZ) as board:
            is_caught, how = fate(board, partial(run, board, options.mutant_frames))
        mutants.append({"name": f"{name} without CRC", "is_caught": is_caught, "how": how})
    values = {
        "command": shlex.join(["python", "-m", "stoic.hw.soak", *arguments]),
        "kit_version": kit_version(),
        "seed": options.seed,
        "rate": RATE,
        **asdict(found),
        "mutants": mutants,
        "seconds": round(seconds, 1),
    }
    write_whole(options.json, (json.dumps(values, indent=1) + "\n").encode())
    print(json.dumps(values, indent=1))
    if not found.is_good or not all(m["is_caught"] for m in mutants):
        sys.exit("the soak failed")


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
