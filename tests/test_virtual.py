"""The virtual board, through the driver of a real one: the scores are golden's on any line."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from stoic.hw import boards, link, soak, virtual
from stoic.hw.device import BoardDevice, RecordedDevice
from stoic.hw.link import Command, Frame, Status
from stoic.hw.port import RecordingPort, SerialPort
from stoic.hw.virtual import VirtualBoard, build
from stoic.sim import golden
from stoic.sim.core import Core, core_of
from stoic.sim.errors.iid import Iid
from stoic.sim.exceptions import ArtefactError, BoardError, InputError, ToolError
from stoic.sim.faults import FaultMap, apply
from stoic.sim.hardware import hardware_layout, seen, written
from stoic.sim.layers import Pool
from stoic.sim.memory import KINDS, Fold, Layout, bank_words, layout_of
from stoic.sim.network import save, select
from stoic.sim.random_network import random_conv_network, random_network, with_random_tables

pytestmark = pytest.mark.verilator

CLOCK_HZ = (
    1_000_000  # so that few cycles are a long silence; the virtual board runs as fast as it can
)
MAPS = [Iid(0.1, 0.1, seed=1), Iid(0.2, 0.0, seed=2), Iid(0.02, 0.3, seed=3)]


RNG = np.random.default_rng(7)
NETWORK = with_random_tables(random_network((50, 12, 5), "uint8", RNG), 2, RNG)
LAYOUT = hardware_layout(layout_of(NETWORK, (Fold(2, 7), Fold(1, 9))), 3)  # holds all tables
CORE = Core(LAYOUT)
IMAGES = np.random.default_rng(8).integers(0, 256, (300, 50), np.uint8)


@pytest.fixture(scope="module")
def board(virtual_builds: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as running:
        yield running


@pytest.fixture
def device(board: VirtualBoard) -> Iterator[BoardDevice]:
    driver = BoardDevice(board.url, CORE)
    driver.load(NETWORK)
    yield driver
    driver.close()


def holds(device: BoardDevice, faults: FaultMap | None = None) -> bool:
    """Whether the board's memories read back as the network, seen through the faults."""
    words = bank_words(written(NETWORK, LAYOUT, faults), LAYOUT)
    return all((a == b).all() for a, b in zip(device.read_back(), words, strict=True))


def test_scores_are_goldens_under_every_map(device: BoardDevice) -> None:
    clean = golden.scores(NETWORK, IMAGES)
    assert (device.infer(IMAGES) == clean).all()
    for chip, errors in enumerate(MAPS):
        faults = errors.sample(LAYOUT, chip, KINDS)
        device.inject(faults)
        faulty = seen(NETWORK, LAYOUT, faults)
        assert holds(device, faults)
        scores = device.infer(IMAGES)
        assert (scores == golden.scores(faulty, IMAGES)).all()
        assert (scores != clean).any(), (
            "a map that changes nothing would not show a fault that is lost"
        )
    device.inject(None)
    assert holds(device)
    assert (device.infer(IMAGES) == clean).all()


def test_a_map_of_another_folding_hits_the_same_bits(device: BoardDevice) -> None:
    faults = MAPS[0].sample(layout_of(NETWORK), 4)
    device.inject(faults)
    assert holds(device, faults)
    assert (device.infer(IMAGES) == golden.scores(apply(NETWORK, faults), IMAGES)).all()


def test_tables_are_chosen_and_registers_tell(device: BoardDevice) -> None:
    faults = MAPS[0].sample(LAYOUT, 5, KINDS)
    device.inject(faults)
    read = seen(NETWORK, LAYOUT, faults)
    bound = 2  # small, as the scores are
    device.bound_margins(bound)
    for name in ("t1", "t0", None):
        device.select(name)
        before = device.registers()
        wanted = golden.scores(select(read, name) if name else read, IMAGES)
        assert (device.infer(IMAGES) == wanted).all()
        after, margins = device.registers(), golden.margin(wanted)
        assert (after.table, after.tables) == ({"t0": 1, "t1": 2}.get(str(name), 0), 3)
        assert after.images - before.images == len(IMAGES)
        assert after.margin_sum - before.margin_sum == margins.sum()
        assert after.low_margins - before.low_margins == (margins < bound).sum() > 0
    with pytest.raises(InputError, match="has no table 'x'; its tables are t0, t1"):
        device.select("x")


def test_a_table_that_the_last_host_chose_is_not_the_next_one_s(
    board: VirtualBoard, device: BoardDevice
) -> None:
    device.select("t1")
    assert (device.infer(IMAGES) == golden.scores(select(NETWORK, "t1"), IMAGES)).all()
    device.close()
    again = BoardDevice(board.url, CORE)
    with pytest.raises(BoardError, match="runs on threshold table 2, not on the thresholds of"):
        again.adopt(NETWORK)
    again.load(NETWORK)
    assert (again.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
    again.adopt(NETWORK)
    again.close()


def test_an_injection_writes_only_what_changes(device: BoardDevice) -> None:
    before = device.counters()["good_frames"]
    device.inject(None)
    assert device.counters()["good_frames"] == before + 2  # the counters themselves


def test_counters_count_from_when_the_device_was_made(device: BoardDevice) -> None:
    assert device.counters()["images"] == 0
    device.infer(IMAGES[:20])
    counted = device.counters()
    assert (counted["images"], counted["bad_frames"], counted["retries"]) == (20, 0, 0)
    assert counted["busy_cycles"] > 20 * IMAGES.shape[1]


class Socket:
    """A port whose board can be another one, as after a loss of power behind a USB adapter."""

    def __init__(self, board: VirtualBoard) -> None:
        self.url = "socket"
        self.port = SerialPort(board.url, 115200, 5.0)

    def put(self, board: VirtualBoard) -> None:
        self.port.close()
        self.port = SerialPort(board.url, 115200, 5.0)

    def read(self, least: int, timeout_s: float) -> bytes:
        return self.port.read(least, timeout_s)

    def write(self, data: bytes) -> None:
        self.port.write(data)

    def close(self) -> None:
        self.port.close()


def test_a_board_that_lost_its_memory_between_calls_is_refused(
    board: VirtualBoard, virtual_builds: Path
) -> None:
    socket = Socket(board)
    device = BoardDevice(socket, CORE)
    lost = "had executed .* frames, now 0: it was reset or lost power"
    calls: list[Callable[[], object]] = [
        lambda: device.infer(IMAGES[:3]),
        lambda: device.inject(None),
        device.counters,
    ]
    for call in calls:
        device.load(NETWORK)
        with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as fresh:
            socket.put(fresh)
            with pytest.raises(BoardError, match=lost):
                call()
            with pytest.raises(InputError, match="load a network into socket first"):
                device.infer(IMAGES[:3])
            device.load(NETWORK)
            assert (device.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
            socket.put(board)
    device.close()


def test_who_comes_while_another_leaves_is_served(board: VirtualBoard, device: BoardDevice) -> None:
    os.kill(board.pid, signal.SIGSTOP)
    try:
        device.close()
        port = SerialPort(board.url, 115200, 5.0)
    finally:
        os.kill(board.pid, signal.SIGCONT)
    again = BoardDevice(port, CORE)
    again.adopt(NETWORK)
    again.close()


def test_damaged_frames_change_nothing(board: VirtualBoard, device: BoardDevice) -> None:
    device.close()
    rng = random.Random(5)
    port = SerialPort(board.url, 115200, 5.0)
    payload = link.write_payload(0, 0, np.full(4, 0x7F, np.uint64))
    good = link.encode(Frame(9, Command.WRITE, payload))
    for bit in rng.sample(range(8, 8 * len(good)), 25):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        port.write(bytes(bad))
        answer = port.read(link.OVERHEAD_BYTES + 1, 0.5)
        if 24 <= bit:  # a length that is wrong may also end in silence
            [frame], _ = link.decode(answer)
            assert frame.payload == bytes([Status.BAD_CRC])
        while port.read(1, 0.05):
            pass
    port.close()
    again = BoardDevice(board.url, CORE)
    assert holds(again)
    again.close()


def test_a_soak_loses_nothing_and_notices_a_driver_without_crc(board: VirtualBoard) -> None:
    run = partial(soak.soak, board.url, CORE, NETWORK)
    found = run(300, 0.003)
    assert found.is_good and found.images and found.retries > 10, found
    assert found.bytes_damaged > 40 and found.frames_answered_with_error > 10, found
    with soak.blind_driver():
        is_caught, how = soak.fate(board, lambda: run(300, 0.003))
    assert is_caught, how


def test_a_mutant_is_caught_by_what_was_sent_and_not_by_a_board_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"socket://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BoardError, match="nothing listens there"):
        soak.soak(url, CORE, NETWORK, 1)

    def run_out() -> soak.Outcome:
        raise soak.GaveUpError("gave up")

    for is_running, caught in ((True, nullcontext()), (False, pytest.raises(BoardError))):
        with caught:
            board: Any = SimpleNamespace(url="", is_running=is_running)
            assert soak.fate(board, run_out) == (True, "gave up")

    started = []

    def start(*_: object, **__: object) -> Any:
        started.append(1)
        if len(started) > 1:
            raise BoardError("the virtual board did not start")
        return nullcontext(SimpleNamespace(url="", is_running=True))

    good = soak.Outcome(1, 1, 0, 0, 1, 1, 0, scores_differ=0, words_differ=0)
    monkeypatch.setattr(soak, "VirtualBoard", start)
    monkeypatch.setattr(soak, "logging", mock.MagicMock())  # it would silence other tests
    monkeypatch.setattr(soak, "soak", lambda *_, **__: good)
    with pytest.raises(BoardError, match="did not start"):
        soak.main(["--json", str(tmp_path / "soak.json")])
    assert not (tmp_path / "soak.json").exists()


@pytest.mark.slow
def test_the_example_of_the_page_runs_as_printed(
    virtual_builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "link.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    save(NETWORK, tmp_path / "build" / "fashion-tfc" / "fashion-tfc.stoic")
    (tmp_path / "build" / "virtual").symlink_to(virtual_builds)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    wanted = golden.scores(apply(names["network"], names["faults"]), names["images"])
    assert (names["scores"] == wanted).all()


def test_a_client_that_dies_inside_a_frame_leaves_the_board_as_it_was(
    board: VirtualBoard, device: BoardDevice
) -> None:
    device.close()
    frame = link.encode(
        Frame(9, Command.WRITE, link.write_payload(0, 0, np.full(4, 0x7F, np.uint64)))
    )
    for n_sent in (3, 9, len(frame) - 1):
        port = SerialPort(board.url, 115200, 5.0)
        port.write(b"\xa5garbage" + frame[:n_sent])
        port.close()
        again = BoardDevice(board.url, CORE)
        again.adopt(NETWORK)  # reads every word
        assert (again.infer(IMAGES[:9]) == golden.scores(NETWORK, IMAGES[:9])).all()
        again.close()
    with pytest.raises(BoardError, match="does not hold network .*words are others"):
        again = BoardDevice(board.url, CORE)
        try:
            again.adopt(random_network((50, 12, 5), "uint8", np.random.default_rng(3)))
        finally:
            again.close()


def test_a_full_disk_ends_the_recording_and_not_the_board(
    board: VirtualBoard, device: BoardDevice
) -> None:
    device.close()
    with pytest.raises(ArtefactError, match="/dev/full: cannot be recorded to .No space left"):
        BoardDevice(board.url, CORE, record=Path("/dev/full"))
    again = BoardDevice(board.url, CORE)
    again.adopt(NETWORK)
    again.close()


def test_a_disk_that_fills_up_during_a_run_ends_the_recording_and_not_the_board(
    board: VirtualBoard, device: BoardDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.close()
    path = tmp_path / "board.jsonl"
    recorded = BoardDevice(board.url, CORE, record=path)
    recorded.load(NETWORK)
    fill_up(monkeypatch, 3)
    with pytest.raises(ArtefactError, match="board.jsonl: cannot be recorded to .No space left"):
        recorded.infer(IMAGES)
    recorded.close()
    monkeypatch.undo()
    assert all(json.loads(line) for line in path.read_text().splitlines())
    again = BoardDevice(board.url, CORE)
    again.adopt(NETWORK)
    assert (again.infer(IMAGES) == golden.scores(NETWORK, IMAGES)).all()
    again.close()


def fill_up(monkeypatch: pytest.MonkeyPatch, n_lines: int) -> None:
    """Let recordings take so many more lines."""
    note, left = RecordingPort._note, iter(range(n_lines))

    def write(port: RecordingPort, event: dict[str, Any]) -> None:
        if next(left, None) is None:
            monkeypatch.setattr(port, "_file", Path("/dev/full").open("w", buffering=1))
        note(port, event)

    monkeypatch.setattr(RecordingPort, "_note", write)


def test_the_speed_and_the_latency_of_a_uart_are_imitated(virtual_builds: Path) -> None:
    n, baud = 60, 460_800
    slow = partial(VirtualBoard, CORE, virtual_builds, clock_hz=CLOCK_HZ, baud=baud, latency_ms=8)
    with slow(transport="pty", where=str(virtual_builds / "slow")) as board:
        device = BoardDevice(board.url, CORE)
        device.load(NETWORK)
        start = time.perf_counter()
        scores = device.infer(IMAGES[:n])
        seconds = time.perf_counter() - start
        assert (scores == golden.scores(NETWORK, IMAGES[:n])).all()
        assert seconds >= n * (link.OVERHEAD_BYTES + IMAGES.shape[1]) * 10 / baud
        start = time.perf_counter()
        for _ in range(5):
            device.counters()
        assert time.perf_counter() - start >= 5 * 8e-3  # 24 bytes do not fill a packet
        device.close()
    with pytest.raises(InputError, match="must be 0 or more"):
        VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ, latency_ms=-1.0)


def test_a_recording_replays_without_the_board(board: VirtualBoard, tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    recorded = BoardDevice(board.url, CORE, record=path)
    recorded.load(NETWORK)
    scores = recorded.infer(IMAGES[:20])
    recorded.close()
    replayed = RecordedDevice(path)
    replayed.load(NETWORK)
    assert (replayed.infer(IMAGES[:20]) == scores).all()
    other = RecordedDevice(path)
    other.load(NETWORK)
    with pytest.raises(BoardError, match="other bytes than were recorded"):
        other.infer(IMAGES[20:40])
    path.write_text(path.read_text()[1:])
    with pytest.raises(ArtefactError, match="corrupt"):
        RecordedDevice(path)


@pytest.mark.parametrize("port", ["70000", "9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "-1", "x"])
def test_a_port_that_is_none_is_refused_in_a_short_line(tmp_path: Path, port: str) -> None:
    with pytest.raises(InputError, match="a TCP port is 0..65535, not .{3,60}$"):
        VirtualBoard(CORE, tmp_path, where=port)


def test_a_board_of_another_layout_is_refused(board: VirtualBoard) -> None:
    other = Layout(LAYOUT.shapes, (Fold(1, 7), Fold(1, 9)))
    with pytest.raises(BoardError, match=f"{LAYOUT.sha256[:12]}.*{other.sha256[:12]}"):
        BoardDevice(board.url, Core(other))
    with pytest.raises(InputError, match="not for the shapes"):
        device = BoardDevice(board.url, CORE)
        try:
            device.load(random_network((50, 11, 5), "uint8", np.random.default_rng(1)))
        finally:
            device.close()


def test_a_second_host_and_a_second_board_are_refused(
    board: VirtualBoard, device: BoardDevice, virtual_builds: Path
) -> None:
    with pytest.raises(BoardError, match="serves another host"):
        BoardDevice(board.url, CORE, timeout_s=1.0)
    port = board.url.rsplit(":", 1)[1]
    with pytest.raises(BoardError, match=f"port {port}: Address already in use"):
        VirtualBoard(CORE, virtual_builds, where=port, clock_hz=CLOCK_HZ)
    assert (device.infer(IMAGES[:9]) == golden.scores(NETWORK, IMAGES[:9])).all()


def test_the_link_to_a_terminal_is_found_from_every_folder(
    virtual_builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with VirtualBoard(
        CORE, virtual_builds, clock_hz=CLOCK_HZ, transport="pty", where="tty"
    ) as board:
        assert board.url == str(tmp_path / "tty")
        BoardDevice(board.url, CORE).close()


def test_only_the_link_of_a_board_that_is_gone_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = tmp_path / "gone", tmp_path / "kept"

    def stop(*_: object, **__: object) -> None:
        assert not gone.is_symlink()  # a new terminal could have the old one's name
        raise ToolError("enough")

    monkeypatch.setattr(virtual, "build", stop)
    start = partial(VirtualBoard, CORE, tmp_path, transport="pty")
    gone.symlink_to("/dev/pts/1234567890")
    with pytest.raises(ToolError, match="enough"):
        start(where=str(gone))

    main, terminal = os.openpty()
    for target in (os.ttyname(terminal), "absent"):  # a terminal in use; a link of another kind
        kept.symlink_to(target)
        with pytest.raises(BoardError, match=f"{kept}: leads to {target} already; delete it if"):
            start(where=str(kept))
        kept.unlink()  # it is still there
    os.close(main)
    os.close(terminal)
    kept.write_text("mine")
    with pytest.raises(BoardError, match="no link of a board"):
        start(where=str(kept))
    assert kept.read_text() == "mine"


def test_what_is_built_needs_no_compiler_and_may_be_damaged(
    board: VirtualBoard, virtual_builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    library = build(CORE, virtual_builds, clock_hz=CLOCK_HZ)
    for n_bytes in (0, 1 << 14):
        damaged = tmp_path / library.name
        damaged.write_bytes(library.read_bytes()[:n_bytes])
        with pytest.raises(BoardError, match=rf"{damaged}.* [dD]elete it"):
            VirtualBoard(CORE, tmp_path, clock_hz=CLOCK_HZ)
    with pytest.raises(ToolError, match="g.. is not on PATH"):
        build(CORE, tmp_path / "new", clock_hz=CLOCK_HZ)
    assert not (tmp_path / "new").exists()


def test_what_is_no_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="no such port"):
        BoardDevice(str(tmp_path / "ttyUSB7"), CORE)
    with pytest.raises(BoardError, match="not a port that pyserial knows"):
        BoardDevice("carrier-pigeon://loft", CORE)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(BoardError, match="no answer in 0.2 s"):
            BoardDevice(f"socket://127.0.0.1:{silent.getsockname()[1]}", CORE, timeout_s=0.2)
        where = silent.getsockname()[1]
    with pytest.raises(BoardError, match="nothing listens there"):
        BoardDevice(f"socket://127.0.0.1:{where}", CORE)


def test_a_board_that_dies_in_the_run_is_an_error(virtual_builds: Path) -> None:
    with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as board:
        device = BoardDevice(board.url, CORE, timeout_s=1.0)
        device.load(NETWORK)
        with pytest.raises(BoardError, match="connection is gone"):
            device.infer(
                np.repeat(IMAGES, 4, axis=0), progress=lambda n: os.kill(board.pid, signal.SIGKILL)
            )
        device.close()


def cpu_ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_an_idle_board_sleeps(board: VirtualBoard, device: BoardDevice) -> None:
    device.infer(IMAGES[:9])
    time.sleep(0.1)
    before = cpu_ticks(board.pid)
    time.sleep(0.5)
    assert cpu_ticks(board.pid) - before <= 1


def test_a_board_ends_with_its_parent(virtual_builds: Path, board: VirtualBoard) -> None:
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import test_virtual as t\n"
        "b = t.VirtualBoard(t.CORE, Path(sys.argv[2]), clock_hz=t.CLOCK_HZ)\n"
        "print(b.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(virtual_builds)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "Z":  # ended; nobody here fetches its status
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "name", ["icebreaker", pytest.param("arty-a7-35t", marks=pytest.mark.slow)]
)
def test_pins_of_a_board_give_goldens_scores_of_convolutions_on_bits(
    name: str, virtual_builds: Path
) -> None:
    convs = ((6, 3, 1, 1, Pool(2, 2)), (4, 2, 1, 1, None))
    network = random_conv_network((5, 6, 1), convs, (3,), "bits", np.random.default_rng(9))
    layout = layout_of(network, (Fold(2, 5), Fold(1, 6), Fold(1, 4)))
    core = core_of(network, layout)
    images = np.random.default_rng(2).integers(0, 2, (40, 30), np.uint8)
    where = str(virtual_builds / "tty")
    boot = partial(VirtualBoard, core, virtual_builds, pins=boards.load(name))
    with boot(transport="pty", where=where) as board:
        device = BoardDevice(board.url, core)
        other = random_conv_network((6, 5, 1), convs, (3,), "bits", np.random.default_rng(9))
        with pytest.raises(InputError, match="not for the layers"):
            device.load(other)  # of the same rows: only windows tell the two apart
        device.load(network)
        faults = MAPS[0].sample(layout, 0, KINDS)
        device.inject(faults)
        assert (device.infer(images) == golden.scores(apply(network, faults), images)).all()
        with pytest.raises(BoardError, match="busy"):
            BoardDevice(board.url, core)
        with pytest.raises(BoardError, match="leads to .* already; delete it if no board is there"):
            boot(transport="pty", where=where)
        device.close()
    assert not Path(where).is_symlink()
