"""Device: whatever takes a network, faults and images and answers with integer scores."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from . import golden, injected
from .errors.transient import Transient
from .exceptions import InputError
from .faults import FaultMap
from .injector import ReadErrors
from .network import Network

Faults = FaultMap | Transient | ReadErrors


class Device(Protocol):
    """A campaign, a bench, an agreement test and a report take this and never ask which it is."""

    name: str

    def load(self, network: Network) -> None:
        """Write the network's weights and thresholds; clears faults."""

    def inject(self, faults: Faults | None) -> None:
        """Make the memory lie as the faults say; None makes it tell the truth again.

        Raises:
            InputError: transient faults or read errors, and the device has none.
        """

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores of (n_images, ...) integer images."""
        ...

    def counters(self) -> dict[str, int]:
        """What the device counted since it was made, e.g. {"images": 10000}."""
        ...

    def close(self) -> None:
        """Release ports, processes and libraries."""


@runtime_checkable
class Selecting(Device, Protocol):
    """A device whose memories may hold several threshold tables."""

    @property
    def n_tables(self) -> int:
        """Tables that it holds, the network's own thresholds among them."""
        ...

    def select(self, table: str | None) -> None:
        """Run on the thresholds of a table from the next image on; None: the network's own.

        Raises:
            InputError: the network has no such table, or the device holds one only.
        """


@runtime_checkable
class Keeping(Device, Protocol):
    """A device that may keep images and labels, and count itself what it says of them."""

    def keep(self, images: NDArray[np.generic], labels: NDArray[np.generic]) -> bool:
        """Keep these of the loaded network in the place of others; False where they do not fit."""
        ...

    def confusion(self) -> NDArray[np.int64]:
        """(n_classes, n_classes) kept images of each label (row) given each class."""
        ...


class SoftwareDevice:
    """Shared part of devices that keep the network in Python: load, inject, count.

    Attributes:
        first_image: number of the first image of the next call of `infer`, for transient faults:
            its image i meets the faults `.at(first_image + i)`. Who infers a set in several calls
            moves it on; `load` and `inject` leave it as it is.
    """

    name = "software"

    def __init__(self) -> None:
        self._clean: Network | None = None
        self._faulty: Network | None = None
        self._transient: Transient | None = None
        self._n_images = 0
        self.first_image = 0

    def load(self, network: Network) -> None:
        """Keep the network; clears faults."""
        self._clean = self._faulty = network
        self._transient = None

    def inject(self, faults: Faults | None) -> None:
        """Replace the network by what its memory would read, now or for each image."""
        clean = self._loaded(self._clean)
        map_ = None if isinstance(faults, Transient) else lasting(faults, self.name)
        self._transient = faults if isinstance(faults, Transient) else None
        self._faulty = clean if map_ is None else fault_maps.apply(clean, map_)

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

    def __init__(self) -> None:
        super().__init__()
        self._errors: ReadErrors | None = None
        self._n_disturbed = 0  # images since the read errors were set

    def load(self, network: Network) -> None:
        """Keep the network; clears faults."""
        super().load(network)
        self._errors = None

    def inject(self, faults: Faults | None) -> None:
        """As other devices do; read errors too, whose next image is number 0."""
        self._errors = faults if isinstance(faults, ReadErrors) else None
        self._n_disturbed = 0
        super().inject(None if isinstance(faults, ReadErrors) else faults)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores by `golden.scores`."""
        network = self._loaded(self._faulty)
        self._n_images += len(images)
        if self._errors is not None:
            self._n_disturbed += len(images)
            return injected.scores(network, images, self._errors, self._n_disturbed - len(images))
        if self._transient is None:
            return golden.scores(network, images)
        scores = np.empty((len(images), network.n_classes), np.int32)
        for i in range(len(images)):
            read = fault_maps.apply(network, self._transient.at(self.first_image + i))
            scores[i] = golden.scores(read, images[i : i + 1])
        return scores


def lasting(faults: Faults | None, who: str) -> FaultMap | None:
    """The faults, for a device whose memory reads the same for all images.

    Args:
        who: the device, for the message.

    Raises:
        InputError: they are transient, or errors of an injector.
    """
    if isinstance(faults, ReadErrors):
        raise InputError(
            f"the {who} device has no injector of read errors; use golden, rtl, virtual or a board "
            "that was built with --injector"
        )
    if isinstance(faults, Transient):
        raise InputError(
            f"the {who} device has no transient faults; use the golden or the engine device, or "
            "the error model 'injector' on hardware that was built with injectors"
        )
    return faults
