"""What a study trains and measures, from its TOML file.

    [study]     title, claim, protocol; `of` names studies whose networks this one takes up
    [measure]   see `Measure`
    [[nets]]    label, seeds, recipe (a name, whose values are the base), set (values instead),
                grid (lists of values, of which every combination is a network)

A label may name what its grid varies: "flips {p_max:g}". `p_max` stands for p01_max and p10_max;
`p_train` for the same, at a fixed rate, by which the epoch is chosen.
"""

import hashlib
import itertools
import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...sim.exceptions import InputError
from ..recipe import Recipe, from_values, load_recipe, to_values

FOLDER = Path(__file__).parent
TRAINING, MEASURING = 1, 1
"""Raised by hand when equal recipes would train, or equal networks be measured, otherwise."""


@dataclass(frozen=True)
class Measure:
    """What is measured of every network, on the full test set.

    Attributes:
        rates: bit error rates, of all weight memories.
        chips: at each rate, of population `seed`, nested and common to all networks.
        spared_rates: rates at which the first layer is spared in a second curve.
        table_rates: rates at which thresholds are re-estimated for the rate, in a third curve.
        chip_rates: rates at which they are re-estimated for each chip, in a fourth.
        errors: operating points at which accuracy is measured too, on chips 1, 2, ...: chip 0 of
            a replay is the board as it was measured, on which a network may have trained.
        n_metric_images: of the validation split for metrics, and of the test set for predictions.
        predicted_rates: at which accuracy is predicted without injection; () for nothing that is
            known without injection.
        reference_rate: of the metrics.
    """

    rates: tuple[float, ...]
    chips: int = 20
    seed: int = 0
    spared_rates: tuple[float, ...] = ()
    table_rates: tuple[float, ...] = ()
    chip_rates: tuple[float, ...] = ()
    errors: tuple[str, ...] = ()
    n_metric_images: int = 2000
    predicted_rates: tuple[float, ...] = ()
    reference_rate: float = 0.05


@dataclass(frozen=True)
class Net:
    """One network of a study.

    Attributes:
        label: networks of one label differ in their seed alone.
        varied: what the grid set it to.
    """

    label: str
    recipe: Recipe
    seed: int
    varied: dict[str, Any]

    @property
    def key(self) -> str:
        """Name of its folder: a hash of all that decides the network, defaults left out."""
        plain = {f.name: f.default for f in fields(Recipe)}
        changed = {k: v for k, v in vars(self.recipe).items() if v != plain[k] and k != "name"}
        text = json.dumps([TRAINING, changed, self.seed], sort_keys=True, default=vars)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Study:
    """A study as its file says.

    Attributes:
        nets: one after the other, those of `of` first.
    """

    name: str
    title: str
    claim: str
    protocol: str
    measure: Measure
    nets: tuple[Net, ...]


def study_names() -> tuple[str, ...]:
    """Names of all studies."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_study(name: str) -> Study:
    """The study of that name.

    Raises:
        InputError: there is no such study, or its file is not legal.
    """
    if name not in study_names():
        raise InputError(f"study must be one of {', '.join(study_names())}, not {name!r}")
    values = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    head = values["study"]
    taken = [load_study(other) for other in head.get("of", ())]
    own = [net for entry in values.get("nets", ()) for net in _nets(name, entry)]
    nets = [net for study in taken for net in study.nets] + own
    measure = _measure(name, values["measure"]) if "measure" in values else taken[0].measure
    unique = {net.key: net for net in nets}
    return Study(
        name,
        head["title"],
        head["claim"],
        head["protocol"],
        measure,
        tuple(unique.values()),
    )


def _measure(name: str, values: dict[str, Any]) -> Measure:
    known = {f.name for f in fields(Measure)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"study {name}: measure has no {', '.join(unknown)}")
    typed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Measure(**typed)


def _nets(name: str, entry: dict[str, Any]) -> list[Net]:
    if unknown := sorted(set(entry) - {"label", "recipe", "seeds", "set", "grid"}):
        raise InputError(f"study {name}: nets have no {', '.join(unknown)}")
    base = to_values(load_recipe(entry["recipe"])) if "recipe" in entry else {}
    grid = entry.get("grid", {})
    found = []
    for combination in itertools.product(*grid.values()):
        varied = dict(zip(grid, combination, strict=True))
        label = entry["label"].format(**varied)
        recipe = from_values(
            base | _spelled(entry.get("set", {})) | _spelled(varied) | {"name": "net"}
        )
        found += [Net(label, recipe, seed, varied) for seed in entry["seeds"]]
    return found


def _spelled(values: dict[str, Any]) -> dict[str, Any]:
    """With the recipe's own keys in place of p_max and p_train."""
    values = dict(values)
    if "p_train" in values:
        values["p_max"] = values.pop("p_train")
        values |= {"rates": "fixed", "select_rates": [values["p_max"]]}
    if "p_max" in values:
        values["p01_max"] = values["p10_max"] = values.pop("p_max")
    return values
