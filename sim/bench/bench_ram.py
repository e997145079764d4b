"""Bench of `stoic_ram`: what was written is read LATENCY cycles later, with the flips of then.

At LATENCY 2 clear_i, a cycle before the word leaves, makes it 0; at 1 hold_i keeps the last.
"""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

N_CYCLES = 600
SHAPE = Group(
    "shape",
    {
        "latency": (1, 2),
        "target": ("generic", "ecp5"),
        "depth": ("1", "a block or less", "more"),
        "width": ("1", "some", "64"),
    },
    [("target", "latency")],
)
READ = Group(
    "read",
    {
        "written": (False, True),
        "flips": ("none", "some", "all"),
        "cleared": (False, True),
        "held": (False, True),
    },
)


def text(value: Any) -> str:
    """A string of Verilog, which Verilator gives as bits."""
    data = value if isinstance(value, bytes) else int(value).to_bytes(len(value) // 8, "big")
    return data.decode()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reads_what_was_written(dut: Any) -> None:
    """Write all words, then write, read, clear and hold at random at once, under random flips.

    A read of the word that is being written, or at LATENCY 2 was a cycle ago, may return either
    value and is not compared.
    """
    rng = random.Random(cocotb.RANDOM_SEED)
    depth, width, latency = (int(getattr(dut, n).value) for n in ("DEPTH", "WIDTH", "LATENCY"))
    fault_en, full = int(dut.FAULT_EN.value), (1 << width) - 1
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    dut.raddr_i.value = dut.flip_i.value = dut.clear_i.value = dut.hold_i.value = 0
    await RisingEdge(dut.clk_i)
    memory = []
    for address in range(depth):
        memory.append(rng.getrandbits(width))
        dut.we_i.value, dut.waddr_i.value, dut.wdata_i.value = 1, address, memory[-1]
        await RisingEdge(dut.clk_i)
    SHAPE.sample(
        latency=latency,
        target=text(dut.TARGET.value),
        depth="1" if depth == 1 else "a block or less" if depth <= 512 else "more",
        width={1: "1", 64: "64"}.get(width, "some"),
    )
    asked: list[int | None] = []  # words that reads will give, None where it is open
    got, wanted = [], []
    before: int | None = None  # what was written a cycle ago
    for cycle in range(N_CYCLES + depth):
        is_write = cycle < N_CYCLES and rng.random() < 0.3
        written, word = rng.randrange(depth), rng.getrandbits(width)
        flip, flip10 = rng.getrandbits(width), rng.getrandbits(width)
        read = (
            cycle - N_CYCLES if cycle >= N_CYCLES else rng.choice([written, rng.randrange(depth)])
        )
        dut.we_i.value, dut.waddr_i.value, dut.wdata_i.value = is_write, written, word
        dut.raddr_i.value = read
        dut.flip_i.value = flip10 << width | flip if fault_en == 2 else flip
        is_cleared = rng.random() < 0.2
        dut.clear_i.value = is_cleared
        if is_cleared and latency > 1 and asked:
            asked[-1] = 0
        is_held = bool(asked) and rng.random() < 0.2
        dut.hold_i.value = is_held
        is_open = (is_write and read == written) or (latency > 1 and read == before)
        if is_held and latency == 1:
            asked.append(asked[-1])
        else:
            asked.append(None if is_open else memory[read])
        before = written if is_write else None
        asked_flips = (0, flip, flip | flip10)[fault_en]
        flips = {0: "none", full: "all"}.get(asked_flips, "some")
        READ.sample(
            written=is_write and read == written,
            flips=flips,
            cleared=is_cleared and latency > 1,
            held=is_held and latency == 1,
        )
        await ReadOnly()
        if cycle >= latency and (answer := asked[cycle - latency]) is not None:
            got += [int(dut.rdata_o.value), int(dut.clean_o.value)]
            lies = (answer, answer ^ flip, answer & (full ^ flip10) | (full ^ answer) & flip)
            wanted += [lies[fault_en], answer]
        if is_write:
            memory[written] = word
        await RisingEdge(dut.clk_i)
    expect(got, wanted)
