"""No protection: what every other one is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from .protection import Protection


@dataclass(frozen=True)
class Nothing(Protection):
    """The memory as it is."""

    name: ClassVar[str] = "none"
