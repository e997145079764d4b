"""Storage polarity: a row or a layer is stored inverted where asymmetric errors hurt less so."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden
from ..bits import popcount
from ..engine import Engine
from ..exceptions import InputError
from ..memory import Layout
from ..network import Network
from ..physical import extend
from ..physical_steps import Flags
from .moments import layer_inputs, met, moments, turn_chance
from .protection import Cells, Known, Protection, physical
from .rows import Rows, check_rows, of_rows, require_words, row_banks

Per = Literal["row", "layer"]
By = Literal["bits", "turns", "accuracy"]
BY: dict[Per, tuple[By, ...]] = {"row": ("bits", "turns"), "layer": ("accuracy", "bits")}


@dataclass(frozen=True)
class Polarity(Protection):
    """Some rows hold inverted weights; a flag for each row, or each layer, inverts what is read.

    Measured on networks with as many ones as zeros in a row, mixing polarities within a layer does
    harm: errors then move neighbours apart that they moved together before (docs/protection.md).
    So layers by accuracy are the default.

    Flags stand in small banks beside the thresholds: they are victims when thresholds are, and a
    flag that reads wrong inverts its whole row.

    `by` says what is made least, at the rates it is fitted to:
        "bits"      expected wrong bits of the row (of the layer), exactly
        "turns"     chance that the row's neuron turns, mean over images (normal approximation);
                    of a row of scores: the mean square error of its score
        "accuracy"  of a layer: wrong images when errors are in that layer alone, `chips` chips

    Source: for layers the bit error rate assignment (BERA) of Yayla et al., "FeFET-based binarized
    neural networks under temperature-dependent bit errors", IEEE Trans. Comput., doi
    10.1109/TC.2021.3104736; rebuilt here from its abstract. Polarity of rows is ours.

    Attributes:
        inverted: rows of each layer that are stored inverted, once chosen.
    """

    per: Per = "layer"
    by: By = "accuracy"
    chips: int = 3
    inverted: Rows | None = field(default=None, metadata={"chosen": True})
    name: ClassVar[str] = "polarity"
    is_by_row: ClassVar[bool] = True
    fitted_to: ClassVar[frozenset[str]] = frozenset({"rates", "images", "labels"})

    def __post_init__(self) -> None:
        if self.per not in BY:
            raise InputError(f"per must be 'row' or 'layer', not {self.per!r}")
        if self.by not in BY[self.per]:
            raise InputError(f"by of a {self.per} must be among {BY[self.per]}, not {self.by!r}")
        if self.chips < 1:
            raise InputError(f"chips must be 1 or more, not {self.chips}")

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """Choose what is inverted, unless it is chosen; ties are stored as they are."""
        if self.inverted is not None:
            return self
        if self.by == "accuracy":
            chosen = _by_accuracy(network, base, known, self.chips)
        elif self.by == "turns":
            chosen = _by_turns(network, known)
        else:
            chosen = _by_bits(network, known, self.per)
        return replace(
            self, inverted=tuple(tuple(np.flatnonzero(layer).tolist()) for layer in chosen)
        )

    def layout(self, network: Network, base: Layout) -> Layout:
        """One more bank of flags for each processing element, or for each layer."""
        if self.inverted is None:
            raise InputError(f"{self.name!r} must be fitted before it is used")
        require_words(base, self.name)
        check_rows(self.inverted, base, self.name)
        banks = []
        for _, layer, pe in row_banks(base):
            if self.per == "row" or pe == 0:
                n_rows, depth = (1, 1) if self.per == "layer" else _n_rows(base, layer, pe)
                banks.append((layer, pe, n_rows, depth))
        return extend(base, Flags(tuple(banks), self.name))

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Rows inverted, flags set."""
        layout = physical(self.layout(network, base))
        assert self.inverted is not None
        out = layout.put(cells)
        for bank, own in zip(layout.banks[len(base.banks) :], self._flags(base), strict=True):
            out[bank.first_cell : bank.first_cell + len(own)] = own
        return self._turned(base, out)

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Rows inverted back, as the flags read."""
        return physical(self.layout(network, base)).get(self._turned(base, cells))

    def _flags(self, base: Layout) -> list[NDArray[np.uint8]]:
        assert self.inverted is not None
        flags = []
        for (_, layer, pe), own in ((b, self.inverted[b[1]]) for b in row_banks(base)):
            if self.per == "layer":
                if pe == 0:
                    flags.append(np.array([bool(own)], np.uint8))
                continue
            n_rows, depth = _n_rows(base, layer, pe)
            rows = np.arange(depth) * base.folds[layer].pe + pe
            flags.append((np.isin(rows, own) & (np.arange(depth) < n_rows)).astype(np.uint8))
        return flags

    def _turned(self, base: Layout, cells: Cells) -> Cells:
        """The cells with the rows inverted whose flags are 1."""
        mask = np.zeros(base.n_cells, np.uint8)
        at = base.n_cells
        for bank, layer, pe in row_banks(base):
            depth = 1 if self.per == "layer" else base.n_folds(layer)
            of_rows(base, mask, bank, layer)[:] = cells[at : at + depth, None]
            if self.per == "row" or pe == base.folds[layer].pe - 1:
                at += depth
        out = cells.copy()
        out[: base.n_cells] ^= mask & base.is_stored
        return out


def _n_rows(layout: Layout, layer: int, pe: int) -> tuple[int, int]:
    """Rows of a processing element, and how many it has room for."""
    n_outputs, n_pe = layout.shapes[layer].n_outputs, layout.folds[layer].pe
    return max(0, -(-(n_outputs - pe) // n_pe)), layout.n_folds(layer)


def _by_bits(network: Network, known: Known, per: Per) -> list[NDArray[np.bool_]]:
    chosen = []
    for layer in network.layers:
        ones = popcount(layer.weights)
        size = np.full(layer.n_outputs, layer.n_inputs)
        if per == "layer":
            ones, size = np.full_like(ones, ones.sum()), size * layer.n_outputs
        more_ones = 2 * ones - size  # stored as they are they cost ones p10 + zeros p01
        chosen.append(more_ones * known.p10 > more_ones * known.p01)
    return chosen


def _by_turns(network: Network, known: Known) -> list[NDArray[np.bool_]]:
    chosen = []
    inputs = layer_inputs(network, known.calibration("polarity by turns"))
    for layer, x in zip(network.layers, inputs, strict=True):
        costs = []
        for p01, p10 in ((known.p01, known.p10), (known.p10, known.p01)):
            rates = np.full(layer.n_outputs, p01), np.full(layer.n_outputs, p10)
            m = moments(layer, met(layer, x), *rates)
            off = m.std**2 + (m.mean - m.clean) ** 2
            costs.append((off if layer.thresholds is None else turn_chance(layer, m)).mean(axis=0))
        chosen.append(costs[1] < costs[0])
    return chosen


def _by_accuracy(
    network: Network, base: Layout, known: Known, chips: int
) -> list[NDArray[np.bool_]]:
    """Layer by layer, with errors in that layer alone."""
    images = known.calibration("polarity by accuracy")
    labels = golden.classify(Engine(network).scores(images))
    if known.labels is not None:
        labels = np.asarray(known.labels, np.int64)
    chosen = []
    for i, layer in enumerate(network.layers):
        wrong = [0, 0]
        for is_inverted in (False, True):
            p01, p10 = (known.p10, known.p01) if is_inverted else (known.p01, known.p10)
            for chip in range(chips):  # the same weak cells; swapped rates are swapped polarity
                map_ = replace(known, p01=p01, p10=p10).chip(base, chip)
                scores = Engine(network).with_faults(fault_maps.restrict(map_, layers=[i]))
                given = golden.classify(scores.scores(images))
                wrong[is_inverted] += int((given != labels).sum())
        chosen.append(np.full(layer.n_outputs, wrong[True] < wrong[False]))
    return chosen
