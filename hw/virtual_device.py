"""The device `virtual`: a virtual board of its own behind the driver of real boards."""

from pathlib import Path

from ..sim.core import Core
from ..sim.exceptions import InputError
from .boards import Board
from .device import BoardDevice
from .virtual import DEFAULT_CLOCK_HZ, VirtualBoard

BUILD_DIR = Path("build/virtual")
TIMEOUT_S = 60.0  # a run of images on the chip takes so long on a busy machine
WINDOW = 32  # its line holds bytes back; more frames in flight gain nothing


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
            super().__init__(self._running.url, core, timeout_s=TIMEOUT_S, window=WINDOW)
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
    url: str = "tcp",
    baud: int = 0,
    latency_ms: float = 0.0,
) -> VirtualBoard:
    """A running virtual board, with the top of the board's bitstream.

    Args:
        url: "tcp" for a free port, "tcp:PORT", "pty" for a link in build_dir, or "pty:LINK".
        baud, latency_ms: as in `VirtualBoard`.

    Raises:
        InputError: another URL, or a board without a UART.
    """
    if board and not board.has_uart:
        raise InputError(f"{board.name} has no UART, so there is no virtual board of it")
    transport, _, where = url.partition(":")
    return VirtualBoard(
        core,
        build_dir,
        transport=transport,  # type: ignore[arg-type]
        where=where or None,
        clock_hz=board.core_hz if board else DEFAULT_CLOCK_HZ,
        target=board.target if board else "generic",
        baud=baud,
        latency_ms=latency_ms,
    )
