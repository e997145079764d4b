"""Thresholds for one operating point: errors move sums, so the decision moves with them.

Closed form. At rates p01, p10 a sum s reads in the mean as (1 - p01 - p10) s + (p01 - p10) X, with
X the sum of the inputs (+-1, or 0..255). A threshold is the middle between the greatest sum that
does not fire and the least that may, 2 theta - n - 1 on bits and theta - 1/2 on uint8: T. It turns
to T' = (1 - p01 - p10) T + (p01 - p10) mean(X), and that to the nearest integer theta' (a half
rounds up) within the canonical range. All of it is in exact fractions of the rates as given.

From data. `chips` chips are drawn at the rates, and layer after layer each neuron takes the integer
that makes it agree most often with the network without errors, on all chips and images together;
of several the nearest to the old one. Later layers see what the corrected ones before them give.

From statistics (`renorm.py`). Batch-norm re-estimation, carried over to integers: each threshold
stays as many standard deviations from the mean of its neuron's sums as it is without errors.

Neurons that always or never fire keep doing so.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden
from ..exact_sums import Rows, accumulate, bits_of, fires, per_image, rows_of
from ..exceptions import InputError
from ..layers import Layer
from ..memory import Layout, shapes_of
from ..network import Network
from .moments import few, layer_inputs, met
from .protection import Known, Protection
from .renorm import Tables, renormed

Method = Literal["closed", "data", "statistics"]
METHODS: tuple[Method, ...] = ("closed", "data", "statistics")


@dataclass(frozen=True)
class Thresholds(Protection):
    """One more table of thresholds, for the condition it is fitted to; the weights stay.

    Attributes:
        by: "closed" form, "data" or "statistics".
        chips: drawn for "data" and "statistics".
        tables: thresholds of each layer once chosen; () for a layer of scores.
    """

    by: Method = "closed"
    chips: int = 3
    tables: Tables | None = field(default=None, metadata={"chosen": True})
    name: ClassVar[str] = "thresholds"
    adapts: ClassVar[bool] = True
    fitted_to: ClassVar[frozenset[str]] = frozenset({"rates", "images"})

    def __post_init__(self) -> None:
        if self.by not in METHODS:
            raise InputError(f"by must be one of {METHODS}, not {self.by!r}")
        if self.chips < 1:
            raise InputError(f"chips must be 1 or more, not {self.chips}")

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """Choose the thresholds, unless they are chosen."""
        if self.tables is not None:
            return self
        if self.by == "closed":
            return replace(self, tables=_closed(network, known))
        images = known.calibration(f"thresholds by {self.by}")
        faulty = [fault_maps.apply(network, known.chip(base, chip)) for chip in range(self.chips)]
        fitted = _data if self.by == "data" else renormed
        return replace(self, tables=fitted(network, images, faulty))

    def adapt(self, network: Network) -> Network:
        """The network with these thresholds.

        Raises:
            InputError: not fitted, or to another network.
        """
        if self.tables is None:
            raise InputError(f"{self.name!r} must be fitted before it is used")
        sizes = [0 if la.thresholds is None else la.n_outputs for la in network.layers]
        if [len(table) for table in self.tables] != sizes:
            raise InputError(f"{self.name!r}: tables must have {sizes} thresholds")
        layers = [
            replace(layer, thresholds=np.array(table, np.int32)) if table else layer
            for layer, table in zip(network.layers, self.tables, strict=True)
        ]
        return replace(network, layers=tuple(layers))

    def overhead(self, network: Network, base: Layout) -> int:
        """The bits of the second table."""
        return sum(s.n_outputs * s.threshold_bits for s in shapes_of(network) if s.has_thresholds)


def moved(layer: Layer, p01: Fraction, p10: Fraction, mean_x: Fraction) -> NDArray[np.int32]:
    """(n_outputs,) thresholds by the closed form.

    Args:
        mean_x: mean sum of the inputs of a row, +-1 or 0..255.
    """
    assert layer.thresholds is not None, "only hidden layers have thresholds"
    low, high = layer.threshold_range
    n = layer.n_inputs
    found = []
    for theta in layer.thresholds.tolist():
        if theta in (low, high):
            found.append(theta)
            continue
        is_bits = layer.input == "bits"
        middle = Fraction(2 * theta - n - 1) if is_bits else theta - Fraction(1, 2)
        middle = (1 - p01 - p10) * middle + (p01 - p10) * mean_x
        new = (middle + n + 1) / 2 if is_bits else middle + Fraction(1, 2)
        found.append(min(max(floor(new + Fraction(1, 2)), low + 1), high - 1))
    return np.array(found, np.int32)


def agreeing(sums: NDArray[np.signedinteger], fires: NDArray[np.bool_], old: int) -> int:
    """The threshold at which most sums fire as they should; of several the nearest to `old`.

    Args:
        sums: (n,) what is compared.
        fires: (n,) whether it should fire.

    >>> agreeing(np.array([1, 2, 5, 9]), np.array([False, False, True, True]), 4)
    4
    >>> agreeing(np.array([1, 2, 5, 9]), np.array([False, False, True, True]), 0)
    3
    """
    order = np.argsort(sums, kind="stable")
    values, should = sums[order].astype(np.int64), fires[order]
    cuts = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])  # so many lie below
    ones_below = np.r_[0, np.cumsum(should)][cuts]
    zeros_above = (~should).sum() - (cuts - ones_below)
    wrong = ones_below + zeros_above
    best = cuts[wrong == wrong.min()]
    huge = np.iinfo(np.int64).max // 2
    bounds = np.r_[-huge, values, huge]
    nearest = np.clip(old, bounds[best] + 1, bounds[best + 1])
    return int(nearest[np.abs(nearest - old).argmin()])


def _closed(network: Network, known: Known) -> Tables:
    if not known.is_even:
        raise InputError("the closed form knows one pair of rates for all rows; use by = 'data'")
    p01, p10 = Fraction(known.p01), Fraction(known.p10)
    inputs: list[NDArray[np.uint8]] | None = None
    if p01 != p10:
        inputs = layer_inputs(network, known.calibration("thresholds for p01 != p10"))
    tables: list[tuple[int, ...]] = []
    for i, layer in enumerate(network.layers):
        if layer.thresholds is None:
            tables.append(())
            continue
        mean_x = Fraction(0)
        if inputs is not None:
            x = met(layer, inputs[i])
            mean_x = Fraction(int(x.sum(dtype=np.int64)), len(x))
            if layer.input == "bits":
                mean_x = 2 * mean_x - layer.n_inputs
        tables.append(tuple(moved(layer, p01, p10, mean_x).tolist()))
    return tuple(tables)


def _data(network: Network, images: NDArray[np.generic], faulty: list[Network]) -> Tables:
    tables: list[tuple[int, ...]] = []
    encoded = golden.encode(network, few(network, images))
    for chain in network.chains:
        x, seen = encoded, [encoded] * len(faulty)
        for layer in chain:
            if layer.thresholds is None:
                tables.append(())
                continue
            rows = [rows_of(chip.layers[len(tables)]) for chip in faulty]
            own = rows_of(layer)
            decisions = fires(layer, accumulate(own, met(layer, x)))
            sums = [accumulate(r, met(layer, s)) for r, s in zip(rows, seen, strict=True)]
            should = np.concatenate([decisions] * len(faulty))
            table = _agreeing_rows(layer, np.concatenate(sums), should)
            tables.append(table)
            thresholds = np.array(table, np.int32)
            seen = [_fire(r, s, thresholds) for r, s in zip(rows, seen, strict=True)]
            x = _fire(own, x, layer.thresholds)
    return tuple(tables)


def _fire(rows: Rows, x: NDArray[np.uint8], thresholds: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.concatenate([bits_of(top >= thresholds) for _, top in per_image(rows, x)])


def _agreeing_rows(
    layer: Layer, sums: NDArray[np.int32], fires: NDArray[np.bool_]
) -> tuple[int, ...]:
    assert layer.thresholds is not None
    low, high = layer.threshold_range
    return tuple(
        old
        if old in (low, high)
        else min(max(agreeing(sums[:, j], fires[:, j], old), low + 1), high - 1)
        for j, old in enumerate(layer.thresholds.tolist())
    )
