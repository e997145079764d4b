"""The kit's side of the benchmark: what a campaign does for one chip, on the packed engine."""

from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ...sim import golden
from ...sim.engine import EngineDevice
from ...sim.errors import Iid
from ...sim.faults import FaultMap
from ...sim.memory import Layout, layout_of
from .subjects import Subject


@dataclass(eq=False)
class Kit:
    """A network in the engine, on one thread.

    Attributes:
        model: of which every trial draws the next chip.
    """

    subject: Subject
    model: Iid
    path: str
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        self.layout = layout_of(self.subject.network)
        # A device remembers what it knows of its images; as in a campaign it always sees the same.
        self.device = EngineDevice(threads=1, path=self.path)
        self._for_one = EngineDevice(threads=1, path=self.path)
        for device in (self.device, self._for_one):
            device.load(self.subject.network)
        self._chips = count()

    def _inject(self, device: EngineDevice) -> None:
        """Faults of the next chip."""
        device.inject(self.model.sample(self.layout, next(self._chips)))

    def ready(self) -> NDArray[np.int32]:
        """Faults of the next chip, and the scores of one image: whatever is put off is done."""
        self._inject(self._for_one)
        return self.one()

    def one(self) -> NDArray[np.int32]:
        """The scores of one image under the faults that are there."""
        return self._for_one.infer(self.subject.images[:1])

    def trial(self) -> int:
        """Faults of the next chip, and how many images are classified correctly."""
        self._inject(self.device)
        given = golden.classify(self.device.infer(self.subject.images))
        return int((given == self.subject.labels).sum())

    def scores(self, faults: FaultMap) -> NDArray[np.int32]:
        """Scores of all images under a given map."""
        self.device.inject(faults)
        return self.device.infer(self.subject.images)
