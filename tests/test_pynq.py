"""The driver of the PYNQ-Z2 on a simulated bus: cocotbext-axi, golden's scores, and mutants."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stoic.hw import boards
from stoic.hw.pynq import open_pynq
from stoic.hw.zynq import SHELL, zynq_sources
from stoic.sim import faults, network
from stoic.sim.bench.runner import Bench, Cosim, run
from stoic.sim.core import Core
from stoic.sim.errors.iid import Iid
from stoic.sim.exceptions import ArtefactError, ToolError
from stoic.sim.memory import Fold, layout_of
from stoic.sim.random_network import random_network

from .test_deploy import refusal

SEED = 1


def zynq(folder: Path, driver: Sequence[tuple[str, str]] = ()) -> Bench:
    net = random_network((11, 7, 3), "uint8", np.random.default_rng(13))
    layout = layout_of(net, (Fold(3, 5), Fold(2, 4)))
    core = Core(layout)
    network.save(net, folder / "core.stoic")
    faults.save(Iid(0.1, 0.1, seed=2).sample(layout, 0), folder / "core.faults")
    board = boards.load("pynq-z2")
    sources = []
    for name, text in zynq_sources(core, board).items():
        sources.append(folder / name)
        sources[-1].write_text(text, encoding="utf-8")
    inputs = {n: (folder / n).read_bytes() for n in ("core.stoic", "core.faults")}
    inputs["driver.json"] = json.dumps(driver).encode()
    return Bench(SHELL, "bench_pynq", tuple(sources), {}, inputs, "stoic.hw")


def test_the_driver_on_the_bus_gives_goldens_scores(cosim: Cosim, tmp_path: Path) -> None:
    cosim.passes(zynq(tmp_path))


@pytest.mark.parametrize(
    "old, new",
    [
        ("tlast && ended_q && inside_q == 16'd1", "tlast && ended_q"),
        pytest.param("= ready && !ended_q", "= ready", marks=pytest.mark.slow),
        pytest.param("(is_last)", "(s_axis_tlast)", marks=pytest.mark.slow),
    ],
)
def test_shell_mutant_is_caught(cosim: Cosim, tmp_path: Path, old: str, new: str) -> None:
    cosim.catches(zynq(tmp_path), f"{SHELL}.v", old, new)


@pytest.mark.parametrize(
    "old, new",
    [
        ("while self._mmio.read(STATUS) & 1:", "while False:"),
        ("self._mmio.read(POINTER) != self._mark:", "False:"),
        *(
            pytest.param(old, new, marks=pytest.mark.slow)
            for old, new in (
                ("        self._check_mark()\n        if any", "        if any"),
                ("if self._mmio.read(POINTER) != bank << 16 | address & 0xFFFF:", "if False:"),
                ("        self._mmio.write(POINTER, self._mark)\n", "        self._mark = "
                 "self._mmio.read(POINTER)\n"),
            )
        ),
        pytest.param("if counted != len(data):", "if False:", marks=pytest.mark.slow),
        pytest.param("if built != wanted:", "if False:", marks=pytest.mark.slow),
        pytest.param("bank << 16 | address)\n            for", "bank << 16)\n            for",
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_driver_mutant_is_caught(tmp_path: Path, old: str, new: str) -> None:
    found = run(zynq(tmp_path, [(old, new)]), tmp_path / "cosim", SEED)
    assert found.failed


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    net = random_network((11, 7, 3), "uint8", np.random.default_rng(13))
    core = Core(layout_of(net, (Fold(3, 5), Fold(2, 4))))
    with pytest.raises(ArtefactError, match=r"x\.bit: not there; stoic synth writes"):
        open_pynq(tmp_path / "x.bit", core)
    (tmp_path / "x.bit").write_bytes(b"bits")
    with pytest.raises(ArtefactError, match=r"x\.hwh: not there"):
        open_pynq(tmp_path / "x.bit", core)
    (tmp_path / "x.hwh").write_text("<EDKSYSTEM/>")
    with pytest.raises(ToolError, match="package pynq is missing"):
        open_pynq(tmp_path / "x.bit", core)


def test_a_board_without_a_uart_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "net.stoic"
    network.save(random_network((11, 7, 3), "uint8", np.random.default_rng(13)), net)
    np.save(tmp_path / "x.npy", np.zeros((2, 11), np.uint8))
    at = ("--board", "pynq-z2")
    images = ("--input", tmp_path / "x.npy", "-o", tmp_path / "scores.npy")
    for command, why in [
        (("board", "identify", "--url", "/dev/absent", *at), "has no UART"),
        (("deploy", net, *at), "has no UART"),
        (("virtual", net, *at), "no virtual board"),
        (("infer", net, "--device", "pynq", *images), "--board pynq-z2"),
        (("infer", net, "--device", "pynq", *at, *images), "random.bit: not there"),
    ]:
        assert why in refusal(capfd, *command)
