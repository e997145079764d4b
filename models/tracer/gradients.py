"""Gradients of every single example, as the two factors whose product they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...sim.exceptions import InputError

Traced = nn.Linear | nn.Conv2d
"""A layer whose training can be traced, see `check_traced`; Brevitas' layers are such, too."""


def check_traced(name: str, layer: Traced) -> None:
    """Refuse a layer whose sums are not those of its windows and weights alone.

    Raises:
        InputError: it has a bias, groups, or pads with anything but so many zeros.
    """
    what = "a bias" if layer.bias is not None else ""
    if isinstance(layer, nn.Conv2d):
        what = what or ("groups" if layer.groups > 1 else "")
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            what = what or "padding that is not a number of zeros"
    if what:
        raise InputError(f"layer {name!r} cannot be traced: it has {what}")


def windows_of(layer: Traced, x: Tensor) -> Tensor:
    """(n, n_windows, n_inputs) what every window of a layer sees, lanes as in its weights.

    Args:
        x: (n, n_inputs), or (n, channels, height, width) for a convolution.
    """
    if isinstance(layer, nn.Linear):
        return x[:, None]
    assert isinstance(layer.padding, tuple), "see check_traced"
    return F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride).mT


@dataclass
class Captured:
    """What passed a layer on the last batch.

    Attributes:
        left: (n, n_windows, n_inputs) what it met.
        right: (n, n_windows, n_outputs) the gradient of the loss behind it, once it is known.
    """

    layer: Traced
    left: Tensor = field(default_factory=lambda: torch.zeros(0))
    right: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def gradients(self) -> Tensor:
        """(n, n_outputs, n_inputs) of every example."""
        return torch.einsum("nwo,nwi->noi", self.right, self.left)


@contextmanager
def capturing(layers: Mapping[str, Traced]) -> Iterator[dict[str, Captured]]:
    """While it lasts, every forward and backward pass through the layers is noted."""
    found = {name: Captured(layer) for name, layer in layers.items()}

    def note(of: Captured, given: Tensor, made: Any) -> None:
        of.left = windows_of(of.layer, given.detach())
        if made.requires_grad:
            made.register_hook(lambda gradient: _note_right(of, gradient))

    hooks = [
        layer.register_forward_hook(lambda _, given, made, of=found[name]: note(of, given[0], made))
        for name, layer in layers.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _note_right(of: Captured, gradient: Tensor) -> None:
    maps = gradient.detach()
    of.right = maps[:, None] if maps.ndim == 2 else maps.flatten(2).mT
