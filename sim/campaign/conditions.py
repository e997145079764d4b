"""Conditions: which error model, and which part of the memory it reaches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from .. import errors, operating_points
from ..errors import ErrorModel
from ..errors.model import provisional
from ..exceptions import InputError
from ..memory import KINDS, Bank, Kind, Layout


def field_names(model: ErrorModel) -> list[str]:
    """Of an error model, which is a dataclass."""
    assert is_dataclass(model)
    return [f.name for f in fields(model)]


NO_ERRORS: dict[str, Any] = {"model": "none"}


@dataclass(frozen=True)
class Errors:
    """An error model with its name and origin.

    Attributes:
        name: for people, e.g. "iid-1%" or "rram-3.3%".
        model: whose chips are drawn.
        source: where its numbers come from.
        provisional: which of them have no source; every table and figure says so.
    """

    name: str
    model: ErrorModel
    source: str = "given by the user"
    provisional: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """Registry name and fields as JSON values; not what follows from them."""
        own = {"model", *field_names(self.model)}
        return {k: v for k, v in errors.describe(self.model).items() if k in own}

    @property
    def rates(self) -> tuple[float, float]:
        """Mean (p01, p10)."""
        p01, p10 = self.model.rates()
        return float(p01), float(p10)


@dataclass(frozen=True)
class Victims:
    """The part of the memory in which cells may be faulty.

    Attributes:
        where: kinds of memory.
        layers: numbers of layers, or None for all.
        banks: names of banks, or None for all.
    """

    where: tuple[Kind, ...] = ("weights",)
    layers: tuple[int, ...] | None = None
    banks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.where or not all(kind in KINDS for kind in self.where):
            raise InputError(f"where must be among {KINDS}, not {self.where}")
        for name in ("where", "layers", "banks"):
            given = getattr(self, name)
            if given is not None and (not given or len(set(given)) < len(given)):
                raise InputError(f"{name} must name at least one, and each once, not {given}")

    @property
    def is_all(self) -> bool:
        """Whether these kinds of memory are reached whole."""
        return self.layers is None and self.banks is None

    def check(self, layout: Layout) -> None:
        """Refuse, with InputError, layers and banks that the layout lacks, and no memory at all."""
        n_layers = len(layout.shapes)
        for layer in self.layers or ():
            if not 0 <= layer < n_layers:
                raise InputError(f"layers must be 0..{n_layers - 1}, not {layer}")
        names = [bank.name for bank in layout.banks]
        for bank in self.banks or ():
            if bank not in names:
                raise InputError(f"banks must be among {names[0]} .. {names[-1]}, not {bank!r}")
        if not any(map(self.reaches, layout.banks)):
            named = place(self.layers, self.banks) or "the network"
            raise InputError(f"no {' or '.join(self.where)} in {named}")

    def reaches(self, bank: Bank) -> bool:
        """Whether cells of this bank may be faulty."""
        return (
            bank.kind in self.where
            and (self.layers is None or bank.layer in self.layers)
            and (self.banks is None or bank.name in self.banks)
        )


@dataclass(frozen=True)
class Condition:
    """One point of a campaign, apart from network, device, images and protection.

    Attributes:
        errors: the error model.
        victims: what it reaches.
        n_events: programming events a chip; 1 unless the model draws anew for each.
    """

    errors: Errors
    victims: Victims
    n_events: int = 1

    @property
    def is_drawn(self) -> bool:
        """Whether chips differ; without errors they are all one."""
        return self.errors.rates != (0.0, 0.0)

    @property
    def values(self) -> dict[str, Any]:
        """`Unit.errors`."""
        if not self.is_drawn:
            return dict(NO_ERRORS)
        v = self.victims
        found = {**self.errors.values, "where": sorted(v.where)}
        if v.layers is not None:
            found["layers"] = sorted(v.layers)
        if v.banks is not None:
            found["banks"] = sorted(v.banks)
        return found

    @property
    def place(self) -> str:
        """Of the victims, for people: "" for all layers."""
        if not self.is_drawn or self.victims.is_all:
            return ""
        return place(self.victims.layers, self.victims.banks)


def place(layers: Iterable[int] | None, banks: Iterable[str] | None) -> str:
    """Layers and banks for people, e.g. "layers 0, 2"."""
    parts = []
    if layers is not None:
        numbers = sorted(layers)
        parts.append(f"layer{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers))}")
    if banks is not None:
        parts.append(", ".join(sorted(banks)))
    return "; ".join(parts)


@dataclass(frozen=True)
class VictimSets:
    """Which parts of the memory are the victims, one after the other.

    Attributes:
        victims: the first part.
        each_layer, each_bank: then every layer, every bank of it alone.
    """

    victims: Victims = Victims()
    each_layer: bool = False
    each_bank: bool = False

    def of(self, layout: Layout) -> Iterator[Victims]:
        """The parts in this layout.

        Raises:
            InputError: a layer or a bank that it lacks.
        """
        first = self.victims
        first.check(layout)
        yield first
        banks = [bank for bank in layout.banks if first.reaches(bank)]
        if self.each_layer:
            for layer in dict.fromkeys(bank.layer for bank in banks):
                yield replace(first, layers=(layer,))
        if self.each_bank:
            for bank in banks:
                yield replace(first, layers=None, banks=(bank.name,))


ALL_WEIGHTS = VictimSets()


def from_rates(p01: float, p10: float, seed: int) -> Errors:
    """Independent errors at given rates.

    Raises:
        InputError: a rate is not 0..1.
    """
    return _of(operating_points.from_rates(p01, p10), seed)


def from_name(name: str, seed: int, data_root: Path | None = None) -> Errors:
    """A named operating point.

    Args:
        data_root: folder of measured data, for models that replay them.

    Raises:
        InputError: there is none of that name.
    """
    return _of(operating_points.parse(name), seed, data_root)


def _of(point: operating_points.OperatingPoint, seed: int, data_root: Path | None = None) -> Errors:
    return Errors(point.name, point.model(seed, data_root), point.source, point.provisional)


def from_fields(
    name: str,
    values: dict[str, Any],
    seed: int,
    label: str = "",
    data_root: Path | None = None,
) -> Errors:
    """Any error model of the registry by the values of its fields.

    Args:
        name: in the registry.
        values: of fields; "seed" unless it is the campaign's.
        label: for people; made from name and values if "".

    Raises:
        InputError: no such model or field, a missing or an illegal value.
    """
    if name not in errors.ALL_MODELS:
        raise InputError(f"model must be one of {', '.join(errors.ALL_MODELS)}, not {name!r}")
    model = errors.from_json({"model": name, "seed": seed, **values}, data_root)
    if unknown := sorted(set(values) - set(field_names(model))):
        raise InputError(f"error model {name!r} has no field {unknown}")
    shown = ", ".join(f"{k}={v}" for k, v in values.items() if k != "seed")
    return Errors(
        label or (f"{name}({shown})" if shown else name),
        model,
        provisional=provisional(model),
    )
