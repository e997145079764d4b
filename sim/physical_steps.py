"""Steps of a memory: what is added to the banks of a layout, or how their words are placed anew.

A step is a few integers, so the file of a fault map holds all of them. `banks_after` says what
memories there are after a step, `check` refuses one that does not fit; where the cells go is said
in `physical.py`.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar

from .exceptions import InputError
from .memory import KINDS, Bank, Layout

MAX_COLUMNS = 1 << 16
MAX_TABLES = 255
MAX_CELLS = 1 << 32  # a forged file must not make memories without end


@dataclass(frozen=True)
class Widen:
    """Check columns: code words over `group` words of a bank that follow each other.

    Every word of a bank grows by ceil(checks / group) columns above its own; check bit m of a code
    word stands in its word m // columns, column `width + m % columns`. A code word without a stored
    bit has no stored check bits. The depth of a bank is rounded up to whole code words.

    Attributes:
        checks: check bits of a code word, for each bank; 0 leaves the bank as it is.
    """

    checks: tuple[int, ...]
    group: int = 1
    step: str = "widen"
    name: ClassVar[str] = "widen"

    def columns(self, bank: int) -> int:
        """Columns added to a bank."""
        return ceil(self.checks[bank] / self.group)


@dataclass(frozen=True)
class Interleave:
    """Several words in one row: column b * degree + k of row r is bit b of word r * degree + k.

    Neighbours in a row then belong to different words.

    Attributes:
        degrees: words in a row, for each bank.
    """

    degrees: tuple[int, ...]
    step: str = "interleave"
    name: ClassVar[str] = "interleave"


@dataclass(frozen=True)
class Copy:
    """Copies of some words, in banks of their own after the others.

    Attributes:
        blocks: (bank, first address, words), by bank and address.
        n_copies: banks of copies for each bank that has a block.
    """

    blocks: tuple[tuple[int, int, int], ...]
    n_copies: int
    step: str = "copy"
    name: ClassVar[str] = "copy"


@dataclass(frozen=True)
class Flags:
    """One more bank for each (layer, PE, stored, depth): so many one-bit words, the first stored.

    They stand with the thresholds: small memories, which are victims when thresholds are.
    """

    banks: tuple[tuple[int, int, int, int], ...]
    label: str
    step: str = "flags"
    name: ClassVar[str] = "flags"


@dataclass(frozen=True)
class Tables:
    """Threshold tables: every bank of n thresholds holds `tables` times as many.

    Table t stands at addresses t * n and up; table 0 is where the thresholds were.
    """

    tables: int
    step: str = "tables"
    name: ClassVar[str] = "tables"


Step = Widen | Interleave | Copy | Flags | Tables
STEPS: dict[str, type[Step]] = {s.name: s for s in (Widen, Interleave, Copy, Flags, Tables)}


def banks_after(step: Step, under: Layout) -> list[Bank]:
    """The banks after a step; their first cells are not yet right."""
    banks = list(under.banks)
    match step:
        case Widen(checks, group):
            return [
                replace(
                    bank,
                    n_words=ceil(bank.n_words / group) * group if n else bank.n_words,
                    width=bank.width + step.columns(i),
                )
                for i, (bank, n) in enumerate(zip(banks, checks, strict=True))
            ]
        case Interleave(degrees):
            return [
                replace(bank, n_words=ceil(bank.n_words / d), width=bank.width * d)
                for bank, d in zip(banks, degrees, strict=True)
            ]
        case Copy(blocks, n_copies):
            words: dict[int, int] = {}
            for i, _, n in blocks:
                words[i] = words.get(i, 0) + n
            return banks + [
                replace(banks[i], name=f"{banks[i].name}.copy{c}", n_words=n)
                for c in range(1, n_copies + 1)
                for i, n in words.items()
            ]
        case Tables(tables):
            return [
                replace(bank, n_words=bank.n_words * tables) if bank.kind == KINDS[1] else bank
                for bank in banks
            ]
        case Flags(flags, label):
            return banks + [
                Bank(f"L{layer}.P{pe:02d}.{label}", KINDS[1], layer, pe, depth, 1, 0)
                for layer, pe, _, depth in flags
            ]


def check(step: Step, under: Layout) -> None:
    """Refuse a step that does not fit, before anything is made of it."""
    n = len(under.banks)
    match step:
        case Widen(each, group):
            is_whole = len(each) == n and all(0 <= m <= MAX_COLUMNS for m in each)
            is_whole = is_whole and 1 <= group <= MAX_COLUMNS
        case Interleave(each):
            is_whole = len(each) == n and all(1 <= d <= MAX_COLUMNS for d in each)
        case Copy(blocks, n_copies):
            is_whole = (
                bool(blocks)
                and 1 <= n_copies <= MAX_COLUMNS
                and list(blocks) == sorted(blocks)
                and all(
                    0 <= i < n and 0 <= a and 1 <= m and a + m <= under.banks[i].n_words
                    for i, a, m in blocks
                )
            )
        case Tables(tables):
            is_whole = 1 <= tables <= MAX_TABLES
        case Flags(flags):
            is_whole = all(
                0 <= layer < len(under.shapes) and 0 <= pe and 0 <= stored <= depth and depth >= 1
                for layer, pe, stored, depth in flags
            )
    if not is_whole or sum(b.n_words * b.width for b in banks_after(step, under)) > MAX_CELLS:
        raise InputError(f"a step {step.name!r} does not fit its layout of {n} banks")
    names = [b.name for b in banks_after(step, under)]
    if len(set(names)) < len(names):  # their cells would be born with the same faults
        raise InputError(f"a step {step.name!r} was taken before and cannot be taken again")
