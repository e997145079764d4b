"""Monte-Carlo campaigns: one network on one device, under the faults of many chips at many rates.

A campaign is a TOML file. It expands to content-addressed units, one for each error model and chip;
those whose row is in the store are never computed again, so a killed run goes on where it stopped.

    [campaign]
    models = ["build/fashion-sfc/fashion-sfc.stoic"]   # networks
    data = "fashion-mnist"                             # split = "test"
    n_images = 10000                                   # the first so many
    device = "engine"
    board = "ulx3s-25f"                                # whose folding lays the bits out; or none
    store = "build/results/campaign.sqlite"

    [errors]
    rates = [0, 0.01, 0.033]                           # p01 = p10
    pairs = [[0.02, 0.10]]                             # [p01, p10]
    names = ["rram-3.3%"]                              # named operating points
    chips = 5
    seed = 1
    where = ["weights"]

The same chips are drawn at every rate and the faults nest in the rate, so points are paired.
"""

import hashlib
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from . import golden, operating_points
from .container import kit_version
from .device import Device
from .errors import Iid
from .exceptions import ArtefactError, InputError
from .intervals import NO_DRAW, Interval, student_t
from .memory import KINDS, Kind, Layout
from .network import Network, check_images
from .operating_points import OperatingPoint
from .store import Row, Store, Unit, data_sha256

Progress = Callable[[int, int, Row], None]
"""Called after each unit with (done, total, row)."""


@dataclass(frozen=True)
class Campaign:
    """What is to be measured.

    Attributes:
        name: for people.
        models: network files, as written in the TOML.
        n_images: the first so many images of the split.
        board: whose folding lays the stored bits out; "" for one processing element a layer.
        store: SQLite file of the rows.
        points: error rates, each measured on every chip.
        n_chips: chips a point.
        seed: of the population of chips.
    """

    name: str
    models: tuple[str, ...]
    data: str
    split: str
    n_images: int
    device: str
    board: str
    store: Path
    points: tuple[OperatingPoint, ...]
    n_chips: int
    seed: int
    where: tuple[Kind, ...] = ("weights",)

    def __post_init__(self) -> None:
        for name, low in (("n_images", 1), ("n_chips", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise InputError(f"{name} must be {low} or more, not {getattr(self, name)}")
        if not self.models or not self.points:
            raise InputError("a campaign needs at least one model and one error rate")
        for name, given in (
            ("models", self.models),
            ("error rates", [(p.p01, p.p10) for p in self.points]),
        ):
            if len(set(given)) < len(given):  # its chips would count twice
                raise InputError(f"one of the {name} is named twice: {list(given)}")
        if not self.where or not all(kind in KINDS for kind in self.where):
            raise InputError(f"where must be among {KINDS}, not {self.where}")

    @property
    def images_name(self) -> str:
        """Of the rows, e.g. "fashion-mnist/test"."""
        return f"{self.data}/{self.split}"


_REQUIRED: Any = object()


class _Table:
    """A TOML table whose entries are taken one by one, so that unknown ones can be named."""

    def __init__(self, path: Path, name: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{path}: needs a table [{name}]")
        self._path, self._name, self._values = path, name, dict(values)

    def take(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        value = self._values.pop(key, default)
        if value is _REQUIRED:
            raise InputError(f"{self._path}: [{self._name}] needs {key!r}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise InputError(
                f"{self._path}: [{self._name}] {key} must be {kind.__name__}, not {value!r}"
            )
        return value

    def finish(self) -> None:
        if self._values:
            raise InputError(
                f"{self._path}: [{self._name}] has unknown keys {sorted(self._values)}"
            )


def load(path: Path) -> Campaign:
    """Read a campaign.

    Raises:
        ArtefactError: no such file, or not TOML.
        InputError: a key is missing, unknown or has an illegal value; the message names it.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArtefactError(f"{path}: not a readable TOML file ({error})") from error
    if unknown := sorted(set(values) - {"campaign", "errors"}):
        raise InputError(f"{path}: unknown tables {unknown}; there are [campaign] and [errors]")
    head = _Table(path, "campaign", values.get("campaign"))
    errors = _Table(path, "errors", values.get("errors"))
    try:
        points = [
            *(operating_points.from_rates(*_rates([r, r])) for r in errors.take("rates", list, [])),
            *(operating_points.from_rates(*_rates(p)) for p in errors.take("pairs", list, [])),
            *(operating_points.parse(str(n)) for n in errors.take("names", list, [])),
        ]
        campaign = Campaign(
            name=head.take("name", str, path.stem),
            models=tuple(str(m) for m in head.take("models", list)),
            data=head.take("data", str),
            split=head.take("split", str, "test"),
            n_images=head.take("n_images", int),
            device=head.take("device", str, "engine"),
            board=head.take("board", str, ""),
            store=Path(head.take("store", str, "build/results/campaign.sqlite")),
            points=tuple(points),
            n_chips=errors.take("chips", int),
            seed=errors.take("seed", int, 0),
            where=tuple(errors.take("where", list, ["weights"])),
        )
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    head.finish()
    errors.finish()
    return campaign


def _rates(pair: Any) -> tuple[float, float]:
    if (
        not isinstance(pair, list)
        or len(pair) != 2
        or not all(isinstance(p, int | float) and not isinstance(p, bool) for p in pair)
    ):
        raise InputError(f"a pair must be [p01, p10], two numbers, not {pair!r}")
    return float(pair[0]), float(pair[1])


def expand(
    campaign: Campaign,
    device_name: str,
    network: Network,
    layout: Layout,
    images: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
) -> list[tuple[Unit, Iid]]:
    """The units of one network in the order in which they run, each with its error model.

    At rate 0 nothing is drawn and all chips are equal, so it is one unit.

    Raises:
        InputError: fewer images than the campaign asks for, or not as many labels.
    """
    labels = _needed(labels, campaign)
    if len(images) < campaign.n_images or len(labels) != len(images):
        raise InputError(
            f"the campaign asks for {campaign.n_images} images with labels, "
            f"{campaign.images_name} has {len(images)} and {len(labels)}"
        )
    used = slice(campaign.n_images)
    data = data_sha256(check_images(network, images[used]), labels[used])
    units = []
    for point in campaign.points:
        model = point.model(campaign.seed)
        is_clean = point.p01 == point.p10 == 0
        errors = {"model": "iid", **asdict(model), "where": sorted(campaign.where)}
        if is_clean:
            errors = {"model": "none", "p01": 0.0, "p10": 0.0}
        for chip in range(1 if is_clean else campaign.n_chips):
            unit = Unit(
                network_sha256=network.sha256,
                device=device_name,
                layout_sha256=layout.sha256,
                errors=errors,
                chip=chip,
                images_name=campaign.images_name,
                images_sha256=data,
                n_images=campaign.n_images,
            )
            units.append((unit, model))
    return units


def _needed(labels: NDArray[np.generic] | None, campaign: Campaign) -> NDArray[np.generic]:
    if labels is None:
        raise InputError(f"{campaign.images_name} has no labels")
    return labels


def run(
    campaign: Campaign,
    device: Device,
    network: Network,
    layout: Layout,
    images: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
    store: Store,
    progress: Progress | None = None,
    device_name: str | None = None,
) -> list[Row]:
    """Every row of one network of the campaign; computes those that the store lacks.

    Args:
        layout: of the network, whose cells the error models address.
        images: (n, ...) integers as the network takes them.
        labels: (n,) classes.
        device_name: in the rows; the device's own, unless its rows depend on more than that says.

    Raises:
        InputError: images, labels and network do not fit each other.
    """
    units = expand(campaign, device_name or device.name, network, layout, images, labels)
    images, labels = images[: campaign.n_images], _needed(labels, campaign)[: campaign.n_images]
    done: dict[str, Row] = {}
    is_loaded = False
    # First what is free, then what another process holds: it finishes, or dies and leaves it to us.
    for wait in (False, True):
        for unit, model in units:
            if unit.key in done:
                continue
            row = store.get(unit.key)
            if row is None:
                with store.claim(unit, wait=wait) as is_ours:
                    if not is_ours:
                        continue
                    row = store.get(unit.key)
                    if row is None:
                        if not is_loaded:
                            device.load(network)
                            is_loaded = True
                        row = measure(
                            unit, device, network, layout, model, images, labels, campaign
                        )
                        store.put(row)
            done[unit.key] = row
            if progress is not None:
                progress(len(done), len({u.key for u, _ in units}), row)
    return [done[unit.key] for unit, _ in units]


def measure(
    unit: Unit,
    device: Device,
    network: Network,
    layout: Layout,
    model: Iid,
    images: NDArray[np.generic],
    labels: NDArray[np.generic],
    campaign: Campaign,
) -> Row:
    """The row of one unit, on a device into which the network is loaded."""
    faults = model.sample(layout, unit.chip, campaign.where)
    start = time.perf_counter()
    device.inject(faults)
    scores = device.infer(images)
    wall_time_s = time.perf_counter() - start
    confusion = confusion_matrix(golden.classify(scores), labels, network.n_classes)
    return Row(
        unit=unit,
        network_name=network.name,
        n_correct=int(np.trace(confusion)),
        confusion=confusion.tolist(),
        scores_sha256=scores_sha256(scores),
        faults_sha256=faults.sha256,
        n_faults=faults.n_faults,
        n_changed_bits=fault_maps.n_changed(network, faults),
        wall_time_s=wall_time_s,
        kit_version=kit_version(),
        computed_at_utc=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def scores_sha256(scores: NDArray[np.int32]) -> str:
    """Hash of integer scores, the same on every device that answers the same."""
    return hashlib.sha256(np.ascontiguousarray(scores, "<i4").data).hexdigest()


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
