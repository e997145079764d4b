"""Bench of `stoic_threshold`: the host's words, and who fires at, above and below them."""

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .stream import reset, spoil
from .tally import expect

N_CYCLES = 200
TO_VALUE, TO_FIRES, TO_READ = 1, 4, 4  # cycles from a stage, and from a request
SIZES = ("STAGES", "N_FOLDS", "GROUP", "SIGNED", "VALUE_W", "THRESHOLD_W", "B", "TABLES")


def release(dut: Any) -> None:
    """No request of the host."""
    dut.we_i.value = dut.re_i.value = 0
    spoil(dut.sel_i, dut.addr_i, dut.data_i)


async def write(dut: Any, bank: int, word: int, value: int) -> None:
    """A word of the host."""
    dut.we_i.value = 1
    dut.sel_i.value, dut.addr_i.value, dut.data_i.value = bank, word, value
    await RisingEdge(dut.clk_i)
    release(dut)


async def read(dut: Any, bank: int, word: int) -> int:
    """What the host reads there."""
    dut.re_i.value = 1
    dut.sel_i.value, dut.addr_i.value = bank, word
    await RisingEdge(dut.clk_i)
    release(dut)
    answers = []
    for cycle in range(1, TO_READ + 1):
        await ReadOnly()
        if int(dut.read_valid_o.value):
            answers.append((cycle, int(dut.read_o.value)))
        await RisingEdge(dut.clk_i)
    [(cycle, found)] = answers
    assert cycle == TO_READ
    return found


@cocotb.test(timeout_time=200, timeout_unit="us")
async def fires_at_its_threshold(dut: Any) -> None:
    """Every word of every table; a write in a reset does nothing; then sums around thresholds."""
    rng = random.Random(cocotb.RANDOM_SEED)
    p = {name: int(getattr(dut, name).value) for name in SIZES}
    signed, group = p["SIGNED"], p["GROUP"]
    low = -(1 << p["THRESHOLD_W"] - 1) if signed else 0
    places = [(bank, word) for bank in range(p["STAGES"] * group)
              for word in range(p["TABLES"] * p["N_FOLDS"])]  # fmt: skip
    theta = {place: rng.randrange(low, low + (1 << p["THRESHOLD_W"])) for place in places}
    mask, most = (1 << p["THRESHOLD_W"]) - 1, (1 << p["VALUE_W"] - signed) - 1
    least = -most - 1 if signed else 0
    dut.stage_i.value = dut.fold_i.value = dut.table_i.value = dut.value_i.value = 0
    release(dut)
    await reset(dut)
    for (bank, word), value in theta.items():
        await write(dut, bank, word, value & mask)
    dut.rst_i.value = 1
    await write(dut, *places[-1], theta[places[-1]] & mask ^ 1)
    dut.rst_i.value = 0
    await RisingEdge(dut.clk_i)
    expect([await read(dut, *place) for place in places], [theta[p] & mask for p in places])
    table = rng.randrange(p["TABLES"])
    dut.table_i.value = table
    for _ in range(TO_FIRES):
        await RisingEdge(dut.clk_i)
    line = deque[tuple[list[int], list[int]] | None]([None] * TO_FIRES, maxlen=TO_FIRES)
    got, wanted = [], []
    for _ in range(N_CYCLES):
        stage, fold = rng.randrange(p["STAGES"]), rng.randrange(p["N_FOLDS"])
        own = [theta[stage * group + g, table * p["N_FOLDS"] + fold] for g in range(group)]
        near = [own[i % group] + rng.choice((-1, 0, 1, 9)) for i in range(p["B"] * group)]
        values = [min(most, max(least, value)) for value in near]
        dut.stage_i.value, dut.fold_i.value = stage, fold
        if last := line[-TO_VALUE]:
            packed = sum((v & (1 << p["VALUE_W"]) - 1) << i * p["VALUE_W"]
                         for i, v in enumerate(last[0]))  # fmt: skip
            dut.value_i.value = packed
        await ReadOnly()
        if done := line[-TO_FIRES]:
            fires = int(dut.fires_o.value)
            got.append([fires >> i & 1 for i in range(len(done[0]))])
            wanted.append([int(v >= done[1][i % group]) for i, v in enumerate(done[0])])
        await RisingEdge(dut.clk_i)
        line.append((values, own))
    expect(got, wanted, "neurons")
