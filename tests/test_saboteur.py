"""One map, three ways into the memories (written, `$readmemh`, saboteurs): the same scores."""

from pathlib import Path

import numpy as np
import pytest

from stoic import rtl
from stoic.sim import faults, network
from stoic.sim.bench.bench_faults import WAYS
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import Core, core_of
from stoic.sim.equivalence import IDENTICAL, REACHED, below, is_equivalent, proven_of
from stoic.sim.errors.iid import Iid
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


@pytest.mark.parametrize(
    "new, is_same",
    [
        (".data_i(word_i[K+1:0])", True),  # the port is K wide
        (".data_i(word_i[K:1])", False),
        (".data_i(~word_i[K-1:0])", False),
    ],
)
def test_wiring_is_proven_with_the_modules_below_as_black_boxes(
    tmp_path: Path, new: str, is_same: bool
) -> None:
    name, old = "stoic_secded.v", ".data_i(word_i[K-1:0])"
    text = (rtl.ROOT / name).read_text()
    assert text.count(old) == 1
    (tmp_path / name).write_text(text.replace(old, new))
    checks = rtl.ROOT / "stoic_secded_checks.v"
    gold, gate = [rtl.ROOT / name, checks], [tmp_path / name, checks]
    hamming = (("K", "4"), ("R", "4"), ("COLUMNS", "16'b1110_1101_1011_0111"))
    assert is_equivalent("stoic_secded", gold, gate, [hamming]) == is_same


def test_a_cell_without_a_model_proves_nothing(tmp_path: Path) -> None:
    name, old = "stoic_sum.v", ".INIT1(16'h6c6c)"
    text = (rtl.ROOT / name).read_text()
    assert text.count(old) == 1
    (tmp_path / name).write_text(text.replace(old, ".INIT1(16'h66cc)"))
    ecp5 = (("TARGET", f"32'h{b'ecp5'.hex()}"),)
    assert not is_equivalent("stoic_sum", [rtl.ROOT / name], [tmp_path / name], [ecp5])


def test_a_module_of_many_cells_is_identical_to_itself() -> None:
    """The numbers in their names, which sort them, differ by a digit."""
    files = [str(path) for path in below("stoic_engine", rtl.sources()).values()]
    job = {"module": "stoic_engine", "parameters": [()], "gold": files, "gate": files}
    assert proven_of(job | {"way": IDENTICAL}) == {0}


@pytest.mark.parametrize(
    "old, new, is_same",
    [
        ("!last_fold_q && fold_q ==", "fold_q ==", True),  # never both
        ("!last_fold_q && fold_q ==", "!last_fold_q && fold_q !=", False),
        ("!fold_end_q && fold_q ==", "fold_q ==", True),
    ],
)
def test_what_no_input_leads_to_is_proven_to_change_nothing(
    tmp_path: Path, old: str, new: str, is_same: bool
) -> None:
    name = "stoic_mvu_control.v" if "last" in old else "stoic_mvu_sums.v"
    text = (rtl.ROOT / name).read_text()
    assert text.count(old) == 1
    (tmp_path / name).write_text(text.replace(old, new))
    files = below(Path(name).stem, rtl.sources()).values()
    job = {
        "module": Path(name).stem,
        "parameters": [(("N_FOLDS", "3"),)],
        "gold": [str(path) for path in files],
        "gate": [str(tmp_path / name if path.name == name else path) for path in files],
    }
    assert proven_of(job | {"way": REACHED}) == ({0} if is_same else set())
