"""The campaign file: TOML to a `Campaign`; `docs/campaigns.md` has every key."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import protection
from ..core import Form
from ..errors import Injector
from ..exceptions import ArtefactError, InputError
from ..protection import Nothing, Protection
from ..table import Table
from . import conditions
from .conditions import ALL_WEIGHTS, Errors, Victims, VictimSets
from .stop_rule import MAX_CHIPS, StopRule, fixed


@dataclass(frozen=True)
class Campaign:
    """What is to be measured: every network on every device with every set of images and every
    protection, under every condition, on many chips.

    Attributes:
        name: for people.
        models: network files, as written in the TOML.
        data: data sets.
        n_images: the first so many images of the split.
        devices: by name, or the URL of a port.
        board: whose folding lays the stored bits out; "" for one processing element a layer.
        wish: that its folding was chosen by; "" for the fastest.
        store: SQLite file of the rows.
        errors: the error models.
        victims: which part of the memory they reach.
        rule: chips of a point.
        seed: of the population of chips.
        n_events: programming events of a chip, for models that draw anew for each.
        protections: of the memory.
        specimen: which board is behind a port, in which state; rows of others are other rows.
    """

    name: str
    models: tuple[str, ...]
    data: tuple[str, ...]
    split: str
    n_images: int
    devices: tuple[str, ...]
    board: str
    store: Path
    errors: tuple[Errors, ...]
    rule: StopRule
    seed: int
    victims: VictimSets = ALL_WEIGHTS
    n_events: int = 1
    protections: tuple[Protection, ...] = (Nothing(),)
    specimen: str = ""
    wish: str = ""

    def __post_init__(self) -> None:
        for name, low in (("n_images", 1), ("seed", 0), ("n_events", 1)):
            if getattr(self, name) < low:
                raise InputError(f"{name} must be {low} or more, not {getattr(self, name)}")
        if self.n_events * self.rule.max_chips > MAX_CHIPS:
            raise InputError(
                f"events x chips must be at most {MAX_CHIPS}, not {self.n_events} x "
                f"{self.rule.max_chips}"
            )
        forms = {e.model.form for e in self.errors if isinstance(e.model, Injector)}
        if len(forms) > 1:
            raise InputError(f"injectors of one core have one form, not {sorted(forms)}")
        for name, given in (
            ("models", list(self.models)),
            ("error models", [e.values for e in self.errors]),
            ("data", list(self.data)),
            ("devices", list(self.devices)),
            ("protections", [protection.describe(p) for p in self.protections]),
        ):
            if not given:
                raise InputError(f"a campaign needs at least one of {name}")
            if any(one in given[:i] for i, one in enumerate(given)):  # would count twice
                raise InputError(f"one of the {name} is named twice: {given}")

    @property
    def injector(self) -> Form | None:
        """Form of the injectors of read errors that its error models ask of hardware."""
        return next((e.model.form for e in self.errors if isinstance(e.model, Injector)), None)

    def images_name(self, data: str) -> str:
        """Of the rows, e.g. "fashion-mnist/test"."""
        return f"{data}/{self.split}"


def load(path: Path, data_root: Path | None = None) -> Campaign:
    """Read a campaign.

    Args:
        data_root: folder of measured data, for error models that replay them.

    Raises:
        ArtefactError: no such file, or not TOML.
        InputError: a key is missing, unknown or has an illegal value; the message names it.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArtefactError(f"{path}: not a readable TOML file ({error})") from error
    if unknown := sorted(set(values) - {"campaign", "errors"}):
        raise InputError(
            f"{path}: unknown tables {unknown}; there are [campaign] and [errors] with its models"
        )
    head = Table(path, "campaign", values.get("campaign"))
    errors = Table(path, "errors", values.get("errors"))
    try:
        campaign = _campaign(path, head, errors, data_root)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    head.finish()
    errors.finish()
    return campaign


def _campaign(path: Path, head: Table, errors: Table, data_root: Path | None) -> Campaign:
    seed = errors.take("seed", int, 0)
    layers = errors.take_all("layers", int, None)
    banks = errors.take_all("banks", str, None)
    return Campaign(
        name=head.take("name", str, path.stem),
        models=head.take_all("models", str),
        data=head.take_names("data"),
        split=head.take("split", str, "test"),
        n_images=head.take("n_images", int),
        devices=head.take_names("device", ("engine",)),
        board=head.take("board", str, ""),
        store=Path(head.take("store", str, "build/results/campaign.sqlite")),
        errors=tuple(_errors(path, errors, seed, data_root)),
        rule=_rule(errors),
        seed=seed,
        victims=VictimSets(
            Victims(tuple(errors.take("where", list, ["weights"])), layers, banks),
            errors.take("each_layer", bool, False),
            errors.take("each_bank", bool, False),
        ),
        n_events=errors.take("events", int, 1),
        protections=tuple(map(protection.from_json, head.take("protections", list, ["none"]))),
        specimen=head.take("specimen", str, ""),
        wish=head.take("wish", str, ""),
    )


def _rule(errors: Table) -> StopRule:
    if not errors.has("stop_half_width"):
        return fixed(errors.take("chips", int))
    if errors.has("chips"):
        raise InputError("give chips, or stop_half_width with max_chips, not both")
    half_width = errors.take("stop_half_width", float)
    return StopRule(errors.take("min_chips", int, 10), errors.take("max_chips", int), half_width)


def _errors(path: Path, table: Table, seed: int, data_root: Path | None) -> Iterator[Errors]:
    for rate in table.take("rates", list, []):
        yield conditions.from_rates(*_rates([rate, rate]), seed)
    for pair in table.take("pairs", list, []):
        yield conditions.from_rates(*_rates(pair), seed)
    for name in table.take_all("names", str, ()):
        yield conditions.from_name(name, seed, data_root)
    for values in table.take("models", list, []):
        yield from _models(Table(path, "errors.models", values), seed, data_root)


def _models(table: Table, seed: int, data_root: Path | None) -> Iterator[Errors]:
    """One table of [[errors.models]]: a model, or several along its `sweep`."""
    model, label = table.take("model", str), table.take("label", str, "")
    sweep: dict[str, Any] = table.take("sweep", dict, {})
    values = table.rest()
    if not sweep:
        yield conditions.from_fields(model, values, seed, label, data_root)
        return
    if not all(isinstance(v, list) and v for v in sweep.values()):
        raise InputError(f"sweep of model {model!r}: every field takes a list, not {sweep}")
    if len({len(v) for v in sweep.values()}) > 1:
        raise InputError(f"sweep of model {model!r}: its lists must be of equal length: {sweep}")
    if both := sorted(set(sweep) & set(values)):
        raise InputError(f"sweep of model {model!r}: {both} has a value besides")
    for step in zip(*sweep.values(), strict=True):
        along = dict(zip(sweep, step, strict=True))
        shown = ", ".join(f"{k}={v}" for k, v in along.items())
        name = f"{label} {shown}" if label else ""
        yield conditions.from_fields(model, {**values, **along}, seed, name, data_root)


def _rates(pair: Any) -> tuple[float, float]:
    if (
        not isinstance(pair, list)
        or len(pair) != 2
        or not all(isinstance(p, int | float) and not isinstance(p, bool) for p in pair)
    ):
        raise InputError(f"a pair must be [p01, p10], two numbers, not {pair!r}")
    return float(pair[0]), float(pair[1])
