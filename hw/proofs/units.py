"""What popcounts, neurons, memories and planes compute, for all inputs, cycle by cycle.

A function takes the design and gives what must be equal. It says when inputs come and when outputs
are read, so it states the latency of the unit's header too. What it leaves open is arbitrary.
"""

from collections.abc import Iterator

import z3

from .claims import Claim, Disproof, is_set
from .elaborate import Design
from .machine import Machine, Word
from .specification import (
    bits,
    count_bits,
    flag,
    joined,
    neuron_bits,
    neuron_planes,
    total,
    where,
    widened,
    words,
)

PLANES = 8
BYTE = 8


def counting(lanes: int) -> int:
    """Cycles of stoic_popcount."""
    return 3 + (-(-lanes // 15) - 1).bit_length()


def fifteen(design: Design) -> Iterator[Claim]:
    """stoic_fifteen: the lanes that are 1, 3 cycles later."""
    unit = Machine(design)
    lanes = z3.BitVec("lanes", 15)
    unit.step(lane_i=lanes)
    unit.idle(2)
    yield Claim("count", unit.step()["count_o"], total(bits(lanes), design.parameters["COUNT_W"]))


def popcount(design: Design) -> Iterator[Claim]:
    """stoic_popcount: lanes that match, without the pad lanes while pad_i."""
    p = design.parameters
    lanes = p["LANES"]
    x, w, pad = z3.BitVec("x", lanes), z3.BitVec("w", lanes), z3.BitVec("pad", 1)
    unit = Machine(design)
    unit.step(x_i=x, w_i=w, pad_i=pad)
    unit.idle(counting(lanes) - 1)
    match = bits(~(x ^ w) if p["XNOR"] else x & w)
    real = lanes - p["PAD"]
    counted = [m if i < real else where(pad == 1, 0, m) for i, m in enumerate(match)]
    yield Claim("count", unit.step()["count_o"], total(counted, count_bits(lanes)))


def narrow_counts(design: Design) -> Iterator[Claim]:
    """stoic_popcount never wraps: in the width of count_o a count is the number of lanes.

    Given that the sum of i lanes is at most i and that the narrow sum is the wide one, the same
    holds of i + 1 lanes; so by induction of all. Hence sums of counts, as stoic_pe forms them, are
    popcounts of all lanes of a neuron.
    """
    n = design.parameters["LANES"]
    width = Machine(design).step()["count_o"].size()
    narrow, wide, i = z3.BitVec("narrow", width), z3.BitVec("wide", 32), z3.BitVec("i", 32)
    lane = z3.BitVec("lane", 1)
    given = z3.And(widened(narrow, 32) == wide, z3.ULE(wide, i), z3.ULT(i, n))
    one_more = widened(narrow + widened(lane, width), 32)
    one_more_wide = wide + widened(lane, 32)
    yield Claim("sum", one_more, one_more_wide, given)
    yield Claim("bound", flag(z3.ULE(one_more_wide, i + 1)), z3.BitVecVal(1, 1), given)


def element(design: Design, n: int) -> Iterator[Claim]:
    """stoic_pe: the sum of a neuron of fan-in n, its words one after the other, whatever was there.

    Weights are what the memory holds, so they are arbitrary too. B images share them.
    """
    p = design.parameters
    simd, planes, images = p["SIMD"], p["PLANES"], p["B"]
    steps, delay = -(-n // simd), counting(simd)
    unit = Machine(design)
    x = [[words(f"x{k}_{b}_", steps, simd) for b in range(planes)] for k in range(images)]
    held = unit.contents("ram")
    w = [z3.Select(held, z3.BitVecVal(i, held.domain().size())) for i in range(steps)]
    order = [(b, i) for b in reversed(range(planes)) for i in range(steps)]
    for t in range(len(order) + 2 + delay):
        inputs: dict[str, int | Word] = {"we_i": 0, "clear_i": 0}
        if t < len(order):
            inputs["addr_i"] = order[t][1]
        if 0 <= t - 2 < len(order):
            b, i = order[t - 2]
            side_by_side = joined([x[k][b][i] for k in range(images)])
            inputs |= {"x_i": side_by_side, "pad_i": int(i == steps - 1)}
        if 0 <= t - 2 - delay < len(order):
            b, i = order[t - 2 - delay]
            inputs |= {"keep_i": int(i > 0), "double_i": int(i == 0 and b < planes - 1)}
        unit.step(**inputs)
    width = p["TOTAL_W"]
    totals = unit.step()["total_o"]
    for k in range(images):
        want = neuron_bits if planes == 1 else neuron_planes
        got = z3.simplify(z3.Extract(width * (k + 1) - 1, width * k, totals))
        of = x[k][0] if planes == 1 else x[k]
        yield Claim(f"sum of {n} lanes, image {k}", got, want(of, w, n, width))


def memory(design: Design) -> Iterator[Claim]:
    """stoic_ram: what was written last, LATENCY cycles later, XOR the fault mask.

    At LATENCY 2 it is 0 if cleared, at LATENCY 1 what was read before if held.
    """
    p = design.parameters
    width, latency = p["WIDTH"], p["LATENCY"]
    unit = Machine(design)
    bits_of_address = unit.inputs["raddr_i"]
    at, data = z3.BitVec("at", bits_of_address), z3.BitVec("data", width)
    write, address = z3.BitVec("write", 1), z3.BitVec("address", bits_of_address)
    flip = z3.BitVec("flip", width)
    mem = unit.contents()
    unit.step(we_i=write, waddr_i=address, wdata_i=data)
    unit.step(we_i=0, raddr_i=at, hold_i=0)
    held = z3.Select(mem, at)
    stored = where(z3.And(write == 1, address == at), data, held)
    if latency == 2:
        clear = z3.BitVec("clear", 1)
        unit.step(clear_i=clear)
        stored = where(clear == 1, z3.BitVecVal(0, width), stored)
    else:
        hold, other = z3.BitVec("hold", 1), z3.BitVec("other", bits_of_address)
        unit.step(hold_i=hold, raddr_i=other)
        is_other = z3.And(write == 1, address == other)
        stored = where(hold == 1, stored, where(is_other, data, z3.Select(mem, other)))
    want = stored ^ flip if p["FAULT_EN"] else stored
    yield Claim("word", unit.step(flip_i=flip)["rdata_o"], want)


def planes(design: Design, n: int) -> Iterator[Claim]:
    """stoic_planes: bit i of word 8 w + b is bit b of element SIMD w + i; U is their sum.

    Two images of n elements, the second right behind the first; the sink is always ready.
    """
    p = design.parameters
    simd, sum_bits = p["SIMD"], p["SUM_W"]
    unit = Machine(design)
    unit.step(rst_i=1)
    images = [words(f"u{k}_", n, BYTE) for k in range(2)]
    queue = [(k, i) for k in range(2) for i in range(n)]
    wanted = [(k, w, b) for k in range(2) for w in range(-(-n // simd)) for b in range(PLANES)]
    collected = 0  # the cycle that takes the last byte of the first group
    while wanted:
        if unit.n_steps > 64 * (n + simd):
            raise Disproof("stands still")
        k, i = queue[0] if queue else (0, 0)
        now = unit.step(
            rst_i=0, m_axis_tready=1, s_axis_tvalid=int(bool(queue)),
            s_axis_tdata=images[k][i], s_axis_tlast=int(i == n - 1),
        )  # fmt: skip
        if queue and is_set(now["s_axis_tready"]):
            queue.pop(0)
            collected = unit.n_steps if (k, i) == (0, min(simd, n) - 1) else collected
        if is_set(now["m_axis_tvalid"]):
            k, w, b = wanted.pop(0)
            if (k, w, b) == (0, 0, 0):
                took = z3.BitVecVal(unit.n_steps - collected, 32)
                yield Claim("latency", took, z3.BitVecVal(2, 32))
            lanes = images[k][simd * w : simd * (w + 1)]
            plane = joined([z3.Extract(b, b, u) for u in lanes])
            last = w == -(-n // simd) - 1 and b == PLANES - 1
            yield Claim(f"image {k} word {w} plane {b}", now["m_axis_tdata"], widened(plane, simd))
            yield Claim("tlast", now["m_axis_tlast"], z3.BitVecVal(last, 1))
            if last:
                yield Claim("U", now["m_axis_tuser"], total(images[k], sum_bits))


def pool(design: Design) -> Iterator[Claim]:
    """stoic_pool: OR over every window, of two maps, one right behind the other."""
    p = design.parameters
    height, columns, n_words = p["HEIGHT"], p["COLUMNS"], p["WORDS"]
    kernel, stride = p["KERNEL"], p["STRIDE"]
    down, across = (height - kernel) // stride + 1, (columns - kernel) // stride + 1
    per_map = height * columns * n_words
    maps = [words(f"map{k}_", per_map, p["WIDTH"]) for k in range(2)]
    queue = [word for pixels in maps for word in pixels]
    wanted = [
        (k, i, j, w)
        for k in range(2) for i in range(down) for j in range(across) for w in range(n_words)
    ]  # fmt: skip
    unit = Machine(design)
    unit.step(rst_i=1)
    while wanted:
        if unit.n_steps > 16 * 2 * per_map + 64:
            raise Disproof("stands still")
        inputs: dict[str, int | Word] = {"s_axis_tvalid": int(bool(queue))}
        if queue:
            inputs["s_axis_tdata"] = queue[0]
        now = unit.step(rst_i=0, m_axis_tready=1, **inputs)
        if queue and is_set(now["s_axis_tready"]):
            queue.pop(0)
        if is_set(now["m_axis_tvalid"]):
            k, i, j, w = wanted.pop(0)
            want = z3.BitVecVal(0, p["WIDTH"])
            for y in range(kernel):
                for x in range(kernel):
                    pixel = (i * stride + y) * columns + j * stride + x
                    want = want | maps[k][pixel * n_words + w]
            yield Claim(f"map {k} row {i} column {j} word {w}", now["m_axis_tdata"], want)
            last = (i, j, w) == (down - 1, across - 1, n_words - 1)
            yield Claim("tlast", now["m_axis_tlast"], z3.BitVecVal(last, 1))
