"""Bench of `stoic_fifteen`: every word of fifteen lanes, one a cycle."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

LATENCY = 3
COUNT = Group("count", {"lanes": tuple(range(16))})


@cocotb.test(timeout_time=400, timeout_unit="us")
async def counts_all_words(dut: Any) -> None:
    """All 2^15 words, in an order in which many lanes change from one to the next."""
    words = [word * 0x2ACB & 0x7FFF for word in range(1 << 15)]  # odd: each word once
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    got = []
    for cycle in range(len(words) + LATENCY):
        await RisingEdge(dut.clk_i)
        dut.lane_i.value = words[min(cycle, len(words) - 1)]
        await ReadOnly()
        if cycle >= LATENCY:
            got.append(int(dut.count_o.value))
    expect(got, [word.bit_count() for word in words])
    for n in set(got):
        COUNT.sample(lanes=n)
