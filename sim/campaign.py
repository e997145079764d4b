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
from collections.abc import Callable
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
from .memory import KINDS, Kind, Layout
from .network import Network, check_images
from .operating_points import OperatingPoint
from .points import confusion_matrix
from .store import Row, Store, Unit, data_sha256
from .table import Table

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
    head = Table(path, "campaign", values.get("campaign"))
    errors = Table(path, "errors", values.get("errors"))
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
