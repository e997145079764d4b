"""Bench of `stoic_tally`: what it counts of labels and classes, which runs it refuses, its gate."""

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager

from ..on_chip import CORRECT, IMAGES, N_COUNTS, row_words, unpack_confusion
from . import host
from .cover import Group
from .stream import reset, spoil
from .tally import expect

MANY = 90  # images of a run
CARRIES = (1 << 15) - 1
MOST_INSIDE = 5  # images that the core of the bench holds
LATENCY = 6  # cycles from a label to its class, at least
COUNTED = Group(
    "counted",
    {"lane": (0, 1, 2, 3), "hit": (False, True), "gap": ("2", "more"), "same": (False, True)},
)
ASKED = Group("asked", {"run": ("taken", "while one runs", "while busy", "for 0", "for too many")})
SCORES = Group("scores", {"run": (False, True), "ready": (False, True)}, [("run", "ready")])


@dataclass
class Core:
    """A core beside the unit: classes of the images whose labels came, in order, and its scores."""

    dut: Any
    rng: random.Random
    given: list[tuple[int, int]] = field(default_factory=list)  # label, class

    async def answer(self, pairs: list[tuple[int, int]], gap: int) -> None:
        """Give the labels of images, their classes later, and one score each before the class.

        Args:
            gap: at most so many cycles more than 2 between two classes.
        """
        dut, rng = self.dut, self.rng
        dut.busy_i.value = 1
        labels, inside, now, last, before = list(pairs), list[tuple[int, int, int]](), 0, -9, None
        while labels or inside:
            spoil(dut.label_i, dut.class_i)
            dut.label_valid_i.value = dut.class_valid_i.value = 0
            due = inside and now >= max(inside[0][0] + LATENCY, last + 2)
            if due and (gap == 0 or rng.random() < 1 / gap):
                _, label, given = inside.pop(0)
                dut.class_i.value, dut.class_valid_i.value = given, 1
                COUNTED.sample(
                    lane=given % 4,
                    hit=given == label,
                    gap="2" if now - last == 2 else "more",
                    same=(label, given) == before,
                )
                last, before = now, (label, given)
                self.given.append(before)
            if labels and len(inside) < MOST_INSIDE and int(dut.label_room_o.value):
                label, given = labels.pop(0)
                dut.label_i.value, dut.label_valid_i.value = label, 1
                inside.append((now, label, given))
            await self.score()
            now += 1
        spoil(dut.label_i, dut.class_i)
        dut.label_valid_i.value = dut.class_valid_i.value = 0
        await self.score()
        dut.busy_i.value = 0

    async def score(self) -> None:
        """A cycle, in which a score leaves the core, and maybe the link takes one."""
        dut, ready = self.dut, self.rng.random() < 0.5
        dut.s_axis_tvalid.value, dut.m_axis_tready.value = 1, ready
        await ReadOnly()
        runs = bool(int(dut.run_o.value))
        SCORES.sample(run=runs, ready=ready)
        gate = (int(dut.m_axis_tvalid.value), int(dut.s_axis_tready.value))
        assert gate == ((0, 1) if runs else (1, int(ready))), f"scores pass {gate} in run {runs}"
        await RisingEdge(dut.clk_i)
        dut.s_axis_tvalid.value = 0


async def prepare(dut: Any) -> None:
    """The unit after reset."""
    for signal in ("label_valid_i", "class_valid_i", "busy_i", "s_axis_tvalid", "m_axis_tready"):
        getattr(dut, signal).value = 0
    dut.cfg_rvalid_i.value = dut.cfg_rdata_i.value = 0
    spoil(dut.label_i, dut.class_i)
    host.release(dut)
    await reset(dut)


async def ask(dut: Any, n: int) -> bool:
    """Ask for a run of so many images; whether one goes on then."""
    await host.write_word(dut, int(dut.BANK.value), IMAGES, n)
    await RisingEdge(dut.clk_i)
    await ReadOnly()
    runs = bool(int(dut.run_o.value))
    await RisingEdge(dut.clk_i)
    return runs


async def sends(dut: Any) -> int:
    """Wait until images may come; how many are wanted."""
    while True:
        await ReadOnly()
        found, n = int(dut.send_o.value), int(dut.images_o.value)
        await RisingEdge(dut.clk_i)
        if found:
            return n


async def tell(dut: Any) -> tuple[int, int, list[list[int]]]:
    """Images, those that are right, and the confusion, as the host reads them."""
    bank, m = int(dut.BANK.value), int(dut.M.value)
    counts = await host.read(dut, bank, N_COUNTS)
    words = await host.read(dut, bank + 1, m * row_words(m))
    confusion = unpack_confusion(np.array(words, np.uint64), m)
    return counts[IMAGES], counts[CORRECT], confusion.tolist()


def wanted(pairs: list[tuple[int, int]], m: int) -> tuple[int, int, list[list[int]]]:
    """What `tell` should give."""
    counts = np.zeros((m, m), np.int64)
    for pair in pairs:
        counts[pair] += 1
    return len(pairs), sum(t == c for t, c in pairs), counts.tolist()


def draw(rng: random.Random, n: int, m: int) -> list[tuple[int, int]]:
    """Labels and classes, every second one right, many the same as the one before."""
    pairs: list[tuple[int, int]] = []
    for _ in range(n):
        label = rng.randrange(m)
        fresh = (label, label if rng.random() < 0.5 else rng.randrange(m))
        pairs.append(pairs[-1] if pairs and rng.random() < 0.4 else fresh)
    return pairs


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(gap=[0, 4])
async def counts_every_image(dut: Any, gap: int) -> None:
    """Runs of all images and of one, each from 0; images of the host after them do not count."""
    rng = random.Random(cocotb.RANDOM_SEED)
    most, m = min(int(dut.IMAGES.value), MANY), int(dut.M.value)
    await prepare(dut)
    for n in (most, 1, most):
        pairs = draw(rng, n, m)
        assert await ask(dut, n)
        expect([await sends(dut)], [n], "number of images")
        await Core(dut, rng).answer(pairs, gap)
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        assert not int(dut.run_o.value) and not int(dut.send_o.value)
        dut.class_i.value, dut.class_valid_i.value = rng.randrange(m), 1  # of the host's image
        await Core(dut, rng).score()
        dut.class_valid_i.value = 0
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        expect([await tell(dut)], [wanted(pairs, m)], "counts")
    words = [rng.getrandbits(64) for _ in range(20)]  # answers of others pass
    passed = []
    for word in [*words, 0]:
        dut.cfg_rvalid_i.value, dut.cfg_rdata_i.value = int(word > 0), word
        await ReadOnly()
        if int(dut.cfg_rvalid_o.value):
            passed.append(int(dut.cfg_rdata_o.value))
        await RisingEdge(dut.clk_i)
    expect(passed, words)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def refuses_what_it_cannot_run(dut: Any) -> None:
    """A run during another, in a busy core, of no image or too many changes nothing."""
    rng = random.Random(cocotb.RANDOM_SEED)
    room, m = int(dut.IMAGES.value), int(dut.M.value)
    most = min(room, MANY)
    await prepare(dut)
    for n, what in ((0, "for 0"), (room + 1, "for too many"), (1 << 16 | 1, "for too many")):
        ASKED.sample(run=what)
        assert not await ask(dut, n)
    dut.busy_i.value = 1
    ASKED.sample(run="while busy")
    assert not await ask(dut, 1)
    dut.busy_i.value = 0
    pairs = draw(rng, most, m)
    ASKED.sample(run="taken")
    assert await ask(dut, most)
    expect([await sends(dut)], [most], "number of images")
    async with TaskManager() as tasks:
        tasks.start_soon(Core(dut, rng).answer(pairs, 3))
        for _ in range(LATENCY):
            await RisingEdge(dut.clk_i)
        ASKED.sample(run="while one runs")
        assert await ask(dut, 1)
        await host.write_word(dut, int(dut.BANK.value), CORRECT, 1)  # no request at all
        expect([int(dut.images_o.value)], [most], "number of images")
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    expect([await tell(dut)], [wanted(pairs, m)], "counts")
    assert await host.read(dut, int(dut.BANK.value) + 2, 1) == []


@cocotb.test(timeout_time=200, timeout_unit="us")
async def counts_to_the_last_image(dut: Any) -> None:
    """The end of the longest run: most of its images are put into the counts; all carry."""
    rng = random.Random(cocotb.RANDOM_SEED)
    most, m = int(dut.IMAGES.value), int(dut.M.value)
    n = min(most, MANY)
    await prepare(dut)
    assert await ask(dut, most)
    expect([await sends(dut)], [most], "number of images")
    pairs = [(0, 0), *draw(rng, n - 1, m)]
    dut.images_q.value, dut.correct_q.value = most - n, CARRIES
    for address in range(m * row_words(m)):
        row = sum(CARRIES << 16 * k for k in range(4))
        dut.confusion.g_inferred.mem[address].value = row
    await Core(dut, rng).answer(pairs, 0)
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    _, right, counts = wanted(pairs, m)
    counts = [[CARRIES + count for count in row] for row in counts]
    expect([await tell(dut)], [(most, CARRIES + right, counts)], "counts")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def begins_anew_after_reset(dut: Any) -> None:
    """A reset while it clears, or while labels wait, ends the run; the next one counts from 0."""
    rng = random.Random(cocotb.RANDOM_SEED)
    most, m = min(int(dut.IMAGES.value), MANY), int(dut.M.value)
    await prepare(dut)
    for is_sending in (False, True):
        assert await ask(dut, most)
        if is_sending:
            await sends(dut)
            dut.label_i.value, dut.label_valid_i.value = 1, 1
            await RisingEdge(dut.clk_i)
            dut.label_valid_i.value = 0
        await reset(dut, start_clock=False)
        for _ in range(int(dut.DEPTH.value) + 4):  # longer than it would clear
            await ReadOnly()
            assert not int(dut.run_o.value) and not int(dut.send_o.value)
            await RisingEdge(dut.clk_i)
        pairs = draw(rng, most, m)
        assert await ask(dut, most)
        await sends(dut)
        await Core(dut, rng).answer(pairs, 0)
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        expect([await tell(dut)], [wanted(pairs, m)], "counts")
