"""What thresholds, sums and scores decide, for all inputs; claims as in `units`."""

from collections.abc import Iterator

import z3

from .claims import Claim
from .elaborate import Design
from .machine import Cycle, Machine, Word
from .specification import address_bits, bits, flag, joined, where, widened, words

MARGINS_UP_TO = 4  # classes; of more, `ranking` proves it


def threshold(design: Design) -> Iterator[Claim]:
    """stoic_threshold: value >= theta of its table, stage, fold and lane; what the host sees."""
    p = design.parameters
    stages, folds, group, tables = p["STAGES"], p["N_FOLDS"], p["GROUP"], p["TABLES"]
    stage_bits, fold_bits, table_bits = (address_bits(n) for n in (stages, folds, tables))
    value_bits, theta_bits = p["VALUE_W"], p["THRESHOLD_W"]
    stage, fold = z3.BitVec("stage", stage_bits), z3.BitVec("fold", fold_bits)
    table = z3.BitVec("table", table_bits)
    values = words("value", group, value_bits)
    word = widened(table, 16) * folds + widened(fold, 16)
    place = widened(stage, 16) * (1 << address_bits(tables * folds)) + word
    legal = z3.And(
        z3.ULT(widened(stage, 16), stages),
        z3.ULT(widened(fold, 16), folds),
        z3.ULT(widened(table, 16), tables),
    )
    no_host: dict[str, int | Word] = {"we_i": 0, "re_i": 0, "table_i": table}
    unit = Machine(design)
    unit.idle(2, rst_i=1, **no_host)
    memories = [unit.contents(f"g_lane[{g}].ram") for g in range(group)]
    unit.step(rst_i=0, stage_i=stage, fold_i=fold, **no_host)
    unit.step(rst_i=0, value_i=joined(values), **no_host)
    unit.idle(2, rst_i=0, **no_host)
    fires = bits(unit.step(rst_i=0, **no_host)["fires_o"])
    wide = max(value_bits, theta_bits) + 1
    widen = z3.SignExt if p["SIGNED"] else z3.ZeroExt
    for g, (value, memory) in enumerate(zip(values, memories, strict=True)):
        theta = z3.Select(memory, z3.Extract(memory.domain().size() - 1, 0, place))
        a, b = widen(wide - value_bits, value), widen(wide - theta_bits, theta)
        yield Claim(f"lane {g}", fires[g], flag(a >= b), legal)

    bank, word, data = z3.BitVec("bank", 16), z3.BitVec("word", 16), z3.BitVec("data", theta_bits)
    other_bank, other = z3.BitVec("other_bank", 16), z3.BitVec("other", 16)
    asked = z3.And(
        z3.ULT(bank, stages * group), z3.ULT(word, tables * folds),
        z3.ULT(other_bank, stages * group), z3.ULT(other, tables * folds),
    )  # fmt: skip
    idle: dict[str, int | Word] = {"rst_i": 0, "we_i": 0, "re_i": 0}
    read = idle | {"re_i": 1, "sel_i": other_bank, "addr_i": other}
    unit = Machine(design)
    unit.idle(2, rst_i=1, we_i=0, re_i=0)
    unit.step(**read)
    unit.step(**idle | {"we_i": 1, "sel_i": bank, "addr_i": word, "data_i": data})
    unit.step(**read)
    unit.step(**idle)
    before = unit.step(**idle)["read_o"]
    unit.step(**idle)
    after = unit.step(**idle)
    same = z3.And(bank == other_bank, word == other)
    yield Claim("answer valid", after["read_valid_o"], z3.BitVecVal(1, 1), asked)
    yield Claim("answer", after["read_o"], where(same, data, before), asked)


def sums(design: Design) -> Iterator[Claim]:
    """stoic_mvu_sums: s = 2 A - U with the U of the image, for two images on their way at once."""
    p = design.parameters
    stages, folds, width = p["STAGES"], p["N_FOLDS"], p["TOTAL_W"]
    unit = Machine(design)
    u = words("u", 3, width)
    per_image = stages * folds
    totals = words("total", 3 * per_image, width)
    unit.step(rst_i=1)
    quiet: dict[str, int | Word] = {"rst_i": 0, "start_i": 0, "valid_i": 0}
    unit.step(**quiet | {"start_i": 1, "sum_i": u[0]})
    unit.idle(2, **quiet)
    for i, a in enumerate(totals):
        image, place = divmod(i, per_image)
        if place == 1 and image < 2:  # the next image starts while this one is inside
            unit.step(**quiet | {"start_i": 1, "sum_i": u[image + 1]})
        now = unit.step(**quiet | {"valid_i": 1, "total_i": a})
        then = unit.step(**quiet)
        want = widened(a, width + 1) * 2 - widened(u[image], width + 1)
        yield Claim(f"value {i}", then["value_o"], want)
        fold, stage = divmod(place, stages)
        yield Claim(f"stage {i}", now["stage_o"], z3.BitVecVal(stage, now["stage_o"].size()))
        yield Claim(f"fold {i}", now["fold_o"], z3.BitVecVal(fold, now["fold_o"].size()))
        yield Claim(f"last {i}", now["last_o"], z3.BitVecVal(place == per_image - 1, 1))


def ranking(design: Design) -> Iterator[Claim]:
    """stoic_scores finds argmax, lowest index at a tie, and margin, of any scores and any gaps.

    By induction over the scores k = 0, 1, ..., for an arbitrary one before them, score j, and a
    runner-up: best is the winner's score; it is at least score j, and above it if j < winner;
    second is the runner-up's score, and at least score j unless j is the winner.
    """
    unit = Machine(design)
    unit.step(rst_i=0)  # compares the score that is ranked next
    was = unit.step(rst_i=0)
    now = unit.step(rst_i=0)
    s, k, single = was["score_q"], was["index_q"], was["single_q"] == 1
    top = z3.BitVecVal(2 ** k.size() - 1, k.size())
    score_j, (j, runner) = z3.BitVec("s_j", s.size()), z3.BitVecs("j runner", k.size())
    wins = z3.UGT(s, was["best_q"])
    places = z3.Or(single, z3.UGT(s, was["second_q"]))
    new_runner = where(wins, was["class_q"], where(places, k, runner))
    yes = z3.BitVecVal(1, 1)

    def holds(at: Cycle, runner: Word, j: Word, score_j: Word, single: z3.BoolRef) -> z3.BoolRef:
        best, second, winner = at["best_q"], at["second_q"], at["class_q"]
        several = z3.And(
            runner != winner,
            z3.UGE(best, second),
            z3.Implies(j == runner, second == score_j),
            z3.Implies(j != winner, z3.UGE(second, score_j)),
        )
        return z3.And(
            z3.UGE(best, score_j),
            z3.Implies(z3.ULT(j, winner), z3.UGT(best, score_j)),
            z3.Implies(j == winner, best == score_j),
            z3.Implies(z3.Not(single), several),
        )

    ranked, first = was["valid_q"] == 1, was["fresh_q"] == 1
    known = z3.And(
        ranked, z3.Not(first), single == (k == 1), z3.ULT(k, top), z3.ULT(j, k),
        z3.ULT(was["class_q"], k), z3.Implies(z3.Not(single), z3.ULT(runner, k)),
        holds(was, runner, j, score_j, single),
    )  # fmt: skip
    never = z3.BoolVal(False)
    yield Claim("score j", flag(holds(now, new_runner, j, score_j, never)), yes, known)
    yield Claim("score k", flag(holds(now, new_runner, k, s, never)), yes, known)
    yield Claim("count", now["index_q"], k + 1, known)
    yield Claim("several", now["single_q"], z3.BitVecVal(0, 1), known)

    zero, one = z3.BitVecVal(0, k.size()), z3.BitVecVal(1, k.size())
    begins = z3.And(ranked, first)
    yield Claim("first score", flag(holds(now, zero, zero, s, z3.BoolVal(True))), yes, begins)
    yield Claim("first alone", now["best_q"] - now["second_q"], s - s, begins)
    yield Claim("first class", now["class_q"], zero, begins)
    yield Claim("first count", now["index_q"], one, begins)
    yield Claim("first single", now["single_q"], flag(was["last_q"] == 0), begins)
    yield Claim("next image", now["fresh_q"], was["last_q"], ranked)
    for name in ("best_q", "second_q", "class_q", "index_q", "fresh_q", "single_q"):
        yield Claim(f"{name} holds in a gap", now[name], was[name], z3.Not(ranked))
    best, second = (widened(was[name], 32) for name in ("best_q", "second_q"))
    yield Claim("margin", was["margin_o"], best - second, z3.UGE(best, second))


def classes(design: Design) -> Iterator[Claim]:
    """stoic_scores, an image after reset: scores, argmax with the lowest index at a tie, margin."""
    p = design.parameters
    n, m, width = p["N"], p["M"], p["VALUE_W"]
    values = words("sum", m, width)
    unit = Machine(design)
    unit.step(rst_i=1)
    wanted = []
    for i, value in enumerate(values):
        unit.step(
            rst_i=0, s_axis_tvalid=1, s_axis_tdata=value, s_axis_tlast=int(i == m - 1),
            m_axis_tready=1,
        )  # fmt: skip
        score = 2 * widened(value, 32) - n if p["BITS"] else z3.SignExt(32 - width, value)
        wanted.append(score)
    quiet: dict[str, int | Word] = {"rst_i": 0, "s_axis_tvalid": 0, "m_axis_tready": 1}
    last = unit.step(**quiet)
    yield Claim("last score", last["m_axis_tdata"], wanted[-1])
    unit.step(**quiet)
    answer = unit.step(**quiet)
    yield Claim("answer valid", answer["class_valid_o"], z3.BitVecVal(1, 1))
    found, margin = answer["class_o"], answer["margin_o"]
    for c, score in enumerate(wanted):
        before = [score > other for other in wanted[:c]]
        behind = [score >= other for other in wanted[c + 1 :]]
        is_class = flag(z3.And(*before, *behind))
        yield Claim(f"class {c}", flag(found == c), is_class)
        if m <= MARGINS_UP_TO:
            rest = [score - other for other in wanted[:c] + wanted[c + 1 :]]
            least = z3.And(*[z3.ULE(margin, lead) for lead in rest])
            reached = z3.Or(*[margin == lead for lead in rest]) if rest else margin == 0
            is_margin = flag(z3.And(least, reached))
            yield Claim(f"margin {c}", is_margin, z3.BitVecVal(1, 1), is_class == 1)
