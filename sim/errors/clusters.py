"""Clustered errors: defects that take their neighbours in the array with them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words
from ..exceptions import InputError
from ..faults import FaultMap
from ..geometry import Index, array_of, check_words_per_row, plane_of
from ..memory import Bank, Kind, Layout
from .model import (
    Persistence,
    assemble,
    bank_key,
    check_persistence,
    check_rates,
    check_sample,
    chip_key,
    provenance,
)


@dataclass(frozen=True)
class Clusters:
    """Centres at random; each hits itself and, with a chance that falls with distance, its
    neighbours.

    Every place of the array, and of a margin as wide as a cluster around it, is a centre with the
    chance c, independently. A centre hits the cell at offset o with the chance

        g(0) = 1,   g(o) = a exp(-|o|^2 / 2 radius^2)  for 0 < |o| <= 3 radius,   sum of g = size

    so a cell is faulty with the chance 1 - product over o of (1 - c g(o)), overlaps included. c is
    the root at which that is p01 (p10). A centre exists at all rates whose c exceeds its number,
    with the same victims, so faults nest in the rate. Sizes count distinct cells of one cluster.

    Source: Neyman and Scott 1958, J. R. Stat. Soc. B 20; the Gaussian kernel after Thomas 1949,
    Biometrika 36; on a lattice, with a sure centre and Bernoulli victims, it is ours. The default
    size and radius are provisional.

    Attributes:
        p01: mean P(read 1 | stored 0), 0..1.
        p10: mean P(read 0 | stored 1), 0..1.
        size: mean number of cells that a cluster hits, at least 1.
        radius: standard deviation of the kernel in rows and columns, 0.3 to 8.
        words_per_row: words on one word line, see `geometry`.
        seed: of the population of chips.
        persistence: chip for defects; read for upsets of several cells by one particle.
    """

    name: ClassVar[str] = "clusters"
    needs_data: ClassVar[bool] = False
    provisional: ClassVar[str] = "size and radius of clusters"

    p01: float
    p10: float
    size: float = 4.0
    radius: float = 1.0
    words_per_row: int = 1
    seed: int = 0
    persistence: Persistence = "chip"

    def __post_init__(self) -> None:
        check_rates(p01=self.p01, p10=self.p10)
        check_words_per_row(self.words_per_row)
        check_persistence(self.persistence)
        if not 0.3 <= self.radius <= 8.0:
            raise InputError(f"radius must be 0.3..8, not {self.radius!r}")
        weights = self._weights
        largest = 1.0 + weights.sum() / weights.max()
        if not 1.0 <= self.size <= largest:
            raise InputError(
                f"size must be 1..{largest:.4g} at radius {self.radius:g}, not {self.size!r}"
            )

    def rates(self) -> tuple[float, float]:
        """(p01, p10)."""
        return self.p01, self.p10

    @cached_property
    def offsets(self) -> Index:
        """(n, 2) rows and columns from a centre to the neighbours it may hit; not itself."""
        reach = max(1, int(3 * self.radius))  # the four next to it at least
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
        distance2 = rows**2 + columns**2
        keep = (distance2 > 0) & (distance2 <= max(1.0, 9 * self.radius**2))
        return np.stack([rows[keep], columns[keep]], axis=1).astype(np.int64)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        distance2 = (self.offsets**2).sum(axis=1)
        return np.asarray(np.exp(-(distance2 - 1) / (2 * self.radius**2)), np.float64)

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """(n,) g of each of the `offsets`."""
        return np.asarray((self.size - 1.0) * self._weights / self._weights.sum(), np.float64)

    def centre_rate(self, p: float) -> float:
        """c, the chance of a place to be a centre, at the mean rate p."""
        if p in (0.0, 1.0) or self.size == 1.0:
            return p

        wanted, c, g = -math.log1p(-p), p, self.chances
        while True:  # Newton from above on a convex, increasing function
            value = -math.log1p(-c) - float(np.log1p(-c * g).sum())
            new = c - (value - wanted) / (1 / (1 - c) + float((g / (1 - c * g)).sum()))
            if not 0.0 < new < c:
                return c
            c = new

    def covariance(self, p: float, rows: int, columns: int) -> float:
        """Covariance of two cells so far apart being faulty, at the mean rate p; exact."""
        if rows == columns == 0:
            return p * (1 - p)
        reach = int(max(abs(self.offsets).max(), 1))
        g = np.zeros((2 * reach + 1 + abs(rows), 2 * reach + 1 + abs(columns)))
        h = np.zeros_like(g)
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
        kernel[tuple((self.offsets + reach).T)] = self.chances
        kernel[reach, reach] = 1.0
        n = 2 * reach + 1
        g[:n, :n] = kernel
        h[abs(rows) :, abs(columns) :] = kernel  # the kernel is even in rows and in columns
        c = self.centre_rate(p)
        return float(np.exp(np.log1p(-c * (g + h - g * h)).sum())) - (1 - p) ** 2

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of one chip, see `ErrorModel.sample`."""
        kinds = check_sample(where, chip, event)
        centres = chip_key(self, "stoic.clusters/1", chip, event)
        victims = chip_key(self, "stoic.clusters.victims/1", chip, event)
        c01, c10 = self.centre_rate(self.p01), self.centre_rate(self.p10)
        margin = int(abs(self.offsets).max())

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            array = array_of(bank, self.words_per_row)
            n_across = array.n_columns + 2 * margin
            n_places = (array.n_rows + 2 * margin) * n_across
            places, u = sampling.below(bank_key(centres, bank), n_places, max(c01, c10))
            which, offsets = self._victims(bank_key(victims, bank), places, n_places)
            row, column = np.divmod(places[which], n_across)
            row, column = row - margin + offsets[:, 0], column - margin + offsets[:, 1]
            cells, exists = array.cells_at(row, column)
            cells, u = cells[exists], u[which][exists]
            turns1 = plane_of(cells[u < c01], array.n_cells)
            if c10 == c01:
                return turns1, turns1
            return turns1, plane_of(cells[u < c10], array.n_cells)

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds, event))

    def _victims(self, key: sampling.Key, places: Index, n_places: int) -> tuple[Index, Index]:
        """(number of the centre, (n, 2) offset) of every hit, those of the centres themselves
        first."""
        which = [np.arange(len(places))]
        offsets = [np.zeros((len(places), 2), np.int64)]
        for k, (offset, chance) in enumerate(zip(self.offsets, self.chances, strict=True)):
            hit = np.flatnonzero(sampling.uniforms_at(key, places + k * n_places) < chance)
            which.append(hit)
            offsets.append(np.broadcast_to(offset, (len(hit), 2)))
        return np.concatenate(which), np.concatenate(offsets)
