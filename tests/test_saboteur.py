"""One map, three ways into the memories (written, `$readmemh`, saboteurs): the same scores."""

from pathlib import Path

import numpy as np
import pytest

from stoic import rtl
from stoic.sim import faults, network
from stoic.sim.bench.bench_faults import WAYS
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import Core, core_of
from stoic.sim.equivalence import is_equivalent
from stoic.sim.errors.iid import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, bank_words, layout_of, stored_bits
from stoic.sim.random_network import random_network
from stoic.sim.rtl_core import core_sources, core_verilog
from stoic.sim.saboteur import MASKS, RAM, memories_of, sabotaged, with_files

# thresholds signed and unsigned; GROUP 1 and 4; lanes and neurons that are left over
NETWORKS: dict[str, tuple[tuple[int, ...], Input, tuple[Fold, ...]]] = {
    "uint8": ((16, 13, 6, 4), "uint8", (Fold(6, 7), Fold(4, 6), Fold(2, 4))),
    "bits": ((21, 12, 3), "bits", (Fold(5, 8), Fold(3, 5))),
}


def bench(folder: Path, kind: str, way: str) -> Bench:
    """Bench of a core whose memories a map reaches in a way."""
    sizes, first, folds = NETWORKS[kind]
    net = random_network(sizes, first, np.random.default_rng(3))
    core = core_of(net, layout_of(net, folds))
    chip = Iid(p01=0.1, p10=0.2, seed=8).sample(core.layout, 0, where=("weights", "thresholds"))
    network.save(net, folder / "core.stoic")
    faults.save(chip, folder / "core.faults")
    inputs = {name: (folder / name).read_bytes() for name in ("core.stoic", "core.faults")}
    clean = stored_bits(net, core.layout)
    text, sources = core_verilog(core), core_sources()
    if way != "writing":
        array = "mem" if way == "readmemh" else f"mem{MASKS}"
        text = with_files(core, array)
        cells = chip.read(clean) if way == "readmemh" else clean ^ chip.read(clean)
        inputs |= memory_files(core, cells)
    if way == "saboteur":
        (folder / RAM).write_text(sabotaged((rtl.ROOT / RAM).read_text()))
        sources = [folder / RAM if path.name == RAM else path for path in sources]
    (folder / "stoic_core.v").write_text(text)
    inputs["way"] = way.encode()
    return Bench("stoic_core", "bench_faults", (folder / "stoic_core.v", *sources), {}, inputs)


def memory_files(core: Core, cells: np.ndarray) -> dict[str, bytes]:
    words = bank_words(cells, core.layout)
    return {m.file: m.text(words).encode() for m in memories_of(core)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["uint8", pytest.param("bits", marks=pytest.mark.slow)])
def test_a_map_gives_the_same_scores_however_it_comes(
    cosim: Cosim, tmp_path: Path, kind: str, way: str
) -> None:
    cosim.passes(bench(tmp_path, kind, way))


def test_a_saboteur_that_flips_the_wrong_word_is_caught(cosim: Cosim, tmp_path: Path) -> None:
    right = f"mem{MASKS}[raddr_i]"
    cosim.catches(bench(tmp_path, "uint8", "saboteur"), RAM, right, f"mem{MASKS}[waddr_i]")


@pytest.mark.parametrize(
    "parameters, mask, is_same",
    [
        ({"DEPTH": 5, "WIDTH": 7}, 0, True),
        ({"DEPTH": 5, "WIDTH": 7}, 1, False),
        ({"DEPTH": 8, "LATENCY": 1}, 0, True),
    ],
)
def test_a_saboteur_without_flips_is_proven_to_change_nothing(
    tmp_path: Path, parameters: dict[str, int], mask: int, is_same: bool
) -> None:
    text = sabotaged((rtl.ROOT / RAM).read_text())
    start = f"mem{MASKS}[i_mem{MASKS}] = 0;"
    assert text.count(start) == 1
    (tmp_path / RAM).write_text(text.replace(start, start.replace("= 0", f"= {mask}")))
    others = [rtl.ROOT / f"stoic_ram_{name}.v" for name in ("ecp5", "lut")]
    gold, gate = [rtl.ROOT / RAM, *others], [tmp_path / RAM, *others]
    values = tuple((name, str(value)) for name, value in parameters.items())
    assert is_equivalent("stoic_ram", gold, gate, [values]) == is_same


def test_what_has_no_memory_cannot_be_sabotaged() -> None:
    with pytest.raises(InputError, match="no read of a memory"):
        sabotaged((rtl.ROOT / "stoic_pe.v").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_devices_of_the_three_ways_agree_with_golden(tmp_path: Path, kind: str) -> None:
    """What `make sabotage` does with a whole test set, on the small networks."""
    from stoic.sim import golden
    from stoic.sim.rtl import RtlDevice
    from stoic.sim.saboteur import PresetDevice, SaboteurDevice

    sizes, first, folds = NETWORKS[kind]
    net = random_network(sizes, first, np.random.default_rng(3))
    layout = layout_of(net, folds)
    images = np.random.default_rng(4).integers(0, net.image_max + 1, (64, sizes[0]), np.uint8)
    for device in (d(layout, tmp_path) for d in (RtlDevice, PresetDevice, SaboteurDevice)):
        device.load(net)
        np.testing.assert_array_equal(device.infer(images), golden.scores(net, images))
        for chip in range(3):
            found = Iid(0.1, 0.2).sample(layout, chip, where=("weights", "thresholds"))
            device.inject(found)
            wanted = golden.scores(faults.apply(net, found), images)
            np.testing.assert_array_equal(device.infer(images), wanted)
        device.inject(None)
        np.testing.assert_array_equal(device.infer(images), golden.scores(net, images))
        device.close()
