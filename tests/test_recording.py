"""A run on a virtual board, recorded: its calls give golden's scores again, without a simulator.

`python -m pytest tests/test_recording.py --record` made `recordings/board.jsonl`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stoic.hw.device import BoardDevice, RecordedDevice
from stoic.hw.virtual import VirtualBoard
from stoic.sim import golden
from stoic.sim.core import core_of
from stoic.sim.errors.iid import Iid
from stoic.sim.exceptions import BoardError
from stoic.sim.hardware import seen
from stoic.sim.memory import Fold, layout_of
from stoic.sim.random_network import random_network

RECORDING = Path(__file__).parent / "recordings" / "board.jsonl"
NETWORK = random_network((24, 8, 3), "bits", np.random.default_rng(1))
CORE = core_of(NETWORK, layout_of(NETWORK, (Fold(2, 12), Fold(1, 8))))
FAULTS = Iid(0.2, 0.2, seed=1).sample(CORE.layout, 0)
IMAGES = np.random.default_rng(2).integers(0, 2, (12, 24), np.uint8)


@pytest.fixture
def device(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[BoardDevice]:
    if not pytestconfig.getoption("--record"):
        yield RecordedDevice(RECORDING)
        return
    with VirtualBoard(CORE, tmp_path, clock_hz=1_000_000) as board:
        recorded = BoardDevice(board.url, CORE, record=RECORDING)
        yield recorded
        recorded.close()


def test_what_was_recorded_is_golden_s(device: BoardDevice) -> None:
    device.load(NETWORK)
    clean = golden.scores(NETWORK, IMAGES)
    assert (device.infer(IMAGES) == clean).all()
    device.inject(FAULTS)
    faulty = device.infer(IMAGES)
    assert (faulty == golden.scores(seen(NETWORK, CORE.layout, FAULTS), IMAGES)).all()
    assert (faulty != clean).any()
    assert device.counters()["images"] == 2 * len(IMAGES)


@pytest.mark.parametrize("line", [0, 4, -2])
def test_one_byte_that_is_another_is_noticed(line: int, tmp_path: Path) -> None:
    lines = RECORDING.read_text().splitlines()
    writes = [i for i, text in enumerate(lines) if text.startswith('{"write')]
    at = writes[line]
    lines[at] = lines[at].replace('"pQ', '"pR')  # the byte behind A5
    (tmp_path / "other.jsonl").write_text("\n".join(lines))
    with pytest.raises(BoardError, match="sends other bytes than were recorded"):
        replay(tmp_path / "other.jsonl")


def replay(path: Path) -> None:
    device = RecordedDevice(path)
    device.load(NETWORK)
    device.infer(IMAGES)
    device.inject(FAULTS)
    device.infer(IMAGES)
    device.counters()
