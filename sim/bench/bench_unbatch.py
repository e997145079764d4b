"""Bench of `stoic_unbatch`: words of images side by side leave image by image."""

import random
from typing import Any

import cocotb
from cocotb.task import Task
from cocotb.triggers import TaskManager

from .cover import Group
from .stream import Beat, assert_quiet, blocked, collect, drive, reset, stream
from .tally import expect

N_BATCHES = 7
BATCH = Group(
    "batch", {"images": ("1", "2", "more"), "words": ("1", "more"), "width": ("1", "more")}
)


def batches(dut: Any, rng: random.Random) -> tuple[list[Beat], list[Beat]]:
    """Beats of random images side by side, and those of the same ones after another."""
    n_images, n_words, width = (int(getattr(dut, n).value) for n in ("B", "WORDS", "WIDTH"))
    BATCH.sample(
        images={1: "1", 2: "2"}.get(n_images, "more"),
        words="1" if n_words == 1 else "more",
        width="1" if width == 1 else "more",
    )
    beats: list[Beat] = []
    wanted: list[Beat] = []
    for _ in range(N_BATCHES):
        images = [[rng.getrandbits(width) for _ in range(n_words)] for _ in range(n_images)]
        beats += [
            (sum(image[w] << b * width for b, image in enumerate(images)),) for w in range(n_words)
        ]
        wanted += [(word, w == n_words - 1) for image in images for w, word in enumerate(image)]
    return beats, wanted


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def gives_image_after_image(dut: Any, idle: float, stall: float) -> None:
    """Every word of every image, in order, whatever the gaps and stalls."""
    rng = random.Random(cocotb.RANDOM_SEED)
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data", "last")
    beats, wanted = batches(dut, rng)
    await reset(dut, source)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, beats, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    expect(got.result(), wanted)
    await assert_quiet(sink, 20)


@cocotb.test(timeout_time=40, timeout_unit="us")
async def loses_nothing_while_the_sink_stops(dut: Any) -> None:
    """A sink that takes nothing for long stops the source in time; every word comes out later."""
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data", "last")
    beats, wanted = batches(dut, random.Random(cocotb.RANDOM_SEED))
    await reset(dut, source)
    sink.ready.value = 0
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, beats, lambda: False))
        await blocked(source, 50)
        got: Task[list[Beat]] = tasks.start_soon(collect(sink, len(wanted), lambda: False))
    expect(got.result(), wanted)
    await assert_quiet(sink, 20)
