"""Bench of `stoic_registers`: what is counted, set and told, beside a stream of events."""

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ..registers import BOUND, CLEAR, TABLE, WORDS, Registers, unpack
from . import host
from .cover import Group
from .stream import reset
from .tally import expect

N_CYCLES = 300
N_CLEARS, BETWEEN_CLEARS = 40, 12  # cycles
TABLES = Group("table", {"wanted": ("the same", "another", "none such"), "tables": ("1", "more")})
IMAGE = Group("image", {"margin": ("0", "some", "most"), "low": (False, True)})
READ_ONLY = 1, 2, 3, 4, 7  # of the first words
SETTLED = 6  # cycles from an event to its count


@dataclass
class Events:
    """Events that were sent, and what the registers should say of them.

    Attributes:
        words: (corrected, detected) of each layer.
    """

    bound: int
    margins: list[int] = field(default_factory=list)
    words: list[list[int]] = field(default_factory=list)

    def wanted(self, table: int, tables: int) -> Registers:
        """What the host should read."""
        margins = self.margins
        return Registers(
            images=len(margins),
            margin_sum=sum(margins),
            margin_min=min(margins, default=None),
            margin_max=max(margins, default=None),
            low_margins=sum(m < self.bound for m in margins),
            margin_bound=self.bound,
            table=table,
            tables=tables,
            corrected_words=tuple(w[0] for w in self.words),
            detected_words=tuple(w[1] for w in self.words),
            disturbed_words=(0,) * len(self.words),
        )


async def send(dut: Any, rng: random.Random, events: Events, n_cycles: int) -> None:
    """Random events for so many cycles; an image every second cycle at most."""
    margin_bits, count_bits = int(dut.MARGIN_W.value), int(dut.COUNT_W.value)
    has_words = int(dut.SECDED_EN.value)
    was_image = True
    for _ in range(n_cycles):
        is_image = not was_image and rng.random() < 0.5
        was_image = is_image
        margin = rng.choice([0, 1, (1 << margin_bits) - 2, rng.getrandbits(margin_bits)])
        dut.image_i.value, dut.margin_i.value = is_image, margin
        if is_image:
            most = (1 << margin_bits) - 2
            IMAGE.sample(
                margin={0: "0", most: "most"}.get(margin, "some"), low=margin < events.bound
            )
            events.margins.append(margin)
        packed = [0, 0]
        for layer, counted in enumerate(events.words):
            for k in range(2):
                more = rng.choice([0, 0, 1, (1 << count_bits) - 1])
                packed[k] |= more << layer * count_bits
                counted[k] += more * has_words
        dut.corrected_i.value, dut.detected_i.value = packed
        await RisingEdge(dut.clk_i)
    dut.image_i.value = dut.corrected_i.value = dut.detected_i.value = 0
    for _ in range(SETTLED):
        await RisingEdge(dut.clk_i)


async def start(dut: Any, bound: int) -> Events:
    """The unit after reset, and its bound."""
    for signal in ("image_i", "margin_i", "corrected_i", "detected_i", "empty_i"):
        getattr(dut, signal).value = 0
    dut.cfg_rvalid_i.value = dut.cfg_rdata_i.value = 0
    host.release(dut)
    await reset(dut)
    await write(dut, BOUND, bound)
    for _ in range(SETTLED):  # nothing answers a write
        await ReadOnly()
        assert not int(dut.cfg_rvalid_o.value) and not int(dut.cfg_rdata_o.value)
        await RisingEdge(dut.clk_i)
    return Events(bound, words=[[0, 0] for _ in range(int(dut.LAYERS.value))])


async def write(dut: Any, address: int, value: int) -> None:
    """Write a register."""
    await host.write_word(dut, int(dut.BANK.value), address, value)


async def tell(dut: Any) -> Registers:
    """What the host reads."""
    n = WORDS + 2 * int(dut.LAYERS.value)
    words = await host.read(dut, int(dut.BANK.value), n + 9)
    assert not any(words[n:]), f"words after the last: {words[n:]}"
    return unpack(np.array(words[:n], np.uint64))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def counts_every_event(dut: Any) -> None:
    """Sum, extremes and low margins of images, and words of every layer; then again from 0."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bound = rng.getrandbits(int(dut.MARGIN_W.value)) | 1
    tables = int(dut.TABLES.value)
    events = await start(dut, bound)
    expect([await tell(dut)], [events.wanted(0, tables)], "reading")
    for _ in range(2):
        await send(dut, rng, events, N_CYCLES)
        far = [word | 1 << k for k in range(3, 16) for word in (CLEAR, BOUND, TABLE)]
        for address in (*READ_ONLY, *far):
            await write(dut, address, rng.choice([rng.getrandbits(32), tables - 1]))
        expect([await tell(dut)], [events.wanted(0, tables)], "reading")
    await write(dut, CLEAR, 0)
    events = Events(bound, words=[[0, 0] for _ in events.words])
    await send(dut, rng, events, N_CYCLES)
    expect([await tell(dut)], [events.wanted(0, tables)], "reading")
    assert await host.read(dut, int(dut.BANK.value) - 1, 1) == []


@cocotb.test(timeout_time=100, timeout_unit="us")
async def clears_while_it_counts(dut: Any) -> None:
    """What is told after a clear among events is of the last images, the same in each number."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bound = rng.getrandbits(int(dut.MARGIN_W.value)) | 1
    tables, n_words = int(dut.TABLES.value), len((await start(dut, bound)).words)
    for _ in range(N_CLEARS):
        events = Events(bound, words=[[0, 0] for _ in range(n_words)])
        sender = cocotb.start_soon(send(dut, rng, events, BETWEEN_CLEARS))
        for _ in range(rng.randrange(BETWEEN_CLEARS)):
            await RisingEdge(dut.clk_i)
        await write(dut, CLEAR, 0)
        await sender
        told = await tell(dut)
        words = zip(told.corrected_words, told.detected_words, strict=True)
        margins = events.margins[len(events.margins) - told.images :]
        last = Events(bound, margins, [list(counted) for counted in words])
        expect([told], [last.wanted(0, tables)], f"reading of {told.images} images")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def tells_while_it_counts(dut: Any) -> None:
    """A reading in the middle disturbs no count, and passes the answers of other banks on."""
    rng = random.Random(cocotb.RANDOM_SEED)
    events = await start(dut, 1)
    sender = cocotb.start_soon(send(dut, rng, events, N_CYCLES))
    readings = [(await tell(dut)).images for _ in range(8)]
    assert readings == sorted(readings) and readings[-1] > 0
    await sender
    expect([await tell(dut)], [events.wanted(0, int(dut.TABLES.value))], "reading")
    words = [rng.getrandbits(64) for _ in range(20)]
    passed = []
    for word in [*words, 0]:
        dut.cfg_rvalid_i.value, dut.cfg_rdata_i.value = int(word > 0), word
        await ReadOnly()
        if int(dut.cfg_rvalid_o.value):
            passed.append(int(dut.cfg_rdata_o.value))
        await RisingEdge(dut.clk_i)
    expect(passed, words)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def changes_the_table_between_images(dut: Any) -> None:
    """Another table waits for an empty core, which hold_o asks for; none that is not there."""
    tables = int(dut.TABLES.value)
    events = await start(dut, 0)
    table = 0
    for wanted in (tables - 1, tables, 0, 255, tables - 1):
        is_legal = wanted < tables
        await write(dut, TABLE, wanted)
        for _ in range(5):
            await RisingEdge(dut.clk_i)
        await ReadOnly()
        TABLES.sample(
            wanted="none such" if not is_legal else "the same" if wanted == table else "another",
            tables="1" if tables == 1 else "more",
        )
        is_change = is_legal and wanted != table
        expect([int(dut.hold_o.value), int(dut.table_o.value)], [int(is_change), table], "output")
        await RisingEdge(dut.clk_i)
        dut.empty_i.value = 1
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.empty_i.value = 0
        table = wanted if is_legal else table
        expect([await tell(dut)], [events.wanted(table, tables)], "reading")
        expect([int(dut.hold_o.value), int(dut.table_o.value)], [0, table], "output")
