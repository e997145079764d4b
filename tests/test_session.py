"""Requests in flight: as many as the board has pages and no more, each answered once, in order."""

from collections import deque

import pytest
import serial

from stoic.hw import link
from stoic.hw.device import BoardDevice
from stoic.hw.link import Command, Frame, Identity, Status
from stoic.hw.port import PAUSE_S, SerialPort
from stoic.hw.session import MAX_WINDOW, Session
from stoic.sim.core import Core
from stoic.sim.exceptions import BoardError, InputError
from stoic.sim.memory import Fold, Layout, Shape

N_PAGES = 4
CORE = Core(Layout((Shape(8, 2, "bits", False),), (Fold(1, 8),)))
LAYOUT_ID = bytes.fromhex(CORE.sha256)[:16]


class Echo:
    """A board that answers INFER with its payload, and counts the frames that wait for it."""

    url = "echo"

    def __init__(self, identity: Identity, lost: tuple[int, ...] = ()) -> None:
        self.identity, self.lost = identity, set(lost)
        self.waiting: deque[Frame] = deque()
        self.n_seen = self.most_waiting = self.n_idle = 0
        self.refuse: dict[bytes, Status] = {}

    def write(self, data: bytes) -> None:
        frames, rest = link.decode(data)
        assert not rest and frames
        for frame in frames:
            self.n_seen += 1
            if self.n_seen not in self.lost:
                self.waiting.append(frame)
        self.most_waiting = max(self.most_waiting, len(self.waiting))

    def read(self, least: int, timeout_s: float) -> bytes:
        """One answer at a time, so that a driver which waits for several would hang."""
        if not self.waiting:
            return b""
        frame = self.waiting.popleft()
        self.n_idle += not self.waiting
        status, payload = self.refuse.get(frame.payload, Status.OK), frame.payload
        if frame.command == Command.IDENTIFY:
            payload = link.pack_identity(self.identity)
        answer = bytes([status]) + (payload if status is Status.OK else b"")
        return link.encode(Frame(frame.sequence, frame.command | link.ANSWER, answer))

    def close(self) -> None:
        """Nothing to release."""


def identity(protocol: int = link.PROTOCOL, build: int = 0) -> Identity:
    return Identity(protocol, N_PAGES, 1020, 1, 1, 2, 1, bytes([build] * 16), LAYOUT_ID)


def images(n: int) -> list[bytes]:
    return [i.to_bytes(2, "little") for i in range(n)]


@pytest.mark.parametrize(("window", "most"), [(None, N_PAGES), (1, 1), (MAX_WINDOW, MAX_WINDOW)])
def test_the_window_is_full_and_never_more(window: int | None, most: int) -> None:
    board = Echo(identity())
    session = Session(board, 1.0, window)
    session.synchronise()
    told: list[int] = []
    assert session.ask(Command.INFER, images(700), told.append) == images(700)
    assert board.most_waiting == most
    assert board.n_idle == (701 if most == 1 else 2)  # but for the last answers, it always has work
    assert told[-1] == 700 and len(told) == 3 and session.n_retries == 0


def test_lost_frames_are_sent_again_and_no_answer_is_taken_twice() -> None:
    board = Echo(identity(), lost=(2, 3, 40, 300, 301, 302, 303, 304))
    session = Session(board, 1.0)
    session.synchronise()
    assert session.ask(Command.INFER, images(600)) == images(600)
    assert session.n_retries == 3
    board.lost = set(range(board.n_seen, board.n_seen + 10_000))
    with pytest.raises(BoardError, match="no answer in 1 s; check cable"):
        session.ask(Command.INFER, images(3))


@pytest.mark.parametrize("at", [0, 1, 5, -1])
def test_a_lost_byte_is_not_waited_for_like_a_slow_board(at: int) -> None:
    class Torn(Echo):
        waited_s = 0.0

        def read(self, least: int, timeout_s: float) -> bytes:
            data = super().read(least, timeout_s)
            if self.n_seen > 9 and not self.waited_s and not self.waiting:
                data = data[:at] + data[at:][1:]
            self.waited_s += timeout_s * (len(data) < least)
            return data

    board = Torn(identity())
    session = Session(board, 60.0)
    session.synchronise()
    assert session.ask(Command.INFER, images(20)) == images(20)
    assert session.n_retries == 1 and 0 < board.waited_s <= 2 * PAUSE_S


def test_a_board_whose_answers_are_damaged_is_asked_more_often_than_a_silent_one() -> None:
    class Damaged(Echo):
        n_damaged = 30

        def read(self, least: int, timeout_s: float) -> bytes:
            data = super().read(least, timeout_s)
            if data and self.n_damaged:
                self.n_damaged -= 1
                return data[:-1] + bytes([data[-1] ^ 1])
            return data

    assert Session(Damaged(identity()), 1.0).synchronise() == identity()
    silent = Echo(identity(), lost=tuple(range(1, 100)))
    with pytest.raises(BoardError, match="no answer in 1 s"):
        Session(silent, 1.0).synchronise()
    assert silent.n_seen < 10


def test_a_refusal_stops_the_stream_and_keeps_what_is_in_flight() -> None:
    board = Echo(identity())
    session = Session(board, 1.0)
    session.synchronise()
    board.refuse = {images(11)[10]: Status.WRONG_SIZE}
    answers = session.exchange(Command.INFER, images(100))
    assert 11 <= len(answers) <= 10 + N_PAGES
    assert [status for status, _ in answers].index(Status.WRONG_SIZE) == 10
    with pytest.raises(BoardError, match="refused INFER: WRONG_SIZE"):
        session.ask(Command.INFER, images(100))
    board.refuse = {}
    assert session.ask(Command.INFER, images(5)) == images(5)


def test_old_and_other_boards_are_refused() -> None:
    class Short(Echo):
        def read(self, least: int, timeout_s: float) -> bytes:
            [frame], _ = link.decode(super().read(least, timeout_s))
            return link.encode(Frame(frame.sequence, frame.command, frame.payload[:-6]))

    with pytest.raises(BoardError, match="an identity has 46 .* not 40; another kit's board"):
        BoardDevice(Short(identity()), CORE)
    with pytest.raises(BoardError, match="speaks protocol 0, this kit speaks 1"):
        Session(Short(identity(protocol=0)), 1.0).synchronise()
    board = Echo(identity(), lost=(3,))
    session = Session(board, 1.0)
    session.synchronise()
    board.identity = identity(build=1)  # e.g. programmed anew while a frame was on its way
    with pytest.raises(BoardError, match="another board answers now"):
        session.ask(Command.INFER, images(9))
    for window in (0, MAX_WINDOW + 1):
        with pytest.raises(InputError, match="must be 1..128 frames"):
            Session(board, 1.0, window)


class Slow:
    """A port of pyserial without a descriptor; bytes come at `times`, seconds of its own clock."""

    def __init__(self, *times: float) -> None:
        self.now = self.timeout = 0.0
        self._times = deque(times)

    def opened(self, url: str, timeout: float, **_: object) -> "Slow":
        self.timeout = timeout
        return self

    @property
    def in_waiting(self) -> int:
        return sum(t <= self.now for t in self._times)

    def read(self, size: int) -> bytes:
        end, n = self.now + self.timeout, 0  # pyserial's timeout is for the whole read
        while n < size and self._times and self._times[0] <= end:
            self.now, n = max(self.now, self._times.popleft()), n + 1
        self.now = self.now if n == size else end
        return bytes(n)


def test_a_port_without_a_descriptor_waits_for_each_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(4, 4.9, 5.8, 6.7, 6.7, 6.7, 9)
    monkeypatch.setattr(serial, "serial_for_url", slow.opened)
    port = SerialPort("rfc2217://board:1", 115200, 5.0)
    assert len(port.read(4, 5.0)) == 4 and slow.now == 6.7  # though 5 s are over
    assert len(port.read(1, 5.0)) == 2 and slow.now == 6.7  # and what else is there
    assert len(port.read(3, 5.0)) == 1 and slow.now == 9 + PAUSE_S  # silence behind the first
    assert port.read(1, 0.5) == b"" and slow.now == 9.5 + PAUSE_S


class Chatter:
    """A port that talks without an end, every 50 ms of its own clock, and is no board."""

    url = "chatter"

    def __init__(self, text: bytes) -> None:
        self.text, self.now = text, 0.0

    def monotonic(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        """Nobody listens."""

    def read(self, least: int, timeout_s: float) -> bytes:
        n = -(-least // len(self.text))
        self.now += 0.05 * n
        return n * self.text

    def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize("text", [b"$GPGGA,123519", b"\xa5\xff\xff", b"\xa5\x80\x00\x01", b"\xa5"])
def test_a_talker_that_is_no_board_is_given_up(
    monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    chatter = Chatter(text)
    monkeypatch.setattr("stoic.hw.session.time", chatter)
    with pytest.raises(BoardError, match=r"chatter: no answer in 5 s; check cable"):
        Session(chatter, 5.0).synchronise()
    assert 5 < chatter.now < 12
