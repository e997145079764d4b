"""A recording replays what was recorded, and what is none is refused by file and line."""

from pathlib import Path

import pytest

from stoic.hw.device import RecordedDevice
from stoic.hw.port import RecordingPort, ReplayPort
from stoic.hw.session import Session
from stoic.sim.exceptions import ArtefactError, BoardError

from .test_session import CORE, Echo, identity


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "board.jsonl"
    record_to(path, is_wanted=True)
    return path


def record_to(path: Path, *, is_wanted: bool) -> None:
    recorded = RecordingPort(Echo(identity()), path, CORE)
    session = Session(recorded, 1.0)
    session.synchronise()
    if is_wanted:
        recorded.keep()
    session.close()


def test_a_recording_replays(recording: Path) -> None:
    replay = ReplayPort(recording)
    session = Session(replay, 1.0)
    assert replay.core == CORE and session.synchronise() == identity()
    with pytest.raises(BoardError, match="step 3 is no write; another run was recorded"):
        session.synchronise()


def test_a_board_that_is_not_the_wanted_one_costs_no_recording(recording: Path) -> None:
    before = recording.read_bytes()
    record_to(recording, is_wanted=False)
    assert recording.read_bytes() == before and list(recording.parent.iterdir()) == [recording]


EVENTS = ["5", "[]", "{}", '{"read": 5}', '{"read": "é"}', '{"read": "A"}', '{"seek": ""}', '{"re']


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_no_event_is_refused_by_its_line(recording: Path, event: str) -> None:
    header, write, read = recording.read_text().splitlines()
    recording.write_text("\n".join([header, write, event, read]), "utf-8")
    with pytest.raises(ArtefactError, match=r"board.jsonl: line 3 is corrupt"):
        RecordedDevice(recording)


HEADERS = {
    "nothing": b"",
    "binary": bytes(range(256)) * 1000,
    "deep": b"[" * 100_000,
    "number": b"5",
    "newer": b'{"format": "stoic-recording", "version": 2}',
    "bare": b'{"format": "stoic-recording", "version": 1}',
    "list": b'{"format": "stoic-recording", "version": 1, "layout": []}',
    "other": b'{"format": "stoic-recording", "version": 1, "layout": {"banks": 1}}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_is_no_recording_is_refused_in_one_short_line(recording: Path, header: bytes) -> None:
    recording.write_bytes(header)
    with pytest.raises(ArtefactError, match=r"board.jsonl: line 1 is corrupt") as refused:
        RecordedDevice(recording)
    said = str(refused.value).removeprefix(str(recording))
    assert len(said) < 200 and said.isprintable()


def test_files_that_cannot_be_read_or_written_are_refused(recording: Path) -> None:
    folder = recording.parent
    for path, why in ((folder, "Is a directory"), (folder / "absent", "No such file")):
        with pytest.raises(ArtefactError, match=f"{path}: cannot be read .{why}"):
            RecordedDevice(path)
    for path in (folder, recording / "inside a file", Path("/proc/x.rec")):
        with pytest.raises(ArtefactError, match=f"{path}: cannot be recorded to "):
            RecordingPort(Echo(identity()), path, CORE)
