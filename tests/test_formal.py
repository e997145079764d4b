"""The RTL is proved for all inputs; proofs refuse their mutants, and wrong proofs are refused."""

from collections.abc import Iterator

import numpy as np
import pytest
import z3

from stoic.hw import cli, proof_commands
from stoic.hw.proofs import catalogue, proof, reachability, specification, units
from stoic.hw.proofs.claims import Claim
from stoic.hw.proofs.elaborate import Design, Mutant
from stoic.hw.proofs.proof import Proof
from stoic.hw.proofs.verdict import Answer
from stoic.sim import golden
from stoic.sim.bits import pack
from stoic.sim.exceptions import InputError

SHORT = [p for p in catalogue.PROOFS if p.is_short]


@pytest.mark.parametrize("one", SHORT, ids=lambda p: p.name)
def test_holds_for_all_inputs_and_of_no_mutant(one: Proof) -> None:
    row = proof.run(one)
    assert row["answer"] == "proved", row["detail"]
    assert row["mutants"] and not row["mutants_missed"]


def test_every_proof_has_a_mutant_and_a_name_of_its_own() -> None:
    assert all(p.mutants for p in catalogue.PROOFS)
    assert len({p.name for p in catalogue.PROOFS}) == len(catalogue.PROOFS)


def wrong_popcount(design: Design) -> Iterator[Claim]:
    """As `units.popcount` of 7 lanes, but one lane is wanted twice and another never."""
    (claim,) = units.popcount(design)
    x, w = z3.BitVec("x", 7), z3.BitVec("w", 7)
    lane_2, lane_3 = specification.bits(~(x ^ w))[2:4]
    want = claim.want + specification.widened(lane_2, 3) - specification.widened(lane_3, 3)
    yield Claim("wrong", claim.got, want)


def impossible(design: Design) -> Iterator[Claim]:
    x = z3.BitVec("x", 8)
    yield Claim("impossible", x, x + 1, given=z3.And(z3.ULT(x, 3), z3.UGT(x, 5)))


POPCOUNT_7 = Design("stoic_popcount", {"LANES": 7, "XNOR": 1, "PAD": 0, "FULL_ADDERS": 0})


def test_a_wrong_claim_is_refuted_and_a_vacuous_one_is_no_proof() -> None:
    harmless = Mutant("stoic_popcount", "(2*i-LEAVES) +: SUM_W]", "(2*i-LEAVES) +: SUM_W] + 1'b0")
    rows = [
        proof.run(Proof("wrong", POPCOUNT_7, "", wrong_popcount, ())),
        proof.run(Proof("vacuous", POPCOUNT_7, "", impossible, ())),
        proof.run(Proof("blind", POPCOUNT_7, "", units.popcount, (harmless,))),
    ]
    assert [row["answer"] for row in rows] == ["refuted", "vacuous", "proved"]
    summary = proof_commands.summary(rows)
    assert (summary["proofs_failed"], summary["proof_mutants_missed"]) == (2, 1)
    assert "not proved: wrong, vacuous" in summary["failure"]
    assert "mutants that pass: blind" in summary["failure"]


def test_a_latency_too_short_is_refuted() -> None:
    design = Design("prove_fifo", {"DEPTH": 2, "WIDTH": 1, "LATENCY": 1}, "prove_fifo.sv")
    verdict = Proof("fast", design, "", None, ()).decide()
    assert verdict.answer is Answer.REFUTED
    assert "identity_rules.sv" in verdict.detail  # where the assertion stands


def test_a_mutant_that_no_longer_applies_is_an_error() -> None:
    gone = Mutant("stoic_popcount", "no such text", "")
    with pytest.raises(InputError, match="stands there 0 times"):
        Proof("gone", POPCOUNT_7, "", units.popcount, (gone,)).decide(gone)


def test_specifications_are_golden() -> None:
    rng = np.random.default_rng(7)
    n, simd = 11, 4
    steps = -(-n // simd)
    u = rng.integers(0, 256, (1, n), dtype=np.uint8)
    x, w = rng.integers(0, 2, (2, 1, n), dtype=np.uint8)
    p = specification.neuron_bits(_words(x[0], simd), _words(w[0], simd), n, 8)
    assert _value(p) == golden.xnor_popcount(pack(x), pack(w), n)[0, 0]
    planes = [_words((u[0] >> b) & 1, simd) for b in range(8)]
    a = specification.neuron_planes(planes, _words(w[0], simd), n, 16)
    assert len(planes[0]) == steps
    assert 2 * _value(a) - int(u.sum()) == golden.plane_sum(u, pack(w))[0, 0]


def _words(bits: np.ndarray, simd: int) -> list[z3.BitVecRef]:
    """Lanes in words of `simd`; those past the last are 1, which must not count."""
    padded = np.append(bits, np.ones(-len(bits) % simd, np.uint8)).reshape(-1, simd)
    return [z3.BitVecVal(sum(int(b) << i for i, b in enumerate(row)), simd) for row in padded]


def _value(word: z3.BitVecRef) -> int:
    return int(z3.simplify(word).as_long())


def test_a_missing_solver_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reachability, "yosys_abc", lambda: None)
    assert cli.run(["prove", "skid"]) == cli.STATUS_REFUSED
    said = capsys.readouterr().err.strip().splitlines()
    assert said == ["stoic: proofs need pyosys; install stoic[hw,verify]"]


def test_an_unknown_proof_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["prove", "no-such-proof"]) == cli.STATUS_REFUSED
    assert "no proof begins with 'no-such-proof'" in capsys.readouterr().err
