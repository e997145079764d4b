"""Proofs that a mutant is harmless: what they prove, and what they must not."""

from pathlib import Path

import pytest

from stoic import rtl
from stoic.sim import equivalence
from stoic.sim.equivalence import IDENTICAL, REACHED, below, is_equivalent, proven_of


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


def test_a_cell_of_a_vendor_with_another_parameter_is_another(tmp_path: Path) -> None:
    name, old = "stoic_sum.v", ".INIT1(16'h6c6c)"
    text = (rtl.ROOT / name).read_text()
    assert text.count(old) == 1
    (tmp_path / name).write_text(text.replace(old, ".INIT1(16'h66cc)"))
    ecp5 = (("TARGET", f"32'h{b'ecp5'.hex()}"),)
    assert not is_equivalent("stoic_sum", [rtl.ROOT / name], [tmp_path / name], [ecp5])


@pytest.mark.parametrize(
    "old, new, is_same",
    [
        ("we_i && wrow == r", "(we_i ? wrow == r : 1'b0)", True),
        ("we_i && wrow == r", "we_i || wrow == r", False),
        (".BE3(1'b1)", ".BE3(1'b0)", False),
        (".CSR2(1'b0)", ".CSR2()", False),  # an open input is not 0
        ('.REGMODE("OUTREG")', '.REGMODE("NOREG")', False),
    ],
)
def test_what_stands_around_cells_of_a_vendor_is_proven(
    tmp_path: Path, old: str, new: str, is_same: bool
) -> None:
    name, tall = "stoic_ram_ecp5.v", (("DEPTH", "600"), ("WIDTH", "5"))
    text = (rtl.ROOT / name).read_text()
    assert text.count(old) == 1
    (tmp_path / name).write_text(text.replace(old, new))
    gold, gate = [rtl.ROOT / name], [tmp_path / name]
    assert is_equivalent("stoic_ram_ecp5", gold, gate, [tall]) == is_same


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, is_same: bool
) -> None:
    monkeypatch.setattr(equivalence, "CPU_S", 10)  # what is proven here takes 2
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
