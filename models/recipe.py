"""The recipe: everything that decides how a network is trained, as a checked TOML file."""

import math
import re
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..sim import operating_points
from ..sim.exceptions import InputError
from ..sim.layers import INPUTS, Input
from .data import NAMES
from .topology import ConvSize

RECIPES = Path(__file__).parent / "recipes"

Loss = Literal["margin_hinge", "cross_entropy", "margin_cross_entropy"]
Scale = Literal["fixed", "learned"]
Rates = Literal["uniform", "fixed", "rising"]
Exposed = Literal["all", "all_but_first"]
Gradient = Literal["straight_through", "sign_flipped", "masked"]
"""What the gradient of a weight is whose bit reads wrong: as if it had read right, as through a
product with -1, or nothing."""
Augment = Literal["none", "shift", "shift_mirror"]
Matmul = Literal["bfloat16", "float32"]
Batches = Literal["mixed", "class_pure"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; with a seed it remakes the network.

    Attributes:
        name: of the model, and of its files.
        data: name of the data set.
        hidden: neurons of each hidden dense layer.
        input: what the first layer takes.
        epochs: passes over the training images.
        batch: images of a step; a last smaller one is left out.
        learning_rate: of Adam, at its peak.
        momentum: of Adam, its beta_1; with 0 a step is due to its own batch alone.
        warm_up: share of the steps in which the rate rises from 0, before it falls on a cosine.
        loss: on the integer scores.
        scale: "fixed" takes scores as they are; "learned" multiplies them by one more parameter,
            which no file keeps, as it changes no decision.
        first_scale: of "learned", before the first step.
        margin: of margin_hinge and margin_cross_entropy, in units of a (scaled) score.
        temperature: of cross_entropy and margin_cross_entropy, in units of a (scaled) score.
        limit: of margin_cross_entropy, in units of a (scaled) score.
        tolerance_weight: of the regularizer that pulls hidden margins to `tolerance_margin`.
        tolerance_margin: |s - T| / sqrt(fan-in), > 0.
        p01_max, p10_max: highest rates of independent errors, of bits stored as 0 and as 1; every
            step reads weights through a new chip.
        rates: of a step are u p01_max and u p10_max; u is drawn from [0, 1), is 1, or rises from 0
            to 1 over the training.
        errors: name of an operating point to train under instead, at its own rates.
        n_chips: so many chips come again and again; 0 means that every step sees a new one.
        exposed: layers whose memory lies.
        gradient: of a weight that reads wrong, see `Gradient`.
        clean_weight: share of the loss that weights as written have, 0..1; more than 0 takes two
            passes a step.
        clean_below: with clean_weight, errors begin once a batch's loss on weights as written has
            been below this; 0 means at once.
        running_norm_from: share of the steps after which batch norms train on running statistics.
        running_momentum: of those statistics, from then on.
        select_rates: bit error rates, 0..0.5; the epoch is kept whose mean accuracy over them, on
            the validation split, is best.
        held_out: whether there is a validation split. Without it training sees all training images
            and the last epoch is kept: for a recipe that was chosen with one before.
        n_calibrations: sets of flipped weights under which the batch norms are measured at the end.
        matmul: precision of the training's matrix products; evaluation is exact in any case.
        convs: convolutions before the dense layers, tables in TOML, see `topology.ConvSize`.
        batches: "class_pure" fills every batch with examples of one class, see `batches`.
        n_ghosts: of a batch's images are ghosts, which batch norms alone see.
        augment: "shift" moves every image by up to 2 pixels (black comes in), "shift_mirror" by up
            to 4 and mirrors half of them.
    """

    name: str
    data: str
    hidden: tuple[int, ...]
    epochs: int
    loss: Loss
    input: Input = "uint8"
    batch: int = 256
    learning_rate: float = 1e-2
    warm_up: float = 0.03
    margin: float = 32.0
    temperature: float = 16.0
    p01_max: float = 0.0
    p10_max: float = 0.0
    running_norm_from: float = 1.0
    running_momentum: float = 0.02
    select_rates: tuple[float, ...] = (0.0,)
    n_calibrations: int = 16
    matmul: Matmul = "bfloat16"
    convs: tuple[ConvSize, ...] = ()
    scale: Scale = "fixed"
    first_scale: float = 1e-3
    limit: float = 100.0
    tolerance_weight: float = 0.0
    tolerance_margin: float = 1.0
    rates: Rates = "uniform"
    errors: str = ""
    n_chips: int = 0
    exposed: Exposed = "all"
    gradient: Gradient = "straight_through"
    clean_weight: float = 0.0
    clean_below: float = 0.0
    held_out: bool = True
    augment: Augment = "none"
    batches: Batches = "mixed"
    n_ghosts: int = 0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        for name, legal in (
            ("data", NAMES),
            ("loss", get_args(Loss)),
            ("input", INPUTS),
            ("matmul", get_args(Matmul)),
            ("scale", get_args(Scale)),
            ("rates", get_args(Rates)),
            ("exposed", get_args(Exposed)),
            ("gradient", get_args(Gradient)),
            ("augment", get_args(Augment)),
            ("batches", get_args(Batches)),
        ):
            self._check(name, getattr(self, name) in legal, f"one of {', '.join(legal)}")
        self._check(
            "name",
            re.fullmatch(r"\w[\w.+-]{0,99}", self.name) is not None,
            "letters, digits and . + - _",
        )
        for field in fields(self):
            if field.type is float:
                self._check(field.name, math.isfinite(getattr(self, field.name)), "finite")
        self._check(
            "hidden",
            bool(self.hidden or self.convs) and min(self.hidden, default=1) > 0,
            "positive integers",
        )
        for name in ("epochs", "n_calibrations"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("batch", self.batch >= 2, "2 or more, for batch norm")
        self._check("momentum", 0 <= self.momentum < 1, "0 or more, less than 1")
        self._check("n_ghosts", 0 <= self.n_ghosts < self.batch, f"0..{self.batch - 1}")
        self._check("n_ghosts", self.n_ghosts != 1, "0, or 2 or more, for batch norm")
        self._check(
            "n_ghosts", not (self.n_ghosts and self.tolerance_weight), "0 with tolerance_weight"
        )
        for name in ("tolerance_weight", "clean_below", "n_chips"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in (
            "learning_rate",
            "margin",
            "temperature",
            "first_scale",
            "limit",
            "tolerance_margin",
        ):
            self._check(name, getattr(self, name) > 0, "positive")
        for name in ("p01_max", "p10_max"):
            self._check(name, 0 <= getattr(self, name) <= 0.5, "0..0.5")
        for name in ("warm_up", "running_norm_from", "running_momentum", "clean_weight"):
            self._check(name, 0 <= getattr(self, name) <= 1, "0..1")
        self._check(
            "select_rates",
            bool(self.select_rates) and all(0 <= p <= 0.5 for p in self.select_rates),
            "rates in 0..0.5",
        )
        if self.errors:
            operating_points.parse(self.errors)
            self._check(
                "errors", not (self.p01_max or self.p10_max), "alone, without p01_max, p10_max"
            )

    @property
    def has_errors(self) -> bool:
        """Whether the memory lies in training."""
        return bool(self.errors or self.p01_max or self.p10_max)

    def _check(self, name: str, is_legal: bool, legal: str) -> None:
        if not is_legal:
            raise InputError(f"recipe: {name} must be {legal}, not {getattr(self, name)!r}")


def from_values(values: dict[str, Any]) -> Recipe:
    """The recipe of these JSON or TOML values.

    Raises:
        InputError: a key is unknown or missing, a value has the wrong type or is illegal.
    """
    known = {f.name: f for f in fields(Recipe)}
    if unknown := sorted(set(values) - set(known)):
        raise InputError(
            f"recipe: unknown key {', '.join(unknown)}; the keys are {', '.join(known)}"
        )
    typed = {name: _typed(name, known[name].type, value) for name, value in values.items()}
    try:
        return Recipe(**typed)
    except TypeError as error:
        raise InputError(f"recipe: {str(error).split('__init__() ')[-1]}") from error


def to_values(recipe: Recipe) -> dict[str, Any]:
    """JSON values from which `from_values` makes the same recipe."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}


def load_recipe(name_or_path: str) -> Recipe:
    """The recipe of that name among the kit's own, or in that TOML file.

    Raises:
        InputError: there is no such recipe or file, or it is not a legal recipe.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"recipe must be {', '.join(recipe_names())} or a TOML file, not {name_or_path!r}"
        )
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    return from_values(values)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the kit."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.toml")))


def _typed(name: str, kind: Any, value: Any) -> Any:
    """`value` as the type of its field: integers pass as floats, lists as tuples, nothing else."""
    if kind is ConvSize:
        sizes = {f.name for f in fields(ConvSize)}
        if not isinstance(value, dict) or not {"channels"} <= set(value) <= sizes:
            raise InputError(
                f"recipe: {name} must be tables of channels and any of {sorted(sizes)}, "
                f"not {value!r}"
            )
        return ConvSize(**{k: _typed(f"{name}.{k}", int, v) for k, v in value.items()})
    if kind in (tuple[int, ...], tuple[float, ...], tuple[ConvSize, ...]):
        if not isinstance(value, list | tuple):
            raise InputError(f"recipe: {name} must be a list, not {value!r}")
        return tuple(_typed(name, get_args(kind)[0], item) for item in value)
    wanted = kind if kind in (int, float, str, bool) else str
    if wanted is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not wanted:
        raise InputError(f"recipe: {name} must be of type {wanted.__name__}, not {value!r}")
    return value
