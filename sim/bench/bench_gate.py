"""Bench of `stoic_gate`: whole images pass, and none enters while the gate is held."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import reset, spoil, stream
from .tally import expect

N_CYCLES = 600


BEAT = Group(
    "beat",
    {"first": (False, True), "held": (False, True), "ready": (False, True)},
    [("first", "held")],
)


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def passes_whole_images(dut: Any, idle: float, stall: float) -> None:
    """Beats pass in the cycle in which they come, but for the first of an image while it is held.

    What is offered stays offered. A gate that is held and not in an image is closed a cycle later,
    unless a beat is offered; it opens as soon.
    """
    rng = random.Random(cocotb.RANDOM_SEED)
    source = stream(dut, "s_axis", "last")
    dut.m_axis_tready.value = dut.hold_i.value = 0
    await reset(dut, source)
    taken, given, closed = [], [], []
    is_offered = is_last = is_held = was_kept = False
    is_first, hold, n_whole, n_refused = True, 0, 0, 0
    for _ in range(N_CYCLES):
        if not is_offered and rng.random() >= idle:
            is_offered, is_last = True, rng.random() < 0.3
            source.valid.value, source.payload[0].value = 1, is_last
        elif not is_offered:
            source.valid.value = 0
            spoil(*source.payload)
        hold = hold if rng.random() < 0.9 else 1 - hold
        is_ready = rng.random() >= stall
        dut.hold_i.value, dut.m_axis_tready.value = hold, is_ready
        await ReadOnly()
        is_through = bool(int(dut.m_axis_tvalid.value))
        taken.append(is_offered and bool(int(dut.s_axis_tready.value)))
        given.append(is_through and is_ready)
        assert is_through or not was_kept, "a beat was offered and withdrawn"
        was_kept = is_through and not is_ready
        closed.append(int(dut.closed_o.value) == (is_first and is_held))
        assert is_through == (is_offered and not (is_first and is_held))
        if is_offered:
            BEAT.sample(first=is_first, held=is_held, ready=is_ready)
        n_refused += is_offered and not is_through
        if not is_through or is_ready:
            is_held = bool(hold)
        if taken[-1]:
            n_whole += is_last
            is_first, is_offered = is_last, False
        await RisingEdge(dut.clk_i)
    expect(taken, given, "cycle")
    expect(closed, [True] * N_CYCLES, "cycle")
    assert n_whole > 10 and n_refused > 10
