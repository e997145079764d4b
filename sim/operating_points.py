"""Operating points: the names that `ERRORS=` and `--errors` take, and the rates behind them."""

import re
from dataclasses import dataclass
from decimal import Decimal

from .errors import Iid
from .exceptions import InputError

_RATE = r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_SYMMETRIC = re.compile(rf"iid-{_RATE}%")
_ASYMMETRIC = re.compile(rf"iid-p01={_RATE}-p10={_RATE}")
PATTERNS = ("none", "iid-<percent>%", "iid-p01=<rate>-p10=<rate>")


@dataclass(frozen=True)
class OperatingPoint:
    """What one memory technology under one condition does to a stored bit.

    Faults are independent from cell to cell; a chip is born with its own and keeps them.

    Attributes:
        p01: P(read 1 | stored 0).
        p10: P(read 0 | stored 1).
        source: where the rates come from.
    """

    name: str
    p01: float
    p10: float
    source: str

    def model(self, seed: int) -> Iid:
        """The error model from which the chips of this seed are drawn."""
        return Iid(self.p01, self.p10, seed)


NAMED = {
    "rram-3.3%": OperatingPoint(
        "rram-3.3%",
        0.033,
        0.033,
        "Buschjaeger et al. 2020, arXiv 2002.00909, abstract: bit error rate of RRAM up to 3.3 % "
        "in the ultra-low-power setting; taken as symmetric and independent, as that paper does",
    ),
}


def legal_names() -> str:
    """What `parse` takes, for messages and help."""
    return ", ".join((*NAMED, *PATTERNS)) + " (e.g. iid-0.1%, iid-10%, iid-p01=0.02-p10=0.10)"


def parse(name: str) -> OperatingPoint:
    """The operating point of a name.

    Raises:
        InputError: the name is not one of `legal_names()`, or a rate is not 0..100 %.

    >>> point = parse("iid-p01=0.02-p10=0.10")
    >>> point.p01, point.p10
    (0.02, 0.1)
    >>> parse("iid-3.3%").p10
    0.033
    """
    if name in NAMED:
        return NAMED[name]
    if name == "none":
        return from_rates(0.0, 0.0)
    if match := _SYMMETRIC.fullmatch(name):
        rate = float(Decimal(match[1]) / 100)  # in decimal, so that 3.3 % is the float 0.033
        return from_rates(rate, rate)
    if match := _ASYMMETRIC.fullmatch(name):
        return from_rates(float(match[1]), float(match[2]))
    raise InputError(f"errors must be one of {legal_names()}, not {name!r}")


def from_rates(p01: float, p10: float) -> OperatingPoint:
    """The operating point of two given rates, named as `parse` would read it again.

    Raises:
        InputError: a rate is not 0..1.
    """
    Iid(p01, p10)  # checks the range
    if p01 == p10 == 0:
        name = "none"
    elif p01 == p10:
        name = f"iid-{(Decimal(repr(p01)) * 100).normalize():f}%"
    else:
        name = f"iid-p01={p01!r}-p10={p10!r}"
    return OperatingPoint(name, p01, p10, "given by the user")
