"""The whole generated top under cocotb on Icarus: link bytes in, golden's scores out."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stoic.hw.link import unpack_identity
from stoic.hw.top import core_text, identity, top_sources, top_verilog
from stoic.sim import faults, network
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import core_of
from stoic.sim.errors.iid import Iid
from stoic.sim.layers import Pool
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network
from stoic.sim.rtl import core_files

CLOCK_HZ = 100_000  # so that the silence which ends a damaged frame takes some 1000 cycles


def top(net: Network, folder: Path, folds: tuple[Fold, ...], *, engine: bool = False) -> Bench:
    """Bench of the top of a network, under a random map of faults in all its memories."""
    layout = layout_of(net, folds)
    core = core_of(net, layout, engine=engine)
    model = Iid(p01=0.05, p10=0.1, seed=5)
    network.save(net, folder / "core.stoic")
    faults.save(model.sample(layout, 0, where=("weights", "thresholds")), folder / "core.faults")
    text = top_verilog(core, clock_hz=CLOCK_HZ, target="generic")
    found = re.search(r"INFO +\(\d+'h([0-9a-f]+)\)", text)
    assert found is not None
    info = bytes.fromhex(found[1])[::-1]
    said = unpack_identity(info)
    assert said == identity(core, clock_hz=CLOCK_HZ, target="generic", build=said.build)
    (folder / "identity.bin").write_bytes(info)
    (folder / "stoic_top.v").write_text(text, encoding="utf-8")
    (folder / "stoic_core.v").write_text(core_text(core, "generic"), encoding="utf-8")
    generated = (folder / "stoic_top.v", folder / "stoic_core.v")
    inputs = ("core.stoic", "core.faults", "identity.bin")
    return Bench(
        "stoic_top",
        "bench_top",
        tuple(dict.fromkeys((*generated, *core_files(core)[1], *top_sources(core)))),
        {},
        {name: (folder / name).read_bytes() for name in inputs},
    )


def small_uint8(folder: Path) -> Bench:
    net = random_network((11, 9, 6, 3), "uint8", np.random.default_rng(11))
    return top(net, folder, (Fold(3, 4), Fold(2, 5), Fold(1, 6)))


def small_bits(folder: Path) -> Bench:
    net = random_network((21, 8, 4), "bits", np.random.default_rng(11))
    return top(net, folder, (Fold(4, 8), Fold(2, 3)))


def small_engine(folder: Path) -> Bench:
    """Two members; of the four beats of an image, its three bytes fill one and a half."""
    rng = np.random.default_rng(11)
    members = [random_network(sizes, "bits", rng) for sizes in ((21, 64, 3), (21, 3))]
    return top(random_ensemble(tuple(members)), folder, (Fold(1, 64),) * 3, engine=True)


def small_conv(folder: Path) -> Bench:
    rng = np.random.default_rng(11)
    net = random_conv_network((3, 4, 1), ((3, 3, 1, 1, Pool(2, 1)),), (3,), "bits", rng)
    return top(net, folder, (Fold(3, 9), Fold(2, 6)))


@pytest.mark.parametrize("make", [small_uint8, small_bits, small_engine, small_conv])
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


def test_mutant_of_an_engine_s_beats_is_caught(cosim: Cosim, tmp_path: Path) -> None:
    cosim.catches(small_engine(tmp_path), "stoic_engine_bytes.v", "take && !half_q", "take")
