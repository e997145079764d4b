"""FeFET memory over temperature: asymmetric rates. Provisional: no published number was read.

That bit errors of FeFET memories depend on temperature and are asymmetric is sourced (Yayla et al.
2022, IEEE TC 71 (7), doi 10.1109/TC.2021.3104736, abstract). The numbers here are not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Kind, Layout
from .iid import Iid
from .model import Persistence, check_sample, provenance

COLD_C, HOT_C = 25.0, 85.0
P01_HOT, P10_HOT = 0.02, 0.01
"""Rates at HOT_C, from memory of the paper and not checked; that they fall linearly to 0 at COLD_C
is ours."""


@dataclass(frozen=True)
class FeFet:
    """Independent asymmetric errors that grow with the temperature; a chip keeps its weak cells.

    Attributes:
        celsius: 25..85.
        seed: of the population of chips.
    """

    name: ClassVar[str] = "fefet"
    needs_data: ClassVar[bool] = False
    provisional: ClassVar[str] = "rates"

    celsius: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not COLD_C <= self.celsius <= HOT_C:
            raise InputError(f"celsius must be {COLD_C:g}..{HOT_C:g}, not {self.celsius!r}")

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10), provisional."""
        heat = (self.celsius - COLD_C) / (HOT_C - COLD_C)
        return round(P01_HOT * heat, 12), round(P10_HOT * heat, 12)

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
        drawn = Iid(*self.rates(), self.seed).sample(layout, chip, kinds)
        return replace(drawn, provenance=provenance(self, chip, kinds))
