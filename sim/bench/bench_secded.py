"""Bench of `stoic_secded`: every single and every double error of a word, and many more errors."""

import random
from itertools import combinations
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ..bits import pack, unpack
from ..protection import hsiao
from .cover import Group
from .stream import CLOCK_NS, spoil
from .tally import expect

LATENCY = 2
WORD = Group(
    "word",
    {"errors": ("0", "1", "2", "3 or more"), "outcome": ("as it is", "corrected", "detected")},
)
N_MORE = 200  # words with three errors or more, which the decoder may mend wrongly


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def decodes_as_the_specification(dut: Any) -> None:
    """Data, both flags and the check bits of random words, one a cycle, under all such errors."""
    rng = random.Random(cocotb.RANDOM_SEED)
    k, r = int(dut.K.value), int(dut.R.value)
    code = hsiao.code(k)
    assert code.n_checks == r
    n = k + r
    errors = [
        0,
        *(1 << i for i in range(n)),
        *(1 << i | 1 << j for i, j in combinations(range(n), 2)),
    ]
    errors += [
        sum(1 << i for i in rng.sample(range(n), rng.randint(3, min(n, 6)))) for _ in range(N_MORE)
    ]
    rng.shuffle(errors)
    written = np.array([rng.getrandbits(k) for _ in errors], np.uint64)[:, None]
    flips = pack(np.array([[e >> i & 1 for i in range(n)] for e in errors], np.uint8))
    masks = unpack(flips, n)
    read = written ^ pack(np.ascontiguousarray(masks[:, :k]))
    checks = code.checks(written) ^ pack(np.ascontiguousarray(masks[:, k:]))[:, 0].astype(np.uint16)
    data, corrected, detected = code.decode(read, checks)
    weights = masks.sum(axis=1)
    assert (data[weights < 2] == written[weights < 2]).all() and detected[weights == 2].all()
    wanted = [
        (int(w[0]), bool(c), bool(d)) for w, c, d in zip(data, corrected, detected, strict=True)
    ]
    for n_errors, (_, c, d) in zip(weights.tolist(), wanted, strict=True):
        WORD.sample(
            errors="3 or more" if n_errors > 2 else str(n_errors),
            outcome="corrected" if c else "detected" if d else "as it is",
        )
    words = [int(c) << k | int(w[0]) for c, w in zip(checks, read, strict=True)]
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    got, encoded = [], []
    for cycle in range(len(words) + LATENCY):
        if cycle < len(words):
            dut.word_i.value = words[cycle]
        else:
            spoil(dut.word_i)
        await ReadOnly()
        if cycle < len(words):
            encoded.append(int(dut.checks.value))
        if cycle >= LATENCY:
            flags = bool(int(dut.corrected_o.value)), bool(int(dut.detected_o.value))
            got.append((int(dut.data_o.value), *flags))
        await RisingEdge(dut.clk_i)
    expect(encoded, code.checks(read).tolist(), "check bits of word")
    expect(got, wanted, "data and flags of word")
