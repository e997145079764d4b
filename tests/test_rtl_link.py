"""The host link and the UART under cocotb on Icarus, and mutants that the benches must catch."""

from dataclasses import replace
from typing import Any

import pytest

from stoic import rtl
from stoic.sim.bench.runner import Bench

SOURCES = tuple(
    path
    for path in rtl.sources()
    if path.stem.startswith(("stoic_link", "stoic_uart", "stoic_crc32"))
)
LINK = {"PAGE_W": 7, "TIMEOUT_W": 8, "IMAGE_BYTES": 67, "N_CLASSES": 3, "INFO_BYTES": 4}
INFO = 0x0D0C0B0A  # as in the bench


def link_bench(pages_w: int, inflight_w: int) -> Bench:
    """The link with so many pages and room for so many images, as powers of two."""
    parameters = {**LINK, "INFO": INFO, "PAGES_W": pages_w, "INFLIGHT_W": inflight_w}
    return Bench("stoic_link", "bench_link", SOURCES, parameters)


def uart_bench(clocks_per_bit: int) -> Bench:
    """The UART at a divider."""
    return Bench("stoic_uart", "bench_uart", SOURCES, {"CLOCKS_PER_BIT": clocks_per_bit})


@pytest.mark.parametrize("pages_w, inflight_w", [(1, 1), (3, 3)])
def test_every_frame_is_answered_and_a_bad_one_changes_nothing(
    cosim: Any, pages_w: int, inflight_w: int
) -> None:
    cosim.passes(link_bench(pages_w, inflight_w))


def reset_bench() -> Bench:
    """The link, reset in the middle of a frame."""
    return replace(link_bench(1, 1), module="bench_link_reset")


def test_a_reset_ends_a_frame_an_answer_and_an_image(cosim: Any) -> None:
    cosim.passes(reset_bench())


def test_half_a_frame_that_outlives_a_reset_is_caught(cosim: Any) -> None:
    old = "        if (rst_i) begin\n            commit_o <= 1'b0;\n            state_q  <= HUNT;"
    new = old.replace("rst_i", "rst_i && ^state_q === 1'bx")
    cosim.catches(reset_bench(), "stoic_link_rx.v", old, new)


def exec_bench() -> Bench:
    """What executes frames, alone: its bytes may come with gaps."""
    parameters = {"PAGE_W": 7, "IMAGE_BYTES": 67, "INFO_BYTES": 4, "COUNT_BYTES": 15}
    return Bench("stoic_link_exec", "bench_link_exec", SOURCES, parameters)


def test_frames_are_executed_at_any_pace(cosim: Any) -> None:
    cosim.passes(exec_bench())


def test_a_byte_that_is_taken_too_soon_is_caught(cosim: Any) -> None:
    old, new = "if (taken && state_q == S_ARGS)", "if (state_q == S_ARGS)"
    cosim.catches(exec_bench(), "stoic_link_exec.v", old, new)


@pytest.mark.parametrize("clocks_per_bit", [4, 10, 35])
def test_uart_carries_bytes(cosim: Any, clocks_per_bit: int) -> None:
    cosim.passes(uart_bench(clocks_per_bit))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_link_rx.v", "status_o <= (crc == RESIDUE) ? GOOD : BAD_CRC;", "status_o <= GOOD;"),
        pytest.param(
            *("stoic_link_exec.v", "end_q > {1'b0, bank_words_i};", "end_q[16];"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("stoic_link_exec.v", "end else if (quiet_i) begin", "end else begin"),
            marks=pytest.mark.slow,
        ),
        ("stoic_link_scores.v", "score > best_q", "score >= best_q"),
    ],
)
def test_a_mistake_in_the_link_is_caught(cosim: Any, file: str, old: str, new: str) -> None:
    cosim.catches(link_bench(1, 1), file, old, new)


def test_a_uart_that_samples_late_is_caught(cosim: Any) -> None:
    cosim.catches(uart_bench(10), "stoic_uart_rx.v", "CLOCKS_PER_BIT / 2 - 1", "CLOCKS_PER_BIT - 1")
