"""Bench of `stoic_store`: what the host wrote comes out as images and labels; else it is a wire."""

import random
from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager

from ..on_chip import records
from . import host
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

RECORD = Group("record", {"words": ("1", "more"), "last": ("1 byte", "some", "full")})
RUN = Group("run", {"images": ("1", "some", "all"), "room": (False, True)})


class Kept:
    """Random images and labels for the unit, as many as there is room for."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.n, self.n_bytes = int(dut.IMAGES.value), int(dut.IMAGE_BYTES.value)
        self.bank, self.words = int(dut.BANK.value), int(dut.WORDS.value)
        draw = [[rng.getrandbits(8) for _ in range(self.n_bytes)] for _ in range(self.n)]
        self.images = np.array(draw, np.uint8)
        self.labels = [rng.getrandbits(8) for _ in range(self.n)]
        n_last = self.n_bytes + 1 - 8 * (self.words - 1)
        RECORD.sample(
            words="1" if self.words == 1 else "more",
            last={1: "1 byte", 8: "full"}.get(n_last, "some"),
        )

    @property
    def memory(self) -> list[int]:
        """Words of the bank."""
        return [int(word) for word in records(self.images, np.array(self.labels))]

    def beats(self, n: int) -> list[Beat]:
        """Bytes of the first `n` images."""
        return beats(self.images[:n].tolist())


def beats(images: list[list[int]]) -> list[Beat]:
    """Bytes of images, and whether each ends one."""
    return [(b, int(i == len(image) - 1)) for image in images for i, b in enumerate(image)]


async def prepare(dut: Any, kept: Kept) -> Any:
    """The unit after reset, with the images written and read back; its source."""
    source = stream(dut, "s_axis", "data", "last")
    for signal in ("m_axis_tready", "label_room_i", "run_i", "send_i", "images_i"):
        getattr(dut, signal).value = 0
    dut.cfg_rvalid_i.value = dut.cfg_rdata_i.value = 0
    host.release(dut)
    await reset(dut, source)
    await host.write(dut, {kept.bank: kept.memory})
    await host.write_word(dut, kept.bank, len(kept.memory), 0)  # past the end
    await host.write_word(dut, kept.bank + 1, 0, 0)
    expect(await host.read(dut, kept.bank, len(kept.memory)), kept.memory)
    assert await host.read(dut, kept.bank + 1, 1) == []
    return source


async def labels(dut: Any, n: int, has_room: Callable[[], bool]) -> list[int]:
    """The next `n` labels; room changes as the FIFO of `stoic_tally` would change it."""
    found: list[int] = []
    while len(found) < n:
        dut.label_room_i.value = has_room()
        await ReadOnly()
        if int(dut.label_valid_o.value):
            found.append(int(dut.label_o.value))
        await RisingEdge(dut.clk_i)
    dut.label_room_i.value = 1
    return found


async def run(dut: Any, n: int, wait: int) -> None:
    """Begin a run of `n` images, `wait` cycles before they may come."""
    dut.run_i.value, dut.images_i.value = 1, n
    for _ in range(wait + 1):
        await RisingEdge(dut.clk_i)
    dut.send_i.value = 1


async def stop(dut: Any) -> None:
    """End a run."""
    dut.run_i.value = dut.send_i.value = 0
    await RisingEdge(dut.clk_i)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def sends_what_was_written(dut: Any, idle: float, stall: float) -> None:
    """Runs of 1, some and all images, and images of the host before, between and after them."""
    rng = random.Random(cocotb.RANDOM_SEED)
    kept = Kept(dut, rng)
    source = await prepare(dut, kept)
    sink = stream(dut, "m_axis", "data", "last")
    for n in (kept.n, 1, max(1, kept.n - 1), kept.n):
        theirs = beats([[rng.getrandbits(8) for _ in range(3)] for _ in range(2)])
        async with TaskManager() as tasks:
            tasks.start_soon(drive(source, theirs, lambda: rng.random() < idle))
            got: Task[list[Beat]] = tasks.start_soon(
                collect(sink, len(theirs), lambda: rng.random() < stall)
            )
        expect(got.result(), theirs, "byte of the host")
        await run(dut, n, rng.randrange(3))
        RUN.sample(images="all" if n == kept.n else "1" if n == 1 else "some", room=idle == 0)
        late = beats([[rng.getrandbits(8)]])
        async with TaskManager() as tasks:
            theirs_late = tasks.start_soon(drive(source, late, lambda: False))
            told: Task[list[int]] = tasks.start_soon(
                labels(dut, n, lambda: idle == 0 or rng.random() < 0.1)
            )
            sent = await collect(sink, n * kept.n_bytes, lambda: rng.random() < stall)
            assert not theirs_late.done()  # the host's image waits
            await assert_quiet(sink, 12)
            await host.write_word(dut, kept.bank, 0, 0)  # refused
            await stop(dut)
            got = tasks.start_soon(collect(sink, 1, lambda: False))
        expect(sent, kept.beats(n), "byte")
        expect(told.result(), kept.labels[:n], "label")
        expect(got.result(), late, "byte of the host")
    expect(await host.read(dut, kept.bank, len(kept.memory)), kept.memory)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def sends_a_byte_a_cycle(dut: Any) -> None:
    """Nothing is between the bytes of images of 4 bytes or more, nor between images."""
    kept = Kept(dut, random.Random(cocotb.RANDOM_SEED))
    await prepare(dut, kept)
    dut.label_room_i.value = dut.m_axis_tready.value = 1
    await run(dut, kept.n, 0)
    valid = []
    for _ in range(5 + kept.n * max(4, kept.n_bytes)):
        await ReadOnly()
        valid.append(int(dut.m_axis_tvalid.value))
        await RisingEdge(dut.clk_i)
    sent = valid[valid.index(1) :]
    n_beats = kept.n * kept.n_bytes
    if kept.n_bytes >= 4:
        expect(sent[:n_beats], [1] * n_beats, "cycle")
    expect([valid.index(1), sum(valid)], [5, n_beats], "count of cycles")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def begins_anew_after_reset(dut: Any) -> None:
    """A reset in the middle of an image ends the run; the next one is whole."""
    rng = random.Random(cocotb.RANDOM_SEED)
    kept = Kept(dut, rng)
    source = await prepare(dut, kept)
    sink = stream(dut, "m_axis", "data", "last")
    dut.label_room_i.value = 1
    for n_before in sorted({1, kept.n_bytes, max(1, kept.n * kept.n_bytes // 2)}):
        await run(dut, kept.n, 0)
        expect(await collect(sink, n_before, lambda: False), kept.beats(kept.n)[:n_before])
        dut.run_i.value = dut.send_i.value = 0
        await reset(dut, source, start_clock=False)
        await assert_quiet(sink, 6)
        await run(dut, kept.n, 0)
        wanted = kept.beats(kept.n)
        expect(await collect(sink, len(wanted), lambda: rng.random() < 0.3), wanted)
        await stop(dut)
