"""What CRC-32 and SECDED compute, for all inputs; claims as in `units`."""

from collections.abc import Iterator

import z3

from ...sim.protection import hsiao
from .claims import Claim
from .elaborate import Design
from .machine import Machine, Word
from .specification import bits, crc_step, joined, parity, where

BYTE = 8
CRC_START, CRC_RESIDUE = 0xFFFFFFFF, 0xDEBB20E3


def crc(design: Design) -> Iterator[Claim]:
    """stoic_crc32: polynomial division, byte by byte; the residue behind any right CRC."""
    byte = z3.BitVec("byte", BYTE)
    unit = Machine(design)
    was = unit.step(clear_i=0, valid_i=1, data_i=byte)["crc_o"]
    now = unit.step(clear_i=0, valid_i=0)["crc_o"]
    yield Claim("byte", now, crc_step(was, byte))
    cleared = unit.step(clear_i=1)["crc_o"]
    yield Claim("hold", cleared, now)
    started = unit.step(clear_i=0, valid_i=0)["crc_o"]
    yield Claim("clear", started, z3.BitVecVal(CRC_START, 32))
    unit = Machine(design)
    right = ~unit.step(clear_i=0, valid_i=0)["crc_o"]
    for i in range(4):
        unit.step(clear_i=0, valid_i=1, data_i=z3.Extract(BYTE * i + 7, BYTE * i, right))
    yield Claim("residue", unit.step()["crc_o"], z3.BitVecVal(CRC_RESIDUE, 32))


def secded(design: Design) -> Iterator[Claim]:
    """stoic_secded: every single error corrected, every double one detected, of any data.

    In two steps, so that no solver needs to think about long parities. The syndrome register is
    what the columns of stoic.sim.protection.hsiao say: 0 of a code word, and that of the error
    where there is one. And of the syndrome of no, any single and any double error the next cycle
    makes what it should.
    """
    k, r = design.parameters["K"], design.parameters["R"]
    columns = [*hsiao.code(k).columns, *(1 << m for m in range(r))]

    def syndrome(word: Word) -> Word:
        rows = [
            parity(
                [bit for bit, column in zip(bits(word), columns, strict=True) if column >> m & 1]
            )
            for m in range(r)
        ]
        return joined(rows)

    word, error, data = z3.BitVec("word", k + r), z3.BitVec("error", k + r), z3.BitVec("data", k)
    unit = Machine(design)
    unit.step(word_i=word)
    held = unit.step()
    yield Claim("syndrome", held["syndrome_q"], syndrome(word))
    yield Claim("data", held["data_q"], z3.Extract(k - 1, 0, word))
    code_word = z3.Concat(syndrome(z3.ZeroExt(r, data)), data)
    yield Claim("code word", syndrome(code_word), z3.BitVecVal(0, r))
    yield Claim("error", syndrome(word ^ error), syndrome(word) ^ syndrome(error))

    def column(place: Word) -> Word:
        out = z3.BitVecVal(0, r)
        for at, value in enumerate(columns):
            out = where(place == at, z3.BitVecVal(value, r), out)
        return out

    unit = Machine(design)
    was = unit.step()
    now = unit.step()
    i, j = z3.BitVecs("i j", 8)
    inside = z3.And(z3.ULT(i, k + r), z3.ULT(j, k + r), i != j)
    yes, no = z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)
    seen, data_q = was["syndrome_q"], was["data_q"]
    flipped = z3.BitVecVal(0, k)
    for at in range(k):
        flipped = where(i == at, z3.BitVecVal(1 << at, k), flipped)
    for name, given, corrected, detected, wanted in (
        ("no error", seen == 0, no, no, data_q),
        ("single error", z3.And(inside, seen == column(i)), yes, no, data_q ^ flipped),
        ("double error", z3.And(inside, seen == column(i) ^ column(j)), no, yes, data_q),
    ):
        yield Claim(f"{name}: corrected", now["corrected_o"], corrected, given)
        yield Claim(f"{name}: detected", now["detected_o"], detected, given)
        yield Claim(f"{name}: data", now["data_o"], wanted, given)
