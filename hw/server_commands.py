"""The command `serve`: a board for colleagues over TCP."""

import json
import logging
import secrets
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import network as networks
from ..sim.exceptions import InputError
from . import boards, devices
from .commands import BoardName
from .device import DEFAULT_TIMEOUT_S
from .port import SerialPort
from .server import Server
from .session import Session

SHORTEST_TOKEN = 12
log = logging.getLogger(__name__)


def serve(
    url: Annotated[
        str, typer.Option(help="Port of the board; or virtual, to boot one.", show_default=False)
    ],
    network: Annotated[
        Path | None, typer.Option(metavar="NET.stoic", help="Whose core a virtual board runs.")
    ] = None,
    board: BoardName = "",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="0.0.0.0:PORT for other machines.")
    ] = "127.0.0.1:0",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Token of the lease; a random one.")
    ] = None,
    idle_s: Annotated[
        float, typer.Option(min=0.1, help="A client that is silent so long is put out.")
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as JSON.")] = False,
) -> None:
    """Serve a board over TCP until Ctrl-C: one lease at a time, read-only without one."""
    host, _, port = listen.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise InputError(f"--listen is HOST:PORT with a port 0..65535, not {listen!r}")
    token = token_file.read_text().strip() if token_file else secrets.token_urlsafe(12)
    if len(token) < SHORTEST_TOKEN or not token.isascii() or set("@/ ") & set(token):
        raise InputError(
            f"a token has {SHORTEST_TOKEN} or more ASCII characters, none of them a blank, @ or /"
        )

    def tell(event: dict[str, Any]) -> None:
        if as_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            print(json.dumps({"time_utc": now, **event}), flush=True)
        elif event["event"] != "start":
            log.info("%s", ", ".join(f"{k} {v}" for k, v in event.items() if v not in ({}, 0)))

    with ExitStack() as stack:
        at_port = _boot(stack, network, board) if url == "virtual" else url
        baud = devices.line_speed(board)
        session = Session(SerialPort(at_port, baud, DEFAULT_TIMEOUT_S), DEFAULT_TIMEOUT_S)
        stack.callback(session.close)
        server = Server(session, host, int(port), token, idle_s, tell)
        stack.callback(server.close)
        tell({"event": "start", "url": server.url, "token": None if token_file else token})
        if not as_json:
            shown = "TOKEN" if token_file else token
            print(f"{server.url}\nlease: socket://{shown}@{server.host}:{server.port}")
            sys.stdout.flush()
        server.serve()


def _boot(stack: ExitStack, network: Path | None, board: str) -> str:
    """URL of a virtual board that lives as long as the stack."""
    from . import virtual_device

    if network is None:
        raise InputError("a virtual board needs --network NET.stoic")
    at = devices.setting(network, networks.load(network), board)
    chosen = boards.load(board) if board else None
    return stack.enter_context(virtual_device.boot(devices.hardware(at), chosen)).url
