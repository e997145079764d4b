"""What clean layers gave for images seen before, so that a trial need not compute it again.

Faults in layer k leave all layers before it as they were, and a campaign shows every chip the same
images. The prefix keeps its own copy of the images and compares every byte of it: an array that was
changed in place is another one. Its memory is bounded; the oldest activations go first.
"""

import ctypes
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .bits import Words
from .native import library

Place = tuple[int, int]
"""(chain, layer) whose input is kept."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Images, and what clean layers were given for them; each array is written before it is put."""

    images: NDArray[np.uint8]
    given: dict[Place, Words] = field(default_factory=dict)

    def nearest(self, chain: int, layer: int) -> tuple[int, Words] | None:
        """The deepest layer of the chain, at most `layer`, whose input is known."""
        for depth in range(layer, -1, -1):
            if (known := self.given.get((chain, depth))) is not None:
                return depth, known
        return None


class Prefix:
    """Owns up to `max_bytes` of images and activations of one clean network."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._seen: Seen | None = None

    def find(self, images: NDArray[np.generic], n_elements: int) -> Seen | None:
        """What is known of exactly these images."""
        seen = self._seen
        if (
            seen is None
            or images.dtype != np.uint8
            or images.shape[:1] != seen.images.shape[:1]
            or images.size != seen.images.size
            or images.size != len(images) * n_elements
            or not images.flags.c_contiguous
        ):
            return None
        same = library().stoic_engine_same(
            ctypes.c_void_p(images.ctypes.data),
            ctypes.c_void_p(seen.images.ctypes.data),
            ctypes.c_int64(images.nbytes),
        )
        return seen if same else None

    def begin(self, images: NDArray[np.uint8]) -> Seen | None:
        """Forget all others and remember these from now on; None where there is no room."""
        self._seen = Seen(images.copy()) if images.nbytes <= self.max_bytes else None
        return self._seen

    def has_room(self, seen: Seen, n_bytes: int) -> bool:
        """Make room for so many bytes of activations, if that can be."""
        free = self.max_bytes - seen.images.nbytes
        if n_bytes > free:
            return False
        while sum(kept.nbytes for kept in list(seen.given.values())) + n_bytes > free:
            seen.given.pop(next(iter(seen.given)), None)
        return True
