"""The layers of an integer network: rows of stored bits, and how images meet them.

A layer stores one row of weight bits for each neuron (dense) or channel (convolution) and compares
an integer with a threshold:

    on bits:   P = popcount(XNOR(w, x)) over the n real lanes,   s = 2P - n,   bit = (P >= theta)
    on uint8:  s = sum_i w_i u_i with w_i = +-1, u_i = 0..255,                 bit = (s >= theta)

Maps are channel-last: element (y * width + x) * channels + c. A convolution is the same row applied
to every window, whose lane (ky * kernel + kx) * channels + c it meets. Memory sees rows only.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .bits import Words, lane_mask, n_words
from .exceptions import InputError

UINT8_MAX = 255
MAX_INPUTS = (2**31 - 2) // UINT8_MAX  # so that every sum and every threshold is an int32
MAX_ELEMENTS = 1 << 26  # of one map: a forged file must not make maps without end

Input = Literal["bits", "uint8"]
INPUTS: tuple[Input, ...] = ("bits", "uint8")


@dataclass(frozen=True, eq=False)
class Layer:
    """What all layers store; without thresholds a layer gives the scores.

    Attributes:
        name: unique in the network.
        n_inputs: fan-in n of a row, 1..MAX_INPUTS.
        weights: (n_outputs, n_words(n_inputs)) uint64, packed, pad bits 0.
        thresholds: (n_outputs,) int32, or None for the layer of scores. Canonical range 0..n+1 on
            bits (0 always fires, n+1 never does) and -255n..255n+1 on uint8.
        negated: (n_outputs,) bool, rows stored negated because their batch-norm scale was negative.
        input: what one lane carries.
    """

    name: str
    n_inputs: int
    weights: Words
    thresholds: NDArray[np.int32] | None
    negated: NDArray[np.bool_]
    input: Input = "bits"

    def __post_init__(self) -> None:
        if not 1 <= self.n_inputs <= MAX_INPUTS:
            raise InputError(
                f"layer {self.name!r}: fan-in must be 1..{MAX_INPUTS}, not {self.n_inputs}"
            )
        if self.input not in INPUTS:
            raise InputError(f"layer {self.name!r}: input is {self.input!r}, not one of {INPUTS}")
        shape = (len(self.weights), n_words(self.n_inputs))
        if self.weights.dtype != np.uint64 or self.weights.shape != shape or not shape[0]:
            raise InputError(
                f"layer {self.name!r}: weights must be uint64 (n_outputs, {shape[1]}), "
                f"not {self.weights.dtype} {self.weights.shape}"
            )
        if (self.weights & ~lane_mask(self.n_inputs)).any():
            raise InputError(f"layer {self.name!r}: pad bits of the weights must be 0")
        if self.negated.dtype != np.bool_ or self.negated.shape != shape[:1]:
            raise InputError(f"layer {self.name!r}: negated must be bool ({shape[0]},)")
        if self.thresholds is not None:
            self.check_thresholds(self.thresholds)

    def check_thresholds(self, values: NDArray[np.int32]) -> None:
        """Refuse what cannot be thresholds of this layer.

        Raises:
            InputError: another type, shape or range.
        """
        low, high = self.threshold_range
        if values.dtype != np.int32 or values.shape != (self.n_outputs,):
            raise InputError(f"layer {self.name!r}: thresholds must be int32 ({self.n_outputs},)")
        if values.min() < low or values.max() > high:
            raise InputError(
                f"layer {self.name!r}: thresholds must lie in {low}..{high}, "
                f"not {values.min()}..{values.max()}"
            )

    @property
    def n_outputs(self) -> int:
        """Rows: neurons, or channels of a convolution."""
        return len(self.weights)

    @property
    def n_elements_in(self) -> int:
        """Elements of what it is given for one image."""
        return self.n_inputs

    @property
    def n_elements_out(self) -> int:
        """Elements of what it hands on for one image."""
        return self.n_outputs

    @property
    def n_windows(self) -> int:
        """How often every row is applied to one image."""
        return 1

    @property
    def threshold_range(self) -> tuple[int, int]:
        """Least and greatest canonical threshold: always fires, never fires."""
        if self.input == "uint8":
            return -UINT8_MAX * self.n_inputs, UINT8_MAX * self.n_inputs + 1
        return 0, self.n_inputs + 1


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """A fully connected layer."""


@dataclass(frozen=True)
class Window:
    """Where the windows of a convolution lie.

    Attributes:
        height, width, channels: of the map that it is given, without padding.
        kernel, stride: of the square window.
        pad: elements on each side of the map that are -1 (0 on uint8).
    """

    height: int
    width: int
    channels: int
    kernel: int
    stride: int = 1
    pad: int = 0

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels", "kernel", "stride"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} of a window must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.pad < self.kernel:
            raise InputError(f"pad must be 0..{self.kernel - 1}, not {self.pad}")
        if (self.height + 2 * self.pad) * (
            self.width + 2 * self.pad
        ) * self.channels > MAX_ELEMENTS:
            raise InputError(f"a map must have at most {MAX_ELEMENTS} elements, not {self}")
        if self.kernel > min(self.height, self.width) + 2 * self.pad:
            raise InputError(
                f"a window of {self.kernel} does not fit a map of {self.height} x {self.width} "
                f"with pad {self.pad}"
            )

    @property
    def rows(self) -> int:
        """Windows down."""
        return (self.height + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def columns(self) -> int:
        """Windows across."""
        return (self.width + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def fan_in(self) -> int:
        """Elements of one window."""
        return self.kernel * self.kernel * self.channels


@dataclass(frozen=True)
class Pool:
    """OR pooling of fired bits, without padding; windows that do not fit are left out.

    Attributes:
        kernel, stride: of the square window; a map smaller than the kernel is refused.
    """

    kernel: int
    stride: int

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.stride < 1:
            raise InputError(
                f"kernel and stride of a pool must be 1 or more, not {self.kernel}, {self.stride}"
            )

    def size(self, n: int) -> int:
        """Windows along `n` elements."""
        return (n - self.kernel) // self.stride + 1


@dataclass(frozen=True, eq=False)
class Conv(Layer):
    """A convolution, then its thresholds, then OR pooling: a hidden layer.

    Attributes:
        window: where its rows are applied; `n_inputs` is its fan-in.
        pool: of the fired map, or None.
    """

    window: Window = field(kw_only=True)
    pool: Pool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_inputs != self.window.fan_in:
            raise InputError(
                f"layer {self.name!r}: fan-in must be {self.window.fan_in} as its window says, "
                f"not {self.n_inputs}"
            )
        if self.thresholds is None:
            raise InputError(f"layer {self.name!r}: a convolution cannot give the scores")
        if self.pool and self.pool.kernel > min(self.window.rows, self.window.columns):
            raise InputError(
                f"layer {self.name!r}: a pool of {self.pool.kernel} does not fit a map of "
                f"{self.window.rows} x {self.window.columns}"
            )
        if self.n_windows * self.n_outputs > MAX_ELEMENTS:
            raise InputError(
                f"layer {self.name!r}: a map must have at most {MAX_ELEMENTS} elements"
            )

    @property
    def n_elements_in(self) -> int:
        """Elements of the map that it is given."""
        return self.window.height * self.window.width * self.window.channels

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the map that it hands on."""
        rows, columns = self.window.rows, self.window.columns
        if self.pool:
            rows, columns = self.pool.size(rows), self.pool.size(columns)
        return rows, columns, self.n_outputs

    @property
    def n_elements_out(self) -> int:
        """Elements of the map that it hands on."""
        rows, columns, channels = self.out_shape
        return rows * columns * channels

    @property
    def n_windows(self) -> int:
        """How often every row is applied to one image."""
        return self.window.rows * self.window.columns
