"""The command `serve`: a board for colleagues over TCP."""

import json
import logging
import re
import secrets
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import network as networks
from ..sim.exceptions import InputError
from . import boards, devices, settings
from .commands import BoardName
from .device import DEFAULT_TIMEOUT_S
from .port import SerialPort
from .server import Server, check_idle
from .session import Session

SHORTEST_TOKEN = 12
_IN_NO_TOKEN = set("@/ \"'")  # they end it, or the search for it in what is printed
_LISTEN = re.compile(r"(\[[\w:.%-]*:[\w:.%-]*\]|[\w.-]+):(\d{1,5})", re.ASCII)
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
        str,
        typer.Option(
            metavar="HOST:PORT", help="0.0.0.0:PORT for other machines; [::1]:PORT is IPv6."
        ),
    ] = "127.0.0.1:0",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Token of the lease; a random one.")
    ] = None,
    idle_s: Annotated[
        float, typer.Option(help="A client that is silent so long, 0.1 s to a week, is put out.")
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as JSON.")] = False,
) -> None:
    """Serve a board over TCP until Ctrl-C: one lease at a time, read-only without one."""
    check_idle(idle_s)
    if network and url != "virtual":
        raise InputError("--network is of a virtual board: --url virtual")
    host, port = _split(listen)
    token = _read_token(token_file) if token_file else secrets.token_urlsafe(12)

    def tell(event: dict[str, Any]) -> None:
        if as_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            print(json.dumps({"time_utc": now, **event}), flush=True)
        elif event["event"] != "start":
            log.info("%s", ", ".join(f"{k} {v}" for k, v in event.items() if v not in ({}, 0)))

    with ExitStack() as stack:
        at_port = _boot(stack, network, board) if url == "virtual" else url
        port_of_board = SerialPort(at_port, devices.line_speed(board), DEFAULT_TIMEOUT_S)
        session = Session(port_of_board, DEFAULT_TIMEOUT_S)
        stack.callback(session.close)
        if port_of_board.token:
            session.lease(port_of_board.token)
        server = Server(session, host, port, token, idle_s, tell)
        stack.callback(server.close)
        tell({"event": "start", "url": server.url, "token": None if token_file else token})
        if not as_json:
            shown = "TOKEN" if token_file else token
            print(f"{server.url}\nlease: {server.url.replace('//', f'//{shown}@')}")
            sys.stdout.flush()
        server.serve()


def _split(listen: str) -> tuple[str, int]:
    """Host and port.

    >>> _split("127.0.0.1:0"), _split("[::1]:5000")
    (('127.0.0.1', 0), ('::1', 5000))
    """
    match = _LISTEN.fullmatch(listen)
    if not match or int(match[2]) >= 1 << 16:
        raise InputError(
            f"--listen is HOST:PORT or [IPv6]:PORT with a port 0..65535, not {listen!r}"
        )
    return match[1].strip("[]"), int(match[2])


def _read_token(path: Path) -> str:
    token = path.read_text("utf-8", errors="replace").strip()
    is_plain = token.isascii() and token.isprintable()
    if len(token) < SHORTEST_TOKEN or not is_plain or _IN_NO_TOKEN & set(token):
        raise InputError(
            f"{path}: a token has {SHORTEST_TOKEN} or more printable ASCII characters, "
            "none of them a blank, @, / or a quote"
        )
    return token


def _boot(stack: ExitStack, network: Path | None, board: str) -> str:
    """URL of a virtual board that lives as long as the stack."""
    from . import virtual_device

    if network is None:
        raise InputError("a virtual board needs --network NET.stoic")
    at = settings.setting(network, networks.load(network), board)
    chosen = boards.load(board) if board else None
    return stack.enter_context(virtual_device.boot(settings.hardware(at), chosen)).url
