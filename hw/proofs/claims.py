"""Claims about words, and z3's answer to them."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import z3

from .machine import Word
from .verdict import Answer, Verdict

SHORT_S = 10
TIMEOUT_S = 600  # of one claim; those of the list take seconds
SAMPLES = 16


@dataclass(frozen=True)
class Claim:
    """Two words are equal, whatever their symbols stand for, wherever `given` holds."""

    what: str
    got: Word
    want: Word
    given: z3.BoolRef | None = None


class Disproof(Exception):
    """A unit does something wrong that needs no solver to see: it stands still, say."""


def is_set(wire: Word) -> bool:
    """A control wire, which must not hang on data.

    Raises:
        Disproof: it does.
    """
    if not z3.is_bv_value(wire):
        raise Disproof(f"control hangs on data: {wire}")
    return bool(wire.as_long())


def decide(claims: Iterable[Claim], random_first: bool = False) -> Verdict:
    """Whether all of the claims hold; of the first that does not, what was got and what wanted.

    Args:
        claims: made as they are decided.
        random_first: try random values before z3; for mutants, which most values break.
    """
    n_claims = 0
    try:
        for claim in claims:
            n_claims += 1
            verdict = _broken_at_random(claim) if random_first else None
            verdict = verdict or _decide(claim)
            if verdict is not None:
                return verdict
    except Disproof as disproof:
        return Verdict(Answer.REFUTED, str(disproof))
    if not n_claims:
        return Verdict(Answer.VACUOUS, "nothing was claimed")
    return Verdict(Answer.PROVED, f"{n_claims} claims")


def _decide(claim: Claim) -> Verdict | None:
    """None if the claim holds. Where z3 thinks long, random values may break the claim at once."""
    assert claim.got.size() == claim.want.size(), f"{claim.what}: widths differ"
    solver = z3.Solver()
    if claim.given is not None:
        solver.add(claim.given)
        if solver.check() != z3.sat:
            return Verdict(Answer.VACUOUS, f"{claim.what}: nothing meets the assumptions")
    solver.add(claim.got != claim.want)
    answer = z3.unknown
    for timeout_s in (SHORT_S, TIMEOUT_S):
        solver.set("timeout", 1000 * timeout_s)
        answer = solver.check()
        if answer != z3.unknown:
            break
        if (found := _broken_at_random(claim)) is not None:
            return found
    if answer == z3.unsat:
        return None
    if answer == z3.unknown:
        return Verdict(Answer.UNKNOWN, f"{claim.what}: {solver.reason_unknown()}")
    model = solver.model()
    got, want = (model.eval(word, model_completion=True) for word in (claim.got, claim.want))
    return Verdict(Answer.REFUTED, f"{claim.what}: {got}, not {want}")


def _broken_at_random(claim: Claim) -> Verdict | None:
    """A refutation by one of SAMPLES random assignments, if one refutes."""
    given = z3.BoolVal(True) if claim.given is None else claim.given
    pack = z3.Function("pack", claim.got.sort(), claim.got.sort(), z3.BoolSort(), z3.BoolSort())
    term = pack(claim.got, claim.want, given)
    symbols = _symbols(term)
    rng = random.Random(0)
    for _ in range(SAMPLES):
        values = [(symbol, _random_value(symbol.sort(), rng)) for symbol in symbols]
        got, want, holds = z3.simplify(z3.substitute(term, *values)).children()
        if z3.is_true(holds) and z3.is_bv_value(got) and z3.is_bv_value(want) and not got.eq(want):
            return Verdict(Answer.REFUTED, f"{claim.what}: {got}, not {want}")
    return None


def _random_value(sort: z3.SortRef, rng: random.Random) -> z3.ExprRef:
    if isinstance(sort, z3.ArraySortRef):  # word a is a times one number plus another
        address = z3.Const("address", sort.domain())
        width, size = sort.range().size(), sort.domain().size()
        wide = z3.ZeroExt(width, address)
        factor, offset = (z3.BitVecVal(rng.getrandbits(width), width + size) for _ in range(2))
        return z3.Lambda([address], z3.Extract(width - 1, 0, wide * factor + offset))
    return z3.BitVecVal(rng.getrandbits(sort.size()), sort.size())


def _symbols(term: z3.ExprRef) -> list[z3.ExprRef]:
    """What a term leaves open."""
    found, visited, stack = [], set[int](), [term]
    while stack:
        part = stack.pop()
        if part.get_id() in visited:
            continue
        visited.add(part.get_id())
        if part.num_args():
            stack += part.children()
        elif part.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            found.append(part)
    return found
