"""What a core counts, as recurrences: a register after a cycle, by what it held and by what came.

A cycle begins in an arbitrary state, with a reset or without; so after a reset a run of any length
counts just so. Cycles are numbered from 0; events and requests are those of cycle 1.
"""

from collections.abc import Iterator
from functools import partial

import z3

from .claims import Claim
from .elaborate import Design
from .machine import Cycle, Machine, Word
from .specification import address_bits, flag, joined, where, widened

_LANE = 16  # bits of a count of the confusion matrix
_YES = z3.BitVecVal(1, 1)


def registers(design: Design) -> Iterator[Claim]:
    """stoic_registers: counters, bound, table in use, and the answers about them."""
    p = design.parameters
    unit = Machine(design)
    at = [unit.step() for _ in range(6)]
    asks = partial(_asks, bank=p["BANK"])
    cleared = [z3.Or(_rst(at[t]), asks(at[t - 1], 1, 0)) for t in range(1, 4)]

    # an image of cycle 1 is in the counters in cycle 4
    margin, bits = at[1]["margin_i"], at[1]["margin_i"].size()
    event = z3.And(at[1]["image_i"] == 1, _no_rst(at[1:3]))
    before = at[3]
    least, most = before["least_q"], before["most_q"]
    is_low = z3.And(event, z3.ULT(margin, at[2]["bound_q"]))
    added = {
        "images_q": widened(flag(event), 32),
        "low_q": widened(flag(is_low), 32),
        "sum_q": where(event, widened(margin, 48), 0),
    }
    for name, more in added.items():
        yield Claim(name, at[4][name], where(cleared[2], 0, before[name] + more))
    # images of successive cycles are of one class, and their margins 0
    apart = z3.Or(
        at[0]["image_i"] == 0, at[1]["image_i"] == 0, at[0]["margin_i"] | at[1]["margin_i"] == 0
    )
    least_then = where(z3.And(event, z3.ULT(margin, least)), margin, least)
    most_then = where(z3.And(event, z3.UGT(margin, most)), margin, most)
    all_ones = z3.BitVecVal(-1, bits)
    yield Claim("least_q", at[4]["least_q"], where(cleared[2], all_ones, least_then), apart)
    yield Claim("most_q", at[4]["most_q"], where(cleared[2], 0, most_then), apart)

    bound = where(asks(at[1], 1, 5), _low(at[1]["cfg_data_i"], bits), at[2]["bound_q"])
    yield Claim("bound_q", at[3]["bound_q"], where(_rst(at[2]), 0, bound))

    word = z3.BitVecVal(0, 64)
    now = at[2]
    held = [now["images_q"], now["sum_q"], now["least_q"], now["most_q"], now["low_q"]]
    held += [now["bound_q"], now["table_o"] if p["TABLES"] > 1 else z3.BitVecVal(0, 8)]
    held += [z3.BitVecVal(p["TABLES"], 8)]
    for i in range(2 * p["LAYERS"] if p["SECDED_EN"] else 0):
        name, counts = f"g_words[{i}].g_count.words_q", at[1][("corrected_i", "detected_i")[i % 2]]
        low = p["COUNT_W"] * (i // 2)
        more = z3.Extract(low + p["COUNT_W"] - 1, low, counts)
        total = now[name] + where(_rst(at[1]), 0, widened(more, 32))
        yield Claim(name, at[3][name], where(cleared[1], 0, total))
        held.append(now[name])
    for address, value in enumerate(held):
        word = where(at[1]["cfg_addr_i"] == address, widened(value, 64), word)
    yield from _answers(at, asks(at[1], 0), word)

    if p["TABLES"] > 1:
        yield from _tables(at, asks, p["TABLES"])
    else:
        for name in ("hold_o", "table_o"):
            yield Claim(name, at[2][name], z3.BitVecVal(0, 1))


def _tables(at: list[Cycle], asks: partial[z3.BoolRef], tables: int) -> Iterator[Claim]:
    """The table that is asked for, held back, and in use."""
    wanted, table, hold = (
        [cycle[f"g_tables.{name}_q"] for cycle in at] for name in ("wanted", "table", "hold")
    )
    data = _low(at[1]["cfg_data_i"], 32)
    chosen = z3.And(asks(at[1], 1, 6), z3.ULT(data, tables))
    wanted_then = where(chosen, _low(data, wanted[2].size()), wanted[2])
    yield Claim("wanted", wanted[3], where(_rst(at[2]), 0, wanted_then))
    moves = z3.And(hold[2] == 1, at[2]["empty_i"] == 1)
    yield Claim("table", table[3], where(_rst(at[2]), 0, where(moves, wanted[2], table[2])))
    yield Claim("table_o", at[2]["table_o"], table[2])
    yield Claim("hold", hold[3], where(_rst(at[2]), 0, flag(wanted[2] != table[2])))
    yield Claim("hold_o", at[2]["hold_o"], hold[2])

    size = tables.bit_length()
    there = [
        z3.And(*(z3.ULT(widened(x[t], size), tables) for x in (wanted, table))) for t in (2, 3)
    ]
    yield Claim("a table that is there", flag(there[1]), _YES, there[0])
    undisturbed = z3.And(chosen, _no_rst(at[1:5]), z3.Not(asks(at[2], 1, 6)), at[4]["empty_i"] == 1)
    yield Claim("in use 4 cycles later", table[5], _low(data, table[5].size()), undisturbed)


def tally(design: Design) -> Iterator[Claim]:
    """stoic_tally: when a run begins and ends, what it counts, and the answers about it."""
    p = design.parameters
    unit = Machine(design)
    at = [unit.step() for _ in range(6)]
    memory, place = unit.memory("confusion"), z3.BitVec("place", _address_bits(p["M"]))
    asks = partial(_asks, bank=p["BANK"])
    now, then = at[2], at[3]

    for name, wire in (("run_o", "run_q"), ("send_o", "send_q"), ("images_o", "wanted_q")):
        yield Claim(name, now[name], now[wire])
    running = now["run_q"]
    yield Claim("scores are taken", now["s_axis_tready"], now["m_axis_tready"] | running)
    yield Claim("and dropped", now["m_axis_tvalid"], now["s_axis_tvalid"] & ~running)

    data, idle = at[1]["cfg_data_i"], z3.And(running == 0, now["busy_i"] == 0)
    legal = z3.And(data != 0, z3.ULE(data, p["IMAGES"]))
    start = z3.And(asks(at[1], 1, 0), legal, idle)
    cleared = z3.And(now["clear_q"] == 1, now["place_q"] == _depth(p["M"]) - 1)
    ends = z3.And(now["send_q"] == 1, now["images_q"] == now["wanted_q"], now["busy_i"] == 0)
    ends = z3.And(ends, z3.Not(cleared))
    states = {
        "run_q": where(start, 1, where(ends, 0, running)),
        "clear_q": where(start, 1, where(cleared, 0, now["clear_q"])),
        "send_q": where(start, now["send_q"], where(cleared, 1, where(ends, 0, now["send_q"]))),
    }
    for name, state in states.items():
        yield Claim(name, then[name], where(_rst(now), 0, state))
    consistent = [
        flag(z3.And(c["run_q"] == c["clear_q"] | c["send_q"], c["clear_q"] & c["send_q"] == 0))
        for c in (now, then)
    ]
    yield Claim("it clears or sends, not both", consistent[1], _YES, consistent[0] == 1)

    counted = z3.And(at[1]["class_valid_i"] == 1, at[1]["label_valid"] == 1)
    for got, want in {
        "labels.rst_i": "rst_i",
        "labels.s_axis_tdata": "label_i",
        "labels.s_axis_tvalid": "label_valid_i",
        "label_room_o": "labels.s_axis_tready",
        "label": "labels.m_axis_tdata",
        "label_valid": "labels.m_axis_tvalid",
    }.items():
        yield Claim(got, at[1][got], at[1][want])
    yield Claim("its label leaves", at[1]["labels.m_axis_tready"], flag(counted))
    label, given = at[1]["label"], widened(at[1]["class_i"], 8)
    seen = z3.And(counted, _no_rst(at[1:2]))
    right = z3.And(seen, label == given)
    registers = {
        "wanted_q": where(start, _low(data, 16), now["wanted_q"]),
        "images_q": where(start, 0, now["images_q"] + widened(flag(seen), 16)),
        "correct_q": where(start, 0, now["correct_q"] + widened(flag(right), 16)),
        "place_q": where(start, 0, now["place_q"] + widened(now["clear_q"], now["place_q"].size())),
    }
    for name, value in registers.items():
        yield Claim(name, then[name], value)

    # an image of cycle 1 is in the matrix in cycle 5; images come 2 cycles apart, within a run
    counted = z3.And(counted, _no_rst(at[1:4]))
    kept = z3.And(
        z3.Or(at[0]["class_valid_i"] == 0, at[0]["label_valid"] == 0),
        at[3]["run_q"] == 1, at[3]["clear_q"] == 0,
        z3.ULT(label, p["M"]), z3.ULT(given, p["M"]),
    )  # fmt: skip
    clears = at[4]["clear_q"] == 1
    row = (widened(label, 16) << _row_bits(p["M"])) + (
        widened(given, 16) >> 2 if _row_bits(p["M"]) else 0
    )
    before, after = (z3.Select(c[memory], place) for c in at[4:])
    lanes = [z3.Extract(_LANE * k + _LANE - 1, _LANE * k, before) for k in range(4)]
    lanes = [lane + widened(flag(given & 3 == k), _LANE) for k, lane in enumerate(lanes)]
    more = where(z3.And(counted, widened(place, 16) == row), joined(lanes), before)
    yield Claim("confusion", after, more, z3.And(z3.Implies(counted, kept), z3.Not(clears)))
    yield Claim("cleared", after, where(at[4]["place_q"] == place, 0, before), clears)

    address = at[1]["cfg_addr_i"]
    word = where(address == 0, now["images_q"], where(address == 1, now["correct_q"], 0))
    in_matrix = z3.Select(now[memory], _low(address, place.size()))
    matrix = asks(at[1], 0, bank=p["BANK"] + 1)
    told = where(matrix, in_matrix, widened(word, 64))
    asked = z3.Or(asks(at[1], 0), matrix)
    yield from _answers(at, asked, told, z3.Or(z3.Not(matrix), running == 0))


def tally_clears(design: Design) -> Iterator[Claim]:
    """stoic_tally: a run may send DEPTH + 2 cycles after its request, when all counts are 0."""
    p = design.parameters
    depth, place = _depth(p["M"]), z3.BitVec("place", _address_bits(p["M"]))
    unit = Machine(design)
    request = {"cfg_valid_i": 1, "cfg_write_i": 1, "cfg_bank_i": p["BANK"], "cfg_addr_i": 0}
    quiet = {"rst_i": 0, "class_valid_i": 0, "busy_i": 0}
    for name in ("counts_q", "run_q", "clear_q", "send_q", "counted_q", "counted_q2"):
        unit.put(name, z3.BitVecVal(0, 1))
    first = unit.step(**request, cfg_data_i=1, **quiet)
    yield Claim("no run before", first["run_o"], z3.BitVecVal(0, 1))
    for cycle in range(1, depth + 3):
        now = unit.step(**quiet)
        yield Claim(f"cycle {cycle}", now["send_o"], z3.BitVecVal(cycle == depth + 2, 1))
    held = z3.Select(now[unit.memory("confusion")], place)
    yield Claim("all counts", held, z3.BitVecVal(0, 64), z3.ULT(widened(place, 16), depth))
    for name in ("images_q", "correct_q"):
        yield Claim(name, now[name], z3.BitVecVal(0, 16))


def _answers(
    at: list[Cycle], asked: z3.BoolRef, word: Word, given: z3.BoolRef | None = None
) -> Iterator[Claim]:
    """The answer to a request of cycle 1, 3 cycles later, on top of those of others."""
    asked = z3.And(asked, _no_rst(at[2:3]))
    valid = z3.And(_no_rst(at[3:4]), z3.Or(at[3]["cfg_rvalid_i"] == 1, asked))
    yield Claim("cfg_rvalid_o", at[4]["cfg_rvalid_o"], flag(valid))
    data = at[3]["cfg_rdata_i"] | where(asked, word, z3.BitVecVal(0, 64))
    yield Claim("cfg_rdata_o", at[4]["cfg_rdata_o"], data, given)


def _asks(at: Cycle, write: int, address: int | None = None, *, bank: int) -> z3.BoolRef:
    """Whether the host reads or writes a word of a bank, any word without an address."""
    parts = [at["cfg_valid_i"] == 1, at["cfg_write_i"] == write, at["cfg_bank_i"] == bank]
    if address is not None:
        parts.append(at["cfg_addr_i"] == address)
    return z3.And(*parts, z3.Not(_rst(at)))


def _rst(at: Cycle) -> z3.BoolRef:
    return at["rst_i"] == 1


def _no_rst(cycles: list[Cycle]) -> z3.BoolRef:
    return z3.And(*(at["rst_i"] == 0 for at in cycles))


def _low(word: Word, width: int) -> Word:
    return z3.Extract(width - 1, 0, word)


def _row_bits(classes: int) -> int:
    """Bits of the number of a word in a row of the confusion matrix, four classes a word."""
    return max(0, address_bits(classes) - 2)


def _depth(classes: int) -> int:
    return classes << _row_bits(classes)


def _address_bits(classes: int) -> int:
    return address_bits(_depth(classes))
