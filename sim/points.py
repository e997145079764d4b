"""Rows of campaigns to what they say: points with intervals, differences, confusions."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import protection as protections
from .campaign.conditions import Errors, place
from .campaign.stop_rule import StopRule, fixed
from .intervals import NO_DRAW, Interval, over_chips, paired
from .rows import Row, Unit, differ


@dataclass(frozen=True)
class Point:
    """What the chips of one network under one condition have in common.

    Attributes:
        condition: of the error model, for people, e.g. "iid-1%".
        model: of the error model, in the registry.
        place: layers and banks that were the victims; "" for all.
        protection: of the memory; "none" without one.
        overhead: bits that it stores besides, as a share of the network's own.
        errors: the error model and its parameters as in the rows.
        p01, p10: mean rates.
        ber: mean bit error rate (p01 + p10) / 2.
        provisional: numbers behind the error model that have no source; "" when all have one.
        n_chips, n_events: chips, and programming events of each.
        mean, std, q05, minimum: of the accuracy over chips, 0..1; std with n - 1, 0 for one chip;
            q05 is the 5 % quantile, linear between chips. A chip counts as the mean of its events.
        interval: of the mean.
    """

    network_name: str
    network_sha256: str
    device: str
    images: str
    condition: str
    model: str
    place: str
    protection: str
    overhead: float
    errors: dict[str, Any]
    p01: float
    p10: float
    ber: float
    provisional: str
    n_chips: int
    n_events: int
    n_images: int
    mean: float
    std: float
    q05: float
    minimum: float
    interval: Interval


Names = Mapping[str, Errors]
"""`canonical(errors without layers and banks)` of a unit -> the error model in a campaign file."""


def points(
    rows: Iterable[Row], rule: StopRule | None = None, names: Names | None = None
) -> list[Point]:
    """One point for each set of rows that differ in chip and event alone, in order of appearance.

    Args:
        rule: under which the chips were drawn; without one, their number was fixed.
        names: of conditions; others are named after their model and its parameters.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(point_key(row.unit), []).append(row)
    return [_point(group, rule or fixed(1), names or {}) for group in groups.values()]


def canonical(values: Mapping[str, Any]) -> str:
    """JSON text, the same for equal values."""
    return json.dumps(values, sort_keys=True)


def point_key(unit: Unit, *without: str) -> str:
    """What the units of a point have in common.

    Args:
        without: names of other fields that may differ too, e.g. "device".
    """
    values = asdict(unit)
    return canonical({k: v for k, v in values.items() if k not in ("chip", "event", *without)})


def condition_name(errors: Mapping[str, Any]) -> str:
    """Name of an error model by its parameters, e.g. "iid(p01=0.01, p10=0.01)"."""
    own = {k: v for k, v in errors.items() if k not in ("model", "seed", *_PLACES)}
    shown = ", ".join(f"{k}={v}" for k, v in own.items())
    return f"{errors['model']}({shown})" if shown else str(errors["model"])


_PLACES = ("where", "layers", "banks")


def whole(errors: Mapping[str, Any]) -> dict[str, Any]:
    """`Unit.errors` as it is when all layers and banks are victims."""
    return {k: v for k, v in errors.items() if k not in ("layers", "banks")}


def protection_name(values: Mapping[str, Any]) -> str:
    """Of a protection for people, without what it chose by itself."""
    given = {k: v for k, v in values.items() if k != "chosen_sha256"}
    return protections.label(protections.from_json(given))


def point_rows(
    rows: Iterable[Row], rule: StopRule | None = None, names: Names | None = None
) -> list[dict[str, Any]]:
    """The points as flat JSON values, the method of each interval named.

    Without place, protection, overhead, provisional and n_events where no point has any.
    """
    found = []
    for point in points(rows, rule, names):
        values = asdict(point)
        values.pop("interval")
        errors = values.pop("errors")
        found.append(
            {
                "network": values.pop("network_name"),
                **values,
                "low": point.interval.low,
                "high": point.interval.high,
                "half_width": point.interval.half_width,
                "confidence": point.interval.confidence,
                "method": point.interval.method,
                "errors": errors,
            }
        )
    usual = {"place": "", "protection": "none", "overhead": 0.0, "provisional": "", "n_events": 1}
    for name, value in usual.items():
        if all(point[name] == value for point in found):
            for values in found:
                del values[name]
    return found


def confusions(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """For each network the confusion at its lowest and its highest rate, summed over chips.

    Of the first model, device and protection at that rate, where there are several.
    """
    by_network: dict[str, dict[float, dict[str, list[Row]]]] = {}
    for row in rows:
        rates = by_network.setdefault(row.network_name, {})
        alike = rates.setdefault((row.p01 + row.p10) / 2, {})
        alike.setdefault(point_key(row.unit), []).append(row)
    return [
        {
            "network": name,
            "ber": ber,
            "n_chips": len({row.unit.chip for row in found}),
            "n_images": sum(row.unit.n_images for row in found),
            "matrix": np.sum([row.confusion for row in found], axis=0).tolist(),
        }
        for name, rates in by_network.items()
        for ber in dict.fromkeys((min(rates), max(rates)))
        for found in [next(iter(rates[ber].values()))]
    ]


@dataclass(frozen=True)
class Difference:
    """One point of two sets of rows, over the chips that both have.

    Attributes:
        what: that differs from point to point, for people.
        mean: of second minus first.
        n_scores_differ: pairs of rows whose scores are not the same.
    """

    what: dict[str, str]
    n_chips: int
    first: float
    second: float
    mean: float
    interval: Interval
    n_rows: int
    n_scores_differ: int


def differences(
    first: Iterable[Row], second: Iterable[Row], key: Callable[[Unit], str]
) -> list[Difference]:
    """Paired differences of accuracy, second minus first, for each point that both have.

    Args:
        key: what makes two units the same point, apart from chip and event.
    """
    a, b = _by_point(first, key), _by_point(second, key)
    found = []
    for point in a:
        if not (common := [at for at in a[point] if at in b.get(point, {})]):
            continue
        pairs = [(a[point][at], b[point][at]) for at in common]
        by_chip: dict[int, list[float]] = {}
        for x, y in pairs:
            by_chip.setdefault(x.unit.chip, []).append(y.accuracy - x.accuracy)
        values = [float(np.mean(v)) for v in by_chip.values()]
        x, _ = pairs[0]
        is_drawn = any(row.unit.errors["model"] != "none" for row in pairs[0])
        mean = float(np.mean(values))
        interval = paired(values, x.unit.n_images) if is_drawn else _exact(mean)
        found.append(
            Difference(
                what={
                    "network": x.network_name,
                    "device": x.unit.device,
                    "errors": condition_name(x.unit.errors),
                    "place": place(x.unit.errors.get("layers"), x.unit.errors.get("banks")),
                    "protection": protection_name(x.unit.protection),
                    "provisional": x.provisional,
                },
                n_chips=len(values),
                first=float(np.mean([row.accuracy for row, _ in pairs])),
                second=float(np.mean([row.accuracy for _, row in pairs])),
                mean=mean,
                interval=interval,
                n_rows=len(pairs),
                n_scores_differ=sum(differ(x, y) for x, y in pairs),
            )
        )
    return found


def _by_point(
    rows: Iterable[Row], key: Callable[[Unit], str]
) -> dict[str, dict[tuple[int, int], Row]]:
    found: dict[str, dict[tuple[int, int], Row]] = {}
    for row in rows:
        found.setdefault(key(row.unit), {})[row.unit.chip, row.unit.event] = row
    return found


def _exact(mean: float) -> Interval:
    return Interval(mean, mean, 0.95, NO_DRAW)


def _point(rows: Sequence[Row], rule: StopRule, names: Names) -> Point:
    by_chip: dict[int, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row.unit.chip, row.unit.event)):
        by_chip.setdefault(row.unit.chip, []).append(row.accuracy)
    accuracy = [float(np.mean(values)) for values in by_chip.values()]
    row, unit = rows[0], rows[0].unit
    n_images = unit.n_images
    if unit.errors["model"] == "none":
        interval = _exact(accuracy[0])
    elif rule.half_width is None:
        interval = over_chips(accuracy, n_images)
    else:
        interval = rule.interval(accuracy, n_images)
    errors = names.get(canonical(whole(unit.errors)))
    return Point(
        network_name=row.network_name,
        network_sha256=unit.network_sha256,
        device=unit.device,
        images=unit.images_name,
        condition=errors.name if errors else condition_name(unit.errors),
        model=unit.errors["model"],
        place=place(unit.errors.get("layers"), unit.errors.get("banks")),
        protection=protection_name(unit.protection),
        overhead=row.overhead_bits / row.n_stored_bits,
        errors=unit.errors,
        p01=row.p01,
        p10=row.p10,
        ber=(row.p01 + row.p10) / 2,
        provisional=row.provisional or (errors.provisional if errors else ""),
        n_chips=len(accuracy),
        n_events=max(map(len, by_chip.values())),
        n_images=n_images,
        mean=float(np.mean(accuracy)),
        std=float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else 0.0,
        q05=float(np.quantile(accuracy, 0.05)),
        minimum=min(accuracy),
        interval=interval,
    )
