"""The clock of a design: the board's own, one that is asked for, or what timing reaches.

A PLL is part of the bitstream, and so is the divisor of the UART; a faster clock is a build of its
own. It is placed and routed anew, so that what it reaches is known of itself and not of another.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..sim.core import Core
from ..sim.exceptions import InputError, ToolError
from . import boards, synth
from .boards import Board
from .flows.pll import candidates
from .reports import Route
from .synth import Build, ClockMissedError
from .wish import Wish

AUTO = "auto"
MARGIN = 0.05  # that Fmax is above a clock which is set from it
ATTEMPTS = 4  # clocks that are built before the search ends

log = logging.getLogger(__name__)


def board_at(name: str, clock: str, wish: Wish) -> Board:
    """The board of that name, with the clock that an option asks for.

    Args:
        clock: in MHz; "" and "auto" leave the board's own.

    Raises:
        InputError: it is no number, or PLL and UART cannot work with it; the board is a Zynq, whose
            clock its processor sets, or Vivado builds for it, which "auto" cannot wait for; or a
            folding is wished by time, which commands work out again by the board's own clock.
    """
    board = boards.load(name)
    if not clock:
        return board
    if not board.has_uart:
        raise InputError(
            f"--clock: {name} runs at the {board.core_hz / 1e6:g} MHz of its board file"
        )
    if wish.images_per_s or wish.latency_us:
        raise InputError(f"--clock: a folding for {wish} is one at the board's own clock")
    if clock != AUTO:
        return clocked(board, clock)
    if board.needs_vivado:
        raise InputError(f"{name} is built by Vivado: give --clock in MHz, not {AUTO}")
    return board


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
        near = ", ".join(megahertz(one.core_hz) for one in (below, above) if one)
        raise InputError(f"{refusal}; nearest that it can have: {near} MHz") from refusal


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
    folder: Path,
    seeds: Sequence[int] = (),
    jobs: int = 2,
) -> Build:
    """As `synth.build`, where the clock is "auto" as `build_at_reached`."""
    make = build_at_reached if clock == AUTO else synth.build
    return make(network_name, core, board, folder, seeds, jobs)


def build_at_reached(
    network_name: str,
    core: Core,
    board: Board,
    folder: Path,
    seeds: Sequence[int] = (),
    jobs: int = 2,
) -> Build:
    """The build at the fastest clock found that place and route reaches with `MARGIN` to spare.

    The board's own clock is built first, then the fastest with its margin below the Fmax of the
    build before and below every clock that was not reached so, until none is left that is faster
    than the one kept, or after `ATTEMPTS`. The board's own is kept without a margin too; where it
    is missed the clock becomes slower.

    Args:
        folder: of the board's own clock; of another one it is `folder_of` that.
        seeds, jobs: as of `synth.build`.

    Raises:
        ToolError: as `synth.build`, unless a clock is kept.
        ClockMissedError: no clock that was tried is reached with its margin.
    """
    kept: Build | None = None
    kept_hz, least_missed_hz = 0, math.inf
    routes: Sequence[Route] = ()
    tried: list[str] = []
    at: Board | None = board
    while at is not None and at.core_hz > kept_hz and len(tried) < ATTEMPTS:
        try:
            made = synth.build(network_name, core, at, folder_of(folder, at), seeds, jobs)
            routes = made.routes
        except ClockMissedError as error:
            made, routes = None, error.routes
        except ToolError as error:
            if kept is None:
                raise
            log.warning("%s; %s MHz is kept", error, megahertz(kept_hz))
            break
        reached_hz = max(route.fmax_mhz for route in routes) * 1e6
        tried.append(f"{megahertz(at.core_hz)} ({reached_hz / 1e6:g})")
        log.info("MHz asked (reached): %s", tried[-1])
        has_margin = reached_hz >= at.core_hz * (1 + MARGIN)
        if not has_margin:
            least_missed_hz = at.core_hz
        if made and (has_margin or at is board):
            kept, kept_hz = made, at.core_hz
        at = fastest(board, min(reached_hz / (1 + MARGIN), least_missed_hz - 1))
    if kept is None:
        raise ClockMissedError(
            f"{network_name} on {board.name}: no clock is reached with {MARGIN:.0%} to spare; MHz "
            f"asked (reached): {', '.join(tried)}",
            routes,
        )
    return kept


def folder_of(folder: Path, at: Board) -> Path:
    """Where the build of a clock goes: the board's own into the folder, another one beside it."""
    if at.core_hz == boards.load(at.name).core_hz:
        return folder
    here = folder.resolve()
    return here.with_name(f"{here.name}-{megahertz(at.core_hz)}MHz")


def megahertz(hz: int) -> str:
    """As `--clock` takes it."""
    return f"{hz / 1e6:.12g}"
