"""Threshold tables: other thresholds for the same weights, each for one operating condition.

Errors shrink sums and move them, so each condition of a memory wants thresholds of its own
(`protection/thresholds.py` finds them). A network carries the tables beside its own thresholds;
`network.select` gives the network whose thresholds are those of one table, and that is what every
device runs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exceptions import InputError
from .layer_entries import Arrays
from .layers import Layer

NAME = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, eq=False)
class Table:
    """Thresholds of every layer, for one condition.

    Attributes:
        name: of the condition: "iid-10%", or of the chip that they were fitted to; 1..64 printable
            ASCII characters without space.
        thresholds: of each layer (n_outputs,) int32 within its range; None for a layer of scores.
        provenance: condition, method, seeds, images, ...: JSON values.
    """

    name: str
    thresholds: tuple[NDArray[np.int32] | None, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(
                f"the name of a table must be 1..64 printable characters without space, "
                f"not {self.name!r}"
            )
        if not isinstance(self.provenance, dict):
            raise InputError(f"table {self.name!r}: its provenance must be a JSON object")


def check(tables: Sequence[Table], layers: Sequence[Layer]) -> None:
    """Refuse tables that are not of these layers.

    Raises:
        InputError: two of one name; thresholds that a layer lacks, or of wrong shape or range.
    """
    names = [table.name for table in tables]
    if len(set(names)) != len(names):
        raise InputError(f"names of tables must differ: {names}")
    for table in tables:
        if len(table.thresholds) != len(layers):
            raise InputError(
                f"table {table.name!r} is of {len(table.thresholds)} layers, not {len(layers)}"
            )
        for layer, values in zip(layers, table.thresholds, strict=True):
            if (values is None) != (layer.thresholds is None):
                has = "no" if values is None else "a layer of scores has no"
                raise InputError(f"table {table.name!r}: {has} thresholds of {layer.name!r}")
            if values is not None:
                try:
                    layer.check_thresholds(values)
                except InputError as error:
                    raise InputError(f"table {table.name!r}: {error}") from error


def arrays(table: Table, t: int) -> Arrays:
    """What a network's file stores of table t."""
    return {_key(t, i): values for i, values in enumerate(table.thresholds) if values is not None}


def entry(table: Table) -> dict[str, Any]:
    """What the header of a network's file says of a table."""
    return {"name": table.name, "provenance": table.provenance}


def table_of(values: dict[str, Any], t: int, layers: Sequence[Layer], arrays: Arrays) -> Table:
    """Table t of a file, whose arrays are taken out of `arrays`.

    Raises:
        InputError, KeyError, TypeError: the file is not right.
    """
    if set(values) != {"name", "provenance"}:
        raise InputError(f"a table must have a name and its provenance, not {sorted(values)}")
    thresholds = tuple(
        None if layer.thresholds is None else arrays.pop(_key(t, i))
        for i, layer in enumerate(layers)
    )
    return Table(values["name"], thresholds, values["provenance"])


def row(table: Table, layers: Sequence[Layer]) -> dict[str, Any]:
    """JSON values: where the table is from, and how far it is from the network's thresholds."""
    moved = [
        np.abs(values.astype(np.int64) - layer.thresholds)
        for values, layer in zip(table.thresholds, layers, strict=True)
        if values is not None and layer.thresholds is not None
    ]
    told = {name: table.provenance.get(name) for name in ("condition", "by", "images")}
    n = sum(len(m) for m in moved)
    return {
        "name": table.name,
        **told,
        "n_moved": sum(int((m > 0).sum()) for m in moved),
        "mean_move": sum(int(m.sum()) for m in moved) / n if n else 0.0,
    }


def _key(t: int, i: int) -> str:
    return f"table.{t}.{i}.thresholds"
