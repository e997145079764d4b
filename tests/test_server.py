"""A served board: one lease at a time, and nothing that changes the board without one."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stoic.hw import cli, lab, link, probe, server
from stoic.hw.device import BoardDevice
from stoic.hw.link import Command, Frame, Status
from stoic.hw.port import SerialPort
from stoic.hw.server import MAX_CLIENTS, Log, Server
from stoic.hw.session import Session
from stoic.hw.virtual import VirtualBoard
from stoic.sim import golden
from stoic.sim.exceptions import ArtefactError, BoardError

from .test_session import Echo, identity
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


def test_who_reads_notices_that_another_host_wrote(served: Served) -> None:
    with closing(BoardDevice(served.leased, CORE)) as holder:
        holder.load(NETWORK)
    with closing(BoardDevice(served.server.url, CORE)) as reader:
        reader.adopt(NETWORK)
        with closing(BoardDevice(served.leased, CORE)) as holder:
            holder.load(NETWORK)
            holder.select("t0")
        with pytest.raises(BoardError, match="runs on threshold table 1"):
            reader.infer(IMAGES)
        for faults, is_same in ((None, True), (MAPS[0].sample(CORE.layout, 1), False)):
            with closing(BoardDevice(served.leased, CORE)) as holder:
                holder.load(NETWORK)
                holder.inject(faults)
            if is_same:
                assert (reader.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
                continue
            with pytest.raises(BoardError, match="it is broken, was reset, or another host wrote"):
                reader.infer(IMAGES)


def test_one_too_many_is_told_so(served: Served) -> None:
    place = (served.server.host, served.server.port)
    clients = [socket.create_connection(place) for _ in range(MAX_CLIENTS)]
    wait_for(lambda: sum(e["event"] == "connect" for e in served.events) == MAX_CLIENTS)
    for _ in range(20):
        with pytest.raises(BoardError, match="busy: 16 clients are connected already"):
            BoardDevice(served.server.url, CORE)
    for client in clients:
        client.close()
    wait_for(lambda: sum(e["event"] == "disconnect" for e in served.events) == MAX_CLIENTS)
    BoardDevice(served.server.url, CORE).close()


def test_a_client_that_cannot_be_taken_in_ends_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(BoardDevice(served.leased, CORE)) as holder:
        holder.load(NETWORK)
        monkeypatch.setattr(server, "PAUSE_S", 0.01)
        accept = served.server._listening.accept
        troubles = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "")]
        listening = mock.Mock(wraps=served.server._listening)
        listening.accept.side_effect = lambda: accept() if not troubles else fail(troubles.pop(0))
        monkeypatch.setattr(served.server, "_listening", listening)
        probe.identify(served.server.url)  # was being waited for already
        probe.identify(served.server.url)
        assert (holder.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
    refused = [event["why"] for event in served.events if event["event"] == "accept"]
    assert refused == ["Too many open files", ""]


def fail(error: Exception) -> None:
    raise error


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


@contextmanager
def serving(host: str = "127.0.0.1", log: Log = lambda event: None) -> Iterator[Server]:
    """A server of a board that needs no simulator."""
    server = Server(Session(Echo(identity()), 1.0), host, 0, TOKEN, 60.0, log)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), 20)


def test_a_frame_that_breaks_off_hides_none_behind_it() -> None:
    half = link.encode(Frame(1, Command.INFER, bytes(99)))[:50]
    probe_frame = link.encode(Frame(2, Command.IDENTIFY))
    answer = b"\0" + link.pack_identity(identity())
    answered = link.encode(Frame(2, Command.IDENTIFY | link.ANSWER, answer))
    with serving() as server, connect(server) as client:
        client.sendall(half + probe_frame)
        assert client.recv(1 << 12) == answered  # after a silence
        client.sendall(probe_frame)
        assert client.recv(1 << 12) == answered
        client.sendall(half + probe_frame)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1 << 12) == answered
        assert client.recv(1 << 12) == b""


def test_events_are_told_one_at_a_time() -> None:
    events, together = [], []
    two = threading.Barrier(2)

    def log(event: dict[str, Any]) -> None:
        with suppress(threading.BrokenBarrierError):
            two.wait(0.5)
            together.append(event)
        events.append(event)

    with serving(log=log) as server, connect(server), connect(server):
        wait_for(lambda: len(events) == 2)
    assert not together


def test_a_log_that_cannot_be_written_ends_the_server() -> None:
    def log(event: dict[str, Any]) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    server = Server(Session(Echo(identity()), 1.0), "127.0.0.1", 0, TOKEN, 60.0, log)
    with connect(server), pytest.raises(ArtefactError, match="cannot be written any more .Broken"):
        server.serve()
    server.close()


def test_a_served_board_that_is_dead_says_so_to_who_identifies(served: Served) -> None:
    served.board.close()
    with pytest.raises(BoardError, match="the board is gone|connection is gone"):
        probe.identify(served.server.url)


def test_the_command_line_shows_the_hint_and_no_token(capfd: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        session = Session(SerialPort(server.url, 115200, 5.0), 5.0)
        session.synchronise()
        with pytest.raises(BoardError) as refused:
            session.ask(Command.WRITE, [bytes(12)])
        session.close()
    cli._refuse(str(refused.value))
    assert "put the token into the URL, before the host: TOKEN@host:port" in capfd.readouterr().err
    for url in (server.url, server.url.replace("socket", "SOCKET")):
        cli._refuse(f"{url.replace('//', f'//{TOKEN}@')}: busy")
        assert capfd.readouterr().err == f"stoic: {url}: busy\n"


def test_ipv6_is_served_in_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving("::1") as server:
        assert server.url == f"socket://[::1]:{server.port}"
        assert probe.identify(server.url) == identity()


REFUSED = [
    ("--idle-s", "1e10", "idle-s must be 0.1..604800 s, not 1e+10"),
    ("--idle-s", "inf", "idle-s must be 0.1..604800 s, not inf"),
    ("--idle-s", "nan", "idle-s must be 0.1..604800 s, not nan"),
    ("--idle-s", "0", "idle-s must be 0.1..604800 s, not 0"),
    ("--listen", "::1:5000", "HOST:PORT or [IPv6]:PORT with a port 0..65535, not '::1:5000'"),
    ("--listen", "[lab]:5000", "[IPv6]:PORT"),
    ("--listen", "[::1]:65536", "a port 0..65535"),
    ("--listen", "[::1]:5000", "/dev/absent: no such port"),  # so that it was understood
]


@pytest.mark.parametrize(("option", "value", "says"), REFUSED)
def test_what_cannot_be_served_is_refused_at_the_start(
    capfd: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    assert cli.run(["serve", "--url", "/dev/absent", option, value]) == 2
    said = capfd.readouterr().err
    assert says in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "token", [bytes(range(140, 180)), b"a\0control-byte", b"one-'quoted'-word"]
)
def test_what_is_no_token_is_refused_and_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], token: bytes
) -> None:
    path = tmp_path / "token"
    path.write_bytes(token)
    assert cli.run(["serve", "--url", "/dev/absent", "--token-file", str(path)]) == 2
    said = capfd.readouterr().err
    assert f"{path}: a token has 12 or more printable ASCII characters" in said
    assert said.count("\n") == 1 and token[:5].decode("latin-1") not in said
