"""Jobs: one network on one device with one set of images and one protection; tasks are its units.

A job holds everything that its units have in common and nothing that cannot be sent to another
process. A task is four small numbers; whoever has the jobs knows what they mean.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import protection as protections
from ..core import core_of
from ..device import Device
from ..errors import Injector
from ..exceptions import InputError
from ..memory import Layout
from ..network import Network, check_images
from ..protection import Known, Protection
from ..rows import Unit, data_sha256
from .conditions import ALL_WEIGHTS, Condition, Errors, VictimSets


@dataclass(frozen=True, order=True)
class Task:
    """One unit, by numbers.

    Attributes:
        job, condition: positions among the jobs, and among the conditions of that job.
    """

    job: int
    condition: int
    chip: int
    event: int


@dataclass(frozen=True, eq=False)
class Job:
    """What many units have in common.

    Attributes:
        network: as it was trained; the protection may adapt it.
        layout: of the network, without protection.
        device_name: in the rows.
        open_device: makes the device; must survive pickling.
        code_sha256: of the sources that will compute the rows.
        images: (n, ...) uint8 as the network takes them.
        labels: (n,) classes.
        conditions: the points.
        fitted: for each condition the protection, with everything chosen that it chooses.
        protection: as the campaign names it, without what it chooses.
    """

    network: Network
    layout: Layout
    device_name: str
    open_device: Callable[[], Device]
    code_sha256: str
    images_name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.generic]
    conditions: tuple[Condition, ...]
    fitted: tuple[Protection, ...]
    protection: Protection

    @cached_property
    def images_sha256(self) -> str:
        """Hash of images and labels."""
        return data_sha256(self.images, self.labels)

    @cached_property
    def _network_sha256(self) -> str:
        return self.network.sha256

    @cached_property
    def _values(self) -> tuple[tuple[dict[str, Any], dict[str, Any]], ...]:
        """(errors, protection) of each condition as JSON gives them back."""
        return tuple(
            (_as_json(c.values), _as_json(_protection(self.protection, f)))
            for c, f in zip(self.conditions, self.fitted, strict=True)
        )

    def unit(self, task: Task) -> Unit:
        """What decides the row of a task."""
        errors, protection = self._values[task.condition]
        return Unit(
            network_sha256=self._network_sha256,
            device=self.device_name,
            layout_sha256=self.layout.sha256,
            errors=errors,
            chip=task.chip,
            event=task.event,
            protection=protection,
            images_name=self.images_name,
            images_sha256=self.images_sha256,
            n_images=len(self.images),
        )


def make(
    network: Network,
    layout: Layout,
    device_name: str,
    open_device: Callable[[], Device],
    code_sha256: str,
    images_name: str,
    images: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
    errors: Sequence[Errors],
    victims: VictimSets = ALL_WEIGHTS,
    protection: Protection | None = None,
    n_events: int = 1,
    calibration: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None,
) -> Job:
    """A job; see `Job` for what the arguments are.

    Args:
        n_events: programming events of a chip, for models that draw anew for each.
        calibration: images and labels for protections that choose something by them.

    Raises:
        InputError: images, labels and network do not fit each other, or the victims are not there.
    """
    if labels is None:
        raise InputError(f"{images_name} has no labels")
    if len(labels) != len(images):
        raise InputError(f"{images_name} has {len(images)} images but {len(labels)} labels")
    conditions = _conditions(errors, victims, layout, n_events)
    protection = protection or protections.Nothing()
    _check_injectors(conditions, protection, network, layout)
    return Job(
        network=network,
        layout=layout,
        device_name=device_name,
        open_device=open_device,
        code_sha256=code_sha256,
        images_name=images_name,
        images=check_images(network, images),
        labels=labels,
        conditions=conditions,
        fitted=tuple(_fit(protection, network, layout, c, calibration) for c in conditions),
        protection=protection,
    )


def _conditions(
    errors: Sequence[Errors], victims: VictimSets, layout: Layout, n_events: int
) -> tuple[Condition, ...]:
    """Error models by victims; without errors there is nothing to tell victims apart."""
    found: dict[str, Condition] = {}
    for part in victims.of(layout):
        for one in errors:
            events = n_events if one.model.persistence == "programming" else 1
            condition = Condition(one, part, events)
            found.setdefault(json.dumps(condition.values, sort_keys=True), condition)
    return tuple(found.values())


def _check_injectors(
    conditions: Sequence[Condition], protection: Protection, network: Network, layout: Layout
) -> None:
    """Refuse what no injector on chip does."""
    for condition in conditions:
        model = condition.errors.model
        if isinstance(model, Injector):
            core = replace(core_of(network, layout), injector=model.form)
            model.read_errors(core, chip=0)
            if condition.victims.where != ("weights",):
                where = ", ".join(condition.victims.where)
                raise InputError(f"injectors disturb reads of weights, not of {where}")
            if protection != protections.Nothing():
                raise InputError(
                    "cores with injectors have no check bits: of read errors by 'injector' "
                    "protections must be none"
                )


def _fit(
    protection: Protection,
    network: Network,
    layout: Layout,
    condition: Condition,
    calibration: tuple[NDArray[np.generic], NDArray[np.generic]] | None,
) -> Protection:
    images, labels = calibration or (None, None)
    return protection.fit(network, layout, Known(*condition.errors.rates, images, labels))


def _protection(named: Protection, fitted: Protection) -> dict[str, Any]:
    """JSON values of a protection; what it chose, which may be large, as a hash."""
    values = protections.describe(named)
    if fitted != named:
        chosen = json.dumps(protections.describe(fitted), sort_keys=True)
        values["chosen_sha256"] = hashlib.sha256(chosen.encode()).hexdigest()
    return values


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found
