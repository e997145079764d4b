"""Errors that injectors on chip make: of every read, so there is no fault map of them.

`stoic_injector` is the hardware, `sim.injector` says bit by bit what it does, and a device that has
it, or golden, gives the scores. Its errors are not those of `Iid`, image by image: a word that is
read twice meets two draws, and the lanes of a word are not independent (rtl/README.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core import FORMS, Core, Form
from ..exceptions import InputError
from ..faults import FaultMap
from ..injector import ReadErrors
from ..memory import Kind, Layout
from .model import Persistence

MAX_RATE = 0.5
MAX_OFF = 0.1  # of a rate that the steps of the hardware give, of the rate asked for
_CHIP_BITS = 32  # of the seed of an injector, below that of the population


@dataclass(frozen=True)
class Injector:
    """Transient read errors of the weight memories of a core with injectors.

    Attributes:
        p01: P(read 1 | stored 0), 0..1/2, in steps of 2**-16 or less.
        p10: P(read 0 | stored 1), likewise.
        seed: of the population of chips; of every chip the injectors start from another state.
        form: of the injectors, ring or independent.
    """

    name: ClassVar[str] = "injector"
    needs_data: ClassVar[bool] = False

    p01: float
    p10: float
    seed: int = 0
    form: Form = "ring"

    def __post_init__(self) -> None:
        for name, rate in (("p01", self.p01), ("p10", self.p10)):
            if not 0 <= rate <= MAX_RATE:
                raise InputError(f"{name} of an injector must be 0..{MAX_RATE}, not {rate!r}")
        if self.form not in FORMS:
            raise InputError(f"form must be among {FORMS}, not {self.form!r}")

    @property
    def persistence(self) -> Persistence:
        """Errors last for one read of a word."""
        return "read"

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

    def read_errors(self, core: Core, chip: int, off: Iterable[str] = ()) -> ReadErrors:
        """What the injectors of a core are set to for a chip; its first image is number 0.

        Args:
            off: names of weight banks that are read without errors.

        Raises:
            InputError: the core has no injectors, or of another form, or its steps are too coarse.
        """
        if core.injector != self.form:
            raise InputError(f"injectors of form {self.form!r} are not those of the core")
        errors = ReadErrors(core, self.p01, self.p10, self.seed << _CHIP_BITS | chip, tuple(off))
        for layer in range(len(core.layout.shapes)):
            rates = errors.rates(layer)
            for name, asked, made in (("p01", self.p01, rates.p01), ("p10", self.p10, rates.p10)):
                if abs(made - asked) > MAX_OFF * asked:
                    raise InputError(
                        f"{name} {asked:g} cannot be had of the injector of layer {layer}: the "
                        f"nearest is {made:g}; larger rates, or less far apart, can"
                    )
        return errors

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Refused: there is no map that says what every read meets.

        Raises:
            InputError: always.
        """
        raise InputError(
            "read errors of an injector are no fault map, as every read of a word meets others"
        )
