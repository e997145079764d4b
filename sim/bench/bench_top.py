"""Bench of a generated `stoic_top`: all through the bytes of the host link, as on a board.

Beside it in the working directory lie `core.stoic` and `core.faults` as for `bench_core`, and
`identity.bin`, what the top says about itself. The frames are those of `bench_link`.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import TaskManager
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden
from ..faults import FaultMap, no_faults
from ..memory import bank_words, stored_bits
from ..network import Network
from .bench_core import artefacts, image_bytes, some_images
from .bench_link import (
    BAD_CRC,
    COUNTERS,
    IDENTIFY,
    INFER,
    OK,
    READ,
    WRITE,
    answers_in,
    at,
    frame,
    words,
)
from .cover import Group
from .stream import Stream, assert_quiet, collect, drive, reset, stream
from .tally import expect

Exchange = tuple[int, bytes, int, bytes]  # command, request, status, answer
MEMORY = Group("memory", {"faults": (False, True), "input": ("bits", "uint8")})
DAMAGED = Group("damaged", {"command": ("write", "infer")})
FRAME_BYTES, SILENCE = 10, 1100  # of an answer without its payload; cycles that end a damaged frame
N_IMAGES = 4


async def start(dut: Any) -> tuple[Stream, Stream]:
    """Byte streams of the top after a reset."""
    source, sink = stream(dut, "rx", "data"), stream(dut, "tx", "data")
    sink.ready.value = 0
    await reset(dut, source)
    return source, sink


async def exchange(
    streams: tuple[Stream, Stream],
    wanted: Sequence[Exchange],
    idle: float = 0.0,
    stall: float = 0.0,
) -> None:
    """Send all requests back to back; their answers are the wanted ones, in order, and no more."""
    rng = random.Random(cocotb.RANDOM_SEED)
    request = b"".join(frame(n & 0xFF, w[0], w[1]) for n, w in enumerate(wanted))
    n_bytes = sum(FRAME_BYTES + len(answer) for *_, answer in wanted)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(streams[0], ((b,) for b in request), lambda: rng.random() < idle))
        got: Task[list[tuple[int, ...]]] = tasks.start_soon(
            collect(streams[1], n_bytes, lambda: rng.random() < stall)
        )
    answers = answers_in(bytes(byte for (byte,) in got.result()))
    expect(answers, [(n & 0xFF, w[0], w[2], w[3]) for n, w in enumerate(wanted)], "answer")
    await assert_quiet(streams[1], 50)


def writes(net: Network, faults: FaultMap) -> list[Exchange]:
    """Write what a memory with these faults reads, a frame a bank, then read all of it back."""
    banks = bank_words(faults.read(stored_bits(net, faults.layout)), faults.layout)
    rows = [row.tolist() for row in banks]
    wanted = [(WRITE, at(i, 0) + words(*row), OK, b"") for i, row in enumerate(rows)]
    return wanted + [(READ, at(i, 0, len(row)), OK, words(*row)) for i, row in enumerate(rows)]


def inferences(net: Network, images: NDArray[np.uint8]) -> list[Exchange]:
    """Golden's answers to images: scores as int32, then the class."""
    scores = golden.scores(net, images)
    best = golden.classify(scores)
    return [
        (INFER, data, OK, row.astype("<i4").tobytes() + bytes([int(label)]))
        for data, row, label in zip(image_bytes(net, images), scores, best, strict=True)
    ]


@cocotb.test(timeout_time=250, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def answers_as_golden(dut: Any, idle: float, stall: float) -> None:
    """Identify, write, read back and infer in one go, without faults and then under the map."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    streams = await start(dut)
    identify = (IDENTIFY, b"", OK, Path("identity.bin").read_bytes())
    for chip in (no_faults(faults.layout), faults):
        images = some_images(net, rng, N_IMAGES)
        answers = inferences(fault_maps.apply(net, chip), images)
        MEMORY.sample(faults=chip is faults, input=net.layers[0].input)
        await exchange(streams, [identify, *writes(net, chip), *answers, identify], idle, stall)


@cocotb.test(timeout_time=250, timeout_unit="us")
async def a_damaged_frame_changes_nothing(dut: Any) -> None:
    """A WRITE or INFER with a wrong bit is answered as damaged and writes and counts nothing."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    streams = await start(dut)
    written = writes(net, faults)
    await exchange(streams, written)
    images = some_images(net, rng, 2)
    answers = inferences(fault_maps.apply(net, faults), images)
    for command, payload in ((WRITE, at(0, 0) + words(*[2**64 - 1] * 3)), (INFER, answers[0][1])):
        DAMAGED.sample(command="write" if command == WRITE else "infer")
        damaged = bytearray(frame(77, command, payload))
        damaged[-6] ^= 1 << int(rng.integers(8))
        sender = cocotb.start_soon(drive(streams[0], ((b,) for b in damaged), lambda: False))
        got = await collect(streams[1], FRAME_BYTES, lambda: False)
        await sender
        expect(answers_in(bytes(b for (b,) in got)), [(77, command, BAD_CRC, b"")], "answer")
        await assert_quiet(streams[1], SILENCE)
        await exchange(streams, [*written[len(written) // 2 :], *answers])
    counted = await counters(streams)
    n_good = len(written) + 2 * (len(written) // 2 + len(answers))
    expect(counted, [2 * len(answers), n_good, 2], "counter")


async def counters(streams: tuple[Stream, Stream]) -> list[int]:
    """Images, good and bad frames, as the top counted them."""
    sender = cocotb.start_soon(drive(streams[0], ((b,) for b in frame(1, COUNTERS)), lambda: False))
    got = await collect(streams[1], FRAME_BYTES + 15, lambda: False)
    await sender
    [(_, _, status, payload)] = answers_in(bytes(b for (b,) in got))
    assert status == OK
    images, good, bad = payload[:4], payload[4:8], payload[8:10]
    return [int.from_bytes(part, "little") for part in (images, good, bad)]
