"""Who is behind a port, and which folding of a network it was built for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..sim.core import FORMS, Core, core_of, default_core
from ..sim.exceptions import BoardError, InputError
from ..sim.network import Network
from . import boards
from .boards import Board
from .device import DEFAULT_BAUD, DEFAULT_TIMEOUT_S
from .devices import line_speed
from .fold import foldings
from .link import Identity
from .port import SerialPort
from .session import Session
from .settings import with_tables


def identify(url: str, baud: int = DEFAULT_BAUD) -> Identity:
    """What the board behind a port says about itself.

    Raises:
        BoardError: port missing or busy, no answer, or another protocol.
    """
    session = Session(SerialPort(url, baud, DEFAULT_TIMEOUT_S), DEFAULT_TIMEOUT_S)
    try:
        return session.synchronise()
    finally:
        session.close()


def find_core(url: str, network: Network, board: str = "", n_tables: int = 0) -> Core:
    """The folded network that the board behind a port was built for, whatever was wished.

    Args:
        board: of that name; "": any.
        n_tables: threshold tables for which there may be room beside the network's own thresholds.

    Raises:
        BoardError: it was built for none that this kit would make of the network.
    """
    identity = identify(url, line_speed(board))
    found = identity.layout
    for core in _candidates(network, board, n_tables, identity.clock_hz):
        if bytes.fromhex(core.sha256).startswith(found):
            return core
    where = f" for {board}" if board else ""
    raise BoardError(
        f"{url}: built for layout {found.hex()[:12]}, which is no folding of network "
        f"{network.name!r}{where}; program the bitstream of this network"
    )


def _candidates(network: Network, board: str, n_tables: int, clock_hz: int) -> Iterator[Core]:
    """Cores that this kit makes of a network, one after the other: to plan for a board takes time.

    Boards of the clock come first; of another clock is what another kit or `--clock` built.
    """
    if board:
        yield from _of_boards(network, [boards.load(board)], n_tables)
        return
    yield from _of_no_board(network, n_tables)
    known = [boards.load(name) for name in boards.names()]
    yield from _of_boards(network, [one for one in known if one.core_hz == clock_hz], n_tables)
    yield from _of_boards(network, [one for one in known if one.core_hz != clock_hz], n_tables)


def _of_boards(network: Network, candidates: Sequence[Board], n_tables: int) -> Iterator[Core]:
    for injector in (None, *FORMS):
        for board in candidates:
            try:
                plain = foldings(replace(core_of(network), injector=injector), board)
            except InputError:
                continue  # the network does not fit this board, so it is not on it
            yield from plain
            if n_tables and not injector:
                yield from (with_tables(core, n_tables) for core in plain)


def _of_no_board(network: Network, n_tables: int) -> Iterator[Core]:
    for plain in (default_core(network), core_of(network)):
        yield plain
        if n_tables:
            yield with_tables(plain, n_tables)
        yield from (replace(plain, injector=injector) for injector in FORMS)
