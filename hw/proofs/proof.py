"""A proof: a claim about a design, and the mutants for which the same claim must fail."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from . import claims, reachability
from .claims import Claim
from .elaborate import Design, Mutant
from .verdict import Answer, Verdict


@dataclass(frozen=True)
class Proof:
    """What is claimed, of what, and how it is decided.

    Attributes:
        name: unique; unit and parameters.
        design: what it is about.
        says: what is proved, in words.
        claims: the equalities, for all inputs; None: the assertions of the design's harness, in
            every reachable state.
        mutants: wrong versions that it must refuse.
        is_short: part of `make test`.
    """

    name: str
    design: Design
    says: str
    claims: Callable[[Design], Iterable[Claim]] | None
    mutants: tuple[Mutant, ...]
    is_short: bool = False

    @property
    def method(self) -> str:
        """What decides it."""
        return "pdr" if self.claims is None else "z3"

    def decide(self, mutant: Mutant | None = None) -> Verdict:
        """Whether the claim holds of the RTL, or of a mutant of it."""
        design = replace(self.design, mutant=mutant)
        if self.claims is not None:
            return claims.decide(self.claims(design), random_first=mutant is not None)
        verdict = reachability.decide(design)
        if mutant is not None:
            return verdict
        if verdict.answer is Answer.REFUTED:
            where = reachability.first_failure(design)
            return replace(
                verdict, detail=f"{verdict.detail}: {where}" if where else verdict.detail
            )
        missed = reachability.unreached(design)
        return Verdict(Answer.VACUOUS, f"never happens: {', '.join(missed)}") if missed else verdict


def run(proof: Proof) -> dict[str, Any]:
    """Decide a proof and its mutants; a row of JSON values."""
    start = time.monotonic()
    verdict = proof.decide()
    proof_s = time.monotonic() - start
    missed = []
    for mutant in proof.mutants:
        answer = proof.decide(mutant).answer
        if answer is not Answer.REFUTED:
            missed.append(f"{mutant.file}: {mutant.new!r} for {mutant.old!r} is {answer}")
    return {
        "name": proof.name,
        "method": proof.method,
        "answer": verdict.answer.value,
        "detail": verdict.detail,
        "mutants": len(proof.mutants),
        "mutants_missed": missed,
        "proof_s": round(proof_s, 2),
        "mutants_s": round(time.monotonic() - start - proof_s, 2),
        "top": proof.design.top,
        "parameters": dict(proof.design.parameters),
        "says": proof.says,
    }
