"""How an image of a graph becomes the lanes of the first layer.

Whatever a graph does to its input before the first multiplication (scales, a sign, a quantiser of
up to eight bits, thresholds), a lane is the number of levels that the input reaches. The levels are
the exact float32 values at which the graph's own mathematics changes its mind.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import ArtefactError, InputError
from ..sim.layers import UINT8_MAX
from ..sim.network import Network

_GREATEST = np.finfo(np.float32).max


@dataclass(frozen=True, eq=False)
class Encoding:
    """A lane is the number of levels that an element of the image reaches.

    Attributes:
        type: QONNX data type of the graph input.
        levels: (k,) float32, rising, k = 1 for bits and up to 255 for uint8.
        values: (k + 1,) float32, of each lane one input far from the levels, that stands for it.
    """

    type: str
    levels: NDArray[np.float32]
    values: NDArray[np.float32]

    def lanes(self, images: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Lanes, 0..k, of float32 images of any shape."""
        found = np.searchsorted(self.levels, images.astype(np.float32), side="right")
        return found.astype(np.uint8)


def of_integers(type_: str, low: int, high: int, step: int = 1) -> Encoding:
    """Of an input that holds low, low + step, ..., high.

    >>> of_integers("BIPOLAR", -1, 1, 2).levels.tolist()
    [1.0]
    """
    values = np.arange(low, high + 1, step, dtype=np.float32)
    return Encoding(type_, values[1:], values)


def of_floats(levels: list[np.float32]) -> Encoding:
    """Of a float input with levels as found."""
    assert 1 <= len(levels) <= UINT8_MAX
    rising = np.array(levels, np.float32)
    wide = rising.astype(np.float64)
    inner = (wide[:-1] + wide[1:]) / 2  # between equal levels is no lane
    edge = np.maximum(1, np.abs(wide[[0, -1]]))
    values = np.concatenate([[wide[0] - edge[0]], inner, [wide[-1] + edge[1]]])
    return Encoding("FLOAT32", rising, values.clip(-_GREATEST, _GREATEST).astype(np.float32))


def lanes_of_file(network: Network, path: Path) -> NDArray[np.uint8]:
    """(n, n_inputs) images of an imported network, channel-last, from floats of its graph.

    Args:
        path: `.npy` file of numbers, (n, ...) shaped as the graph takes them, maps channel-first.

    Raises:
        InputError: the network does not say how its images are made, or takes pixels as they are.
        ArtefactError: the file is no array of finite numbers that fits.
    """
    levels = network.notes.get("input", {}).get("levels")
    if levels is None or network.thermometer:
        raise InputError(f"network {network.name!r} takes integers as they are; nothing to encode")
    try:
        values = np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise ArtefactError(f"{path}: not a readable .npy file of numbers ({error})") from error
    if values.dtype.kind not in "fiub":
        raise ArtefactError(f"{path}: holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):
        images = values.astype(np.float32)  # as the graph is given them
    if images.ndim < 2 or math.prod(images.shape[1:]) != network.n_inputs:
        raise ArtefactError(f"{path}: images {images.shape}, not (n, {network.n_inputs}) elements")
    if not np.isfinite(images).all():
        raise ArtefactError(f"{path}: holds numbers that are not finite")
    if images.ndim == 4:
        images = images.transpose(0, 2, 3, 1)
    found = Encoding("FLOAT32", np.array(levels, np.float32), np.zeros(len(levels) + 1, np.float32))
    return found.lanes(images.reshape(len(images), network.n_inputs))


def of_values(found: Encoding, before: Encoding) -> Encoding:
    """An encoding of what an integer input holds: each lane stood for by a value that occurs."""
    lanes = found.lanes(before.values)
    values = found.values.copy()
    values[lanes] = before.values
    return Encoding(before.type, found.levels, values)


def level(unit: Fraction, offset: Fraction, bound: Fraction, *, strict: bool) -> np.float32:
    """The least float32 x with unit * x + offset >= bound (> when strict), for unit > 0.

    The greatest float32 stands for what is never reached.
    """
    wanted = (bound - offset) / unit

    def reaches(x: np.float32) -> bool:
        value = Fraction(float(x))
        return value > wanted if strict else value >= wanted

    if not reaches(_GREATEST):
        return np.float32(_GREATEST)
    if reaches(-_GREATEST):
        return np.float32(-_GREATEST)
    low, high = _rank(-_GREATEST), _rank(_GREATEST)
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(_float(middle)):
            high = middle
        else:
            low = middle
    return _float(high)


def _rank(x: np.float32) -> int:
    """Place of a float32 among all of them, in order; both zeros share one."""
    bits = int(np.float32(x).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _float(rank: int) -> np.float32:
    bits = rank if rank >= 0 else (-rank) | 0x80000000
    return np.array([bits], np.uint32).view(np.float32)[0]  # type: ignore[no-any-return]
