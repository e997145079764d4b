"""Bench of `stoic_thermometer`: every value of a uint8 becomes golden's code."""

import random
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import TaskManager

from ..golden import encode
from ..random_network import random_network
from .bench_width import with_last, words
from .cover import Group
from .stream import Beat, assert_quiet, collect, drive, reset, stream
from .tally import expect

CODE = Group("code", {"bits": ("none", "some", "all"), "levels": ("1", "more")})


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def gives_golden_s_code(dut: Any, idle: float, stall: float) -> None:
    """Images of any length follow each other; all 256 values are among their elements."""
    rng = random.Random(cocotb.RANDOM_SEED)
    k, width, packed = (int(getattr(dut, name).value) for name in ("K", "OUT_W", "LEVELS"))
    levels = tuple(packed.to_bytes(k, "little"))
    net = replace(random_network((k, 1), "bits", np.random.default_rng(0)), thermometer=levels)
    values = [*rng.sample(range(256), 256), *rng.choices(range(256), k=40)]
    data: list[Beat] = []
    wanted: list[Beat] = []
    while values:
        image = np.array(values[: (n := rng.randrange(1, 40))], np.uint8)
        values = values[n:]
        data += with_last(image.tolist())
        codes = encode(net, image[:, None])
        for n_ones in codes.sum(axis=1).tolist():
            CODE.sample(
                bits="none" if n_ones == 0 else "all" if n_ones == k else "some",
                levels="1" if k == 1 else "more",
            )
        wanted += with_last([word for code in codes for word in words(code.tolist(), width)])
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    sink.ready.value = 0
    await reset(dut, source)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(source, data, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    expect(got.result(), wanted)
    await assert_quiet(sink, 8)
