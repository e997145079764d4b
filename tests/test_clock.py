"""Clocks other than a board's own: which there are, and that what timing reaches becomes one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stoic.hw import boards, clock, fold, lab, probe, synth, top
from stoic.hw.clock import MARGIN
from stoic.hw.reports import Route
from stoic.hw.synth import ClockMissedError
from stoic.hw.virtual import VirtualBoard
from stoic.hw.wish import FASTEST, Wish
from stoic.sim.core import Core, core_of
from stoic.sim.exceptions import InputError, ToolError
from stoic.sim.memory import Fold, Layout, Shape
from stoic.sim.random_network import random_network

SHAPES = (Shape(48, 32, "bits", True), Shape(32, 10, "bits", False))
CORE = Core(Layout(SHAPES, (Fold(2, 16), Fold(1, 16))))
ULX3S, ICEBREAKER = boards.load("ulx3s-25f"), boards.load("icebreaker")


@settings(deadline=None)  # the first of a board finds all its clocks
@given(
    st.sampled_from(boards.names()), st.integers(1, 128), st.integers(1, 1024), st.integers(0, 3)
)
def test_no_clock_that_a_board_can_have_is_passed_over(
    name: str, multiply: int, divide: int, wanted: int
) -> None:
    board = boards.load(name)
    hz, rest = divmod(board.pin_hz * multiply, divide)
    assume(not rest)
    try:
        at = clock.clocked(board, f"{hz / 1e6:.12g}")
    except InputError:
        found = clock.fastest(board, hz), clock.slowest(board, hz)
        assert all(one is None or one.core_hz != hz for one in found)
        return
    assert at.core_hz == hz
    assert clock.fastest(board, hz) == at == clock.slowest(board, hz)
    nearest = clock.fastest(board, hz + wanted), clock.slowest(board, hz - wanted)
    assert all(one and abs(one.core_hz - hz) <= wanted for one in nearest)


def built_by(
    fmax_mhz: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[], float], list[float]]:
    """The search on tools that would reach this at a clock: the clock kept, and those tried."""
    tried: list[float] = []

    def build(_name: str, _core: Core, at: boards.Board, *_: object) -> SimpleNamespace:
        mhz = at.core_hz / 1e6
        tried.append(mhz)
        route = Route(1, fmax_mhz(mhz), "a path", 1.0)
        if route.fmax_mhz < mhz:
            raise ClockMissedError("missed", [route])
        return SimpleNamespace(best=route, routes=(route,), clock_mhz_asked=mhz)

    monkeypatch.setattr(synth, "build", build)

    def search() -> float:
        return clock.build_at_reached("net", CORE, ULX3S, Path("out")).clock_mhz_asked

    return search, tried


@pytest.mark.parametrize(
    ("fmax_mhz", "kept", "tried"),
    [
        (lambda _: 120.0, 112.5, [105.0, 112.5]),  # 114.3 is the most, 112.5 the next that there is
        (lambda _: 105 * (1 + MARGIN), 105.0, [105.0]),
        (lambda _: 105.0, 105.0, [105.0]),  # the board's own is kept without a margin
        (lambda mhz: 250 - mhz, 106.25, [105.0, 137.5, 106.25, 135.0]),  # faster and slower again
        (lambda mhz: 209 - mhz, 100.0, [105.0, 96.875, 103.125, 100.0]),  # not met at first
        (lambda _: 50.0, 45.0, [105.0, 45.0]),
    ],
)
def test_the_fastest_clock_with_a_margin_is_kept(
    fmax_mhz: Callable[[float], float],
    kept: float,
    tried: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, were = built_by(fmax_mhz, monkeypatch)
    assert (search(), were) == (kept, tried)
    assert fmax_mhz(kept) >= kept * (1 + MARGIN if kept != 105 else 1)


def test_a_clock_that_is_never_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    search, tried = built_by(lambda mhz: 0.9 * mhz, monkeypatch)
    with pytest.raises(
        ClockMissedError, match=r"\(reached\): 105 \(94\.5\), 90 \(81\), "
    ) as missed:
        search()
    assert len(tried) == clock.ATTEMPTS and tried == sorted(tried, reverse=True)
    assert missed.value.routes


def test_a_tool_that_fails_later_loses_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def fmax_mhz(mhz: float) -> float:
        if mhz != failing:
            return 120.0
        raise ToolError("it does not fit")

    search, _ = built_by(fmax_mhz, monkeypatch)
    failing = 112.5
    assert search() == 105.0
    failing = 105.0
    with pytest.raises(ToolError, match="does not fit"):
        search()


@pytest.mark.slow  # two or three bitstreams
def test_a_bitstream_runs_at_what_its_timing_reached(tmp_path: Path) -> None:
    """The PLL and the UART of a small network on an iCEBreaker, by real place and route."""
    folder = tmp_path / "icebreaker"
    slow = replace(ICEBREAKER, core_hz=24_000_000)
    made = clock.build("tiny", CORE, slow, clock.AUTO, folder, (1,))
    mhz = made.clock_mhz_asked
    assert mhz > 24
    assert made.best.fmax_mhz >= mhz * (1 + MARGIN)
    at = replace(ICEBREAKER, core_hz=round(mhz * 1e6))
    assert made.bitstream.parent == clock.folder_of(folder, at)
    sources = made.bitstream.parent / "src"
    assert (sources / "stoic_top.v").read_text() == synth.design_sources(CORE, at)["stoic_top.v"]
    wrapper = (sources / f"{at.top}.v").read_text()
    assert f".DIVF(7'd{at.pll.multiply - 1})" in wrapper and f"({at.uart_divisor})" in wrapper

    runs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.step.json")}
    assert clock.build("tiny", CORE, slow, clock.AUTO, folder, (1,)) == made
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.step.json")} == runs

    build = top.build_id(CORE, clock_hz=at.core_hz, target=at.target)
    who = top.identity(CORE, clock_hz=at.core_hz, target=at.target, build=build)
    found = lab.bitstream(lab.folders([tmp_path / "tiny.stoic"], "icebreaker"), who)
    assert found["bitstream_sha256"] == made.bitstream_sha256


@pytest.mark.parametrize(
    ("board", "asked", "wish", "why"),
    [
        ("pynq-z2", "125", FASTEST, "pynq-z2 runs at the 100 MHz of its board file"),
        ("arty-a7-35t", "auto", FASTEST, "built by Vivado: give --clock in MHz, not auto"),
        ("ulx3s-25f", "auto", Wish(images_per_s=20), "20 images/s is one at the board's own clock"),
        ("ulx3s-25f", "125", Wish(latency_us=9), "9 us is one at the board's own clock"),
        ("ulx3s-25f", "600", FASTEST, "makes 3.125 to 400 MHz, not 600; nearest .* 400 MHz"),
        ("icebreaker", "12", FASTEST, "makes 16 to 275 MHz, not 12; nearest .* 18 MHz"),
        ("ulx3s-25f", "5", FASTEST, "2 clocks a bit at 3000000 baud; stoic_uart takes 4 to 65535"),
    ],
)
def test_a_clock_that_cannot_be_is_refused(board: str, asked: str, wish: Wish, why: str) -> None:
    with pytest.raises(InputError, match=why):
        clock.board_at(board, asked, wish)


def test_another_clock_never_takes_the_place_of_the_boards_own() -> None:
    assert clock.folder_of(Path("a"), ULX3S) == Path("a")
    fast = clock.clocked(ULX3S, "112.5")
    assert clock.folder_of(Path("a/ulx3s-25f"), fast) == Path("a/ulx3s-25f-112.5MHz").absolute()
    assert clock.folder_of(Path(), fast).parent == Path.cwd().parent


@pytest.mark.verilator
def test_a_board_of_another_clock_is_found_with_its_injectors(virtual_builds: Path) -> None:
    network = random_network((48, 32, 10), "bits", np.random.default_rng(2))
    core = fold.fold(replace(core_of(network), injector="ring"), ULX3S)
    assert boards.load("pynq-z2").core_hz == 100_000_000  # the clock of a board that is not it
    with VirtualBoard(core, virtual_builds, clock_hz=100_000_000) as board:
        assert probe.find_core(board.url, network) == core
