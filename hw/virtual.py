"""The virtual board: the top that is synthesised, Verilated, behind a TCP port or a pty.

The driver cannot tell it from a real board, and neither can the gates: the same Verilog text with
the same build id runs in it, only its memories are the generic ones. It needs no clock: it runs as
fast as the host computes and sleeps when nothing is on its way.
"""

import logging
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ..sim.core import Core
from ..sim.exceptions import BoardError, InputError
from ..sim.rtl_core import core_sources
from ..sim.verilate import verilate
from .boards import Board, wrapper_verilog
from .flows.pll import pll_verilog
from .top import Target, core_text, top_sources, top_verilog

HARNESS = Path(__file__).parent / "virtual_harness.cpp"
DEFAULT_CLOCK_HZ = 100_000_000
_START_S = 30.0
# the library runs in a process of its own: it can be killed like a board can be unplugged
_SERVE = """\
import ctypes, sys
path, transport, where, clocks = sys.argv[1:]
sys.exit(ctypes.CDLL(path).stoic_serve(transport.encode(), where.encode(), int(clocks)))
"""

Transport = Literal["tcp", "pty"]
TRANSPORTS: tuple[Transport, ...] = ("tcp", "pty")

_log = logging.getLogger(__name__)


def build(
    core: Core,
    build_dir: Path,
    *,
    clock_hz: int = DEFAULT_CLOCK_HZ,
    target: Target = "generic",
    pins: Board | None = None,
) -> Path:
    """Library of the Verilated top; built once per content.

    Args:
        clock_hz, target: of the board that the top was synthesised for.
        pins: take clock and target of this board, and run its wrapper with the UART at pin level.

    Raises:
        ToolError: Verilator is missing or fails.
        InputError: the core needs more than the link can address.
    """
    if pins:
        clock_hz, target = pins.core_hz, pins.family
    top = top_verilog(core, clock_hz=clock_hz, target=target)
    # the one difference to what is synthesised: no vendor's memories, and no PLL
    text = core_text(core, target) + top.replace(f'TARGET = "{target}"', 'TARGET = "generic"')
    flags = ["-LDFLAGS", "-lutil", "--prefix", "Vboard"]
    name = "stoic_top"
    if pins:
        name = pins.top
        no_pll = "    assign clk = clk_i;\n    assign locked = 1'b1;\n"
        text += wrapper_verilog(pins).replace(pll_verilog(pins.pll), no_pll)
        flags += ["-CFLAGS", f"-DSTOIC_BUTTON={int(pins.button_active_low)}"]
    path = f"{name}__DOT__u_top__DOT__idle" if pins else f"{name}__DOT__idle"
    flags += ["-CFLAGS", f"-DSTOIC_IDLE={path}"]
    sources = sorted({*core_sources(), *top_sources()})
    return verilate(name, text, sources, HARNESS, build_dir, flags)


class VirtualBoard:
    """A running virtual board; it ends with its `with` block, and in any case with this process.

    Attributes:
        url: for BoardDevice.
    """

    def __init__(
        self,
        core: Core,
        build_dir: Path,
        *,
        transport: Transport = "tcp",
        where: str | None = None,
        clock_hz: int = DEFAULT_CLOCK_HZ,
        target: Target = "generic",
        pins: Board | None = None,
    ) -> None:
        """Build it if need be and start it.

        Args:
            build_dir: where builds are kept.
            transport: "tcp" on 127.0.0.1, or "pty".
            where: port number (default: a free one), or path of the pty (default: in build_dir).
            clock_hz, target, pins: as in `build`.

        Raises:
            ToolError: Verilator is missing or fails.
            BoardError: the port is busy, or the process does not start.
            InputError: unknown transport, or a port that is no number 0..65535.
        """
        if transport not in TRANSPORTS:
            raise InputError(f"transport must be one of {TRANSPORTS}, not {transport!r}")
        if where is None:
            where = "0" if transport == "tcp" else str(build_dir / "virtual-board.pty")
        if transport == "tcp" and not (where.isdecimal() and int(where) < 1 << 16):
            raise InputError(f"a TCP port is 0..65535, not {where!r}")
        library = build(core, build_dir, clock_hz=clock_hz, target=target, pins=pins)
        self._link = Path(where) if transport == "pty" else None
        clocks_per_bit = pins.uart_divisor if pins else 0
        arguments = (str(library.resolve()), transport, where, str(clocks_per_bit))
        # stdin is our hold on it: when we die the pipe closes and it ends
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SERVE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
            self._link = None  # it is somebody else's
            self.close()
            reason = rest or f"its process ended with status {self._process.returncode}"
            raise BoardError(f"the virtual board did not start: {reason}")
        self.url = rest
        _log.info("virtual board at %s, process %d", self.url, self._process.pid)

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def wait(self) -> int:
        """Block until it ends, e.g. in a terminal until Ctrl-C; its exit status."""
        return self._process.wait()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()

    def __enter__(self) -> Self:
        """The running board."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.close()
