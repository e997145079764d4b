"""A served board: one lease at a time, and nothing that changes the board without one."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stoic.hw import cli, lab, link, probe
from stoic.hw.device import BoardDevice
from stoic.hw.link import Command, Frame, Status
from stoic.hw.port import SerialPort
from stoic.hw.server import Server
from stoic.hw.session import Session
from stoic.hw.virtual import VirtualBoard
from stoic.sim import golden
from stoic.sim.exceptions import BoardError

from .test_virtual import CLOCK_HZ, CORE, IMAGES, MAPS, NETWORK, holds

pytestmark = pytest.mark.verilator
TOKEN = "correct-horse"


@dataclass
class Served:
    board: VirtualBoard
    server: Server
    events: list[dict[str, Any]]
    failures: list[BoardError]

    @property
    def leased(self) -> str:
        return self.server.url.replace("//", f"//{TOKEN}@")


@pytest.fixture
def idle_s() -> float:
    """After how long a silent client is put out."""
    return 60.0


@pytest.fixture
def served(virtual_builds: Path, idle_s: float) -> Iterator[Served]:
    events: list[dict[str, Any]] = []
    failures: list[BoardError] = []
    with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as board:
        session = Session(SerialPort(board.url, 115200, 5.0), 5.0)
        server = Server(session, "127.0.0.1", 0, TOKEN, idle_s, events.append)

        def serve() -> None:
            try:
                server.serve()
            except BoardError as error:
                failures.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Served(board, server, events, failures)
        server.close()
        thread.join(10)
        assert not thread.is_alive()


def test_a_lease_is_one_clients_and_strangers_only_read(served: Served, tmp_path: Path) -> None:
    stranger = BoardDevice(served.server.url, CORE)
    with pytest.raises(BoardError, match="read-only without a lease.*TOKEN@host"):
        stranger.load(NETWORK)
    stranger.close()
    with pytest.raises(BoardError, match="wrong token") as refused:
        BoardDevice(served.leased.replace("horse", "mule!"), CORE)
    assert "mule" not in str(refused.value)
    holder = BoardDevice(served.leased, CORE, record=tmp_path / "leased.jsonl")
    holder.load(NETWORK)
    assert (holder.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
    for url in (served.server.url, served.leased):  # neither read nor leased meanwhile
        with pytest.raises(BoardError, match="busy: leased to 127.0.0.1:.*come back later"):
            BoardDevice(url, CORE)
    assert probe.identify(served.server.url) == holder.identity
    assert holder.counters()["images"] == len(IMAGES)  # nobody else's among them
    holder.close()
    assert TOKEN not in (tmp_path / "leased.jsonl").read_text()
    stranger = BoardDevice(served.server.url, CORE)
    stranger.adopt(NETWORK)
    assert (stranger.infer(IMAGES[:30]) == golden.scores(NETWORK, IMAGES[:30])).all()
    with pytest.raises(BoardError, match="read-only"):
        stranger.select("t0")
    with pytest.raises(BoardError, match="read-only"):
        stranger.inject(MAPS[0].sample(CORE.layout, 1))
    assert holds(stranger)
    stranger.close()
    again = BoardDevice(served.leased, CORE)
    again.load(NETWORK)
    again.close()
    wait_for(lambda: sum(e["event"] == "disconnect" for e in served.events) >= 8)
    assert [e["event"] for e in served.events].count("lease") == 2
    [left] = [e for e in served.events if e.get("had_lease") and "INFER" in e["frames"]]
    assert left["frames"]["INFER"] == len(IMAGES) and left["n_refused"] == 0


def wait_for(is_so: Any) -> None:
    end = time.monotonic() + 20
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    assert is_so()


def test_garbage_harms_nobody(served: Served) -> None:
    holder = BoardDevice(served.leased, CORE)
    holder.load(NETWORK)
    with socket.create_connection((served.server.host, served.server.port)) as wild:
        huge = b"\xa5\xff\xff\x01\x02" + bytes(1 << 17)  # longer than any frame may be
        wild.sendall(b"\xa5" * 999 + huge + link.encode(Frame(3, Command.WRITE, b"x" * 12)))
        wild.sendall(link.encode(Frame(4, 0x55)) + link.encode(Frame(5, Command.IDENTIFY))[:-2])
        answers: list[Frame] = []
        rest = b""
        while len(answers) < 2:
            found, rest = link.decode(rest + wild.recv(1 << 12))
            answers += found
        refused = [(3, Status.BUSY), (4, Status.BUSY)]
        assert [(a.sequence, a.payload[0]) for a in answers] == refused
    assert holds(holder)
    holder.close()


@pytest.mark.parametrize("idle_s", [1.0])
def test_who_is_silent_loses_the_lease(served: Served) -> None:
    silent = BoardDevice(served.leased, CORE)
    wait_for(lambda: any(e["event"] == "disconnect" for e in served.events))
    assert served.events[-1]["had_lease"] and served.events[-1]["why"] == "silent for 1 s"
    with pytest.raises(BoardError, match="busy: put out after 1 s of silence"):
        silent.load(NETWORK)
    silent.close()
    BoardDevice(served.leased, CORE).close()


def test_a_dead_board_ends_the_server(served: Served) -> None:
    client = BoardDevice(served.leased, CORE)
    served.board.close()
    with pytest.raises(BoardError, match="busy: the board is gone|connection is gone"):
        client.load(NETWORK)
    client.close()
    wait_for(lambda: served.failures)
    assert "connection is gone" in str(served.failures[0])


def test_the_command_serves_and_says_what_happens(
    virtual_builds: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as board:
        serve = ["serve", "--url", board.url, "--token-file", str(token), "--json"]
        for text, listen, says in (
            ("short", "127.0.0.1:0", "a token has 12 or more"),
            ("a-longer-token", "5000", "--listen is HOST:PORT"),
            ("a-longer-token", "192.0.2.1:5000", "cannot listen on 192.0.2.1:5000"),
        ):
            token.write_text(f"{text}\n")
            capfd.readouterr()
            assert cli.run([*serve, "--listen", listen]) == 2
            said = capfd.readouterr()
            assert says in said.err and said.err.count("\n") == 1
        command = [sys.executable, "-m", "stoic.hw.cli", *serve]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert running.stdout is not None
            start = json.loads(running.stdout.readline())
            assert start["event"] == "start" and start["token"] is None
            url = start["url"].replace("//", "//a-longer-token@")
            assert cli.run(["board", "identify", "--url", url, "--json"]) == 0
            shown = capfd.readouterr().out
            assert "a-longer-token" not in shown and start["url"] in shown
            lab.write(tmp_path / "lab.jsonl", "test", probe.identify(url), ["41 C"], {"url": url})
            logged = (tmp_path / "lab.jsonl").read_text()
            assert "a-longer-token" not in logged and json.loads(logged)["url"] == start["url"]
        finally:
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        events = [json.loads(line)["event"] for line in out.splitlines()]
        assert events == ["connect", "disconnect"] * 2
        assert running.returncode == 2 and b"interrupted" in err
