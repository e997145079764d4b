"""The topology: which layers a network has, how wide they are, and where convolutions look."""

import math
from dataclasses import dataclass

from ..sim.exceptions import InputError
from ..sim.layers import Pool, Window


@dataclass(frozen=True)
class ConvSize:
    """A convolution as a recipe gives it: conv, batch norm, sign, then OR pooling.

    Attributes:
        channels: that it makes.
        kernel, stride: of the square window.
        pad: elements on each side that are -1 (0 at pixels).
        pool: kernel of the pooling, 0 for none.
        pool_stride: 0 means as `pool`.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    pad: int = 0
    pool: int = 0
    pool_stride: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("channels", 1),
            ("kernel", 1),
            ("stride", 1),
            ("pad", 0),
            ("pool", 0),
            ("pool_stride", 0),
        ):
            if getattr(self, name) < least:
                raise InputError(
                    f"convs: {name} must be {least} or more, not {getattr(self, name)}"
                )
        if self.pool_stride and not self.pool:
            raise InputError("convs: pool_stride needs a pool")


@dataclass(frozen=True)
class LayerShape:
    """What of a layer decides the layers that can follow it.

    Attributes:
        n_inputs: fan-in of a row.
        n_outputs: rows: neurons, or channels of a convolution.
        window: of a convolution; None is a dense layer.
        pool: of its fired map, or None.
    """

    n_inputs: int
    n_outputs: int
    window: Window | None = None
    pool: Pool | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.n_inputs != self.window.fan_in:
            raise InputError(f"fan-in must be {self.window.fan_in}, not {self.n_inputs}")
        if self.window is None and self.pool is not None:
            raise InputError("only a convolution can be pooled")
        if (
            self.window
            and self.pool
            and self.pool.kernel > min(self.window.rows, self.window.columns)
        ):
            raise InputError(
                f"a pool of {self.pool.kernel} does not fit a map of "
                f"{self.window.rows} x {self.window.columns}"
            )

    @property
    def given(self) -> tuple[int, ...]:
        """Shape of what it is given: (height, width, channels), or (n_inputs,)."""
        if self.window is None:
            return (self.n_inputs,)
        return self.window.height, self.window.width, self.window.channels

    @property
    def made(self) -> tuple[int, ...]:
        """Shape of what it hands on: (height, width, channels), or (n_outputs,)."""
        if self.window is None:
            return (self.n_outputs,)
        rows, columns = self.window.rows, self.window.columns
        if self.pool is not None:
            rows, columns = self.pool.size(rows), self.pool.size(columns)
        return rows, columns, self.n_outputs


def layer_shapes(
    image: tuple[int, ...], convs: tuple[ConvSize, ...], sizes: tuple[int, ...]
) -> tuple[LayerShape, ...]:
    """The layers of a network for images of this shape.

    Args:
        image: (height, width), (height, width, channels), or with no convolution any.
        sizes: neurons of the dense layers, the last of which gives the scores.

    Raises:
        InputError: a window or pool does not fit its map.
    """
    shapes: list[LayerShape] = []
    given = image
    if convs and len(image) not in (2, 3):
        raise InputError(f"a convolution needs images (height, width[, channels]), not {image}")
    if convs and len(image) == 2:
        given = (*image, 1)
    for conv in convs:
        window = Window(given[0], given[1], given[2], conv.kernel, conv.stride, conv.pad)
        pool = Pool(conv.pool, conv.pool_stride or conv.pool) if conv.pool else None
        shapes.append(LayerShape(window.fan_in, conv.channels, window, pool))
        given = shapes[-1].made
    n = math.prod(given)
    for size in sizes:
        shapes.append(LayerShape(n, size))
        n = size
    return tuple(shapes)
