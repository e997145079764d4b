"""Transient faults: a read disturbs, and the next image meets other faults."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Kind, Layout
from .model import ErrorModel, check_sample, provenance


@dataclass(frozen=True, eq=False)
class Transient:
    """Faults that are drawn anew for every image.

    The scores of image i under it are those of the network that the map `at(i)` leaves: within
    one image a cell reads the same each time.

    Attributes:
        model: one whose faults last for one read.
        stored: (n_cells,) what the cells hold, for a model that needs it.

    Raises:
        InputError: the faults of the model outlast a read, or `where` or `chip` is not legal.
    """

    model: ErrorModel
    layout: Layout
    chip: int
    where: tuple[Kind, ...] = ("weights",)
    stored: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.model.persistence != "read":
            raise InputError(
                f"transient faults need a model of persistence 'read', not "
                f"{self.model.persistence!r}"
            )
        check_sample(self.where, self.chip, 0)

    def at(self, image: int) -> FaultMap:
        """What the memory reads as while image number `image` is inferred."""
        return self.model.sample(
            self.layout, self.chip, self.where, event=image, stored=self.stored
        )

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The model, chip and kinds of memory as JSON values."""
        values = provenance(self.model, self.chip, self.where)
        del values["event"]
        return values
