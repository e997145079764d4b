"""Bench of `stoic_pool`: golden's OR of maps back to back, also after a reset in mid-map."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import RisingEdge, TaskManager
from numpy.typing import NDArray

from ..golden import or_pool
from ..layers import Pool
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

SHAPE = Group(
    "shape",
    {
        "kernel": ("1", "more"),
        "windows": ("overlap", "touch", "leave gaps"),
        "words": ("1", "more"),
        "left_over": (False, True),  # rows or columns that no window has
    },
)
SETTLED = 12  # cycles after which nothing more comes


def beats_of(bits: NDArray[np.uint8]) -> list[Beat]:
    """(word, is the last of its map) of maps (n, rows, columns, words, width)."""
    values = [int("".join(map(str, w[::-1])), 2) for w in bits.reshape(-1, bits.shape[-1])]
    n = len(values) // len(bits)
    return [(v, int(i % n == n - 1)) for i, v in enumerate(values)]


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.7], stall=[0.0, 0.5])
async def pools_as_golden(dut: Any, idle: float, stall: float) -> None:
    """Sparse maps back to back, then part of one, a reset, and two more."""
    rng = random.Random(cocotb.RANDOM_SEED)
    names = ("HEIGHT", "COLUMNS", "WORDS", "WIDTH", "KERNEL", "STRIDE")
    height, columns, words, width, kernel, stride = (int(getattr(dut, n).value) for n in names)
    SHAPE.sample(
        kernel="1" if kernel == 1 else "more",
        windows="touch" if stride == kernel else "overlap" if stride < kernel else "leave gaps",
        words="1" if words == 1 else "more",
        left_over=(height - kernel) % stride > 0 or (columns - kernel) % stride > 0,
    )
    density = 1 - 0.5 ** (1 / kernel**2)  # so that half of the ORs are 1
    bits = np.random.default_rng(rng.getrandbits(32)).random((6, height, columns, words * width))
    maps = (bits < density).astype(np.uint8)
    pooled = or_pool(Pool(kernel, stride), maps)
    maps, pooled = (x.reshape(*x.shape[:3], words, width) for x in (maps, pooled))
    source, sink = stream(dut, "s_axis", "data"), stream(dut, "m_axis", "data", "last")
    sink.ready.value = 0
    await reset(dut, source)
    for part in (slice(0, 3), slice(3, 5)):
        wanted = beats_of(pooled[part])
        data: list[Beat] = [(word,) for word, _ in beats_of(maps[part])]
        async with TaskManager() as tasks:
            tasks.start_soon(drive(source, data, lambda: rng.random() < idle))
            got: Task[list[Beat]] = tasks.start_soon(
                collect(sink, len(wanted), lambda: rng.random() < stall)
            )
        expect(got.result(), wanted)
        await assert_quiet(sink, SETTLED)
        sink.ready.value = 1  # part of a map, whatever comes of it, and a reset
        spoilt: list[Beat] = [(word,) for word, _ in beats_of(maps[5:])]
        await drive(source, spoilt[: rng.randrange(1, len(spoilt) + 1)], lambda: False)
        for _ in range(rng.randrange(SETTLED)):
            await RisingEdge(dut.clk_i)
        sink.ready.value = 0
        await reset(dut, source, start_clock=False)
