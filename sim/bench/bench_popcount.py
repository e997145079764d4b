"""Bench of `stoic_popcount`: a word a cycle, every count equal to golden's."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ..bits import unpack
from ..golden import plane_sum, xnor_popcount
from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

N_RANDOM = 200
SHAPE = Group(
    "shape", {"lanes": ("1", "odd", "even", "64"), "xnor": (0, 1), "pads": ("none", "some", "most")}
)
COUNT = Group(
    "count", {"pad": (0, 1), "count": ("none", "some", "all")}, [("pad", "count")]
)  # of the lanes that are not masked


def count(x: int, w: int, n_lanes: int, is_xnor: bool) -> int:
    """What golden counts on the first `n_lanes` lanes of two words."""
    mask = (1 << n_lanes) - 1
    words = np.array([[w & mask]], np.uint64)
    image = np.array([[x & mask]], np.uint64)
    if is_xnor:
        return int(xnor_popcount(image, words, n_lanes)[0, 0])
    # of elements 0 and 1 all planes but the lowest are empty: sum = 2 popcount(w & x) - popcount(x)
    total = int(plane_sum(unpack(image, n_lanes), words)[0, 0])
    return (total + (x & mask).bit_count()) // 2


@cocotb.test(timeout_time=100, timeout_unit="us")
async def counts_every_word(dut: Any) -> None:
    """Random words, corners of the range, pads masked exactly while pad_i is 1."""
    rng = random.Random(cocotb.RANDOM_SEED)
    lanes, pad = int(dut.LANES.value), int(dut.PAD.value)
    is_xnor, full = bool(int(dut.XNOR.value)), (1 << lanes) - 1
    latency = 3 + (-(-lanes // 15) - 1).bit_length()
    cases = [(x, w, p) for x in (0, full) for w in (0, full) for p in (0, 1)]
    cases += [(1 << i, 1 << i, 1) for i in range(lanes)]
    cases += [
        (rng.getrandbits(lanes), rng.getrandbits(lanes), rng.getrandbits(1))
        for _ in range(N_RANDOM)
    ]
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    got = []
    for cycle in range(len(cases) + latency):
        await RisingEdge(dut.clk_i)
        dut.x_i.value, dut.w_i.value, dut.pad_i.value = cases[min(cycle, len(cases) - 1)]
        await ReadOnly()
        if cycle >= latency:
            got.append(int(dut.count_o.value))
    expect(got, [count(x, w, lanes - (pad if p else 0), is_xnor) for x, w, p in cases])
    SHAPE.sample(
        lanes={1: "1", 64: "64"}.get(lanes, "odd" if lanes % 2 else "even"),
        xnor=int(is_xnor),
        pads="none" if not pad else "most" if pad == lanes - 1 else "some",
    )
    for n, (_, _, p) in zip(got, cases, strict=True):
        most = lanes - (pad if p else 0)
        COUNT.sample(pad=p, count="none" if n == 0 else "all" if n == most else "some")
