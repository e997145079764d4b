"""Bench of the flag of `stoic_mvu` that a word was lost, which no input can raise.

The unit starts an image only when there is room for its words. This bench spoils the count of that
room, so that words are lost, and the flag has to say so until a reset.
"""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from .bench_mvu import make
from .stream import collect, drive, reset
from .tally import expect

PATIENCE = 400  # cycles


@cocotb.test(timeout_time=100, timeout_unit="us")
async def says_that_a_word_was_lost(dut: Any) -> None:
    """The flag rises once the FIFO is full and a word comes, stays, and falls with a reset."""
    unit = await make(dut)
    sender = cocotb.start_soon(drive(unit.source, 10 * unit.beats, lambda: False))
    flags = [0]
    for _ in range(PATIENCE):
        dut.feed.control.room_q.value = 1
        await RisingEdge(dut.clk_i)
        flags = [int(dut.overflow_o.value)]
        if flags == [1]:
            break
    sender.cancel()
    await collect(unit.sink, 1, lambda: False)
    flags.append(int(dut.overflow_o.value))
    await reset(dut, unit.source, start_clock=False)
    await RisingEdge(dut.clk_i)
    flags.append(int(dut.overflow_o.value))
    expect(flags, [1, 1, 0], "flag when full, after a word left, after a reset")
