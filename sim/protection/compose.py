"""Compositions: one protection on the memory that another one made."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from ..errors import Iid
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Layout, stored_bits
from ..network import Network
from .protection import Cells, Known, Protection


@dataclass(frozen=True)
class Compose(Protection):
    """Protections in the order in which bits pass through them on their way into the memory.

    `of = (Secded(), Interleaved())` encodes words, then interleaves the code words.

    Attributes:
        of: two or more.
    """

    of: tuple[Protection, ...]
    name: ClassVar[str] = "compose"

    def __post_init__(self) -> None:
        if len(self.of) < 2:
            raise InputError(f"a composition needs two or more protections, not {len(self.of)}")
        if any(isinstance(p, Compose) for p in self.of):
            raise InputError("a composition inside a composition: write all in one list")

    @property
    def needs(self) -> frozenset[str]:
        """What any of them needs."""
        return frozenset[str]().union(*(p.needs for p in self.of))

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """First what changes the memory, then what adapts the network to the errors left over."""
        fitted = list(self.of)
        layout = base
        for i, protection in enumerate(fitted):
            if not protection.adapts:
                fitted[i] = protection.fit(network, layout, known)
                layout = fitted[i].layout(network, layout)
        memory = tuple(p for p in fitted if not p.adapts)
        if 0 < len(memory) < len(fitted):
            known = _left_over(memory, network, base, known)
        for i, protection in enumerate(fitted):
            if protection.adapts:
                fitted[i] = protection.fit(network, base, known)
                network = fitted[i].adapt(network)
        return replace(self, of=tuple(fitted))

    def adapt(self, network: Network) -> Network:
        """Adapted by one after the other."""
        for protection in self.of:
            network = protection.adapt(network)
        return network

    def layout(self, network: Network, base: Layout) -> Layout:
        """The memory after the last."""
        return self._layouts(network, base)[-1]

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """First to last."""
        for protection, layout in zip(self.of, self._layouts(network, base), strict=False):
            cells = protection.encode(network, layout, cells)
        return cells

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Last to first."""
        layouts = self._layouts(network, base)[:-1]
        for protection, layout in zip(reversed(self.of), reversed(layouts), strict=True):
            cells = protection.decode(network, layout, cells)
        return cells

    def overhead(self, network: Network, base: Layout) -> int:
        """The sum; a code over copies pays for their check bits too."""
        layouts = self._layouts(network, base)
        return sum(
            protection.overhead(network, layout)
            for protection, layout in zip(self.of, layouts, strict=False)
        )

    def _layouts(self, network: Network, base: Layout) -> list[Layout]:
        found = [base]
        for protection in self.of:
            found.append(protection.layout(network, found[-1]))
        return found


def _left_over(
    memory: tuple[Protection, ...], network: Network, base: Layout, known: Known
) -> Known:
    """What an adaptation may know: errors as they are left over, measured on calibration chips."""
    inner = memory[0] if len(memory) == 1 else Compose(memory)
    model = Iid(known.p01, known.p10, seed=known.seed)
    physical = inner.layout(network, base)
    stored = stored_bits(network, base)

    def seen(chip: int) -> FaultMap:
        return inner.effective(network, base, model.sample(physical, chip))

    wrong = seen(0).read(stored) != stored
    is_weight = np.zeros(base.n_cells, np.bool_)
    for bank in base.banks:
        if bank.kind == "weights":
            is_weight[bank.first_cell : bank.first_cell + bank.n_words * bank.width] = True
    is_weight &= base.is_stored
    ones = is_weight & (stored == 1)
    sets = (is_weight, is_weight) if known.p01 == known.p10 else (is_weight & ~ones, ones)
    rates = [float(wrong[cells].mean()) if cells.any() else 0.0 for cells in sets]
    is_even = not any(p.is_by_row for p in memory)
    return replace(known, p01=rates[0], p10=rates[1], is_even=is_even, maps=seen)
