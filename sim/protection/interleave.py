"""Bit interleaving: cells that are neighbours in a row belong to different words."""

from dataclasses import dataclass
from typing import ClassVar

from ..exceptions import InputError
from ..memory import Kind, Layout
from ..network import Network
from ..physical import extend
from ..physical_steps import MAX_COLUMNS, Interleave
from .protection import Cells, Protection, check_kinds, physical


@dataclass(frozen=True)
class Interleaved(Protection):
    """`degree` words share a row, bit by bit in turn; costs no stored bit.

    Alone it only spreads a burst over neurons; after SECDED a burst of up to `degree` cells leaves
    at most one error in each code word.

    Attributes:
        degree: words in a row.
        where: kinds of memory whose words are interleaved.
    """

    degree: int = 4
    where: tuple[Kind, ...] = ("weights",)
    name: ClassVar[str] = "interleave"

    def __post_init__(self) -> None:
        if not 1 <= self.degree <= MAX_COLUMNS:
            raise InputError(f"degree must be 1..{MAX_COLUMNS}, not {self.degree}")
        check_kinds(self.where)

    def layout(self, network: Network, base: Layout) -> Layout:
        """Banks of longer rows."""
        degrees = tuple(self.degree if bank.kind in self.where else 1 for bank in base.banks)
        return extend(base, Interleave(degrees))

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """The same bits in their new places."""
        return physical(self.layout(network, base)).put(cells)

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """The same bits in their old places."""
        return physical(self.layout(network, base)).get(cells)
