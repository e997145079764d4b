"""Selective replication: several copies of the rows that matter most, and the majority of them."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from ..exceptions import InputError
from ..memory import Layout
from ..network import Network
from ..physical import extend
from ..physical_steps import Copy
from .importance import most_harmful, row_harm
from .protection import Cells, Known, Protection, physical
from .rows import Rows, blocks, check_rows, require_words


@dataclass(frozen=True)
class Replicate(Protection):
    """Rows of weights stored `copies` times, in banks of their own; each bit is voted on.

    Copies are stored cells and victims. Which rows: `fit` takes those that do most harm for each
    bit (`importance.row_harm`, an estimate of ours); `chosen` takes them from any importance.

    Attributes:
        fraction: of the weight bits that is copied; the overhead is `copies - 1` times that.
        copies: of each such row, odd, the first among them.
        rows: the rows of each layer once chosen.
    """

    fraction: float = 0.1
    copies: int = 3
    rows: Rows | None = field(default=None, metadata={"chosen": True})
    name: ClassVar[str] = "replicate"
    is_by_row: ClassVar[bool] = True
    fitted_to: ClassVar[frozenset[str]] = frozenset({"rates", "images", "labels"})

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0:
            raise InputError(f"fraction must be 0..1, not {self.fraction!r}")
        if not 3 <= self.copies <= 99 or self.copies % 2 == 0:
            raise InputError(f"copies must be an odd number from 3, not {self.copies}")

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """Choose the rows, unless they are chosen."""
        if self.rows is not None:
            return self
        images = known.calibration(self.name)
        return self.chosen(network, row_harm(network, images, known.labels, known.p01, known.p10))

    def chosen(self, network: Network, importance: list[np.ndarray]) -> Self:
        """With the most important rows for each bit, as many as `fraction` allows.

        Args:
            importance: for every layer (n_outputs,), higher is more important.
        """
        return replace(self, rows=most_harmful(network, importance, self.fraction))

    def layout(self, network: Network, base: Layout) -> Layout:
        """Banks of copies after the others; `base` itself when no row is chosen."""
        if self.rows is None:
            raise InputError(f"{self.name!r} must be fitted before it is used")
        require_words(base, self.name)
        check_rows(self.rows, base, self.name)
        found = blocks(base, self.rows)
        return extend(base, Copy(found, self.copies - 1)) if found else base

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Every chosen row in all its places."""
        layout = self.layout(network, base)
        return cells if layout == base else physical(layout).put(cells)

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """The majority of the copies of each bit."""
        if self.layout(network, base) == base:
            return cells
        layout = physical(self.layout(network, base))
        out = layout.get(cells).copy()
        votes = out[layout.copied] + cells[base.n_cells :].reshape(self.copies - 1, -1).sum(
            axis=0, dtype=np.uint8
        )
        out[layout.copied] = votes > self.copies // 2
        return out
