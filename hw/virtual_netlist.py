"""A virtual board that runs the netlist that is placed, behind a TCP port."""

import os
from collections.abc import Callable
from typing import Any

from ..sim.exceptions import InputError
from . import boards, settings
from .netlist_device import NetlistPort, netlist_program
from .server import Server
from .session import Session
from .settings import Setting
from .virtual import Speed, tcp_port

_TIMEOUT_S = 60.0  # of a frame in the simulation; it counts cycles and needs no clock


def serve_netlist(
    at: Setting, url: str, start: Callable[[str, int], None], tell: Callable[[Speed], None]
) -> None:
    """Synthesise if need be and serve one client at a time, until it is interrupted.

    Args:
        url: "tcp" for a free port, or "tcp:PORT".
        start: is called with URL and process once it listens.
        tell: is given the speed when a client leaves.

    Raises:
        InputError: no board, another URL, or a port that is no number 0..65535.
        ToolError: synthesis or the C++ compiler is missing or fails.
    """
    transport, _, where = url.partition(":")
    if transport != "tcp":
        raise InputError(f"a netlist is served at tcp or tcp:PORT, not {url!r}")
    number = tcp_port(where or "0")
    if not at.board:
        open_boards = "|".join(boards.names(needs_vivado=False))
        raise InputError(f"a netlist needs a board: --board {open_boards}")
    core, folder = settings.hardware(at), at.network_file.parent / at.board
    program = netlist_program(at.network.name, core, boards.load(at.board), folder)
    port = NetlistPort(program, core)

    def log(event: dict[str, Any]) -> None:
        if event["event"] == "disconnect" and port.busy_s:
            tell(Speed(port.n_cycles, port.busy_s))

    server = Server(Session(port, _TIMEOUT_S), "127.0.0.1", number, None, None, log)
    try:
        start(server.url, os.getpid())
        server.serve()
    finally:
        server.close()
