"""Who is behind a port, and which folding of a network it was built for."""

from collections.abc import Iterator

from ..sim.core import Core, core_of, default_core
from ..sim.exceptions import BoardError, StoicError
from ..sim.network import Network
from . import boards
from .device import DEFAULT_BAUD, DEFAULT_TIMEOUT_S
from .devices import board_core, line_speed, with_tables
from .fold import fold
from .link import Identity
from .port import SerialPort
from .session import Session


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
    """The folded network that the board behind a port was built for.

    Args:
        board: of that name; "": any.
        n_tables: threshold tables for which there may be room beside the network's own thresholds.

    Raises:
        BoardError: it was built for none that this kit would make of the network.
    """
    found = identify(url, line_speed(board)).layout
    plain = [board_core(network, board)] if board else list(_candidates(network))
    for core in [*plain, *(with_tables(core, n_tables) for core in plain)]:
        if bytes.fromhex(core.sha256).startswith(found):
            return core
    where = f" for {board}" if board else ""
    raise BoardError(
        f"{url}: built for layout {found.hex()[:12]}, which is no folding of network "
        f"{network.name!r}{where}; program the bitstream of this network"
    )


def _candidates(network: Network) -> Iterator[Core]:
    for name in boards.names():
        try:
            yield fold(core_of(network), boards.load(name))
        except StoicError:
            continue  # the network does not fit this board, so it is not on it
    yield default_core(network)
    yield core_of(network)
