"""The device `virtual`: a virtual board of its own behind the driver of real boards."""

from pathlib import Path

from ..sim.core import Core
from .boards import Board
from .device import BoardDevice
from .virtual import DEFAULT_CLOCK_HZ, VirtualBoard

BUILD_DIR = Path("build/virtual")


class VirtualDevice(BoardDevice):
    """Boots a virtual board, drives it, and ends it when it is closed.

    Args:
        board: whose top it is; None for one of no particular board.

    Raises:
        ToolError: Verilator is missing or fails.
        BoardError: it does not start.
    """

    def __init__(self, core: Core, board: Board | None, build_dir: Path = BUILD_DIR) -> None:
        self._running = boot(core, board, build_dir)
        try:
            super().__init__(self._running.url, core)
        except BaseException:
            self._running.close()
            raise
        self.name = "virtual"

    def close(self) -> None:
        """Release the port and end the board."""
        super().close()
        self._running.close()


def boot(
    core: Core,
    board: Board | None,
    build_dir: Path = BUILD_DIR,
    *,
    tcp_port: int | None = None,
    pty: Path | None = None,
) -> VirtualBoard:
    """A running virtual board, with the top of the board's bitstream.

    Args:
        tcp_port, pty: where it listens; None for a free TCP port.
    """
    where = str(pty) if pty else None if tcp_port is None else str(tcp_port)
    return VirtualBoard(
        core,
        build_dir,
        transport="pty" if pty else "tcp",
        where=where,
        clock_hz=board.core_hz if board else DEFAULT_CLOCK_HZ,
        target=board.family if board else "generic",
    )
