"""The registers of a core: one more bank after those of the layout, as `stoic_registers` says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import golden
from .bits import Words
from .core import Core
from .hardware import take_apart

WORDS = 8  # before those of SECDED or read errors, two a layer
CLEAR, BOUND, TABLE = 0, 5, 6  # addresses that the host writes
_BITS = {"images": 32, "margin_sum": 48, "low_margins": 32}  # after which a counter wraps


@dataclass(frozen=True)
class Registers:
    """What a core counted since it was reset or cleared, and what its host set.

    Attributes:
        images: classified.
        margin_sum: of their margins.
        margin_min, margin_max: None before the first image.
        low_margins: images whose margin was less than the bound.
        margin_bound: the bound.
        table: number of the threshold table in use.
        tables: threshold tables that there are.
        corrected_words: in each layer, weight words that SECDED corrected, as often as they were
            read.
        detected_words: ... whose errors it only detected.
        disturbed_words: in each layer, weight words that its first processing element read while
            the injector put errors on them, as often as it did (`injected.disturbed_words`).
    """

    images: int
    margin_sum: int
    margin_min: int | None
    margin_max: int | None
    low_margins: int
    margin_bound: int
    table: int
    tables: int
    corrected_words: tuple[int, ...]
    detected_words: tuple[int, ...]
    disturbed_words: tuple[int, ...]


def bank(core: Core) -> int:
    """Number of the bank of registers."""
    return len(core.layout.banks)


def n_words(core: Core) -> int:
    """Words of the bank of registers."""
    return WORDS + 2 * len(core.layout.shapes)


def are_needed(core: Core) -> bool:
    """Whether the core has what only its registers tell or set."""
    return take_apart(core.layout).needs_registers or core.injector is not None


def unpack(words: Words, *, has_injectors: bool = False) -> Registers:
    """The registers of all words of the bank, of a core with or without injectors."""
    values = [int(word) for word in words]
    found = tuple(values[WORDS::2])
    none = (0,) * len(found)
    images, margin_sum, least, most, low, bound, table, tables = values[:WORDS]
    return Registers(
        images=images,
        margin_sum=margin_sum,
        margin_min=least if images else None,
        margin_max=most if images else None,
        low_margins=low,
        margin_bound=bound,
        table=table,
        tables=tables,
        corrected_words=none if has_injectors else found,
        detected_words=tuple(values[WORDS + 1 :: 2]),
        disturbed_words=found if has_injectors else none,
    )


@dataclass(frozen=True)
class Count:
    """What a register counted, and what it must have."""

    register: str
    expected: int
    got: int


def middle_bound(scores: Sequence[NDArray[np.int32]]) -> int:
    """A bound of margins that about half of the images are below, at least 1."""
    return max(1, int(np.median(_margins(scores))))


def counts(before: Registers, after: Registers, scores: Sequence[NDArray[np.int32]]) -> list[Count]:
    """What was counted between two looks at a core, and what golden says of its images.

    Args:
        scores: golden's, of all images that the core was given between, in any order.
    """
    margins = _margins(scores)
    expected = {
        "images": len(margins),
        "margin_sum": int(margins.sum()),
        "low_margins": int((margins < before.margin_bound).sum()),
    }
    return [
        Count(name, n, (getattr(after, name) - getattr(before, name)) % (1 << _BITS[name]))
        for name, n in expected.items()
    ]


def _margins(scores: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    return np.concatenate([golden.margin(some) for some in scores])
