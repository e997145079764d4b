"""Frames of the host link, as bytes: no port, no time, no state; docs/link.md explains them.

    request  A5 | length (2) | sequence | command        | payload            | CRC-32 (4)
    answer   A5 | length (2) | sequence | command | 0x80 | status, payload    | CRC-32 (4)

Integers are little endian. The CRC is zlib's, over everything between A5 and itself.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ..sim.bits import Words

SOF = 0xA5
PROTOCOL = 1
ANSWER = 0x80
HEAD_BYTES = 5
OVERHEAD_BYTES = HEAD_BYTES + 4
WORD_BYTES = 8
PAGE_HEAD_BYTES = 4  # of a page in the board, beside the payload

_HEAD = struct.Struct("<BHBB")
_CRC = struct.Struct("<I")
_ADDRESS = struct.Struct("<HH")
_IDENTITY = struct.Struct("<BBHHHHI16s16s")
_COUNTERS = struct.Struct("<IIH5s")
_N_IMAGES = struct.Struct("<H")  # behind the identity of a board that keeps images
IDENTITY_BYTES = _IDENTITY.size


class Command(IntEnum):
    """What a request asks for."""

    IDENTIFY = 1
    WRITE = 2
    READ = 3
    INFER = 4
    COUNTERS = 5
    INJECT = 6
    LEASE = 0x20  # for who serves a board, not for a board: the payload is a token


class Status(IntEnum):
    """First payload byte of an answer; everything but OK means that nothing was changed."""

    OK = 0
    BAD_CRC = 1
    BAD_LENGTH = 2
    CUT_OFF = 3
    UNKNOWN_COMMAND = 4
    OUT_OF_RANGE = 5
    WRONG_SIZE = 6
    NOT_BUILT_IN = 7
    BUSY = 8  # this and the next: not from a board but from who serves it, with a text
    FORBIDDEN = 9

    @property
    def is_damage(self) -> bool:
        """The line damaged the frame; sending it again is the cure."""
        return self in (Status.BAD_CRC, Status.BAD_LENGTH, Status.CUT_OFF)


class Frame(NamedTuple):
    """One frame; an answer's payload starts with its status."""

    sequence: int
    command: int
    payload: bytes = b""


@dataclass(frozen=True)
class Identity:
    """What a board says about itself.

    Attributes:
        protocol: version of the frames.
        n_pages: frames that may be on their way to the board at once.
        max_payload: bytes of the longest request.
        image_bytes: of one image, as INFER takes it.
        clock_hz: of the core.
        build: first 16 bytes of the SHA-256 over all Verilog of the top.
        layout: first 16 bytes of the layout's SHA-256.
        n_images_on_chip: that the board has room for; 0: it keeps none.
    """

    protocol: int
    n_pages: int
    max_payload: int
    n_banks: int
    image_bytes: int
    n_classes: int
    clock_hz: int
    build: bytes
    layout: bytes
    n_images_on_chip: int = 0


@dataclass(frozen=True)
class Counters:
    """What a board counted since its reset; each wraps at its width.

    Attributes:
        images: inferred (32 bits).
        good_frames: executed (32 bits).
        bad_frames: answered with an error (16 bits).
        busy_cycles: in which an image was inside the core (40 bits).
    """

    images: int
    good_frames: int
    bad_frames: int
    busy_cycles: int

    def is_before(self, other: "Counters") -> bool:
        """Whether fewer frames were executed: these were read earlier, or after a reset.

        >>> Counters(0, 7, 0, 0).is_before(Counters(0, 9, 0, 0))
        True
        >>> Counters(0, 3, 0, 0).is_before(Counters(0, (1 << 32) - 3, 0, 0))
        False
        """
        return (self.good_frames - other.good_frames) % (1 << 32) >= 1 << 31


def encode(frame: Frame) -> bytes:
    """Frame as it goes over the line.

    >>> encode(Frame(7, Command.IDENTIFY)).hex(" ")
    'a5 00 00 07 01 4d 79 02 19'
    """
    head = _HEAD.pack(SOF, len(frame.payload), frame.sequence, frame.command)
    body = head + frame.payload
    return body + _CRC.pack(zlib.crc32(body[1:]))


def missing(data: bytes, max_payload: int, start: int = 0) -> int:
    """Bytes that must at least follow `data` before it can be a whole frame; 0 when it is one.

    `data` from `start` on starts with A5. A length over `max_payload` needs nothing more to be
    known as wrong.
    """
    size = len(data) - start
    if size < HEAD_BYTES:
        return OVERHEAD_BYTES - size
    length = int.from_bytes(data[start + 1 : start + 3], "little")
    return 0 if length > max_payload else max(0, OVERHEAD_BYTES + length - size)


def decode(
    data: bytes, max_payload: int = 0xFFFF, final: bool = False
) -> tuple[list[Frame], bytes]:
    """Every whole and undamaged frame in `data`, and the rest that may become one.

    What is no frame is skipped byte by byte, so garbage hides nothing that follows it.

    Args:
        max_payload: longer frames are garbage.
        final: nothing more will come; an incomplete frame is garbage and the rest is empty.

    >>> decode(b"noise" + encode(Frame(1, 5)) + b"\\xa5")
    ([Frame(sequence=1, command=5, payload=b'')], b'\\xa5')
    """
    frames: list[Frame] = []
    view = memoryview(data)
    start = data.find(SOF)
    while start >= 0:
        if missing(data, max_payload, start):
            if not final:
                return frames, data[start:]
            start = data.find(SOF, start + 1)
            continue
        _, length, sequence, command = _HEAD.unpack_from(data, start)
        end = start + HEAD_BYTES + length
        if length <= max_payload and has_its_crc(view, start, end):
            frames.append(Frame(sequence, command, data[start + HEAD_BYTES : end]))
            start = data.find(SOF, end + _CRC.size)
        else:
            start = data.find(SOF, start + 1)
    return frames, b""


def has_its_crc(data: memoryview, start: int, end: int) -> bool:
    """Whether the CRC at `end` is that of the frame from `start` on."""
    crc: int = _CRC.unpack_from(data, end)[0]
    return zlib.crc32(data[start + 1 : end]) == crc


def write_payload(bank: int, address: int, words: Words) -> bytes:
    """Payload of WRITE: consecutive words of one bank."""
    return _ADDRESS.pack(bank, address) + words.astype("<u8").tobytes()


def read_payload(bank: int, address: int, count: int) -> bytes:
    """Payload of READ."""
    return _ADDRESS.pack(bank, address) + count.to_bytes(2, "little")


def unpack_words(payload: bytes) -> Words:
    """Words of an answer to READ."""
    return np.frombuffer(payload, "<u8").astype(np.uint64)


def max_words(max_payload: int) -> int:
    """Words that fit one WRITE, and one answer to READ."""
    return (max_payload - _ADDRESS.size) // WORD_BYTES


def chunks(address: int, count: int, most: int) -> Iterator[tuple[int, int]]:
    """(address, count) of the frames that carry `count` words from `address` on.

    >>> list(chunks(10, 5, 2))
    [(10, 2), (12, 2), (14, 1)]
    """
    for start in range(address, address + count, most):
        yield start, min(most, address + count - start)


def pack_identity(identity: Identity) -> bytes:
    """Payload of an answer to IDENTIFY."""
    i = identity
    said = _IDENTITY.pack(
        *(i.protocol, i.n_pages, i.max_payload, i.n_banks, i.image_bytes, i.n_classes, i.clock_hz),
        *(i.build, i.layout),
    )
    return said + (_N_IMAGES.pack(i.n_images_on_chip) if i.n_images_on_chip else b"")


def unpack_identity(payload: bytes) -> Identity:
    """Identity of an answer to IDENTIFY.

    Raises:
        ValueError: not as long as an identity of this protocol.
    """
    head, tail = payload[: _IDENTITY.size], payload[_IDENTITY.size :]
    if len(head) != _IDENTITY.size or len(tail) not in (0, _N_IMAGES.size):
        sizes = f"{_IDENTITY.size} bytes, or {_IDENTITY.size + _N_IMAGES.size} with images on chip"
        raise ValueError(f"an identity has {sizes}, not {len(payload)}")
    return Identity(*_IDENTITY.unpack(head), *(_N_IMAGES.unpack(tail) if tail else ()))


def unpack_counters(payload: bytes) -> Counters:
    """Counters of an answer to COUNTERS.

    Raises:
        ValueError: not as long as the counters of this protocol.
    """
    if len(payload) != _COUNTERS.size:
        raise ValueError(f"counters have {_COUNTERS.size} bytes, not {len(payload)}")
    images, good, bad, cycles = _COUNTERS.unpack(payload)
    return Counters(images, good, bad, int.from_bytes(cycles, "little"))
