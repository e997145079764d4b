"""Protection: what a memory does to keep its bits, and what of its faults a network still sees.

A protection says which physical memory a plain layout becomes (`layout`), what is written to it
(`encode`) and what the datapath gets from what was read (`decode`). Everything else follows:

    protection = protection.fit(network, base, known)        # what must be chosen from data
    network = protection.adapt(network)                      # other thresholds, where it has them
    physical = protection.layout(network, base)              # on which error models sample
    faults = model.sample(physical, chip, where, stored=protection.stored(network, base))
    device.load(network)
    device.inject(protection.effective(network, base, faults))

`effective` is a map of the plain layout: decode(read(encode(stored bits))), compared with the
stored bits. So every device runs a protected network without knowing of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..bits import n_words, pack
from ..errors import Iid
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import KINDS, Kind, Layout, stored_bits
from ..network import Network
from ..physical import Physical

Cells = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Known:
    """What a protection may know of the condition it is for.

    Attributes:
        p01, p10: rates of the memory's errors.
        images: (n, ...) integers for calibration; never those on which accuracy is measured.
        labels: (n,) their classes.
        seed: of the chips that are drawn for calibration; never that of the measured ones.
        is_even: whether all rows see the same rates.
        maps: fault map of a calibration chip as the network sees it; else chips are drawn from
            independent errors of the rates.
    """

    p01: float = 0.0
    p10: float = 0.0
    images: NDArray[np.generic] | None = None
    labels: NDArray[np.generic] | None = None
    seed: int = 1 << 20
    is_even: bool = True
    maps: Callable[[int], FaultMap] | None = None

    def calibration(self, what: str) -> NDArray[np.generic]:
        """The images.

        Raises:
            InputError: there are none; `what` needs them.
        """
        if self.images is None or not len(self.images):
            raise InputError(f"{what} needs images for calibration")
        return self.images

    def chip(self, base: Layout, chip: int) -> FaultMap:
        """The map of a calibration chip on the plain layout of `base`."""
        if self.maps is not None:
            return self.maps(chip)
        model = Iid(self.p01, self.p10, seed=self.seed)
        return model.sample(Layout(base.shapes, base.folds), chip)


@dataclass(frozen=True)
class Protection:
    """A frozen dataclass whose fields are its parameters; this one does nothing to the memory.

    Attributes:
        name: in the registry.
        adapts: whether it changes the network and not the memory.
        is_by_row: whether it leaves some rows with other error rates than others.
        fitted_to: what `fit` uses of `Known`: "rates", "images", "labels".
    """

    name: ClassVar[str] = ""
    adapts: ClassVar[bool] = False
    is_by_row: ClassVar[bool] = False
    fitted_to: ClassVar[frozenset[str]] = frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """`fitted_to`, of all parts of a composition."""
        return self.fitted_to

    def fit(self, network: Network, base: Layout, known: Known) -> Self:
        """The same protection with everything chosen that depends on network and condition."""
        return self

    def adapt(self, network: Network) -> Network:
        """The network as it is written to the memory."""
        return network

    def layout(self, network: Network, base: Layout) -> Layout:
        """Physical memory on which error models sample; `base` itself when nothing is added."""
        return base

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """(layout.n_cells,) what the physical memory holds.

        Args:
            cells: (base.n_cells,) what the layout under this protection holds.
        """
        return cells

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """(base.n_cells,) what is handed on when the physical memory reads `cells`."""
        return cells

    def stored(self, network: Network, base: Layout) -> Cells:
        """(layout.n_cells,) what every physical cell holds once the network is written."""
        return self.encode(network, base, stored_bits(network, base))

    def effective(self, network: Network, base: Layout, faults: FaultMap) -> FaultMap:
        """Faults of the physical memory as faults of `base`: the bits of this network that differ.

        A memory to which nothing was added keeps its map as it is, flips and stuck cells.

        Args:
            network: as `adapt` gave it.
            faults: on `layout(network, base)`.

        Raises:
            InputError: the map is of another memory.
        """
        physical = self.layout(network, base)
        if faults.layout != physical:
            raise InputError(f"the fault map is not of the memory that {self.name!r} makes")
        if physical == base:
            return faults
        stored = stored_bits(network, base)
        read = faults.read(self.encode(network, base, stored))
        wrong = self.decode(network, base, read) ^ stored
        zero = np.zeros(n_words(base.n_cells), np.uint64)
        provenance = {
            **faults.provenance,
            "protection": self.name,
            "network_sha256": network.sha256,
            "physical_sha256": faults.sha256,
        }
        return FaultMap(base, pack(wrong), zero, zero, provenance)

    def overhead(self, network: Network, base: Layout) -> int:
        """Stored bits beyond those of the network."""
        physical = self.layout(network, base)
        return int(physical.is_stored.sum()) - int(base.is_stored.sum())


def physical(layout: Layout) -> Physical:
    """A layout that a protection made, as what it is."""
    assert isinstance(layout, Physical), "only a layout with steps is physical"
    return layout


def check_kinds(where: tuple[Kind, ...]) -> None:
    """Refuse memories that there are not.

    Raises:
        InputError: none, or an unknown one.
    """
    if not where or not set(where) <= set(KINDS):
        raise InputError(f"where must be among {KINDS}, not {where}")
