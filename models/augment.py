"""Training images moved and mirrored, so that a small set says more."""

import numpy as np
import torch
from torch import Tensor

from .recipe import Augment

REACH: dict[Augment, int] = {"none": 0, "shift": 2, "shift_mirror": 4}
"""Pixels by which an image may move in each direction."""


def augment(
    images: Tensor, shape: tuple[int, ...], kind: Augment, rng: np.random.Generator
) -> Tensor:
    """(n, elements) images, each moved by its own whole number of pixels; black comes in.

    Args:
        images: (n, elements) uint8, channel-last.
        shape: (height, width[, channels]) of an image.
        rng: moved on, unless the kind is "none".
    """
    if kind == "none":
        return images
    reach, n = REACH[kind], len(images)
    height, width = shape[:2]
    maps = images.reshape(n, height, width, -1)
    room = torch.zeros(n, height + 2 * reach, width + 2 * reach, maps.shape[3], dtype=maps.dtype)
    room[:, reach : reach + height, reach : reach + width] = maps
    down, right = (torch.from_numpy(rng.integers(0, 2 * reach + 1, n)) for _ in range(2))
    y = down[:, None] + torch.arange(height)  # (n, height)
    x = right[:, None] + torch.arange(width)
    if kind == "shift_mirror":
        x = torch.where(torch.from_numpy(rng.random(n) < 0.5)[:, None], x.flip(1), x)
    return room[torch.arange(n)[:, None, None], y[:, :, None], x[:, None]].reshape(n, -1)
