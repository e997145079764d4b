"""Bench of `stoic_injector_port`: which lanes an element reads wrong, enabled or not."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ..injector import Rates, word_errors, word_hits
from .bench_injector import numbers
from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

N_CYCLES = 300
LATENCY = {1: 1, 2: 3}
ENABLES = {None: "on after reset", 0: "off", 1: "on"}  # by what the host wrote
HITS = {  # by whether errors are on stored 0s, on stored 1s
    (False, False): "not hit",
    (True, False): "on 0s",
    (False, True): "on 1s",
    (True, True): "on both",
}
PORT = Group(
    "port",
    {
        "form": (1, 2),
        "enable": tuple(ENABLES.values()),
        "word": ("none", *HITS.values()),
    },
    [("form", "enable"), ("enable", "word")],
)


def rotated(mask: int, index: int, width: int) -> int:
    """Lane i of it is lane i + index of the mask."""
    return (mask << width | mask) >> index % width & (1 << width) - 1


@cocotb.test(timeout_time=100, timeout_unit="us")
async def meets_what_the_model_draws(dut: Any) -> None:
    """Words and idle cycles at random; the host turns the element off and on in between."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width, form, index = (int(getattr(dut, n).value) for n in ("WIDTH", "FORM", "INDEX"))
    rates = Rates(21_000, 30_001, (1 << (width - 1).bit_length()) - 1 & 3)
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    dut.we_i.value, dut.enable_i.value, dut.rst_i.value = 0, 0, 1
    dut.draw_i.value = 0 if form == 1 else 1 << 22
    for _ in range(4):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    got, wanted = [], []
    for enable in (None, 0, 1):
        if enable is not None:
            dut.we_i.value, dut.enable_i.value = 1, enable
            await RisingEdge(dut.clk_i)
            dut.we_i.value = 0
        line = [(0, 0, False)] * LATENCY[form]
        for cycle in range(N_CYCLES):
            words = [rng.getrandbits(32) for _ in range(4)]
            is_word = cycle < N_CYCLES - 4 and rng.random() < 0.8
            if form == 1:
                pattern, misses = rng.getrandbits(width), rng.getrandbits(2) if is_word else 3
                masks = 0 if misses & 2 else pattern, 0 if misses & 1 else pattern
                dut.draw_i.value = masks[1] << 1 + width | masks[0] << 1 | (misses != 3)
                hits = not misses & 2, not misses & 1
                due = rotated(masks[0], index, width), rotated(masks[1], index, width), misses != 3
            else:
                dut.draw_i.value = numbers(words, rates, width) ^ (0 if is_word else 1 << 22)
                drawn = word_errors(words, rates, "independent", width, index)
                hits = word_hits(words, rates, "independent", index)
                due = (*drawn, any(hits)) if is_word else (0, 0, False)
            PORT.sample(form=form, enable=ENABLES[enable], word=HITS[hits] if is_word else "none")
            line.append((0, 0, False) if enable == 0 else due)
            await ReadOnly()
            flip = int(dut.flip_o.value)
            got.append((flip & (1 << width) - 1, flip >> width, bool(dut.met_o.value)))
            wanted.append(line[cycle])
            await RisingEdge(dut.clk_i)
    assert any(m01 and m10 for m01, m10, _ in wanted)
    expect(got, wanted)
