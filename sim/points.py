"""Rows of campaigns to what they say: points of accuracy with intervals, and confusions."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exceptions import InputError
from .intervals import NO_DRAW, Interval, student_t
from .store import Row


@dataclass(frozen=True)
class Point:
    """What the chips of one network under one error model have in common.

    Attributes:
        errors: the error model and its parameters as in the rows.
        ber: mean bit error rate (p01 + p10) / 2.
        mean, std, q05, minimum: of the accuracy over chips, 0..1; std with n - 1, 0 for one chip;
            q05 is the 5 % quantile, linear between chips.
        interval: of the mean.
    """

    network_name: str
    network_sha256: str
    device: str
    errors: dict[str, Any]
    ber: float
    n_chips: int
    n_images: int
    mean: float
    std: float
    q05: float
    minimum: float
    interval: Interval


def points(rows: Iterable[Row]) -> list[Point]:
    """One point for each network, device and error model among the rows, in order of appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        u = row.unit
        group = (
            u.network_sha256,
            u.device,
            u.layout_sha256,
            sorted(u.errors.items()),
            u.images_sha256,
        )
        groups.setdefault(repr(group), []).append(row)
    return [_point(group) for group in groups.values()]


def point_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The points as flat JSON values, the method of each interval named."""
    found = []
    for point in points(rows):
        values = asdict(point)
        interval, errors = values.pop("interval"), values.pop("errors")
        found.append(
            {
                "network": values.pop("network_name"),
                "p01": errors["p01"],
                "p10": errors["p10"],
                **values,
                "low": interval["low"],
                "high": interval["high"],
                "confidence": interval["confidence"],
                "method": interval["method"],
                "errors": errors,
            }
        )
    return found


def confusions(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """For each network the confusion at its lowest and its highest rate, summed over chips."""
    by_network: dict[str, dict[float, list[Row]]] = {}
    for row in rows:
        ber = (row.unit.errors["p01"] + row.unit.errors["p10"]) / 2
        by_network.setdefault(row.network_name, {}).setdefault(ber, []).append(row)
    return [
        {
            "network": name,
            "ber": ber,
            "n_chips": len(rates[ber]),
            "n_images": sum(row.unit.n_images for row in rates[ber]),
            "matrix": np.sum([row.confusion for row in rates[ber]], axis=0).tolist(),
        }
        for name, rates in by_network.items()
        for ber in dict.fromkeys((min(rates), max(rates)))
    ]


def _point(rows: Sequence[Row]) -> Point:
    accuracy = [row.accuracy for row in rows]
    unit = rows[0].unit
    if unit.errors["model"] == "none":
        interval = Interval(accuracy[0], accuracy[0], 0.95, NO_DRAW)
    else:
        interval = student_t(accuracy)
    return Point(
        network_name=rows[0].network_name,
        network_sha256=unit.network_sha256,
        device=unit.device,
        errors=unit.errors,
        ber=(unit.errors["p01"] + unit.errors["p10"]) / 2,
        n_chips=len(rows),
        n_images=unit.n_images,
        mean=float(np.mean(accuracy)),
        std=float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else 0.0,
        q05=float(np.quantile(accuracy, 0.05)),
        minimum=min(accuracy),
        interval=interval,
    )


def confusion_matrix(
    given: NDArray[np.int64], labels: NDArray[np.generic], n_classes: int
) -> NDArray[np.int64]:
    """(n_classes, n_classes) images of each true class (row) given each class (column).

    Raises:
        InputError: a label is not 0..n_classes-1.
    """
    true = np.asarray(labels, np.int64)
    if true.size and not 0 <= true.min() <= true.max() < n_classes:
        raise InputError(f"labels must be 0..{n_classes - 1}, not {true.min()}..{true.max()}")
    counts = np.bincount(true * n_classes + given, minlength=n_classes**2)
    return np.asarray(counts.reshape(n_classes, n_classes), np.int64)
