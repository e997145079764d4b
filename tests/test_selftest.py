"""A selftest compares what the registers counted with golden, and fails where one is off by one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic.hw import board_commands, cli
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.registers import Registers

from .test_lab import NETWORK, Board

N = 64
MOST = 1 << 32


class Counting(Board):
    """A board that counts from shortly before its counters wrap; `extra` once it has inferred."""

    has_registers, url = True, "here"
    n_again = 0

    def __init__(self, **extra: int) -> None:
        super().__init__()
        self._extra = extra
        self._found = Registers(MOST - 9, (1 << 48) - 9, 0, 1, MOST - 9, 7, 0, 1, (), (), ())
        self.bounds: list[int] = []

    def registers(self) -> Registers:
        return self._found

    def bound_margins(self, bound: int) -> None:
        self.bounds.append(bound)
        self._found = replace(self._found, margin_bound=bound)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        scores, found = super().infer(images), self._found
        margins = golden.margin(scores)
        counted = {
            "images": (found.images + len(margins)) % MOST,
            "margin_sum": (found.margin_sum + int(margins.sum())) % (1 << 48),
            "low_margins": (found.low_margins + int((margins < self.bounds[-1]).sum())) % MOST,
        }
        extra = {name: counted[name] + n for name, n in self._extra.items()}
        self._extra = {}
        values: dict[str, Any] = counted | extra
        self._found = replace(found, **values)
        return scores

    def counters(self) -> dict[str, int]:
        return {"retries": self.n_again}


def selftest(
    board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any], str]:
    networks.save(NETWORK, folder / "net.stoic")
    monkeypatch.setattr(board_commands, "_open", lambda *_: board)
    monkeypatch.setattr(
        board_commands, "load_row", lambda device, loaded: device.load(loaded) or {}
    )
    command = ("board", "selftest", str(folder / "net.stoic"), "--url", "/dev/x", "--n", str(N))
    status = cli.run([*command, "--json"])
    out, err = capfd.readouterr()
    return status, json.loads(out), err


@pytest.mark.parametrize("off", [{}, {"images": 1}, {"margin_sum": -1}, {"low_margins": 1}])
def test_a_register_that_is_off_by_one_fails_it(
    off: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    board = Counting(**off)
    status, found, err = selftest(board, tmp_path, monkeypatch, capfd)
    by_name = {row["register"]: row for row in found["registers"]}
    wrong = {name for name, row in by_name.items() if row["got"] != row["expected"]}
    assert wrong == set(off) and status == (2 if off else 0)
    assert not off or f"register {next(iter(off))} counted" in err.splitlines()[-1]
    assert by_name["images"]["expected"] == N and 0 < by_name["low_margins"]["expected"] < N
    assert len(board.bounds) == 2 and board.bounds[-1] == 7  # as it was found
    (line,) = map(json.loads, (tmp_path / "lab.jsonl").read_text().splitlines())
    assert line["failure"] == found["failure"] and line["registers"] == found["registers"]


def test_registers_are_not_compared_where_frames_were_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Noisy(Counting):
        def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
            self.n_again += 1
            return super().infer(images)

    status, found, err = selftest(Noisy(images=3), tmp_path, monkeypatch, capfd)
    assert (status, found["registers"]) == (0, []) and "frames were sent again" in err
