"""Programming a board: what is looked for is named, and what was built is what must answer."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from stoic.hw import cli, lab, programming, top
from stoic.hw.virtual import VirtualBoard
from stoic.sim import network as networks

from .test_virtual import CLOCK_HZ, CORE, NETWORK

# what openFPGALoader 1.1.1 prints where no board is, and how it prints those that it finds
NO_BOARD = 'echo "empty"; echo "unable to open ftdi device: -3 (device not found)" >&2; exit 1'
FT2232H = ["arty-a7-35t", "ecpix5-85f", "ice40-hx8k", "icebreaker"]
SCAN = r"""
printf '\033[32mBus device vid:pid       probe_type      manufacturer serial  product\033[0m\n'
printf '001 004    0x0403:0x6015 ft231X          FER-RADIONA  K00219  ULX3S FPGA 25K v3.0.3\n'
"""


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; a script put there plays openFPGALoader."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def play(folder: Path, script: str) -> None:
    (folder / "openFPGALoader").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "openFPGALoader").chmod(0o755)


def refusal(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which a command is refused."""
    capfd.readouterr()
    assert cli.run([str(a) for a in arguments]) == 2
    lines = capfd.readouterr().err.splitlines()
    return lines[-1]


def test_what_was_looked_for_is_named(
    loader: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bitstream = tmp_path / "x.bit"
    command = ("board", "program", bitstream, "--board", "ulx3s-25f")
    assert "no bitstream (No such file or directory); stoic synth" in refusal(capfd, *command)
    bitstream.write_bytes(b"bits")
    assert "no bitstream of ulx3s-25f: the sync word" in refusal(capfd, *command)
    bitstream.write_bytes(b"\xff\0Part: any\0" + programming.SYNC["ecp5"])
    assert "openFPGALoader or openfpgaloader-cli is not on PATH" in refusal(capfd, *command)
    play(loader, NO_BOARD)
    said = refusal(capfd, *command)
    assert "unable to open ftdi device" in said and "looked for ULX3S" in said
    assert "USB 0403:6015" in said and "-b ulx3s" in said
    play(loader, "exec /absent/program")
    assert "was not programmed" in refusal(capfd, *command)
    (loader / "openFPGALoader").write_bytes(b"\x7fELF")
    assert "does not run" in refusal(capfd, *command)
    play(loader, f'echo "$@" > {tmp_path}/said')
    assert cli.run([str(c) for c in command]) == 0
    assert (tmp_path / "said").read_text() == f"-b ulx3s {bitstream}\n"


def test_boards_ports_and_cables_are_listed(
    loader: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ports = [
        SimpleNamespace(device="/dev/ttyUSB1", description="iCEBreaker", vid=0x0403, pid=0x6010),
        SimpleNamespace(device="/dev/ttyS0", description="n/a", vid=None, pid=None),
    ]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    assert cli.run(["board", "list", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert "not on PATH" in found["loader"] and found["cables"] == []
    put_on = {board["name"]: board["program"] for board in found["boards"]}
    assert put_on["pynq-z2"] == "pynq's Overlay" and "-b ulx3s" in put_on["ulx3s-25f"]
    assert [(p["where"], p["boards"]) for p in found["ports"]] == [
        ("/dev/ttyUSB1", FT2232H),
        ("/dev/ttyS0", []),
    ]
    play(loader, SCAN)
    assert cli.run(["board", "list", "--json"]) == 0
    [cable] = json.loads(capfd.readouterr().out)["cables"]
    assert (cable["where"], cable["usb"]) == ("bus 001 device 004", "0403:6015")
    assert "ulx3s-25f" in cable["boards"] and "ULX3S FPGA 25K" in cable["description"]


@pytest.mark.parametrize("damaged", [b"", b'{"bitstream": ', b"[1]", b"3", b"\xff", b"{}"])
def test_a_damaged_build_is_named_and_the_run_is_logged(
    tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    who = top.identity(CORE, clock_hz=CLOCK_HZ, target="generic", build=bytes(range(16)))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "stoic_top.v").write_text(f"128'h{who.build[::-1].hex()}")
    (tmp_path / "build.json").write_text('{"bitstream": "a.bit", "bitstream_sha256": "0"}')
    assert lab.bitstream([tmp_path], who)["bitstream"] == "a.bit"
    (tmp_path / "build.json").write_bytes(damaged)
    assert lab.bitstream([tmp_path], who) == {"bitstream": None, "bitstream_sha256": None}
    assert re.search(r"build\.json: no build's JSON .* stoic synth", caplog.text)


@pytest.mark.verilator
def test_a_deployed_board_holds_the_network_and_another_is_refused(
    virtual_builds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    networks.save(NETWORK, tmp_path / "net.stoic")
    bitstream = tmp_path / "net.bin"
    bitstream.write_bytes(programming.SYNC["ice40"])
    made = SimpleNamespace(bitstream=bitstream, bitstream_sha256="0" * 64, clock_mhz_asked=36.0)
    # synthesis takes minutes and has its own tests; the virtual board has the top of another one
    monkeypatch.setattr("stoic.hw.synth.build", lambda *_: made)
    monkeypatch.setattr("stoic.hw.fold.fold", lambda *_: CORE)
    play(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    command = ["deploy", str(tmp_path / "net.stoic"), "--board", "icebreaker", "--json"]
    said = refusal(capfd, *command)
    assert "no serial port of iCEBreaker" in said and "looked for USB 0403:6010" in said
    here = [programming.UsbDevice("/dev/absent", "", "0403:6010", ("icebreaker",))]
    monkeypatch.setattr(programming, "ports", lambda: here)
    assert "answers on none of /dev/absent" in refusal(capfd, *command)
    with VirtualBoard(CORE, virtual_builds, clock_hz=CLOCK_HZ) as board:
        here.append(replace(here[0], where=board.url))
        assert "answers on none of" in refusal(capfd, *command)
        said = refusal(capfd, *command, "--url", board.url)
        assert "is another board, or did not take the bitstream" in said
        right = top.build_id(CORE, clock_hz=CLOCK_HZ, target="generic")
        monkeypatch.setattr("stoic.hw.top.build_id", lambda *_, **__: right)
        assert cli.run(command) == 0
        deployed = json.loads(capfd.readouterr().out)
        assert deployed["url"] == board.url and deployed["n_words_different"] == 0
