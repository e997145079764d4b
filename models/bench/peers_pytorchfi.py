"""PyTorchFI 0.6.0 as its users call it: a list of locations, and a function that makes the fault.

It has no bit error rate: its own `random_weight_inj` draws one location and starts from a new copy
of the model at each call, so many flips need one call with all locations. They are drawn here as a
user would draw them, by torch.

Source: `pytorchfi/core.py` and `test/test_weight_fi.py` of the package (NCSA licence).
"""

import logging
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from ...sim.network import Network
from .peers_torch import naive_model, to_input, weights_of

PACKAGE = "pytorchfi"
LOCATION = ("k", "dim1", "dim2", "dim3")
"""Keywords of PyTorchFI for the axes of a weight; None where it has fewer."""


class PyTorchFi:
    """A naive model under PyTorchFI.

    Raises:
        ImportError: it is not installed.
    """

    name = "PyTorchFI"

    def __init__(self, network: Network) -> None:
        core = import_module(f"{PACKAGE}.core")
        logging.basicConfig()  # else PyTorchFI sets a format that no other log record has keys for
        model = naive_model(network).eval()
        one = to_input(network, torch.zeros(1, network.n_inputs, dtype=torch.uint8).numpy())
        with torch.no_grad():
            self.injector: Any = core.fault_injection(
                model, 1, input_shape=list(one.shape[1:]), layer_types=[nn.Conv2d, nn.Linear]
            )
        self.weights = weights_of(model)

    def inject(self, ber: float) -> nn.Module:
        """A copy of the model in which each weight was negated with this chance."""
        locations = drawn_locations(self.weights, ber)
        corrupted: nn.Module = self.injector.declare_weight_fi(function=_negated, **locations)
        return corrupted


def drawn_locations(weights: list[Tensor], ber: float) -> dict[str, list[int | None]]:
    """Locations as PyTorchFI takes them, each weight chosen with this chance.

    >>> drawn_locations([torch.ones(1, 2)], 1.0)
    {'layer_num': [0, 0], 'k': [0, 0], 'dim1': [0, 1], 'dim2': [None, None], 'dim3': [None, None]}
    """
    found: dict[str, list[int | None]] = {name: [] for name in ("layer_num", *LOCATION)}
    for number, weight in enumerate(weights):
        axes = torch.bernoulli(torch.full_like(weight, ber)).nonzero().T.tolist()
        n = len(axes[0])
        found["layer_num"] += [number] * n
        for i, name in enumerate(LOCATION):
            found[name] += axes[i] if i < len(axes) else [None] * n
    return found


def _negated(weight: Tensor, location: tuple[int | None, ...]) -> Tensor:
    return -weight[location]
