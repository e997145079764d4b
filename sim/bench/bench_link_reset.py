"""Bench of `stoic_link`: a reset in the middle of a frame, of an answer or of an image.

Parameters of the design as in `bench_link`.
"""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from .bench_link import (
    COUNTERS,
    IMAGE_BYTES,
    INFER,
    N_CLASSES,
    OK,
    READ,
    WRITE,
    Answer,
    Link,
    at,
    frame,
    make,
    scores_payload,
    words,
)
from .cover import Group
from .tally import expect

N_RESETS = 16
MOST = 700  # cycles until a reset, enough for all that is sent without gaps
EARLY = 200  # before the first scores leave the core
RESET = Group(
    "reset",
    {
        "frame": ("half a frame", "whole frames"),
        "answer": ("none", "half an answer", "whole answers"),
        "image": ("outside", "enters", "inside"),
    },
)


async def restart(link: Link) -> None:
    """Reset for a cycle; what was on its way is lost on both sides."""
    await RisingEdge(link.dut.clk_i)
    for lost in (link.to_board, link.from_board, link.image, link.scores):
        lost.clear()
    link.rx_valid = link.scores_valid = False
    link.dut.rst_i.value = 1
    link.drive()
    link.reads.append(None)
    await RisingEdge(link.dut.clk_i)
    link.dut.rst_i.value = 0


async def answers_as_new(link: Link) -> None:
    """Words written, read back, an image inferred; nothing was counted before."""
    content = [link.rng.getrandbits(64) for _ in range(3)]
    image = link.rng.randbytes(IMAGE_BYTES)
    wanted: list[Answer] = [
        (1, WRITE, OK, b""),
        (2, READ, OK, words(*content)),
        (3, INFER, OK, scores_payload(image)),
    ]
    got = await link.exchange(
        frame(1, WRITE, at(1, 4) + words(*content)), frame(2, READ, at(1, 4, 3)),
        frame(3, INFER, image),
    )  # fmt: skip
    expect(got, wanted, "answer")
    [(_, _, status, payload)] = await link.exchange(frame(4, COUNTERS))
    counts = payload[:4], payload[4:8], payload[8:10]
    counted = [int.from_bytes(part, "little") for part in counts]
    expect([status, *counted], [OK, 1, 3, 0], "images, good and bad frames")


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def forgets_half_a_frame_at_a_reset(dut: Any) -> None:
    """A frame that was cut by a reset, at any byte, is not answered; the next one is."""
    link = await make(dut)
    whole = frame(7, WRITE, at(1, 2) + words(5))
    for n in range(1, len(whole)):
        link.to_board.extend(whole[:n])
        await link.cycles(n + link.rng.randrange(4))
        await restart(link)
        n_writes = link.n_writes
        expect(await link.exchange(whole), [(7, WRITE, OK, b"")], f"answer after {n} bytes")
        expect([link.n_writes], [n_writes + 1], "writes")


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize((("idle", "stall"), [(0.0, 0.0), (0.4, 0.5)]))
async def answers_as_new_after_a_reset(dut: Any, idle: float, stall: float) -> None:
    """Whatever comes in, is executed, is inside the core or goes out when it comes."""
    link = await make(dut, idle, stall)
    for k in range(N_RESETS):
        images = [link.rng.randbytes(IMAGE_BYTES) for _ in range(3)]
        sent = [frame(11, WRITE, at(2, 5) + words(*range(15))), frame(12, READ, at(2, 5, 15))]
        sent += [frame(13 + n, INFER, image) for n, image in enumerate(images)]
        link.to_board.extend(b"".join(sent))
        await link.cycles(link.rng.randrange(1, EARLY if k % 4 == 3 else MOST))
        while k % 4 == 3 and not link.scores:
            await link.cycles(1)
        RESET.sample(**state(link, sent))
        await restart(link)
        await answers_as_new(link)


def state(link: Link, sent: list[bytes]) -> dict[str, str]:
    """What a reset meets: bins of RESET."""
    n_in = sum(map(len, sent)) - len(link.to_board)
    ends = [sum(map(len, sent[: k + 1])) for k in range(len(sent))]
    answers = (10, 130, *(10 + 4 * N_CLASSES + 1,) * 3)  # bytes
    n_out = len(link.from_board)
    gone = [sum(answers[: k + 1]) for k in range(len(answers))]
    return {
        "frame": "whole frames" if n_in in ends else "half a frame",
        "answer": "none" if not n_out else "whole answers" if n_out in gone else "half an answer",
        "image": "enters" if link.image else "inside" if link.scores else "outside",
    }
