"""One trial: a chip of a condition on a device, and the row that comes of it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden
from ..container import kit_version
from ..core import core_of
from ..device import Device, Keeping
from ..errors import ErrorModel, Injector, Transient
from ..errors.model import Persistence
from ..exceptions import InputError
from ..faults import FaultMap
from ..injector import ReadErrors
from ..memory import Kind, Layout
from ..network import Network
from ..protection import Protection
from ..rows import Row, scores_sha256
from .conditions import Condition
from .jobs import Job, Task


class _Memory:
    """What a network becomes in the physical memory that a protection makes of its layout.

    Attributes:
        network: as it is written, adapted by the protection.
        cells: (physical.n_cells,) what the physical memory holds.
    """

    def __init__(self, job: Job, protection: Protection) -> None:
        self.base, self.protection = job.layout, protection
        self.network = protection.adapt(job.network)
        self.physical = protection.layout(self.network, self.base)
        self.cells = protection.stored(self.network, self.base)
        self.n_stored_bits = int(self.base.is_stored.sum())
        self.overhead_bits = protection.overhead(self.network, self.base)

    def seen(self, faults: FaultMap) -> FaultMap:
        """What the network sees of faults of the physical memory."""
        return self.protection.effective(self.network, self.base, faults)


@dataclass(frozen=True, eq=False)
class _Point:
    """A condition in a memory; on the network's own layout it is an error model itself.

    So faults that are drawn for every image pass through victims and protection as well.
    """

    name: ClassVar[str] = "seen"
    needs_data: ClassVar[bool] = False

    condition: Condition
    memory: _Memory
    rates_: tuple[float, float]

    @property
    def model(self) -> ErrorModel:
        return self.condition.errors.model

    @property
    def seed(self) -> int:
        return self.model.seed

    @property
    def persistence(self) -> Persistence:
        return self.model.persistence

    def rates(self) -> tuple[float, float]:
        return self.rates_

    def draw(self, chip: int, event: int) -> FaultMap:
        """Faults of the physical memory."""
        victims, memory = self.condition.victims, self.memory
        stored = memory.cells if self.model.needs_data else None
        drawn = self.model.sample(memory.physical, chip, victims.where, event=event, stored=stored)
        if victims.is_all:
            return drawn
        return fault_maps.restrict(drawn, layers=victims.layers, banks=victims.banks)

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """What the network sees of `draw`, in its own layout; the arguments else are its own."""
        return self.memory.seen(self.draw(chip, event))

    def transient(self, chip: int) -> Transient:
        """The faults of all images, as a device takes them."""
        where = self.condition.victims.where
        if self.memory.physical == self.memory.base and self.condition.victims.is_all:
            stored = self.memory.cells if self.model.needs_data else None
            return Transient(self.model, self.memory.base, chip, where, stored)
        return Transient(self, self.memory.base, chip, where)

    def read_errors(self, model: Injector, chip: int) -> ReadErrors:
        """What the injectors of the job's hardware are set to."""
        plain, victims = core_of(self.memory.network, self.memory.base), self.condition.victims
        weights = [bank for bank in self.memory.base.banks if bank.kind == "weights"]
        off = [bank.name for bank in weights if not victims.reaches(bank)]
        return model.read_errors(replace(plain, injector=model.form), chip, off)


class Trials:
    """Turns the tasks of some jobs into rows; owns the device of the job at hand.

    Args:
        jobs: whose positions the tasks name.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs, self._kit = jobs, kit_version()
        self._device: Device | None = None
        self._job = self._condition = -1
        self._point: _Point | None = None
        self._loaded: Network | None = None
        self._kept: Keeping | None = None  # the device, if it keeps the images of the job

    def row(self, task: Task) -> Row:
        """The row of a task, computed now."""
        job, is_new = self._jobs[task.job], False
        if self._device is None or self._job != task.job:
            self.close()
            self._device, self._job, is_new = job.open_device(), task.job, True
        if self._condition != task.condition:
            self._turn_to(job, task.condition)
        assert self._point is not None
        if self._point.memory.network is not self._loaded:
            self._loaded = self._point.memory.network
            self._device.load(self._loaded)
        device = self._device
        if is_new and isinstance(device, Keeping) and device.keep(job.images, job.labels):
            self._kept = device
        return self._measure(job, task, self._device, self._point)

    def _turn_to(self, job: Job, number: int) -> None:
        condition, protection = job.conditions[number], job.fitted[number]
        memory = self._point.memory if self._point else None
        if memory is None or memory.protection != protection:
            memory = _Memory(job, protection)
        self._point = _Point(condition, memory, condition.errors.rates)
        self._condition = number

    def _measure(self, job: Job, task: Task, device: Device, point: _Point) -> Row:
        memory = point.memory
        drawn = seen = None
        faults: Any = None
        if not point.condition.is_drawn:
            drawn = seen = fault_maps.no_faults(memory.base)
        elif isinstance(point.model, Injector):
            faults = point.read_errors(point.model, task.chip)
        elif point.persistence == "read":
            faults = point.transient(task.chip)
        else:
            drawn = point.draw(task.chip, task.event)
            faults = seen = memory.seen(drawn)
        start = time.perf_counter()
        device.inject(faults)
        sha256 = ""
        if self._kept:
            confusion = self._kept.confusion()
        else:
            scores = device.infer(job.images)
            classes, sha256 = golden.classify(scores), scores_sha256(scores)
            confusion = confusion_matrix(classes, job.labels, memory.network.n_classes)
        wall_time_s = time.perf_counter() - start
        p01, p10 = point.rates()
        return Row(
            unit=job.unit(task),
            network_name=job.network.name,
            p01=p01,
            p10=p10,
            provisional=point.condition.errors.provisional,
            overhead_bits=memory.overhead_bits,
            n_stored_bits=memory.n_stored_bits,
            n_correct=int(np.trace(confusion)),
            confusion=confusion.tolist(),
            scores_sha256=sha256,
            faults_sha256=None if drawn is None else drawn.sha256,
            n_faults=None if drawn is None else drawn.n_faults,
            n_changed_bits=None if seen is None else fault_maps.n_changed(memory.network, seen),
            wall_time_s=wall_time_s,
            kit_version=self._kit,
            code_sha256=job.code_sha256,
            computed_at_utc=datetime.now(UTC).isoformat(timespec="microseconds"),
        )

    def close(self) -> None:
        """Release the device."""
        if self._device is not None:
            self._device.close()
        self._device, self._job, self._condition = None, -1, -1
        self._point = self._loaded = self._kept = None


def confusion_matrix(
    given: NDArray[np.int64], labels: NDArray[np.generic], n_classes: int
) -> NDArray[np.int64]:
    """(n_classes, n_classes) images of each true class (row) given each class (column).

    Raises:
        InputError: a label is not 0..n_classes-1.
    """
    true = np.asarray(labels, np.int64)
    if true.size and not 0 <= true.min() <= true.max() < n_classes:
        raise InputError(f"labels must be 0..{n_classes - 1}, not {true.min()}..{true.max()}")
    counts = np.bincount(true * n_classes + given, minlength=n_classes**2)
    return np.asarray(counts.reshape(n_classes, n_classes), np.int64)
