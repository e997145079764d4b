"""Bench of `stoic_uart`: bytes through the pins, at baud rates that are a little off."""

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

LINE = Group(
    "line",
    {"sender": ("slow", "right", "fast"), "clocks_per_bit": ("4", "even", "odd")},
    [("sender", "clocks_per_bit")],
)
DROPPED = Group("dropped", {"what": ("spike", "no stop bit")})


def levels(data: bytes, clocks_per_bit: float) -> list[int]:
    """Level of the line in every clock while the bytes are sent back to back."""
    bits = [b for byte in data for b in (0, *((byte >> i) & 1 for i in range(8)), 1)]
    n_clocks = round(len(bits) * clocks_per_bit)
    return [bits[min(len(bits) - 1, int(n / clocks_per_bit))] for n in range(n_clocks)]


def bytes_of(line: list[int], clocks_per_bit: int) -> bytes:
    """Bytes seen on a line by sampling every bit in its middle; asserts start and stop bits."""
    found, n = bytearray(), 0
    while 0 in line[n:]:
        n = line.index(0, n)
        sampled = [line[n + clocks_per_bit // 2 + i * clocks_per_bit] for i in range(10)]
        assert sampled[0] == 0 and sampled[9] == 1
        found.append(sum(bit << i for i, bit in enumerate(sampled[1:9])))
        n += 10 * clocks_per_bit - clocks_per_bit // 2
    return bytes(found)


async def exchange(dut: Any, pin: list[int], to_line: bytes) -> tuple[bytes, list[int]]:
    """Drive the pin through these levels and send bytes; what came in, and the levels out."""
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    clocks_per_bit = int(dut.CLOCKS_PER_BIT.value)
    waiting, received, line = deque(to_line), bytearray(), []
    dut.rst_i.value = 1
    dut.rx_i.value = 1
    dut.s_axis_tvalid.value = 0
    dut.m_axis_tready.value = 1
    for _ in range(8):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    await ReadOnly()
    assert dut.s_axis_tready.value and dut.tx_o.value, "it sends after a reset"
    assert not dut.m_axis_tvalid.value, "it has received something in a reset"
    await RisingEdge(dut.clk_i)
    n_clocks = max(len(pin), 10 * clocks_per_bit * len(to_line)) + 30 * clocks_per_bit
    for n in range(n_clocks):
        await RisingEdge(dut.clk_i)
        dut.rx_i.value = pin[n] if n < len(pin) else 1
        dut.s_axis_tvalid.value = bool(waiting)
        dut.s_axis_tdata.value = waiting[0] if waiting else 0
        await ReadOnly()
        if dut.m_axis_tvalid.value:
            received.append(int(dut.m_axis_tdata.value))
        if waiting and dut.s_axis_tready.value:
            waiting.popleft()
        line.append(int(dut.tx_o.value))
    return bytes(received), line


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(off=[0.98, 1.0, 1.02])
async def carries_bytes_both_ways(dut: Any, off: float) -> None:
    """Bytes arrive whatever their bits, back to back, at a sender up to 2 % fast or slow."""
    rng = random.Random(cocotb.RANDOM_SEED)
    clocks_per_bit = int(dut.CLOCKS_PER_BIT.value)
    inward, outward = b"\x00\xff\x55\xaa" + rng.randbytes(12), rng.randbytes(8)
    received, line = await exchange(dut, levels(inward, clocks_per_bit * off), outward)
    LINE.sample(
        sender="right" if off == 1.0 else "fast" if off < 1.0 else "slow",
        clocks_per_bit={4: "4"}.get(clocks_per_bit, "odd" if clocks_per_bit % 2 else "even"),
    )
    expect(received, inward, "byte in")
    expect(bytes_of(line, clocks_per_bit), outward, "byte out")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def drops_what_is_no_byte(dut: Any) -> None:
    """A spike is no start bit, and a byte without stop bit is dropped."""
    clocks_per_bit = int(dut.CLOCKS_PER_BIT.value)
    spike = [0] + [1] * 12 * clocks_per_bit
    cut = [0] * 10 * clocks_per_bit + [1] * 12 * clocks_per_bit
    received, line = await exchange(dut, spike + cut + levels(b"\xa5", clocks_per_bit), b"")
    expect(received, b"\xa5", "byte in")
    for what in ("spike", "no stop bit"):
        DROPPED.sample(what=what)
    assert 0 not in line
