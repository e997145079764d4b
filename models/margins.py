"""Margins of hidden neurons inside the forward pass, so that training can pull on them."""

import math
from typing import cast

import torch
from torch import Tensor

from ..sim.layers import UINT8_MAX
from .nets import BinaryNet, as_float32


def scores_and_margins(model: BinaryNet, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What `model(x)` gives, and |s - T| / sqrt(n) of every hidden layer, with gradients.

    The threshold T is where the batch norm crosses zero, with the statistics that it uses now; sums
    of pixels are counted in units of 255. Gradients pass through sums, statistics and scale.

    Args:
        x: as the model takes it.
    """
    margins = []
    for i, norm in enumerate(model.norm_layers):
        sums = model.compared(i, model.sums(i, x))
        z = norm(sums)
        rows = sums.movedim(1, -1).flatten(0, -2)
        if norm.training and not norm.on_running:
            var = rows.var(0, correction=0)
        else:
            var = cast(Tensor, norm.running_var)
        unit = UINT8_MAX if i == 0 and model.input == "uint8" else 1
        # z = scale (s - T) / sigma
        slope = (
            torch.sqrt(var + norm.eps) / norm.weight / (unit * math.sqrt(model.shapes[i].n_inputs))
        )
        margins.append(z.abs() * slope.view(-1, *[1] * (z.ndim - 2)))
        x = cast(Tensor, model.signs[i](z))
    return as_float32(model.sums(len(model.shapes) - 1, x)), margins
