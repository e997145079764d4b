"""The virtual board: the top that is synthesised, Verilated, behind a TCP port or a pty.

The driver cannot tell it from a real board, and neither can the gates: the same Verilog text with
the same build id runs in it, only its memories are the generic ones. It needs no clock: it runs as
fast as the host computes and sleeps when nothing is on its way.
"""

import logging
import re
import reprlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ..sim.core import Core
from ..sim.exceptions import BoardError, InputError
from ..sim.verilate import verilate
from . import link
from .boards import Board, wrapper_verilog
from .flows.pll import pll_verilog
from .link import Command, Frame, Status
from .top import Target, core_text, sources_below, top_verilog

HARNESS = Path(__file__).parent / "virtual_harness.cpp"
DEFAULT_CLOCK_HZ = 100_000_000
# the library runs in a process of its own: it can be killed like a board can be unplugged
_SERVE = """\
import ctypes, sys
path, transport, where, clocks, baud, latency_s, refusal = sys.argv[1:]
said = bytes.fromhex(refusal)
try:
    serve = ctypes.CDLL(path).stoic_serve
except (OSError, AttributeError) as error:
    sys.exit(print(f"failed {error}; delete it, it is built anew"))
number, size = ctypes.c_double, ctypes.c_size_t
sys.exit(serve(transport.encode(), where.encode(), int(clocks), number(float(baud)),
               number(float(latency_s)), said, size(len(said))))
"""
_REFUSAL = link.encode(
    Frame(0, Command.IDENTIFY | link.ANSWER, bytes([Status.BUSY]) + b"it serves another host")
)

Transport = Literal["tcp", "pty"]
TRANSPORTS: tuple[Transport, ...] = ("tcp", "pty")
_TERMINALS = Path("/dev/pts")

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
        clock_hz, target = pins.core_hz, pins.target
    top = top_verilog(core, clock_hz=clock_hz, target=target)
    # the one difference to what is synthesised: no vendor's memories, and no PLL
    text = core_text(core, target) + top.replace(f'TARGET = "{target}"', 'TARGET = "generic"')
    flags = ["-LDFLAGS", "-lutil", "--prefix", "Vboard"]
    name = "stoic_top"
    if pins:
        name = pins.top
        no_pll = "    assign clk = clk_i;\n    assign locked = 1'b1;\n"
        text += wrapper_verilog(pins).replace(pll_verilog(pins.pll, pins.pll_cell), no_pll)
        flags += ["-CFLAGS", f"-DSTOIC_BUTTON={int(pins.button_active_low)}"]
    path = f"{name}__DOT__u_top__DOT__idle" if pins else f"{name}__DOT__idle"
    flags += ["-CFLAGS", f"-DSTOIC_IDLE={path}"]
    return verilate(name, text, sources_below(core), HARNESS, build_dir, flags)


@dataclass(frozen=True)
class Speed:
    """Simulated clock cycles, and the seconds that they took; it sleeps while there is no work."""

    cycles: int
    busy_s: float

    def of_real_time(self, clock_hz: int) -> float:
        """Simulated time per time that passes."""
        return self.cycles / clock_hz / self.busy_s


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
        baud: int = 0,
        latency_ms: float = 0.0,
    ) -> None:
        """Build it if need be and start it.

        Args:
            build_dir: where builds are kept.
            transport: "tcp" on 127.0.0.1, or "pty".
            where: port number (default: a free one), or path of the pty (default: in build_dir),
                which takes the place of a board that was killed, and of nothing else.
            clock_hz, target, pins: as in `build`.
            baud: of a UART whose speed is imitated, 0 for none; bytes are never lost.
            latency_ms: how long its USB chip holds back what fills no packet (FTDI: 16).

        Raises:
            ToolError: Verilator is missing or fails.
            BoardError: the port or the path is taken, or the process does not start.
            InputError: unknown transport, a port that is no number 0..65535, or a negative number.
        """
        if transport not in TRANSPORTS:
            raise InputError(
                f"a virtual board is at tcp, tcp:PORT, pty or pty:LINK, not {transport!r}"
            )
        if where is None:
            where = "0" if transport == "tcp" else str(build_dir / "virtual-board.pty")
        if transport == "tcp":
            tcp_port(where)
        if baud < 0 or not 0 <= latency_ms < 1e6:
            raise InputError(f"baud and latency must be 0 or more, not {baud} and {latency_ms} ms")
        self._link = Path(where).absolute() if transport == "pty" else None
        if self._link is not None:
            _make_way(self._link)
            where = str(self._link)  # its URL, good in every folder
        library = build(core, build_dir, clock_hz=clock_hz, target=target, pins=pins)
        clocks_per_bit = pins.uart_divisor if pins else 0
        line = (str(baud), str(latency_ms / 1e3), _REFUSAL.hex())
        arguments = (str(library.resolve()), transport, where, str(clocks_per_bit), *line)
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
            reason = rest or (
                f"its process ended with status {self._process.returncode}; is {library} damaged? "
                "Then delete it"
            )
            raise BoardError(f"the virtual board did not start: {reason}")
        self.url = rest
        _log.info("virtual board at %s, process %d", self.url, self._process.pid)

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is."""
        return self._process.poll() is None

    def wait(self, told: Callable[[Speed], None]) -> int:
        """Block until it ends, e.g. in a terminal until Ctrl-C; its exit status.

        Args:
            told: is given the speed once a second of simulation, and when a client leaves.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            _, cycles, busy_s = line.split()
            if float(busy_s):  # less than a millisecond says nothing
                told(Speed(int(cycles), float(busy_s)))
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


def tcp_port(text: str) -> int:
    """The number of a TCP port, 0 for a free one.

    Raises:
        InputError: it is no number 0..65535.
    """
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) >= 1 << 16:
        raise InputError(f"a TCP port is 0..65535, not {reprlib.repr(text)}")
    return int(text)


def _make_way(link: Path) -> None:
    """Remove the link of a board that was killed: its terminal is gone.

    It is done before there is another terminal, which may be given the name of the old one.
    """
    to = link.readlink() if link.is_symlink() else None
    if to is not None and to.parent == _TERMINALS and not to.exists():
        link.unlink()
    elif to is not None:
        raise BoardError(
            f"{link}: leads to {to} already; delete it if no board is there, or give another path"
        )
    elif link.exists():
        raise BoardError(f"{link}: is there already and no link of a board; give another path")
