"""Bench of `stoic_scores`: scores, class and margin of images full of ties and extremes."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager

from .. import golden
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

N_IMAGES = 24
RANK = Group(
    "rank",
    {
        "best": ("first", "middle", "last"),
        "tie": ("no", "for the best", "of all"),
        "score": ("lowest", "highest", "other"),  # the best one
    },
    [("best", "tie")],
)
KIND = Group("kind", {"bits": (0, 1), "classes": ("1", "more")})


async def answers(dut: Any, n: int) -> list[Beat]:
    """(class, margin) in each of the next `n` cycles in which they are new."""
    found: list[Beat] = []
    while len(found) < n:
        await ReadOnly()
        if int(dut.class_valid_o.value):
            found.append((int(dut.class_o.value), int(dut.margin_o.value)))
        await RisingEdge(dut.clk_i)
    return found


@cocotb.test(timeout_time=40, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def ranks_as_golden(dut: Any, idle: float, stall: float) -> None:
    """The lowest index wins a tie, and the margin of a tie is 0."""
    rng = random.Random(cocotb.RANDOM_SEED)
    n, m, is_bits, width = (int(getattr(dut, k).value) for k in ("N", "M", "BITS", "VALUE_W"))
    low, high = (0, n) if is_bits else (-255 * n, 255 * n)
    images = [[value] * m for value in (low, high)]
    while len(images) < N_IMAGES:
        few = [low, high, *(rng.randint(low, high) for _ in range(2))]
        is_tied = rng.random() < 0.6
        images.append([rng.choice(few) if is_tied else rng.randint(low, high) for _ in range(m)])
    sums = np.array(images)
    scores = (2 * sums - n if is_bits else sums).astype(np.int32)
    best = golden.classify(scores).tolist()
    margin = golden.margin(scores).tolist() if m > 1 else [0] * N_IMAGES
    KIND.sample(bits=is_bits, classes="1" if m == 1 else "more")
    for row, winner in zip(sums.tolist(), best, strict=True):
        n_best = row.count(row[winner])
        RANK.sample(
            best="first" if winner == 0 else "last" if winner == m - 1 else "middle",
            tie="no" if n_best == 1 else "of all" if n_best == m else "for the best",
            score={low: "lowest", high: "highest"}.get(row[winner], "other"),
        )
    mask = (1 << width) - 1
    beats = [(int(s) & mask, i == m - 1) for image in images for i, s in enumerate(image)]
    wanted = [(int(s) & 0xFFFFFFFF, i == m - 1) for row in scores for i, s in enumerate(row)]
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    await reset(dut, source)
    async with TaskManager() as tasks:
        ranked: Task[list[Beat]] = tasks.start_soon(answers(dut, N_IMAGES))
        tasks.start_soon(drive(source, beats, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    expect(got.result(), wanted, "score")
    expect(ranked.result(), list(zip(best, margin, strict=True)), "class and margin of image")
    await assert_quiet(sink, 8)
