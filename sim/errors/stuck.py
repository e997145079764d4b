"""Stuck cells: a cell that fails reads one value for ever, whatever was written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..faults import FaultMap
from ..memory import Kind, Layout
from .model import (
    Persistence,
    cell_plane,
    check_rates,
    check_sample,
    chip_key,
    from_turns,
    provenance,
)


@dataclass(frozen=True)
class Stuck:
    """Independent stuck cells, nested in the rate.

    A cell is stuck when the rate exceeds its u; at which value, a second number of the cell says,
    so neither the rate nor the share moves a cell from one value to the other by the way.

    Attributes:
        rate: share of the cells that are stuck, 0..1. Of a random bit it makes half of that wrong.
        ones: share of the stuck cells that are stuck at 1, 0..1.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "stuck"
    needs_data: ClassVar[bool] = False

    rate: float
    ones: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_rates(rate=self.rate, ones=self.ones)

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10): a stored 0 reads wrong when its cell is stuck at 1."""
        return self.rate * self.ones, self.rate * (1 - self.ones)

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of one chip, see `ErrorModel.sample`."""
        kinds = check_sample(where, chip, event)
        stuck = cell_plane(chip_key(self, "stoic.cell/2", chip, event), layout, kinds, self.rate)
        at_1 = cell_plane(chip_key(self, "stoic.stuck/1", chip, event), layout, kinds, self.ones)
        return from_turns(layout, stuck & at_1, stuck & ~at_1, provenance(self, chip, kinds, event))
