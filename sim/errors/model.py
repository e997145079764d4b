"""What an error model is, and what all of them share: keys of chips, maps out of planes."""

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words, n_words
from ..exceptions import InputError
from ..faults import FaultMap, trusted
from ..fields import plain
from ..memory import KINDS, Bank, Kind, Layout

Persistence = Literal["chip", "programming", "read"]
PERSISTENCES: tuple[Persistence, ...] = ("chip", "programming", "read")
HERE = {"here": True}
"""Metadata of a field that is true of this machine only, a folder: no part of a description."""


class ErrorModel(Protocol):
    """A population of chips whose memory lies in one way: a frozen dataclass of plain values.

    Attributes:
        name: in the registry, in files and in rows.
        needs_data: whether `sample` must be told what the cells hold.
        seed: of the population.
        persistence: how long faults last: a chip keeps them for life, or they are drawn anew at
            every programming of the memory, or at every read (in this kit: for every image).
    """

    name: ClassVar[str]
    needs_data: ClassVar[bool]

    @property
    def seed(self) -> int: ...

    @property
    def persistence(self) -> Persistence: ...

    def rates(self) -> tuple[float, float]:
        """(p01, p10), the mean over stored cells; p01 is P(read 1 | stored 0)."""
        ...

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of chip number `chip`, in the named kinds of memory.

        Args:
            event: number of the programming, or of the image; without effect on what a chip keeps.
            stored: (n_cells,) what the cells hold, `memory.stored_bits`; where `needs_data`.

        Raises:
            InputError: an unknown kind of memory, a negative chip or event, or data is missing.
        """
        ...


def describe(model: ErrorModel) -> dict[str, Any]:
    """The model as JSON values: its name, its fields, its mean rates and what has no source."""
    known = vars(model).get("_described")  # every map asks, and a model never changes
    if known is None:
        known = vars(model)["_described"] = _describe(model)
    return dict(known)


def _describe(model: ErrorModel) -> dict[str, Any]:
    assert is_dataclass(model) and not isinstance(model, type)
    values = {
        f.name: plain(type(model), f.name, getattr(model, f.name))
        for f in fields(model)
        if f.metadata != HERE
    }
    p01, p10 = (float(p) + 0.0 for p in model.rates())  # -0.0 is 0.0
    unsourced = {"provisional": text} if (text := provisional(model)) else {}
    return {"model": model.name, **values, "p01": p01, "p10": p10, **unsourced}


def provisional(model: ErrorModel) -> str:
    """Which constants of the model have no source; "" when all have one."""
    return str(getattr(model, "provisional", ""))


def provenance(
    model: ErrorModel, chip: int, where: Iterable[Kind], event: int = 0
) -> dict[str, Any]:
    """Where a map comes from, as JSON values: all that decides it but the layout."""
    born = {} if model.persistence == "chip" else {"event": event}
    return {**describe(model), "chip": chip, **born, "where": list(where)}


def check_rates(**rates: float) -> None:
    """Refuse what is no probability.

    Raises:
        InputError: a rate is not 0..1.
    """
    for name, rate in rates.items():
        if not 0.0 <= rate <= 1.0:
            raise InputError(f"{name} must be 0..1, not {rate!r}")


def check_persistence(persistence: str) -> None:
    """Refuse an unknown one.

    Raises:
        InputError: it is not among `PERSISTENCES`.
    """
    if persistence not in PERSISTENCES:
        raise InputError(f"persistence must be among {PERSISTENCES}, not {persistence!r}")


def check_sample(where: Iterable[Kind], chip: int, event: int) -> tuple[Kind, ...]:
    """The kinds of memory, once they, chip and event are known to be legal.

    Raises:
        InputError: an unknown kind of memory, or a negative chip or event.
    """
    kinds = tuple(where)
    if not set(kinds) <= set(KINDS):
        raise InputError(f"where must be among {KINDS}, not {kinds}")
    for name, number in (("chip", chip), ("event", event)):
        if number < 0:
            raise InputError(f"{name} must be 0 or more, not {number}")
    return kinds


def chip_key(model: ErrorModel, purpose: str, chip: int, event: int) -> sampling.Key:
    """The key under which a chip draws for one purpose; `bank_key` makes one of a bank of it.

    Models that draw for the purpose "stoic.cell/2" share the cell field: with the same seed and
    chip their faults are in the same weak cells.
    """
    return sampling.key(purpose, model.seed, chip, 0 if model.persistence == "chip" else event)


@lru_cache(maxsize=1 << 16)
def _name_key(name: str) -> sampling.Key:
    return sampling.key(name)


def bank_key(root: sampling.Key, bank: Bank) -> sampling.Key:
    """The key of one bank under that of a chip."""
    return sampling.join(root, _name_key(bank.name))


@lru_cache(maxsize=32)
def cell_banks(layout: Layout, kinds: tuple[Kind, ...]) -> sampling.Banks:
    """The banks of these kinds without their pads, as `sampling.planes` takes them."""
    banks = [
        (bank.name, bank.first_cell, bank.n_words * bank.width)
        for bank in layout.banks
        if bank.kind in kinds
    ]
    return sampling.bank_table(banks, layout.stored_mask)


def cell_plane(root: sampling.Key, layout: Layout, kinds: tuple[Kind, ...], p: float) -> Words:
    """(n_words(n_cells),) stored cells with u < p of all banks of these kinds."""
    return sampling.planes(root, cell_banks(layout, kinds), p, layout.n_cells)


def from_turns(
    layout: Layout, turns1: Words, turns0: Words, provenance: dict[str, Any]
) -> FaultMap:
    """The map of cells that read 1 when 0 is stored, and of those that read 0 when 1 is stored.

    Args:
        turns1, turns0: (n_words(n_cells),) planes of a layout, clear in pads, as `cell_plane` gives
            them; both set is a flip, one only is stuck.
    """
    if turns1 is turns0:
        return trusted(layout, provenance, flip=turns1)
    flip = turns1 & turns0
    return trusted(layout, provenance, flip=flip, stuck0=turns0 ^ flip, stuck1=turns1 ^ flip)


def assemble(
    layout: Layout,
    where: Iterable[Kind],
    planes_of: Callable[[Bank], tuple[Words, Words]],
    provenance: dict[str, Any],
) -> FaultMap:
    """A map put together bank by bank.

    Args:
        planes_of: (turns1, turns0) of a bank, (n_words(its cells),) each, bit c its cell c: cells
            that read 1 when 0 is stored, and that read 0 when 1 is stored. Pads are cleared.
    """
    kinds = tuple(where)
    whole = np.zeros((2, n_words(layout.n_cells) + 1), np.uint64)
    for bank in layout.banks:
        if bank.kind in kinds:
            word, shift = divmod(bank.first_cell, 64)
            for out, part in zip(whole, planes_of(bank), strict=True):
                out[word : word + len(part)] |= part << np.uint64(shift)
                if shift:
                    out[word + 1 : word + 1 + len(part)] |= part >> np.uint64(64 - shift)
    turns1, turns0 = whole[:, :-1] & layout.stored_mask
    return from_turns(layout, turns1, turns0, provenance)
