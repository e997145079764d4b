"""Bench of `stoic_injector`: the numbers, or the mask, of every word, with gaps between words."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ..injector import Rates, next_word, word_errors, word_hits
from .cover import Group
from .stream import CLOCK_NS
from .tally import expect

N_CYCLES = 150
SURE = 1 << 15  # T of a chance of 1
LATENCY = {1: 2, 2: 0}
CHANCES = ("0", "some", "1")  # that a word is hit
DRAW = Group(
    "draw",
    {
        "form": (1, 2),
        "stored_0": CHANCES,
        "stored_1": CHANCES,
        "lanes": ("all", "few"),  # that an error may meet
        "word": ("none", "read"),
    },
    [("form", "word"), ("form", "lanes")],
)


def numbers(words: list[int], rates: Rates, width: int) -> int:
    """What FORM 2 sends of four words of the generator, while a word of an image is read."""
    state = words[3] | words[2] << 32 | words[1] << 64 | (words[0] & 0x7FFFFFFF) << 96
    u = state >> 64 & 0x7FF
    rules = [rule(state >> 75, t, u) for t in (rates.t10, rates.t01)]
    low = rates.care | rules[0] << 6 | rules[1] << 14
    return low | (state & (1 << width) - 1) << 23 | (state >> 79) << (23 + width)


def rule(pick: int, t: int, u: int) -> int:
    """Of one rate: by what salt a word is hit, as FORM 2 sends it."""
    is_sure = t >> 15
    top, carry = 15 if is_sure else t >> 11, is_sure or u < t & 0x7FF
    bits = [0, 0]
    for salt in (0, 1):
        bits[salt] = int(2 * ((pick ^ salt) & 1) < 2 * (top & 1) + carry)
    for k in (1, 2, 3):
        bits += [(pick ^ top) >> k & 1, top >> k & 1]
    return sum(bit << i for i, bit in enumerate(bits))


def chance(t: int) -> str:
    """A bin of CHANCES."""
    return {0: "0", SURE: "1"}.get(t, "some")


async def write(dut: Any, address: int, word: int) -> None:
    """One word of the host."""
    dut.we_i.value, dut.addr_i.value, dut.data_i.value = 1, address, word
    await RisingEdge(dut.clk_i)
    dut.we_i.value = 0


@cocotb.test(timeout_time=100, timeout_unit="us")
async def draws_what_the_model_draws(dut: Any) -> None:
    """Off after reset; then, at rates small and large, word by word, and nothing while idle."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width, form = int(dut.WIDTH.value), int(dut.FORM.value)
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    dut.we_i.value, dut.step_i.value, dut.rst_i.value = 0, 0, 1
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    words, care = [0, 0, 0, 0], (1 << (width - 1).bit_length()) - 1
    some = Rates(SURE, 3000, 0), Rates(29_123, SURE, care & 13), Rates(9_000, 20_000, care)
    for rates in (Rates(0, 0, 0), *some):
        if rates.t10:
            words = [rng.getrandbits(32) for _ in range(4)]
            await write(dut, 1, rates.t01 | rates.t10 << 16 | rates.care << 32)
            for i, word in enumerate(words):
                await write(dut, 2 + i, word)
        line: list[int | tuple[int, ...]] = []  # what draw_o will show, from now on
        got: list[int | tuple[int, ...]] = []
        wanted: list[int | tuple[int, ...]] = []
        for _ in range(N_CYCLES):
            is_word = rng.random() < 0.7
            dut.step_i.value = is_word
            DRAW.sample(
                form=form,
                stored_0=chance(rates.t01),
                stored_1=chance(rates.t10),
                lanes="few" if rates.care else "all",
                word="read" if is_word else "none",
            )
            if form == 1:
                drawn = word_errors(words, rates, "ring", width, 0)
                is_hit = any(word_hits(words, rates, "ring", 0))
                line.append((*drawn, is_hit) if is_word else (0, 0, 0))
            else:
                line.append(numbers(words, rates, width) if is_word else -1)
            await ReadOnly()
            if len(line) > LATENCY[form]:
                draw, due = int(dut.draw_o.value), line[-1 - LATENCY[form]]
                if form == 1:
                    flips = draw >> 1
                    got.append((flips & (1 << width) - 1, flips >> width, draw & 1))
                    wanted.append(due)
                elif due != -1:
                    got.append(draw)
                    wanted.append(due)
                else:
                    got.append(draw >> 22 & 1)
                    wanted.append(1)
            await RisingEdge(dut.clk_i)
            if is_word:
                words = [*words[1:], next_word(words)]
        dut.step_i.value = 0
        for _ in range(LATENCY[form] + 1):
            await RisingEdge(dut.clk_i)
        expect(got, wanted)
