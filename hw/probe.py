"""Who is behind a port, and which folding of a network it was built for."""

from collections.abc import Iterator

from ..sim.exceptions import BoardError, StoicError
from ..sim.memory import Layout, layout_of, shapes_of
from ..sim.network import Network
from ..sim.rtl_core import default_layout
from . import boards
from .device import BoardDevice
from .fold import fold
from .link import Identity


class _Anyone(BoardDevice):
    """The driver before it is known which layout the board has."""

    def _check_identity(self) -> None:
        pass


def identify(url: str) -> Identity:
    """What the board behind a port says about itself.

    Raises:
        BoardError: port missing or busy, or no answer.
    """
    device = _Anyone(url, Layout((), ()))
    try:
        return device.identity
    finally:
        device.close()


def find_layout(url: str, network: Network) -> Layout:
    """The folding of this network that the board behind a port was built for.

    Raises:
        BoardError: it was built for none that this kit would make of the network.
    """
    found = identify(url).layout
    for layout in _candidates(network):
        if bytes.fromhex(layout.sha256).startswith(found):
            return layout
    raise BoardError(
        f"{url}: built for layout {found.hex()[:12]}, which is no folding of network "
        f"{network.name!r}; program the bitstream of this network"
    )


def _candidates(network: Network) -> Iterator[Layout]:
    for name in boards.names():
        try:
            yield fold(shapes_of(network), boards.load(name))
        except StoicError:
            continue  # the network does not fit this board, so it is not on it
    yield default_layout(network)
    yield layout_of(network)
