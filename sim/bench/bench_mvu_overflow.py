"""Bench of the flag of `stoic_mvu` that a word was lost, which no input can raise.

The unit starts an image only when there is room for its words. This bench spoils the count of that
room and takes nothing, so that words are lost. The flag has to say so, no earlier, until a reset.
"""

from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .bench_mvu import make
from .cover import Group
from .stream import collect, drive, reset
from .tally import expect

PATIENCE = 400  # cycles
LOST = Group("lost", {"word": ("none so far", "the first", "before one that left", "none since")})
DELAY = 2  # cycles from a word that is lost to the flag


@cocotb.test(timeout_time=100, timeout_unit="us")
async def says_that_a_word_was_lost(dut: Any) -> None:
    """The flag rises with the first word that finds the FIFO full, stays, falls with a reset."""
    unit = await make(dut)
    capacity = int(dut.drain.FIFO_DEPTH.value)
    sender = cocotb.start_soon(drive(unit.source, 10 * unit.beats, lambda: False))
    came: list[int] = []  # words until each cycle
    flags: list[int] = []
    while len(flags) < PATIENCE and 1 not in flags:
        dut.feed.control.room_q.value = 1
        await ReadOnly()
        came.append((came[-1] if came else 0) + int(dut.drain.word_valid.value))
        flags.append(int(dut.overflow_o.value))
        LOST.sample(word="the first" if flags[-1] else "none so far")
        await RisingEdge(dut.clk_i)
    wanted = [0] * DELAY + [int(n > capacity) for n in came[:-DELAY]]
    expect(flags, wanted, f"flag in each cycle; {came[-1]} words reached a FIFO of {capacity}")
    sender.cancel()
    await collect(unit.sink, 1, lambda: False)
    LOST.sample(word="before one that left")
    flags = [int(dut.overflow_o.value)]
    await reset(dut, unit.source, start_clock=False)
    await RisingEdge(dut.clk_i)
    LOST.sample(word="none since")
    flags.append(int(dut.overflow_o.value))
    expect(flags, [1, 0], "flag after a word left, after a reset")
