"""Bench of units between two streams: a reset in the middle of an image leaves nothing of it.

What the unit gives after its first reset it gives after all others; that this is golden's answer is
for the unit's own bench.
"""

import random
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .stream import Beat, Stream, drive, reset, stream
from .tally import expect

N_RESETS, N_IMAGES = 48, 2
QUIET = 60  # cycles after which nothing more comes
RESET = Group("reset", {"image": ("starts", "runs", "is followed"), "sink": ("ready", "stalled")})

# beats of an image, by the parameters of the unit
Parameter = Callable[[str], int]
LENGTHS: dict[str, Callable[[Parameter], int]] = {
    "stoic_planes": lambda p: 2 * p("SIMD") + 1,
    "stoic_width": lambda p: -(-p("N") // p("IN_W")),
    "stoic_scores": lambda p: p("M"),
    "stoic_unbatch": lambda p: p("WORDS"),
    "stoic_pool": lambda p: p("HEIGHT") * p("COLUMNS") * p("WORDS"),
    "stoic_thermometer": lambda p: 5,
    "stoic_fifo": lambda p: p("DEPTH") + 1,
    "stoic_skid": lambda p: 3,
}


def streams(dut: Any) -> tuple[Stream, Stream]:
    """The stream in and the one out, with what they carry."""
    parts = [
        [part for part in ("data", "last", "user") if hasattr(dut, f"{prefix}_t{part}")]
        for prefix in ("s_axis", "m_axis")
    ]
    return stream(dut, "s_axis", *parts[0]), stream(dut, "m_axis", *parts[1])


async def answer(dut: Any, source: Stream, sink: Stream, beats: list[Beat]) -> list[Beat]:
    """All that comes while these beats go in; at the side the class and its margin."""
    sender = cocotb.start_soon(drive(source, beats, lambda: False))
    sink.ready.value = 1
    got: list[Beat] = []
    quiet = 0
    while quiet < QUIET:
        await ReadOnly()
        quiet = quiet + 1 if sender.done() else 0
        if int(sink.valid.value):
            beat = tuple(int(signal.value) for signal in sink.payload)
            got.append(beat if len(beat) < 3 or beat[1] else beat[:2])  # tuser counts at the last
            quiet = 0
        if hasattr(dut, "class_valid_o") and int(dut.class_valid_o.value):
            got.append((int(dut.class_o.value), int(dut.margin_o.value)))
        await RisingEdge(dut.clk_i)
    return got


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def begins_anew_after_reset(dut: Any) -> None:
    """Reset for a cycle while an image comes in, with words inside or not, stalled or not."""
    rng = random.Random(cocotb.RANDOM_SEED)
    n_beats = LENGTHS[cocotb.top._name](lambda name: int(getattr(dut, name).value))
    source, sink = streams(dut)

    def images(n: int) -> list[Beat]:
        values = [rng.getrandbits(len(source.payload[0])) for _ in range(n * n_beats)]
        lasts = [i % n_beats == n_beats - 1 for i in range(n * n_beats)]
        return [(v, last)[: len(source.payload)] for v, last in zip(values, lasts, strict=True)]

    whole = images(N_IMAGES)
    await reset(dut, source)
    wanted = await answer(dut, source, sink, whole)
    for k in range(N_RESETS):
        n_cycles = rng.randrange(1, 5 * n_beats + 12)
        n_sent, is_ready = 0, k % 2 == 0
        sink.ready.value = is_ready
        sender = cocotb.start_soon(drive(source, images(6), lambda: False))
        for _ in range(n_cycles):
            await ReadOnly()
            n_sent += int(source.valid.value) and int(source.ready.value)
            await RisingEdge(dut.clk_i)
        share = 2 * n_sent // n_beats
        RESET.sample(
            image=("starts", "runs", "is followed")[min(share, 2)],
            sink="ready" if is_ready else "stalled",
        )
        sender.cancel()
        await reset(dut, source, start_clock=False, n_cycles=1)
        expect(await answer(dut, source, sink, whole), wanted, f"word after {n_cycles} cycles:")
