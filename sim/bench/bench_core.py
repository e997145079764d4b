"""Bench of a generated `stoic_core`: clean and faulty, stalled and reset, always golden's scores.

In the working directory lie `core.stoic`, the network, and `core.faults`, a map in the layout of
the core, which may have check bits and threshold tables.
"""

import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden, network, registers
from ..faults import FaultMap, no_faults
from ..hardware import seen, take_apart, written
from ..memory import bank_words
from ..network import Network
from . import host
from .cover import Group
from .stream import Beat, Stream, assert_quiet, blocked, collect, drive, reset, stream
from .tally import expect

N_IMAGES = 4
MORE_IMAGES = 24  # more than the core can hold
MEMORY = Group(
    "memory", {"faults": (False, True), "input": ("bits", "uint8")}, [("faults", "input")]
)
RESET = Group("reset", {"image": ("loads", "runs", "leaves"), "sink": ("ready", "stalled")})
BUSY = Group("busy", {"when": ("empty", "first byte", "scores wait", "last score", "after")})
SETTLED = 8  # cycles from the last score to busy_o = 0, and from the first byte to busy_o = 1


def artefacts() -> tuple[Network, FaultMap]:
    """The network and the fault map of this run."""
    return network.load(Path("core.stoic")), fault_maps.load(Path("core.faults"))


def image_bytes(net: Network, images: NDArray[np.uint8]) -> list[bytes]:
    """Every image as the stream takes it."""
    if net.layers[0].input == "bits":
        images = np.packbits(images, axis=1, bitorder="little")
    return [image.tobytes() for image in images]


def some_images(net: Network, rng: np.random.Generator, n: int = N_IMAGES) -> NDArray[np.uint8]:
    """Random images, the first one empty and the second one full."""
    images = rng.integers(0, net.image_max + 1, (n, net.n_inputs), dtype=np.uint8)
    images[0], images[1 % n] = 0, net.image_max
    return images


def beats(data: list[bytes]) -> list[Beat]:
    """(byte, last) of images back to back."""
    return [(byte, i == len(image) - 1) for image in data for i, byte in enumerate(image)]


def score_beats(scores: NDArray[np.int32]) -> list[Beat]:
    """(score, last) of images back to back."""
    return [
        (int(s) & 0xFFFFFFFF, i == scores.shape[1] - 1) for row in scores for i, s in enumerate(row)
    ]


async def start(dut: Any, *, start_clock: bool = True, n_cycles: int = 3) -> tuple[Stream, Stream]:
    """Streams of the core after a reset."""
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    host.release(dut)
    sink.ready.value = 0
    await reset(dut, source, start_clock=start_clock, n_cycles=n_cycles)
    return source, sink


async def load(dut: Any, net: Network, faults: FaultMap) -> None:
    """Write what a memory with these faults reads, and read all of it back."""
    cells = written(net, faults.layout, faults)
    banks = {i: row.tolist() for i, row in enumerate(bank_words(cells, faults.layout))}
    await host.write(dut, banks)
    for bank, content in banks.items():
        expect(await host.read(dut, bank, len(content)), content)


async def infer(
    streams: tuple[Stream, Stream], data: list[Beat], n_beats: int, idle: float, stall: float
) -> list[Beat]:
    """What comes out while these beats go in; nothing is left over."""
    rng = random.Random(cocotb.RANDOM_SEED)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(streams[0], data, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(streams[1], n_beats, lambda: rng.random() < stall)
        )
    await assert_quiet(streams[1], 60)
    return got.result()


async def is_busy(dut: Any) -> bool:
    """Whether an image is inside, once the core had time to notice."""
    for _ in range(SETTLED):
        await RisingEdge(dut.clk_i)
    await ReadOnly()
    busy = bool(int(dut.busy_o.value))
    await RisingEdge(dut.clk_i)
    return busy


@cocotb.test(timeout_time=60, timeout_unit="us")
async def every_cell_reads_back(dut: Any) -> None:
    """Random words in all cells, pads too, are read back after the last one was written."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    _, faults = artefacts()
    await start(dut)
    cells = rng.integers(0, 2, faults.layout.n_cells, dtype=np.uint8)
    banks = {i: row.tolist() for i, row in enumerate(bank_words(cells, faults.layout))}
    await host.write(dut, banks)
    for bank, content in banks.items():
        expect(await host.read(dut, bank, len(content)), content)
    assert not await host.read(dut, len(banks) + 1, 1), "a bank that does not exist has answered"


@cocotb.test(timeout_time=150, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.6])
async def scores_equal_golden(dut: Any, idle: float, stall: float) -> None:
    """Images back to back, without faults, under the map, and without faults again."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    streams = await start(dut)
    clean = no_faults(faults.layout)
    for chip in (clean, faults, clean):
        assert not await is_busy(dut)
        await load(dut, net, chip)
        MEMORY.sample(faults=chip is faults, input=net.layers[0].input)
        images = some_images(net, rng)
        wanted = score_beats(golden.scores(seen(net, chip.layout, chip), images))
        data = beats(image_bytes(net, images))
        expect(await infer(streams, data, len(wanted), idle, stall), wanted, "score")
    assert not await is_busy(dut)


@cocotb.test(timeout_time=150, timeout_unit="us")
async def loses_nothing_while_the_sink_stops(dut: Any) -> None:
    """A sink that takes nothing stops the source in time; all scores come out later."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    source, sink = await start(dut)
    await load(dut, net, faults)
    images = some_images(net, rng, MORE_IMAGES)
    wanted = score_beats(golden.scores(seen(net, faults.layout, faults), images))
    data = beats(image_bytes(net, images))
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, data, lambda: False))
        await blocked(source, 1000)
        got: Task[list[Beat]] = tasks.start_soon(collect(sink, len(wanted), lambda: False))
    expect(got.result(), wanted, "score")
    await assert_quiet(sink, 60)
    assert not await is_busy(dut)


async def assert_nothing_counted(dut: Any, faults: FaultMap) -> None:
    """Registers tell of no image, and of no word that was corrected, detected or disturbed."""
    bank = len(faults.layout.banks)
    told = await host.read(dut, bank, registers.WORDS + 2 * len(faults.layout.shapes))
    counts = [told[0], *told[registers.WORDS :]]
    expect(counts, [0] * len(counts), "count after a reset")


@cocotb.test(timeout_time=150, timeout_unit="us")
async def recovers_from_reset_in_mid_image(dut: Any) -> None:
    """Reset in mid-image, for a cycle: nothing counts, memories keep, and scores are right."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    streams = await start(dut)
    await load(dut, net, faults)
    faulty = seen(net, faults.layout, faults)
    for wait in (3, *rng.integers(10, 400, 7).tolist()):
        spoilt = beats(image_bytes(net, some_images(net, rng, 3)))
        sender = cocotb.start_soon(drive(streams[0], spoilt, lambda: False))
        streams[1].ready.value = wait % 2
        n_scores = 0
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
            n_scores += int(streams[1].valid.value)
        RESET.sample(
            image="leaves" if n_scores else "loads" if wait < len(spoilt) // 3 else "runs",
            sink="ready" if wait % 2 else "stalled",
        )
        sender.cancel()
        await start(dut, start_clock=False, n_cycles=1)
        assert not await is_busy(dut)
        await assert_quiet(streams[1], 60)
        await assert_nothing_counted(dut, faults)
        images = some_images(net, rng, 2)
        data = image_bytes(net, images)
        wanted = score_beats(golden.scores(faulty, images))
        expect(await infer(streams, beats(data), len(wanted), 0.0, 0.3), wanted, "score")


@cocotb.test(timeout_time=60, timeout_unit="us")
async def is_busy_from_first_byte_to_last_score(dut: Any) -> None:
    """busy_o is 1 after one byte, while scores wait for a sink, and 0 once the last one left."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    source, sink = await start(dut)
    await load(dut, net, faults)
    images = some_images(net, rng, 1)
    data = beats(image_bytes(net, images))
    wanted = score_beats(golden.scores(seen(net, faults.layout, faults), images))
    assert not await is_busy(dut)
    BUSY.sample(when="empty")
    await drive(source, data[:1], lambda: False)
    assert await is_busy(dut)
    BUSY.sample(when="first byte")
    await drive(source, data[1:], lambda: False)
    while not int(sink.valid.value):
        await RisingEdge(dut.clk_i)
    assert await is_busy(dut)
    BUSY.sample(when="scores wait")
    got = await collect(sink, len(wanted) - 1, lambda: False)
    assert await is_busy(dut)
    BUSY.sample(when="last score")
    got += await collect(sink, 1, lambda: False)
    expect(got, wanted, "score")
    assert not await is_busy(dut)
    BUSY.sample(when="after")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def counts_images_and_margins(dut: Any) -> None:
    """Registers tell of all images, also while they stream."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    streams = await start(dut)
    await load(dut, net, faults)
    images = some_images(net, rng, MORE_IMAGES)
    scores = golden.scores(seen(net, faults.layout, faults), images)
    margins = golden.margin(scores)
    bound = int(np.median(margins))
    bank = len(faults.layout.banks)
    await host.write_word(dut, bank, registers.BOUND, bound)
    wanted = score_beats(scores)
    running = cocotb.start_soon(infer(streams, beats(image_bytes(net, images)), len(wanted), 0, 0))
    told = [(await host.read(dut, bank, registers.WORDS))[0] for _ in range(10)]
    assert told == sorted(told)
    expect(await running, wanted, "score")
    found = await host.read(dut, bank, registers.WORDS)
    low = int((margins < bound).sum())
    sums = [len(margins), int(margins.sum()), int(margins.min()), int(margins.max()), low, bound]
    expect(found[:6], sums, "register")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def changes_tables_between_images(dut: Any) -> None:
    """A table that is chosen while images stream is that of all images from one of them on."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    if take_apart(faults.layout).tables == 1:
        return
    streams = await start(dut)
    sink = streams[1]
    await load(dut, net, faults)
    images = some_images(net, rng, MORE_IMAGES)
    read = seen(net, faults.layout, faults)
    own = golden.scores(read, images)
    bank = len(faults.layout.banks)
    now = own
    for number, table in [*enumerate(net.tables, start=1), (0, None)]:
        then = golden.scores(network.select(read, table.name) if table else read, images)
        assert (now != then).any(axis=1).sum() > MORE_IMAGES // 4
        n_beats = then.size
        running = cocotb.start_soon(
            infer(streams, beats(image_bytes(net, images)), n_beats, 0.1, 0.1)
        )
        left = 0
        while left < number + 2:
            await ReadOnly()
            left += all(int(s.value) for s in (sink.valid, sink.ready, sink.payload[1]))
            await RisingEdge(dut.clk_i)
        await host.write_word(dut, bank, registers.TABLE, number)
        got = await running
        switch = next(
            k
            for k in range(MORE_IMAGES + 1)
            if got == score_beats(np.concatenate([now[:k], then[k:]])) or k == MORE_IMAGES
        )
        assert 0 < switch < MORE_IMAGES - 1, f"images before the new table: {switch}"
        expect(got, score_beats(np.concatenate([now[:switch], then[switch:]])), "score")
        now = then
        expect(
            await host.read(dut, bank, registers.WORDS),
            [*(await host.read(dut, bank, 6)), number, len(net.tables) + 1],
            "register",
        )
