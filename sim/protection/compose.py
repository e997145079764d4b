"""Compositions: one protection on the memory that another one made."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ..exceptions import InputError
from ..memory import Layout
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

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """Each fitted to the network that those before it adapted, on the memory they made."""
        fitted: list[Protection] = []
        layout = base
        for protection in self.of:
            fitted.append(protection.fit(network, layout, known))
            network = fitted[-1].adapt(network)
            layout = fitted[-1].layout(network, layout)
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
