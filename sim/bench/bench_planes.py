"""Bench of `stoic_planes`: bytes to words of bit planes, and the sum that golden needs too."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import TaskManager

from ..bits import pack
from ..golden import plane_sum
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

N_PLANES = 8
IMAGE = Group(
    "image", {"lanes_left": ("none", "some"), "words": ("1", "more"), "bytes": ("255", "mixed")}
)


def planes(image: bytes, simd: int) -> list[Beat]:
    """(word, last, sum at the last): bit i of word 8 w + b is bit b of element simd w + i."""
    starts = range(0, len(image), simd)
    words = [
        sum((byte >> b & 1) << i for i, byte in enumerate(image[start : start + simd]))
        for start in starts
        for b in range(N_PLANES)
    ]
    return [*((w, 0, 0) for w in words[:-1]), (words[-1], 1, sum(image))]


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def gives_planes_and_sum(dut: Any, idle: float, stall: float) -> None:
    """Images of any length follow each other; the words make golden's sums with random weights."""
    rng = random.Random(cocotb.RANDOM_SEED)
    simd = int(dut.SIMD.value)
    lengths = [1, simd, simd + 1, 2 * simd, *(rng.randrange(1, 4 * simd) for _ in range(5))]
    images = [bytes([255] * lengths[0]), *(rng.randbytes(n) for n in lengths[1:])]
    for image in images:
        IMAGE.sample(
            lanes_left="some" if len(image) % simd else "none",
            words="1" if len(image) <= simd else "more",
            bytes="255" if set(image) == {255} else "mixed",
        )
    beats = [(byte, i == len(im) - 1) for im in images for i, byte in enumerate(im)]
    wanted = [beat for image in images for beat in planes(image, simd)]
    source = stream(dut, "s_axis", "data", "last")
    sink = stream(dut, "m_axis", "data", "last", "user")
    await reset(dut, source)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, beats, lambda: rng.random() < idle))
        task: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    got = [(word, last, user if last else 0) for word, last, user in task.result()]
    expect(got, wanted)
    await assert_quiet(sink, 20)
    sums, expected = [], []
    for image in images:
        words, got = got[: (n := N_PLANES * -(-len(image) // simd))], got[n:]
        weights = [rng.getrandbits(simd) for _ in range(n // N_PLANES)]
        a = sum(
            (weights[i // N_PLANES] & word).bit_count() << i % N_PLANES
            for i, (word, _, _) in enumerate(words)
        )
        sums.append(2 * a - words[-1][2])
        lanes = [weights[i // simd] >> i % simd & 1 for i in range(len(image))]
        row = pack(np.array([lanes], np.uint8))
        expected.append(int(plane_sum(np.frombuffer(image, np.uint8)[None], row)[0, 0]))
    expect(sums, expected, "sum of image")
