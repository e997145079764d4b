"""Operating points: the names that `ERRORS=` and `--errors` take, and the model behind each.

A point is one technology under one condition: its error model with all constants, where they come
from, which of them have no source, and what a stored bit costs where that is known.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from .errors import Bursts, Clusters, DataDependent, ErrorModel, Iid, Lines, Stuck
from .errors.bram_maps import FAULTS, BramReplay
from .errors.dram import DramLines, DramRetention
from .errors.dram_voltage import RETENTION_ERRORS, VENDOR_LINES
from .errors.fefet import FeFet
from .errors.model import Persistence, provisional
from .errors.published import NEURALFUSE, SOURCES, STUTZ
from .errors.rram import RramSet, after_cycles
from .errors.rram_radar import READS, SET_FAILURES, RramReplay
from .errors.rram_retention import RramRetention
from .errors.sram import Sram, relative_energy
from .exceptions import InputError


@dataclass(frozen=True)
class OperatingPoint:
    """What one memory technology under one condition does to a stored bit.

    Attributes:
        base: the model, of seed 0.
        cite: where its constants come from, a key of SOURCES.
        energy: of a stored bit, in `energy_unit`; None where it is not known.
        energy_unit: e.g. "of nominal, per access".
        unsourced: what of the above has no source; the model's own are in `provisional`.
    """

    name: str
    base: ErrorModel
    cite: str
    energy: float | None = None
    energy_unit: str = ""
    unsourced: str = ""

    def model(self, seed: int, data_root: Path | None = None) -> ErrorModel:
        """The error model from which the chips of this seed are drawn.

        Args:
            data_root: folder of measured data, for a model that replays them.
        """
        known = {f.name for f in fields(self.base)}  # type: ignore[arg-type]
        root: dict[str, Any] = {"data_root": data_root} if "data_root" in known else {}
        made: ErrorModel = replace(self.base, seed=seed, **root)  # type: ignore[type-var]
        return made

    @property
    def p01(self) -> float:
        """P(read 1 | stored 0), mean over cells."""
        return self.base.rates()[0]

    @property
    def p10(self) -> float:
        """P(read 0 | stored 1), mean over cells."""
        return self.base.rates()[1]

    @property
    def persistence(self) -> Persistence:
        """How long a fault lasts: of a chip, a programming or a read."""
        return self.base.persistence

    @property
    def law(self) -> str:
        """Where in the memory the faults are."""
        return LAWS[self.base.name]

    @property
    def source(self) -> str:
        """Where the constants come from."""
        return SOURCES[self.cite]

    @property
    def provisional(self) -> str:
        """What has no source; "" when all has."""
        return ", ".join(filter(None, (provisional(self.base), self.unsourced)))

    def row(self) -> dict[str, Any]:
        """The point as JSON values: a line of the table of all points."""
        energy = None if self.energy is None else f"{self.energy:g} {self.energy_unit}"
        return {
            "name": self.name,
            "p01": self.p01,
            "p10": self.p10,
            "law": self.law,
            "persistence": self.persistence,
            "energy": energy,
            "provisional": self.provisional or None,
            "source": self.cite,
        }


LAWS = {
    "iid": "independent",
    "stuck": "independent",
    "lines": "weak bit lines or word lines",
    "clusters": "clusters",
    "bursts": "runs along a line",
    "data-dependent": "by stored bits and their neighbours",
    "rram": "independent, in part of the device",
    "rram-set": "independent",
    "rram-retention": "independent",
    "rram-replay": "as measured",
    "sram": "bit lines differ",
    "bram-replay": "as measured",
    "dram-lines": "lines of 512 bits",
    "dram-retention": "independent",
    "fefet": "independent",
}
"""Registry name of a model -> where in the memory its faults are."""


def _percent(text: str) -> float:
    return float(Decimal(text) / 100)  # in decimal, so that 3.3 % is the float 0.033


def _rram() -> list[OperatingPoint]:
    point = OperatingPoint
    rate_only = Iid(0.033, 0.033, persistence="programming")
    pj = "pJ per programming"
    found = [
        point("rram-3.3%", rate_only, "Buschjaeger 2020"),
        point("rram-low-energy", rate_only, "memory", 4.5, pj, "rates and energy"),
        point(
            "rram-strong",
            Iid(1e-6, 1e-6, persistence="programming"),
            *("memory", 135.0, pj, "rates and energy"),
        ),
    ]
    for read in READS:
        found += [parse(f"rram-{read.lower()}-{cycles}cycles") for cycles in (1, 100, 300)]
        found += [
            point(f"rram-set-{v:.2f}V-{read.lower()}", RramSet(v, read), "RADAR sweep")
            for v in SET_FAILURES
        ]
        found.append(point(f"rram-replay-{read.lower()}", RramReplay(read), "RADAR cycling"))
    return found


def _profiled(chip: int, p01: float, p10: float) -> ErrorModel:
    """Chips 2 and 3 show faulty columns; by how much they differ was not published."""
    return Iid(p01, p10) if chip == 1 else Lines(p01, p10, column_sigma=1.0)


def _sram() -> list[OperatingPoint]:
    point, unit = OperatingPoint, "of nominal, per access"
    voltages = sorted(FAULTS)
    found = [parse(f"sram-{v:.2f}V") for v in voltages]
    found += [
        point(f"bram-{v:.2f}V", BramReplay(v), "Salami 2018", relative_energy(v), unit)
        for v in voltages
    ]
    found += [
        point(f"stutz-chip{chip}-{p}%", _profiled(chip, p_0t1, p_1t0), "Stutz 2021")
        for (chip, p), (p_0t1, p_1t0, _) in STUTZ.items()
    ]
    found += [
        point(f"neuralfuse-{rate * 100:.3g}%", Stuck(rate), "NeuralFuse") for rate in NEURALFUSE
    ]
    return found


def _dram() -> list[OperatingPoint]:
    found = [
        OperatingPoint(f"dram-{vendor}-{v:g}V", DramLines(vendor, v), "Chang 2017")
        for vendor, shares in VENDOR_LINES.items()
        for v in shares
    ]
    return found + [parse(f"dram-{c}C-{ms}ms-1.35V") for c, ms in RETENTION_ERRORS]


@cache
def named() -> dict[str, dict[str, OperatingPoint]]:
    """Technology -> name -> operating point, of all that have a name of their own."""
    groups = {
        "RRAM": _rram(),
        "SRAM": _sram(),
        "DRAM": _dram(),
        "FeFET": [parse(f"fefet-{celsius}C") for celsius in (40, 55, 70, 85)],
    }
    return {group: {p.name: p for p in points} for group, points in groups.items()}


Maker = Callable[..., OperatingPoint]


def _iid(percent: str) -> OperatingPoint:
    return from_rates(_percent(percent), _percent(percent))


def _stuck(percent: str) -> OperatingPoint:
    return OperatingPoint(f"stuck-{percent}%", Stuck(_percent(percent)), "given")


def _transient(percent: str) -> OperatingPoint:
    model = Iid(_percent(percent), _percent(percent), persistence="read")
    return OperatingPoint(f"transient-{percent}%", model, "given")


def _spatial(name: str, cite: str, model: Callable[[float, float], ErrorModel]) -> Maker:
    def make(percent: str) -> OperatingPoint:
        p = _percent(percent)
        return OperatingPoint(f"{name}-{percent}%", model(p, p), cite)

    return make


_SPATIAL = {
    "bitline": _spatial(
        "bitline", "Koppula 2019", lambda p01, p10: Lines(p01, p10, column_sigma=1.0)
    ),
    "wordline": _spatial(
        "wordline", "Koppula 2019", lambda p01, p10: Lines(p01, p10, row_sigma=1.0)
    ),
    "data": _spatial("data", "Koppula 2019", DataDependent),
    "cluster": _spatial("cluster", "given", Clusters),
    "burst": _spatial("burst", "given", Bursts),
}
"""Spatial laws with their default, provisional parameters."""


def _cycled(read: str, cycles: str) -> OperatingPoint:
    model = after_cycles(float(cycles), "1T1R" if read == "1t1r" else "2T2R")
    return OperatingPoint(f"rram-{read}-{cycles}cycles", model, "RADAR cycling")


def _retained(bits: str, kelvin: str, seconds: str) -> OperatingPoint:
    model = RramRetention(int(bits), int(kelvin), float(seconds))
    return OperatingPoint(f"rram-{bits}bpc-{kelvin}K-{seconds}s", model, "RADAR retention")


def _undervolted(volt: str, extrapolated: str) -> OperatingPoint:
    model = Sram(float(volt), extrapolate=bool(extrapolated))
    energy = relative_energy(model.voltage)
    name = f"sram-{volt}V{extrapolated}"
    return OperatingPoint(name, model, "Salami 2018", energy, "of nominal, per access")


def _unrefreshed(celsius: str, interval: str, volt: str) -> OperatingPoint:
    model = DramRetention(int(celsius), int(interval), float(volt))
    return OperatingPoint(f"dram-{celsius}C-{interval}ms-{volt}V", model, "Chang 2017")


def _heated(celsius: str) -> OperatingPoint:
    return OperatingPoint(f"fefet-{celsius}C", FeFet(float(celsius)), "Yayla 2022")


_RATE = r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_PATTERNS: dict[str, tuple[str, Maker]] = {
    "iid-<percent>%": (rf"iid-{_RATE}%", _iid),
    "iid-p01=<rate>-p10=<rate>": (
        rf"iid-p01={_RATE}-p10={_RATE}",
        lambda p01, p10: from_rates(float(p01), float(p10)),
    ),
    "stuck-<percent>%": (rf"stuck-{_RATE}%", _stuck),
    "transient-<percent>%": (rf"transient-{_RATE}%", _transient),
    **{f"{name}-<percent>%": (rf"{name}-{_RATE}%", make) for name, make in _SPATIAL.items()},
    "rram-1t1r|2t2r-<1..300>cycles": (rf"rram-(1t1r|2t2r)-{_RATE}cycles", _cycled),
    "rram-<2|3>bpc-<kelvin>K-<seconds>s": (rf"rram-(\d)bpc-(\d+)K-{_RATE}s", _retained),
    "sram-<0.53..0.59>V": (rf"sram-{_RATE}V((?:-extrapolated)?)", _undervolted),
    "dram-<celsius>C-<ms>ms-<volt>V": (rf"dram-(\d+)C-(\d+)ms-{_RATE}V", _unrefreshed),
    "fefet-<25..85>C": (rf"fefet-{_RATE}C", _heated),
}
PATTERNS = ("none", *_PATTERNS)
EXAMPLES = ("rram-3.3%", "sram-0.53V", "bram-0.53V", "stutz-chip2-1.01%", "dram-B-1.05V")


def legal_names() -> str:
    """What `parse` takes, for messages and help."""
    return ", ".join((*EXAMPLES, "... (stoic faults list)", *PATTERNS))


def parse(name: str) -> OperatingPoint:
    """The operating point of a name.

    Raises:
        InputError: the name is not one of `legal_names()`, or a value in it is out of range.

    >>> point = parse("iid-p01=0.02-p10=0.10")
    >>> point.p01, point.p10
    (0.02, 0.1)
    >>> parse("iid-3.3%").p10
    0.033
    """
    if name == "none":
        return from_rates(0.0, 0.0)
    for pattern, make in _PATTERNS.values():
        if match := re.fullmatch(pattern, name, re.ASCII):
            try:
                return make(*match.groups())
            except InputError as error:
                raise InputError(f"errors {name!r}: {error}") from error
    for points in named().values():
        if name in points:
            return points[name]
    known = [known for points in named().values() for known in points]
    near = get_close_matches(name, known, n=3)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise InputError(f"errors must be one of {legal_names()}, not {name!r}{hint}")


def from_rates(p01: float, p10: float) -> OperatingPoint:
    """The operating point of two given rates, named as `parse` would read it again.

    Raises:
        InputError: a rate is not 0..1.
    """
    model = Iid(p01, p10)
    if p01 == p10 == 0:
        return OperatingPoint("none", model, "none")
    if p01 == p10:
        return OperatingPoint(f"iid-{(Decimal(repr(p01)) * 100).normalize():f}%", model, "given")
    return OperatingPoint(f"iid-p01={p01!r}-p10={p10!r}", model, "given")
