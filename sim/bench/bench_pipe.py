"""Bench of `stoic_fifo` and `stoic_skid`: the same words in the same order."""

import random
from typing import Any

import cocotb
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager
from cocotb.utils import get_sim_time

from .stream import CLOCK_NS, Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

N_WORDS = 150


def capacity(dut: Any) -> int:
    """Words that the unit holds: DEPTH of a FIFO, 2 of a skid buffer."""
    return int(dut.DEPTH.value) if hasattr(dut, "DEPTH") else 2


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def passes_every_word(dut: Any, idle: float, stall: float) -> None:
    """Nothing is lost, doubled or changed; without gaps and stalls a word leaves every cycle."""
    rng = random.Random(cocotb.RANDOM_SEED)
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data")
    words = [(rng.getrandbits(int(dut.WIDTH.value)),) for _ in range(N_WORDS)]
    await reset(dut, source)
    start = get_sim_time("ns")
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, words, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, N_WORDS, lambda: rng.random() < stall)
        )
    cycles = (get_sim_time("ns") - start) / CLOCK_NS
    expect(got.result(), words)
    is_full_rate = not idle and not stall and not (hasattr(dut, "DEPTH") and capacity(dut) == 2)
    assert not is_full_rate or cycles <= N_WORDS + 3, f"{cycles} cycles for {N_WORDS} words"
    await assert_quiet(sink, 8)


@cocotb.test(timeout_time=40, timeout_unit="us")
async def holds_back_when_full(dut: Any) -> None:
    """With a sink that takes nothing, exactly so many words get in, and all come out."""
    rng = random.Random(cocotb.RANDOM_SEED)
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data")
    depth = capacity(dut)
    words = [(rng.getrandbits(int(dut.WIDTH.value)),) for _ in range(depth + 5)]
    await reset(dut, source)
    sink.ready.value = 0
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, words, lambda: False))
        for _ in range(depth):
            await ReadOnly()
            assert int(source.ready.value) == 1
            await RisingEdge(dut.clk_i)
        for _ in range(10):
            await ReadOnly()
            assert int(source.ready.value) == 0 and int(sink.valid.value) == 1
            await RisingEdge(dut.clk_i)
        got: Task[list[Beat]] = tasks.start_soon(collect(sink, len(words), lambda: False))
    expect(got.result(), words)
    await assert_quiet(sink, 8)
