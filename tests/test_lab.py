"""The lab log names the bitstream that was built with the id that the board tells, or none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw import board_campaign, board_commands, cli, devices, lab, top
from stoic.sim import network as networks
from stoic.sim.core import default_core
from stoic.sim.device import Faults, GoldenDevice
from stoic.sim.exceptions import BoardError
from stoic.sim.random_network import random_network

NETWORK = random_network((30, 12, 5), "uint8", np.random.default_rng(3))
WHO = top.identity(
    default_core(NETWORK), clock_hz=1_000_000, target="generic", build=bytes(range(16))
)
TOP = f"128'h{WHO.build[::-1].hex()}"
NOTHING = {"bitstream": None, "bitstream_sha256": None}
PLAN = """
[campaign]
models = ["{net}"]
data = "fashion-mnist"
board = "icebreaker"
store = "{store}"
n_images = 8
[errors]
rates = [0.1]
chips = 3
"""


class Board(GoldenDevice):
    """A board that needs no simulator."""

    identity, has_registers = WHO, False


class Dying(Board):
    """It does so with the second map."""

    error: BaseException = KeyboardInterrupt()

    def inject(self, faults: Faults | None) -> None:
        if self._n_images:
            raise self.error
        super().inject(faults)


def put(folder: Path, name: str, top_text: bytes = TOP.encode()) -> dict[str, Any]:
    """A build in a folder: what the log then says of it."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "stoic_top.v").write_bytes(top_text)
    made = {"bitstream": name, "bitstream_sha256": f"of {name}"}
    (folder / "build.json").write_text(json.dumps(made))
    return made


def logged(folder: Path) -> dict[str, Any]:
    """Of the last line of a lab log, what it says of the bitstream."""
    line = json.loads((folder / "lab.jsonl").read_text().splitlines()[-1])
    assert line["build_id"] == WHO.build.hex() and "network_files" not in line
    return {key: line[key] for key in NOTHING}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.stoic"
    networks.save(NETWORK, path)
    return path


@pytest.mark.parametrize("board", [(), ("--board", "icebreaker")])
def test_a_selftest_logs_the_bitstream_also_where_no_board_is_named(
    net: Path, monkeypatch: pytest.MonkeyPatch, board: tuple[str, ...]
) -> None:
    monkeypatch.setattr(board_commands, "_open", lambda *_: Board())
    monkeypatch.setattr(
        board_commands, "load_row", lambda device, loaded: device.load(loaded) or {}
    )
    put(net.parent / "ulx3s-25f", "of-other-gates.bit", b"128'h0")
    made = put(net.parent / "icebreaker", "net.bin")
    command = ["board", "selftest", str(net), "--url", "/dev/absent", "--n", "8", *board]
    assert cli.run(command) == 0
    assert logged(net.parent) == made


def test_a_campaign_logs_the_bitstream_of_its_network_and_board(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(net.parent / "icebreaker", "net.bin")
    plan = tmp_path / "store" / "plan.toml"
    plan.parent.mkdir()
    plan.write_text(PLAN.format(net=net, store=plan.with_suffix(".sqlite")))
    keys = ("campaign", "store", "n_rows", "n_computed", "n_rows_different", "seeds")
    found = {**dict.fromkeys(keys, 0), "rows": [{"network": "net"}], "failure": None}
    monkeypatch.setattr(board_campaign, "run", lambda *_: found)
    monkeypatch.setattr("stoic.hw.probe.identify", lambda *_: WHO)
    assert cli.run(["board", "campaign", str(plan), "--url", "/dev/absent"]) == 0
    assert logged(plan.parent) == made


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyboardInterrupt(), "interrupted"),  # as SIGTERM is
        (BoardError("socket://horse@lab:5000: died"), "socket://lab:5000: died"),
    ],
)
def test_a_campaign_that_does_not_end_is_logged_with_its_note_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, ended: str
) -> None:
    pixels = tmp_path / "pixels.stoic"
    networks.save(random_network((784, 12, 10), "uint8", np.random.default_rng(4)), pixels)
    plan = tmp_path / "store" / "plan.toml"
    plan.parent.mkdir()
    plan.write_text(PLAN.format(net=pixels, store=plan.with_suffix(".sqlite")))
    monkeypatch.setattr(Dying, "error", error)
    monkeypatch.setattr(devices, "open_port", lambda *_: Dying())
    monkeypatch.setattr("stoic.hw.probe.identify", lambda *_: WHO)
    url = ("--url", "socket://horse@lab:5000")
    assert cli.run(["board", "campaign", str(plan), *url, "--note", "41 C"]) == 2
    (line,) = map(json.loads, (plan.parent / "lab.jsonl").read_text().splitlines())
    assert (line["command"], line["notes"], line["ended"]) == ("campaign", ["41 C"], ended)
    assert (line["n_rows"], line["n_computed"]) == (1, 1) and line["campaign"] == "plan"


def test_who_drives_a_board_by_name_leaves_a_line_of_its_opening(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "open_port", lambda *_: Board())
    np.save(net.with_suffix(".npy"), np.zeros((2, 30), np.uint8))
    given = (str(net), "--input", str(net.with_suffix(".npy")))
    for command in (
        ("infer", *given, "--device", "/dev/x", "-o", str(net.with_name("out.npy"))),
        ("agree", *given, "--devices", "/dev/x", "--no-mutants"),
        ("board", "load", str(net), "--url", "/dev/x", "--note", "41 C"),
    ):
        monkeypatch.setattr(board_commands, "load_row", lambda *_: {})
        assert cli.run(list(command)) == 0
    lines = [json.loads(line) for line in (net.parent / "lab.jsonl").read_text().splitlines()]
    assert [line["command"] for line in lines] == ["open", "open", "load"]
    assert {line["network_sha256"] for line in lines} == {NETWORK.sha256}
    assert lines[-1]["notes"] == ["41 C"] and lines[-1]["ended"] == "done"


def test_a_line_that_broke_off_swallows_no_other_and_a_refused_run_leaves_no_log(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = net.parent / "lab.jsonl"
    command = ["board", "selftest", str(net), "--url", "/dev/absent", "--n", "8"]
    assert cli.run(command) == 2 and not log.exists()
    log.write_text('{"half')
    monkeypatch.setattr(board_commands, "_open", lambda *_: Board())
    monkeypatch.setattr(
        board_commands, "load_row", lambda device, loaded: device.load(loaded) or {}
    )
    assert cli.run(command) == cli.run(command) == 0
    half, *lines = log.read_text().splitlines()
    assert half == '{"half'
    assert [json.loads(line)["command"] for line in lines] == ["selftest"] * 2


def test_a_selftest_is_logged_before_its_campaign(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_commands, "_open", lambda *_: Board())
    monkeypatch.setattr(
        board_commands, "load_row", lambda device, loaded: device.load(loaded) or {}
    )

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(board_campaign, "run", interrupted)
    monkeypatch.setattr("stoic.hw.probe.identify", lambda *_: WHO)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(net=net, store=plan.with_suffix(".sqlite")))
    command = ["board", "selftest", str(net), "--url", "/dev/absent", "--n", "8"]
    assert cli.run([*command, "--campaign", str(plan)]) == 2
    assert logged(net.parent) == NOTHING


def test_rows_of_a_board_are_compared_trial_by_trial() -> None:
    def row(trial: str, scores: str) -> dict[str, str]:
        return {"trial_sha256": trial, "scores_sha256": scores}

    ours = [row("a", "1"), row("b", "2"), row("c", "3")]  # a stop rule asked for one more
    theirs = [row("b", "0"), row("a", "1")]
    assert board_campaign.different(ours, theirs[::-1]) == ours[1:]
    assert board_campaign.different(theirs, ours) == [theirs[0], ours[2]]
    assert board_campaign.different(ours, ours[::-1]) == []


def test_the_help_says_where_the_log_of_a_campaign_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["board", "campaign", "--help"]) == 0
    said = capfd.readouterr().out
    assert "beside the" in said and "beside NET" not in said


def test_none_of_two_bitstreams_with_the_same_gates_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = put(tmp_path / "a", "a.bit")
    put(tmp_path / "b", "b.bit")
    net = tmp_path / "net.stoic"
    assert lab.bitstream(lab.folders([net], None), WHO) == NOTHING
    assert "a.bit, b.bit have the board's gates" in caplog.text
    assert lab.bitstream(lab.folders([net], "a"), WHO) == first


def test_a_top_that_is_no_text_costs_no_run(tmp_path: Path) -> None:
    made = put(tmp_path / "a", "a.bit", b"\xff" + TOP.encode())
    put(tmp_path / "b", "b.bit", b"\xff\xfe")
    net = tmp_path / "net.stoic"
    lab.write(tmp_path / "lab.jsonl", "test", WHO, None, {"url": "/dev/x", "network_files": [net]})
    assert logged(tmp_path) == made
