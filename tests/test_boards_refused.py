"""A board that is dead, of another network, old or busy: each verb says so in a line, status 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stoic.hw import cli, link, probe
from stoic.hw.link import Command, Frame, Status
from stoic.sim import network as networks
from stoic.sim.random_network import random_network

from .test_session import Echo, identity

NETWORK = random_network((784, 20, 12, 10), "uint8", np.random.default_rng(1))
PLAN = """
[campaign]
models = ["{folder}/net.stoic"]
data = "fashion-mnist"
board = "icebreaker"
store = "{folder}/rows.sqlite"
n_images = 8
[errors]
rates = [0.1]
chips = 1
"""


class Busy(Echo):
    def read(self, least: int, timeout_s: float) -> bytes:
        self.waiting.clear()
        said = bytes([Status.BUSY]) + b"it serves another host"
        return link.encode(Frame(0, Command.IDENTIFY | link.ANSWER, said))


BOARDS: dict[str, tuple[Callable[[], Echo], str]] = {
    "dead": (lambda: Echo(identity(), lost=tuple(range(1000))), "no answer in 5 s; check cable"),
    "wrong network": (lambda: Echo(identity()), "program the bitstream of this network"),
    "old": (lambda: Echo(identity(protocol=0)), "speaks protocol 0, this kit speaks 1"),
    "busy": (lambda: Busy(identity()), "busy: it serves another host"),
}
NET, OUT, AT = "{folder}/net.stoic", "{folder}/out.npy", ("--board", "icebreaker")
VERBS: dict[str, tuple[str, ...]] = {
    "identify": AT,
    "load": (NET, *AT),
    "infer": (NET, "--input", "{folder}/x.npy", "-o", OUT, *AT),
    "infer --held": (NET, "--held", "--input", "{folder}/x.npy", "-o", OUT, *AT),
    "selftest": (NET, *AT),
    "campaign": ("{folder}/plan.toml",),
}
CASES = [(v, b) for v in VERBS for b in BOARDS if (v, b) != ("identify", "wrong network")]


@pytest.mark.parametrize(("verb", "board"), CASES, ids=[f"{v}, {b}" for v, b in CASES])
def test_every_verb_says_what_is_wrong_with_a_board(
    verb: str,
    board: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    networks.save(NETWORK, tmp_path / "net.stoic")
    np.save(tmp_path / "x.npy", np.zeros((8, 784), np.uint8))
    (tmp_path / "plan.toml").write_text(PLAN.format(folder=tmp_path))
    behind, says = BOARDS[board]
    opened: list[Echo] = []

    def port(*_: object) -> Echo:
        opened.append(behind())
        return opened[-1]

    monkeypatch.setattr(probe, "SerialPort", port)
    arguments = [a.format(folder=tmp_path) for a in (*verb.split(), *VERBS[verb])]
    status = cli.run(["board", arguments[0], *arguments[1:], "--url", "/dev/board"])
    out, err = capfd.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("stoic: ") and says in err
    assert opened and not (tmp_path / "out.npy").exists()
