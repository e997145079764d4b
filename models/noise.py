"""Memories that lie inside the forward pass: any `FaultMap` under a model, new ones every step."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sim import operating_points
from ..sim.errors import ErrorModel, Iid
from ..sim.errors.rram_radar import N_CYCLES, RramReplay
from ..sim.exceptions import InputError
from ..sim.faults import PLANES, FaultMap, is_empty, restrict
from ..sim.memory import MAX_WIDTH, Fold, Layout, Shape
from .nets import BinaryNet
from .recipe import Recipe

_STRIDE = 187
"""Prime to N_CYCLES and near its golden section: draws in a row meet cells of all ages."""


@dataclass(frozen=True, eq=False)
class FaultyCells:
    """The weight cells of one layer under a FaultMap.

    Attributes:
        flip, stuck0, stuck1: (n_outputs, n_inputs) bool, in logical order; None is nowhere.
    """

    flip: Tensor | None = None
    stuck0: Tensor | None = None
    stuck1: Tensor | None = None

    def read(self, stored: Tensor) -> Tensor:
        """(n_outputs, n_inputs) bool as this memory returns them."""
        read = stored if self.flip is None else stored ^ self.flip
        read = read if self.stuck0 is None else read & ~self.stuck0
        return read if self.stuck1 is None else read | self.stuck1


def weight_cells(faults: FaultMap, layer: int, device: torch.device | None = None) -> FaultyCells:
    """What a map does to the weights of layer number `layer`, in logical order."""
    planes: dict[str, Tensor] = {}
    for name in PLANES:
        if not is_empty(getattr(faults, name)):
            rows = faults.layout.rows(faults.cells(name), layer, "weights")
            planes[name] = torch.from_numpy(np.ascontiguousarray(rows)).to(device).view(torch.bool)
    return FaultyCells(**planes)


def apply_faults(model: BinaryNet, faults: FaultMap | None) -> None:
    """Put a fault map under the weights of a float model, in place; None removes what was there.

    Raises:
        InputError: the map is of other layer shapes; it has faults in threshold memories, which a
            float model has not (freeze it first); or a batch-norm scale is negative, so that the
            stored row is not the model's row.
    """
    if faults is None:
        set_memories(model, None)
        return
    if faults.layout.shapes != shapes_of_model(model):
        rows = [(s.n_outputs, s.n_inputs) for s in model.shapes]
        raise InputError(f"the fault map is not for the layer shapes of a network of rows {rows}")
    if restrict(faults, where=["thresholds"]).n_faults:
        raise InputError("the fault map has faults in thresholds: freeze the network first")
    if any(bool((norm.weight < 0).any()) for norm in model.norm_layers):
        raise InputError(
            "a negative batch-norm scale stores its row negated: freeze the network first"
        )
    set_memories(model, faults)


def set_memories(
    model: BinaryNet, faults: FaultMap | None, layers: Iterable[int] | None = None
) -> None:
    """Read these layers (None: all) through a map that fits, the others as they were written."""
    lies = set(range(len(model.shapes)) if layers is None else layers)
    for i, layer in enumerate(model.binary_layers):
        layer.memory = None
        if faults is not None and i in lies:
            layer.memory = weight_cells(faults, i, layer.weight.device)


def shapes_of_model(model: BinaryNet) -> tuple[Shape, ...]:
    """What of a model decides the layout of the network that it becomes."""
    last = len(model.shapes) - 1
    return tuple(
        Shape(s.n_inputs, s.n_outputs, model.input if i == 0 else "bits", i < last)
        for i, s in enumerate(model.shapes)
    )


def layout_of_model(model: BinaryNet) -> Layout:
    """The layout that `memory.layout_of` gives the network that a model becomes."""
    shapes = shapes_of_model(model)
    return Layout(shapes, tuple(Fold(1, MAX_WIDTH) for _ in shapes))


@dataclass(frozen=True, eq=False)
class TrainingErrors:
    """The faulty memories that a recipe trains under, a new one for every step.

    Attributes:
        recipe: says which error model, how often its chips come again, and which layers lie.
        seed: of the population of chips; training, validation and tests use different ones.
        data_root: of measured data, for models that replay them.
    """

    recipe: Recipe
    layout: Layout
    seed: int
    data_root: Path | None = None

    def model(self, share: float) -> ErrorModel:
        """The error model, independent errors at this share of the recipe's highest rates."""
        if self.recipe.errors:
            return operating_points.parse(self.recipe.errors).model(self.seed, self.data_root)
        return Iid(share * self.recipe.p01_max, share * self.recipe.p10_max, self.seed)

    def draw(self, number: int, share: float, model: BinaryNet) -> FaultMap:
        """The faults of draw number `number`.

        Args:
            share: 0..1 of the highest rates; without effect on a named operating point.
            model: whose weights are stored, for errors that depend on them.
        """
        errors = self.model(share)
        chip = number % self.recipe.n_chips if self.recipe.n_chips else number
        stored = _stored(model, self.layout) if errors.needs_data else None
        event = event_of(errors, number)
        return errors.sample(self.layout, chip, event=event, stored=stored)

    def put(self, model: BinaryNet, number: int, share: float) -> None:
        """Read the layers that lie through draw number `number`."""
        set_memories(model, self.draw(number, share, model), self.layers)

    @property
    def layers(self) -> range:
        """Numbers of the layers that lie."""
        return range(1 if self.recipe.exposed == "all_but_first" else 0, len(self.layout.shapes))


def event_of(errors: ErrorModel, number: int) -> int:
    """The programming event of draw number `number`: measured cells are met at all their ages."""
    return number * _STRIDE % N_CYCLES if isinstance(errors, RramReplay) else number


def _stored(model: BinaryNet, layout: Layout) -> NDArray[np.uint8]:
    """(n_cells,) the weights as written; nothing else is."""
    cells = np.zeros(layout.n_cells, np.uint8)
    for i, layer in enumerate(model.binary_layers):
        layout.put_rows(cells, i, "weights", (layer.rows() >= 0).cpu().numpy().astype(np.uint8))
    return cells
