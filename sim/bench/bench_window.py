"""Bench of `stoic_window`: golden's windows of maps back to back, also after a reset in mid-map."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.simtime import get_sim_time
from cocotb.task import Task
from cocotb.triggers import RisingEdge, TaskManager
from numpy.typing import NDArray

from ..golden import windows
from ..layers import Window
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

SETTLED = 40  # cycles after which nothing more comes


SHAPE = Group(
    "shape",
    {
        "kernel": ("1", "more"),
        "stride": ("1", "within the kernel", "past it"),
        "pad": ("none", "some"),
        "words": ("1", "more"),  # of a pixel
        "left_over": (False, True),  # pixels that no window has
    },
    [("stride", "pad")],
)
RESET = Group("reset", {"map": ("starts", "runs", "whole")})


def window_of(dut: Any) -> Window:
    """The windows of this unit, a word of a pixel being a channel."""
    names = ("HEIGHT", "COLUMNS", "WORDS", "KERNEL", "STRIDE", "PAD")
    return Window(*(int(getattr(dut, name).value) for name in names))


def stride_of(window: Window) -> str:
    """Bin of a stride of more than 1."""
    return "within the kernel" if window.stride <= window.kernel else "past it"


def words_of(window: Window, maps: NDArray[np.uint64]) -> list[Beat]:
    """(word, is the last of its window) of all windows of maps (n, elements)."""
    seen = windows(window, maps).reshape(-1, window.fan_in)
    return [(int(w), int(i == window.fan_in - 1)) for row in seen for i, w in enumerate(row)]


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.7], stall=[0.0, 0.5])
async def cuts_golden_s_windows(dut: Any, idle: float, stall: float) -> None:
    """Three maps back to back, then part of one, a reset, and two more."""
    rng = random.Random(cocotb.RANDOM_SEED)
    window, width = window_of(dut), int(dut.WIDTH.value)
    n = window.height * window.width * window.channels
    words = [rng.getrandbits(width) for _ in range(6 * n)]
    maps = np.array(words, np.uint64).reshape(6, n)
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data", "last")
    sink.ready.value = 0
    SHAPE.sample(
        kernel="1" if window.kernel == 1 else "more",
        stride="1" if window.stride == 1 else stride_of(window),
        pad="some" if window.pad else "none",
        words="1" if window.channels == 1 else "more",
        left_over=(window.height + 2 * window.pad - window.kernel) % window.stride > 0,
    )
    await reset(dut, source)
    for part in (maps[:3], maps[3:5]):
        wanted = words_of(window, part)
        async with TaskManager() as tasks:
            tasks.start_soon(
                drive(source, [(int(w),) for w in part.ravel()], lambda: rng.random() < idle)
            )
            got: Task[list[Beat]] = tasks.start_soon(
                collect(sink, len(wanted), lambda: rng.random() < stall)
            )
        expect(got.result(), wanted)
        await assert_quiet(sink, SETTLED)
        sink.ready.value = 1  # part of a map, whatever comes of it, and a reset
        spoilt = maps[5][: rng.randrange(1, n + 1)]
        share = "starts" if 2 * len(spoilt) < n else "runs" if len(spoilt) < n else "whole"
        RESET.sample(map=share)
        await drive(source, [(int(w),) for w in spoilt], lambda: False)
        for _ in range(rng.randrange(SETTLED)):
            await RisingEdge(dut.clk_i)
        sink.ready.value = 0
        await reset(dut, source, start_clock=False)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def is_as_fast_as_it_says(dut: Any) -> None:
    """Maps that wait follow each other as fast as words leave, and little more a row of windows."""
    rng = random.Random(cocotb.RANDOM_SEED)
    window, width = window_of(dut), int(dut.WIDTH.value)
    n = window.height * window.width * window.channels
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data", "last")
    sink.ready.value = 0
    await reset(dut, source)
    n_words = window.rows * window.columns * window.fan_in
    ends: list[float] = []

    async def read() -> None:
        for _ in range(4):
            await collect(sink, n_words, lambda: False)
            ends.append(get_sim_time("ns") / 10)

    async with TaskManager() as tasks:
        words: list[Beat] = [(rng.getrandbits(width),) for _ in range(4 * n)]
        tasks.start_soon(drive(source, words, lambda: False))
        tasks.start_soon(read())
    cycles = (ends[3] - ends[1]) / 2
    most = max(n, n_words + 3 * window.rows + window.height)
    expect([cycles <= most], [True], f"{cycles} cycles a map, at most {most}:")
