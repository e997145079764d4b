"""Device: whatever takes a network, faults and images and answers with integer scores."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from . import golden
from .exceptions import InputError
from .faults import FaultMap
from .network import Network


class Device(Protocol):
    """A campaign, a bench, an agreement test and a report take this and never ask which it is."""

    name: str

    def load(self, network: Network) -> None:
        """Write the network's weights and thresholds; clears faults."""

    def inject(self, faults: FaultMap | None) -> None:
        """Make the memory lie as the map says; None makes it tell the truth again."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores of (n_images, ...) integer images."""
        ...

    def counters(self) -> dict[str, int]:
        """What the device counted since it was made, e.g. {"images": 10000}."""
        ...

    def close(self) -> None:
        """Release ports, processes and libraries."""


class SoftwareDevice:
    """Shared part of devices that keep the network in Python: load, inject, count."""

    name = "software"

    def __init__(self) -> None:
        self._clean: Network | None = None
        self._faulty: Network | None = None
        self._n_images = 0

    def load(self, network: Network) -> None:
        """Keep the network; clears faults."""
        self._clean = self._faulty = network

    def inject(self, faults: FaultMap | None) -> None:
        """Replace the network by what its memory would read."""
        clean = self._loaded(self._clean)
        self._faulty = clean if faults is None else fault_maps.apply(clean, faults)

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """Nothing to release."""

    def _loaded(self, network: Network | None) -> Network:
        if network is None:
            raise InputError(f"load a network into the {self.name} device first")
        return network


class GoldenDevice(SoftwareDevice):
    """The reference, slow and plain."""

    name = "golden"

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores by `golden.scores`."""
        network = self._loaded(self._faulty)
        self._n_images += len(images)
        return golden.scores(network, images)
