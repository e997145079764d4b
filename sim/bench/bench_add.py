"""Bench of `stoic_add`: the sums of two streams, whichever of them is late."""

import random
from typing import Any

import cocotb
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager

from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

N_BEATS = 120
SUM = Group("sum", {"sign": ("negative", "zero", "positive"), "last": (0, 1)})
ERROR = Group("error", {"shorter": ("a",)})


@cocotb.test(timeout_time=60, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def adds_beat_by_beat(dut: Any, idle: float, stall: float) -> None:
    """Both streams have gaps of their own; images end where they did."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width = int(dut.WIDTH.value)
    low, high = -(1 << width - 1) // 2, (1 << width - 1) // 2 - 1
    sources = [stream(dut, name, "data", "last") for name in ("a_axis", "b_axis")]
    sink = stream(dut, "m_axis", "data", "last")
    mask = (1 << width) - 1
    pairs = [(rng.randint(low, high), rng.randint(low, high)) for _ in range(N_BEATS)]
    pairs[:3] = (low, low), (high, high), (low + 1, -low - 1)
    ends = [int(rng.random() < 0.2) for _ in pairs]
    await reset(dut, *sources)
    async with TaskManager() as tasks:
        for k, source in enumerate(sources):
            beats = [(pair[k] & mask, end) for pair, end in zip(pairs, ends, strict=True)]
            tasks.start_soon(drive(source, beats, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, N_BEATS, lambda: rng.random() < stall)
        )
    for pair, end in zip(pairs, ends, strict=True):
        total = sum(pair)
        SUM.sample(sign="zero" if not total else "negative" if total < 0 else "positive", last=end)
    expect(got.result(), [(sum(p) & mask, end) for p, end in zip(pairs, ends, strict=True)], "sum")
    await assert_quiet(sink, 8)
    assert int(dut.error_o.value) == 0


@cocotb.test(timeout_time=20, timeout_unit="us")
async def says_when_images_differ_in_length(dut: Any) -> None:
    """error_o stays until reset once one image ended and the other did not."""
    a, b = (stream(dut, name, "data", "last") for name in ("a_axis", "b_axis"))
    dut.m_axis_tready.value = 1
    await reset(dut, a, b)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(a, [(0, 0), (0, 1), (0, 0)], lambda: False))
        tasks.start_soon(drive(b, [(0, 0), (0, 0), (0, 0)], lambda: False))
    errors = []
    for _ in range(6):
        await ReadOnly()
        errors.append(int(dut.error_o.value))
        await RisingEdge(dut.clk_i)
    expect(errors, [1] * 6, "cycle")
    ERROR.sample(shorter="a")
    await reset(dut, a, b, start_clock=False)
    await ReadOnly()
    assert int(dut.error_o.value) == 0
