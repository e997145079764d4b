"""The clock of a design: the board's own, one that is asked for, or what timing reaches.

A PLL is part of the bitstream, and so is the divisor of the UART; a faster clock is a build of its
own. It is placed and routed anew, so that what it reaches is known of itself and not of another.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..sim.core import Core
from ..sim.exceptions import InputError
from . import boards, synth
from .boards import Board
from .flows.pll import candidates
from .synth import Build, ClockMissedError
from .wish import Wish

AUTO = "auto"
MARGIN = 0.05  # of Fmax above a clock that is set from it
ATTEMPTS = 4  # clocks that are built before the search ends

log = logging.getLogger(__name__)


def board_at(name: str, clock: str, wish: Wish) -> Board:
    """The board of that name, with the clock that an option asks for.

    Args:
        clock: in MHz; "" and "auto" leave the board's own.

    Raises:
        InputError: it is no number, PLL and UART cannot work with it; or it is "auto" and Vivado
            builds for the board, or a folding is wished by time, which needs a clock.
    """
    board = boards.load(name)
    if clock == AUTO and board.needs_vivado:
        raise InputError(f"{name} is built by Vivado: give --clock in MHz, not {AUTO}")
    if clock == AUTO and (wish.images_per_s or wish.latency_us):
        raise InputError(f"a folding for {wish} needs a clock that is known: --clock in MHz")
    return board if clock in ("", AUTO) else clocked(board, clock)


def clocked(board: Board, clock: str) -> Board:
    """The board with a clock in MHz.

    Raises:
        InputError: it is no number, or PLL and UART cannot work with it.
    """
    try:
        hz = float(clock) * 1e6
    except ValueError:
        hz = 0.0
    if not 1 <= hz < 1e12:
        raise InputError(f'--clock must be "{AUTO}" or MHz, as 62.5, not {clock!r}')
    try:
        return replace(board, core_hz=round(hz))
    except InputError as refusal:
        below, above = fastest(board, hz), slowest(board, hz)
        near = [f"{one.core_hz / 1e6:.12g}" for one in (below, above) if one]
        raise InputError(f"{refusal}; the nearest that it can have: {', '.join(near)} MHz") from (
            refusal
        )


def fastest(board: Board, most_hz: float) -> Board | None:
    """The board at the fastest clock of at most so many Hz; None where there is none."""
    clocks = candidates(board.family, board.pin_hz)
    return next(_legal(board, sorted((hz for hz in clocks if hz <= most_hz), reverse=True)), None)


def slowest(board: Board, least_hz: float) -> Board | None:
    """The board at the slowest clock of at least so many Hz; None where there is none."""
    clocks = candidates(board.family, board.pin_hz)
    return next(_legal(board, sorted(hz for hz in clocks if hz >= least_hz)), None)


def _legal(board: Board, clocks: Sequence[int]) -> Iterator[Board]:
    for hz in clocks:
        try:
            yield replace(board, core_hz=hz)
        except InputError:  # not of this PLL, or the UART is too far off its rate
            continue


def build(
    network_name: str,
    core: Core,
    board: Board,
    clock: str,
    out_dir: Path,
    seeds: Sequence[int] = (),
    jobs: int = 2,
) -> Build:
    """As `synth.build`, where the clock is "auto" as `build_at_reached`."""
    make = build_at_reached if clock == AUTO else synth.build
    return make(network_name, core, board, out_dir, seeds, jobs)


def build_at_reached(
    network_name: str,
    core: Core,
    board: Board,
    out_dir: Path,
    seeds: Sequence[int] = (),
    jobs: int = 2,
) -> Build:
    """The build at the fastest clock found that place and route reaches with `MARGIN` to spare.

    The board's own clock is built first, then what is `MARGIN` below the Fmax of the build before,
    until a build has its margin and leaves no faster clock, or after `ATTEMPTS`. Where the board's
    own is missed the clock becomes slower.

    Args:
        out_dir: of the board's own clock; another one is built beside it, in `<out_dir>-<MHz>MHz`.
        seeds, jobs: as of `synth.build`.

    Raises:
        ToolError: as `synth.build`.
        ClockMissedError: no clock that was tried is reached with its margin.
    """
    kept: Build | None = None
    at: Board | None = board
    for _ in range(ATTEMPTS):
        assert at is not None
        try:
            made = synth.build(network_name, core, at, folder_of(out_dir, board, at), seeds, jobs)
            fmax_mhz, missed = made.best.fmax_mhz, None
        except ClockMissedError as error:
            fmax_mhz, missed = max(route.fmax_mhz for route in error.routes), error
        is_kept = fmax_mhz * 1e6 >= at.core_hz * (1 + MARGIN)
        log.info("%.12g MHz asked, %g reached", at.core_hz / 1e6, fmax_mhz)
        if is_kept and (kept is None or made.clock_mhz_asked > kept.clock_mhz_asked):
            kept = made
        most_hz = fmax_mhz * 1e6 / (1 + MARGIN)
        at = fastest(board, most_hz if is_kept else min(most_hz, at.core_hz - 1))
        if at is None or (kept and at.core_hz <= kept.clock_mhz_asked * 1e6):
            break
    if kept is None:
        raise missed or ClockMissedError(
            f"{network_name} on {board.name}: no clock of {ATTEMPTS} tried is reached with "
            f"{MARGIN:.0%} to spare; best {fmax_mhz:g} MHz, {made.best.critical_path}",
            made.routes,
        )
    return kept


def folder_of(out_dir: Path, board: Board, at: Board) -> Path:
    """Where the build of a clock goes: beside that of the board's own."""
    if at.core_hz == board.core_hz:
        return out_dir
    return out_dir.with_name(f"{out_dir.name}-{at.core_hz / 1e6:.12g}MHz")
