"""Independent persistent errors: every stored bit has the same chance, a chip keeps its faults."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..bits import pack
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import KINDS, Bank, Kind, Layout

_DRAW_BITS = 53


@dataclass(frozen=True)
class Iid:
    """Independent errors with rates p01 and p10, nested in the rate.

    Every cell of a chip draws one uniform number u. It is faulty in the direction whose rate
    exceeds u, so the faults at a lower rate are a subset of those at a higher one. Where only one
    direction exceeds u the cell is stuck: reading a 0 as 1 and a 1 as 1 is being stuck at 1.

    Source: persistent nested errors after Stutz et al. 2021, MLSys, "Random Bit Error Model".

    Attributes:
        p01: P(read 1 | stored 0), 0..1.
        p10: P(read 0 | stored 1), 0..1.
        seed: of the population of chips.
    """

    p01: float
    p10: float
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("p01", "p10"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} must be 0..1, not {getattr(self, name)!r}")

    @property
    def ber(self) -> float:
        """Mean bit error rate when 0 and 1 are stored equally often."""
        return (self.p01 + self.p10) / 2

    def sample(self, layout: Layout, chip: int, where: Iterable[Kind] = ("weights",)) -> FaultMap:
        """Faults of chip number `chip`, in the named kinds of memory.

        Raises:
            InputError: an unknown kind of memory, or a negative chip.
        """
        kinds = tuple(where)
        if not set(kinds) <= set(KINDS):
            raise InputError(f"where must be among {KINDS}, not {kinds}")
        if chip < 0:
            raise InputError(f"chip must be 0 or more, not {chip}")
        below = [np.zeros(layout.n_cells, np.bool_), np.zeros(layout.n_cells, np.bool_)]
        for bank in layout.banks:
            if bank.kind in kinds:
                draws = cell_draws(self.seed, chip, bank)
                cells = slice(bank.first_cell, bank.first_cell + len(draws))
                for faulty, rate in zip(below, (self.p01, self.p10), strict=True):
                    np.less(draws, np.uint64(round(rate * 2**_DRAW_BITS)), out=faulty[cells])
        turns1, turns0 = (pack(faulty) & layout.stored_mask for faulty in below)
        return FaultMap(
            layout,
            flip=turns1 & turns0,
            stuck0=turns0 & ~turns1,
            stuck1=turns1 & ~turns0,
            provenance={"model": "iid", **asdict(self), "chip": chip, "where": list(kinds)},
        )


def cell_draws(seed: int, chip: int, bank: Bank) -> NDArray[np.uint64]:
    """(n_words * width,) uniform integers 0..2^53-1, one a cell, that a chip is born with.

    A pure function of (seed, chip, bank, address, bit): cell number `address * width + bit` takes
    that output of a Philox counter generator keyed with the rest.
    """
    name = f"stoic.cell/1/{seed}/{chip}/{bank.name}".encode()
    key = np.frombuffer(hashlib.sha256(name).digest()[:16], "<u8")
    raw = np.random.Philox(key=key).random_raw(bank.n_words * bank.width)
    raw >>= np.uint64(64 - _DRAW_BITS)
    return np.asarray(raw, np.uint64)
