"""The whole generated top under cocotb on Icarus: link bytes in, golden's scores out."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stoic.hw.link import unpack_identity
from stoic.hw.top import identity, top_sources, top_verilog
from stoic.sim import faults, network
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import Core
from stoic.sim.errors.iid import Iid
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, layout_of
from stoic.sim.random_network import random_network
from stoic.sim.rtl_core import core_sources, core_verilog

CLOCK_HZ = 100_000  # so that the silence which ends a damaged frame takes some 1000 cycles


def top(folder: Path, sizes: tuple[int, ...], first: Input, folds: tuple[Fold, ...]) -> Bench:
    """Bench of the top of a random network, under a random map of faults in all its memories."""
    net = random_network(sizes, first, np.random.default_rng(11))
    layout = layout_of(net, folds)
    model = Iid(p01=0.05, p10=0.1, seed=5)
    network.save(net, folder / "core.stoic")
    faults.save(model.sample(layout, 0, where=("weights", "thresholds")), folder / "core.faults")
    text = top_verilog(Core(layout), clock_hz=CLOCK_HZ, target="generic")
    found = re.search(r"INFO +\(\d+'h([0-9a-f]+)\)", text)
    assert found is not None
    info = bytes.fromhex(found[1])[::-1]
    said = unpack_identity(info)
    assert said == identity(Core(layout), clock_hz=CLOCK_HZ, target="generic", build=said.build)
    (folder / "identity.bin").write_bytes(info)
    (folder / "stoic_top.v").write_text(text, encoding="utf-8")
    (folder / "stoic_core.v").write_text(core_verilog(Core(layout)), encoding="utf-8")
    generated = (folder / "stoic_top.v", folder / "stoic_core.v")
    inputs = ("core.stoic", "core.faults", "identity.bin")
    return Bench(
        "stoic_top",
        "bench_top",
        tuple(dict.fromkeys((*generated, *core_sources(), *top_sources()))),
        {},
        {name: (folder / name).read_bytes() for name in inputs},
    )


def small_uint8(folder: Path) -> Bench:
    return top(folder, (11, 9, 6, 3), "uint8", (Fold(3, 4), Fold(2, 5), Fold(1, 6)))


def small_bits(folder: Path) -> Bench:
    return top(folder, (21, 8, 4), "bits", (Fold(4, 8), Fold(2, 3)))


@pytest.mark.parametrize("make", [small_uint8, small_bits])
def test_top_answers_as_golden(cosim: Cosim, tmp_path: Path, make: Callable[[Path], Bench]) -> None:
    cosim.passes(make(tmp_path))


@pytest.mark.parametrize(
    "file, old, new",
    [
        (
            "stoic_link_rx.v",
            "status_o <= (crc == RESIDUE) ? GOOD : BAD_CRC;",
            "status_o <= GOOD;",
        ),
    ],
)
def test_top_mutant_is_caught(cosim: Cosim, tmp_path: Path, file: str, old: str, new: str) -> None:
    cosim.catches(small_bits(tmp_path), file, old, new)
