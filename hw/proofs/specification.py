"""What the units compute, on z3's words as plainly as stoic.sim.golden does on numbers."""

from collections.abc import Sequence

import z3

from .machine import Word


def bits(word: Word, n: int | None = None) -> list[Word]:
    """Its first n bits, LSB first, each a word of one; without n all of them."""
    return [z3.Extract(i, i, word) for i in range(word.size() if n is None else n)]


def widened(word: Word, width: int) -> Word:
    """The unsigned word, zeros above."""
    return z3.ZeroExt(width - word.size(), word)


def total(words: Sequence[Word], width: int) -> Word:
    """Sum of unsigned words."""
    out = z3.BitVecVal(0, width)
    for word in words:
        out = out + widened(word, width)
    return out


def parity(words: Sequence[Word]) -> Word:
    """XOR of words of one bit."""
    out = z3.BitVecVal(0, 1)
    for word in words:
        out = out ^ word
    return out


def where(condition: z3.BoolRef, yes: Word | int, no: Word | int) -> Word:
    """`yes` where the condition holds; at least one of the two is a word."""
    return z3.If(condition, yes, no)


def flag(condition: z3.BoolRef) -> Word:
    """1 where the condition holds, as a word of one bit."""
    return where(condition, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))


def count_bits(n: int) -> int:
    """Bits of a number 0..n."""
    return n.bit_length()


def address_bits(n: int) -> int:
    """Bits of an address below n, 1 where there is but one."""
    return max(1, (n - 1).bit_length())


def joined(parts: list[Word]) -> Word:
    """Words side by side, the first one lowest."""
    return z3.Concat(*reversed(parts)) if len(parts) > 1 else parts[0]


def words(name: str, count: int, width: int) -> list[Word]:
    """So many symbols."""
    return [z3.BitVec(f"{name}{i}", width) for i in range(count)]


def lanes_of(word: int, n: int, simd: int) -> int:
    """Lanes of a word of `simd` that are among the first n of the neuron."""
    return min(simd, n - word * simd)


def neuron_bits(x: Sequence[Word], w: Sequence[Word], n: int, width: int) -> Word:
    """P: lanes of the first n on which inputs and weights agree.

    Args:
        x, w: words of the neuron, lane 0 the LSB of word 0.
        width: of the result.
    """
    simd = x[0].size()
    counts = [
        total(bits(~(a ^ b), lanes_of(i, n, simd)), count_bits(simd))
        for i, (a, b) in enumerate(zip(x, w, strict=True))
    ]
    return total(counts, width)


def neuron_planes(planes: Sequence[Sequence[Word]], w: Sequence[Word], n: int, width: int) -> Word:
    """A: sum over bits b of 2^b popcount(w & x_b), over the first n lanes, by Horner's rule.

    Args:
        planes: plane 0 first, each the words of the neuron.
    """
    simd = w[0].size()
    out = z3.BitVecVal(0, width)
    for x in reversed(planes):
        counts = [
            total(bits(p & q, lanes_of(i, n, simd)), count_bits(simd))
            for i, (p, q) in enumerate(zip(x, w, strict=True))
        ]
        out = (out << 1) + total(counts, width)
    return out


def crc_step(register: Word, byte: Word) -> Word:
    """CRC-32 by its definition: the remainder of polynomial division by 0x104C11DB7.

    zlib's register holds the remainder with its bits reversed, and takes bytes LSB first.
    """
    remainder = z3.Concat(*bits(register))  # bit 0 of the register is the top coefficient
    incoming = z3.Concat(*bits(byte), z3.BitVecVal(0, 24))
    value = z3.Concat(remainder ^ incoming, z3.BitVecVal(0, 8))  # times x^8
    divisor = z3.BitVecVal(0x104C11DB7, 40)
    for place in range(39, 31, -1):
        value = where(
            z3.Extract(place, place, value) == 1, value ^ (divisor << (place - 32)), value
        )
    return z3.Concat(*bits(z3.Extract(31, 0, value)))
