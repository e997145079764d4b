"""What a folding is wished for: to be fast, small, or just fast enough."""

import math
from dataclasses import dataclass

from ..sim.core import Core, image_cycles
from ..sim.exceptions import InputError
from ..sim.latency import latency_cycles
from .boards import Board


@dataclass(frozen=True)
class Wish:
    """At most one of these; none of them is the largest and fastest folding that fits.

    Attributes:
        smallest: the one that takes the least of the board.
        images_per_s: the smallest that takes in so many at the board's clock.
        latency_us: the smallest with so many microseconds at most, at the board's clock, from the
            first byte of an image in an idle core to its last score. The link counts in neither.

    Raises:
        InputError: more than one, or a number that is not above 0.
    """

    smallest: bool = False
    images_per_s: float | None = None
    latency_us: float | None = None

    def __post_init__(self) -> None:
        numbers = {"images-per-s": self.images_per_s, "latency-us": self.latency_us}
        if self.smallest + sum(number is not None for number in numbers.values()) > 1:
            raise InputError("give one of --smallest, --images-per-s and --latency-us, not more")
        for name, number in numbers.items():
            if number is not None and not (math.isfinite(number) and number > 0):
                raise InputError(f"--{name} must be above 0, not {number:g}")

    @property
    def needs_board(self) -> bool:
        """Whether something is wished at all."""
        return self != FASTEST

    def is_met(self, core: Core, board: Board) -> bool:
        """Whether a folding does what is wished; its latency is an upper estimate."""
        if self.images_per_s is not None:
            return image_cycles(core) * self.images_per_s <= board.core_hz
        return self.latency_us is None or latency_us(core, board) <= self.latency_us

    def __str__(self) -> str:
        """As `wish_of` reads it."""
        if self.images_per_s is not None:
            return f"{_text(self.images_per_s)} images/s"
        if self.latency_us is not None:
            return f"{_text(self.latency_us)} us"
        return "smallest" if self.smallest else "fastest"


def _text(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


FASTEST = Wish()


def wish_of(text: str) -> Wish:
    """The wish that `str` writes: "smallest", "20000 images/s", "100 us"; "" for the fastest.

    Raises:
        InputError: it is none.
    """
    number, _, unit = text.partition(" ")
    if text in ("", "fastest", "smallest"):
        return Wish(smallest=text == "smallest")
    try:
        if unit == "images/s":
            return Wish(images_per_s=float(number))
        if unit == "us":
            return Wish(latency_us=float(number))
    except ValueError:
        pass
    raise InputError(f'wish must be "fastest", "smallest", "N images/s" or "N us", not {text!r}')


def latency_us(core: Core, board: Board) -> float:
    """Microseconds, at most, from the first byte of an image in an idle core to its last score."""
    return latency_cycles(core) / board.core_hz * 1e6
