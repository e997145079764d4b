"""A campaign to its jobs: networks, images and devices opened by name."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim import campaign
from ..sim import network as networks
from ..sim.campaign import Campaign, Job
from ..sim.device import Device
from ..sim.exceptions import InputError
from ..sim.hardware import take_apart
from ..sim.network import Network
from . import devices, inputs, settings
from .settings import Setting
from .wish import wish_of

N_CALIBRATION = 1000
"""Images of the training split by which a protection may choose something."""
_SIM, _OTHERS = ("golden", "engine"), ("rtl", "models", "export", "hw")


def jobs(plan: Campaign, data_root: Path | None, *, threads: int | None = None) -> list[Job]:
    """Every job of a campaign, in the order of networks, images, devices and protections.

    Args:
        threads: of each engine; None: all of this machine.

    Raises:
        InputError, ArtefactError: a network, data set, device or protection does not fit.
    """
    for spec in plan.devices:
        devices.check_name(spec)
        if threads is not None and devices.is_port(spec):
            raise InputError(f"one board at {spec} cannot be shared by workers; run without them")
    return list(_jobs(plan, data_root, threads))


def _jobs(plan: Campaign, data_root: Path | None, threads: int | None) -> Iterator[Job]:
    wish = wish_of(plan.wish)
    for model in plan.models:
        path = inputs.network_path(model)
        network = networks.load(path)
        at = settings.setting(path, network, plan.board, wish=wish, injector=plan.injector)
        for data in plan.data:
            images = inputs.images(network, data, plan.split, plan.n_images, None, data_root)
            known = _calibration(plan, network, data, data_root)
            for spec in plan.devices:
                name = devices.row_name(spec, at)
                if plan.specimen and devices.is_port(spec):
                    name += f" {plan.specimen}"
                for protection in plan.protections:
                    yield campaign.make(
                        network,
                        at.layout,
                        name,
                        partial(open_device, spec, at, threads),
                        campaign.code_sha256(() if spec in _SIM else _OTHERS),
                        plan.images_name(data),
                        images.values,
                        images.labels,
                        plan.errors,
                        plan.victims,
                        protection,
                        plan.n_events,
                        known,
                    )


def _calibration(
    plan: Campaign, network: Network, data: str, data_root: Path | None
) -> tuple[NDArray[np.generic], NDArray[np.generic]] | None:
    """Images and labels of the training split, if a protection needs any."""
    if not any({"images", "labels"} & p.needs for p in plan.protections):
        return None
    found = inputs.images(network, data, "train", N_CALIBRATION, None, data_root)
    assert found.labels is not None, "a training split has labels"
    return found.values, found.labels


def open_device(spec: str, at: Setting, threads: int | None) -> Device:
    """A device by name; with a number of threads it takes no more of the machine than that.

    Raises:
        InputError: the campaign's board is folded in another way than the one behind the port, so
            that maps would be of another memory.
    """
    if threads is None:
        device = devices.open_device(spec, at)
        _check_folding(spec, at, device)
        return device
    if spec in ("torch", "onnx"):
        import torch

        torch.set_num_threads(threads)
    return devices.open_device(spec, settings.with_threads(at, threads))


def _check_folding(spec: str, at: Setting, device: Device) -> None:
    from .device import BoardDevice

    if not (at.board and devices.is_port(spec) and isinstance(device, BoardDevice)):
        return
    if take_apart(device.layout).plain.folds != at.layout.folds:
        device.close()
        raise InputError(
            f"{spec} was built in another folding than the campaign's board {at.board}; give "
            f'its wish, as in wish = "smallest"'
        )
