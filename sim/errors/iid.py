"""Independent errors: every stored bit has the same chance to read wrong."""

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
    check_persistence,
    check_rates,
    check_sample,
    chip_key,
    from_turns,
    provenance,
)


@dataclass(frozen=True)
class Iid:
    """Independent errors with rates p01 and p10, nested in the rate.

    Every cell draws one uniform number u. It is faulty in the direction whose rate exceeds u, so
    the faults at a lower rate are a subset of those at a higher one. Where only one direction
    exceeds u the cell is stuck: reading a 0 as 1 and a 1 as 1 is being stuck at 1.

    Source: persistent nested errors after Stutz et al. 2021, MLSys, "Random Bit Error Model".

    Attributes:
        p01: P(read 1 | stored 0), 0..1.
        p10: P(read 0 | stored 1), 0..1.
        seed: of the population of chips.
        persistence: whether u is drawn once for a chip, for each programming or for each image.
    """

    name: ClassVar[str] = "iid"
    needs_data: ClassVar[bool] = False

    p01: float
    p10: float
    seed: int = 0
    persistence: Persistence = "chip"

    def __post_init__(self) -> None:
        check_rates(p01=self.p01, p10=self.p10)
        check_persistence(self.persistence)

    @property
    def ber(self) -> float:
        """Mean bit error rate when 0 and 1 are stored equally often."""
        return (self.p01 + self.p10) / 2

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

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
        root = chip_key(self, "stoic.cell/2", chip, event)
        turns1 = cell_plane(root, layout, kinds, self.p01)
        turns0 = turns1 if self.p10 == self.p01 else cell_plane(root, layout, kinds, self.p10)
        return from_turns(layout, turns1, turns0, provenance(self, chip, kinds, event))
