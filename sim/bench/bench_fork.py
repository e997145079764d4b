"""Bench of `stoic_fork`: every sink takes every beat once, in its own time."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import reset, stream
from .tally import expect

N_BEATS = 120


BEAT = Group("beat", {"takes": ("none", "some", "all"), "sinks": ("1", "more")})


@cocotb.test(timeout_time=60, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def gives_every_beat_to_every_sink(dut: Any, idle: float, stall: float) -> None:
    """Beat by beat; one that is offered to a sink stays until it is taken."""
    rng = random.Random(cocotb.RANDOM_SEED)
    sinks = range(int(dut.SINKS.value))
    source = stream(dut, "s_axis")
    dut.m_axis_tready.value = 0
    await reset(dut, source)
    got: list[list[int]] = [[] for _ in sinks]
    n_sent, is_offered, kept, n_cycles = 0, False, 0, 0
    while n_sent < N_BEATS:
        is_offered = is_offered or rng.random() >= idle
        ready = sum((rng.random() >= stall) << k for k in sinks)
        source.valid.value, dut.m_axis_tready.value = is_offered, ready
        await ReadOnly()
        valid = int(dut.m_axis_tvalid.value)
        assert kept & ~valid == 0, "a beat was offered and withdrawn"
        kept = valid & ~ready
        if valid:
            n_ready = (valid & ready).bit_count()
            BEAT.sample(
                takes="none" if not n_ready else "some" if valid & ~ready else "all",
                sinks="1" if len(sinks) == 1 else "more",
            )
        for k in sinks:
            if valid & ready & 1 << k:
                got[k].append(n_sent)
        if is_offered and int(source.ready.value):
            n_sent, is_offered = n_sent + 1, False
        n_cycles += 1
        await RisingEdge(dut.clk_i)
    for beats in got:
        expect(beats, list(range(N_BEATS)), "beat")
    assert idle or stall or n_cycles == N_BEATS, f"{n_cycles} cycles for {N_BEATS} beats"
