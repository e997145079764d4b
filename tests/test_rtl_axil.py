"""The top for a system on chip under cocotb: AXI4-Lite by cocotbext-axi, golden's scores."""

from pathlib import Path

import numpy as np
import pytest

from stoic.hw.soc import soc_sources, soc_verilog
from stoic.hw.top import core_text
from stoic.sim import faults, network
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import Core, image_bytes
from stoic.sim.errors.iid import Iid
from stoic.sim.memory import Fold, layout_of
from stoic.sim.random_network import random_network

CLOCK_HZ = 12_345_678


def soc(folder: Path) -> Bench:
    net = random_network((45, 7, 3), "uint8", np.random.default_rng(13))  # words over 32 bits
    layout = layout_of(net, (Fold(3, 45), Fold(2, 4)))
    core = Core(layout)
    network.save(net, folder / "core.stoic")
    faults.save(Iid(0.1, 0.1, seed=2).sample(layout, 0), folder / "core.faults")
    text = soc_verilog(core, clock_hz=CLOCK_HZ)
    build = text.split("BUILD       (128'h")[1][:32]
    said = [1, 0, len(layout.banks) + 1, image_bytes(core), 3, CLOCK_HZ, 0]
    info = b"STOI" + b"".join(value.to_bytes(4, "little") for value in said)
    info += bytes.fromhex(build)[::-1] + bytes.fromhex(core.sha256)[:16]
    (folder / "stoic_soc.v").write_text(text, encoding="utf-8")
    (folder / "stoic_core.v").write_text(core_text(core, "generic"), encoding="utf-8")
    inputs = {n: (folder / n).read_bytes() for n in ("core.stoic", "core.faults")}
    sources = (folder / "stoic_soc.v", folder / "stoic_core.v", *soc_sources())
    return Bench("stoic_soc", "bench_soc", sources, {}, {**inputs, "soc.bin": info})


def test_a_host_on_axi_lite_gets_golden_s_scores(cosim: Cosim, tmp_path: Path) -> None:
    cosim.passes(soc(tmp_path))


@pytest.mark.parametrize(
    "old, new",
    [
        ("(closed_i && !busy_i)", "1'b1"),
        pytest.param("(low_q & ~strobes)", "32'd0", marks=pytest.mark.slow),
        pytest.param("high_q <= 32'd0;", "high_q <= 32'd1;", marks=pytest.mark.slow),
        pytest.param("word_q < bank_words_i", "word_q <= bank_words_i", marks=pytest.mark.slow),
    ],
)
def test_axil_mutant_is_caught(cosim: Cosim, tmp_path: Path, old: str, new: str) -> None:
    cosim.catches(soc(tmp_path), "stoic_axil.v", old, new)
