"""Bench of `stoic_width`: elements in beats of one width to words of another, cut at N elements."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager

from ..bits import pack
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

SHAPE = Group(
    "shape", {"words": ("narrower", "equal", "wider"), "left_over": ("none", "in", "out", "both")}
)
IMAGE = Group("image", {"beats": ("short", "exact", "long")})


def words(bits: Sequence[int], width: int) -> list[int]:
    """Bits in words of `width`, by the packing of the kit."""
    return [
        int(pack(np.array(bits[i : i + width], np.uint8))[0]) for i in range(0, len(bits), width)
    ]


def with_last(values: list[int]) -> Iterator[Beat]:
    """Beats (value, is the last)."""
    return ((value, i == len(values) - 1) for i, value in enumerate(values))


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def repacks_images(dut: Any, idle: float, stall: float) -> None:
    """Bits past element N never leave, short images end early, long ones are cut."""
    rng = random.Random(cocotb.RANDOM_SEED)
    n_in, n_out, n = (int(getattr(dut, name).value) for name in ("IN_W", "OUT_W", "N"))
    n_beats = -(-n // n_in)
    beats: list[Beat] = []
    wanted: list[Beat] = []
    left_over = {(0, 0): "none", (1, 0): "in", (0, 1): "out"}.get(
        (int(n % n_in > 0), int(n % n_out > 0)), "both"
    )
    ratio = "narrower" if n_out < n_in else "wider" if n_out > n_in else "equal"
    SHAPE.sample(words=ratio, left_over=left_over)
    for length in (n_beats, n_beats, 1, n_beats, n_beats + 3, max(1, n_beats // 2), n_beats):
        bits = [1] * n_in * length if rng.random() < 0.3 else rng.choices((0, 1), k=n_in * length)
        IMAGE.sample(beats="short" if length < n_beats else "long" if length > n_beats else "exact")
        beats += with_last(words(bits, n_in))
        wanted += with_last(words(bits[:n], n_out))
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    await reset(dut, source)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, beats, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    expect(got.result(), wanted)
    await assert_quiet(sink, 20)


@cocotb.test(timeout_time=40, timeout_unit="us")
async def is_as_fast_as_it_says(dut: Any) -> None:
    """An image's last word is there a cycle after its last group, which leaves its beat in turn."""
    rng = random.Random(cocotb.RANDOM_SEED)
    n_in, n, beat, groups = (int(getattr(dut, x).value) for x in ("IN_W", "N", "BEAT", "GROUPS"))
    n_beats = -(-n // n_in)
    beats = with_last([rng.getrandbits(n_in) for _ in range(n_beats)])
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    await reset(dut, source)
    sink.ready.value = 1
    times: dict[str, int] = {}
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, beats, lambda: False))
        for cycle in range(beat * n_beats + 10):
            await ReadOnly()
            for name, end in (("in", source), ("out", sink)):
                if int(end.valid.value) and int(end.ready.value) and int(end.payload[1].value):
                    times.setdefault(name, cycle)
            await RisingEdge(dut.clk_i)
    in_last = groups - (n_beats - 1) * beat
    expect([times["out"] - times["in"]], [1 + (in_last if beat > 1 else 0)], "latency")
