"""The cores that `make hw-table` measures, and random networks that run on them."""

from dataclasses import replace

import numpy as np

from ..sim.core import Core, Form, core_of
from ..sim.layers import Pool
from ..sim.memory import Fold, Layout, Shape
from ..sim.network import Network
from ..sim.random_network import random_conv_network, random_network
from . import boards
from .fold import fold
from .vehicle import Vehicle, bare

SIZES = (784, 256, 256, 256, 10)
SEED = 1
_SIMD = (36, 32, 32, 16)
_PE = (32, 12, 12, 1)
# VGG3 of the recipe fashion-vgg3-256: 28 x 28 bytes, twice 64 channels and a pool, 256 neurons
_CONVS = ((64, 3, 1, 1, Pool(2, 2)),) * 2


def _shapes(first: str) -> tuple[Shape, ...]:
    last = len(SIZES) - 2
    return tuple(
        Shape(n, m, "uint8" if i == 0 and first == "uint8" else "bits", i < last)
        for i, (n, m) in enumerate(zip(SIZES, SIZES[1:], strict=False))
    )


def vehicles() -> tuple[Vehicle, ...]:
    """What is measured."""
    board, large = boards.load("ulx3s-25f"), boards.load("ulx3s-85f")

    def side_by_side(b: int) -> Core:
        folds = tuple(Fold(pe, simd, b) for pe, simd in zip(_PE, _SIMD, strict=True))
        return Core(Layout(_shapes("bits"), folds), words=True)

    def injected(form: Form) -> Core:
        return replace(side_by_side(1), injector=form)

    def engine(b: int) -> Core:
        return Core(Layout(_shapes("bits"), (Fold(1, 64, b),) * (len(SIZES) - 1)), engine=True)

    planned = fold(Core(Layout(_shapes("uint8"), (Fold(1, 64),) * (len(SIZES) - 1))), board)
    rng = np.random.default_rng(SEED)
    vgg3 = core_of(random_conv_network((28, 28, 1), _CONVS, (256, 10), "uint8", rng))
    return (
        Vehicle("sfc-b1", side_by_side(1), bare(board, 190)),
        Vehicle("sfc-b1-registers", side_by_side(1), bare(board, 190), has_registers=True),
        Vehicle("sfc-b1-ring", injected("ring"), bare(board, 190)),
        # its numbers and masks take five sixths of a 25K's flip-flops, and nextpnr does not end
        Vehicle("sfc-b1-independent", injected("independent"), bare(large, 190)),
        Vehicle("sfc-b2", side_by_side(2), bare(board, 170)),
        Vehicle("sfc-uint8", planned, bare(board, 175)),
        Vehicle("vgg3-256", fold(vgg3, large), bare(large, 120)),
        Vehicle("sfc-engine-b1", engine(1), bare(boards.load("icebreaker"), 66)),
        Vehicle("sfc-engine-b6", engine(6), bare(boards.load("icebreaker"), 66)),
    )


def random_of(core: Core, rng: np.random.Generator) -> Network:
    """A network that the core runs."""
    layers = list(zip(core.layout.shapes, core.windows, core.pools, strict=True))
    first, window = core.layout.shapes[0], core.windows[0]
    sizes = tuple(shape.n_outputs for shape, conv, _ in layers if conv is None)
    if window is None:
        return random_network((first.n_inputs, *sizes), first.input, rng)
    convs = tuple(
        (shape.n_outputs, conv.kernel, conv.stride, conv.pad, pool)
        for shape, conv, pool in layers
        if conv is not None
    )
    image = (window.height, window.width, window.channels)
    return random_conv_network(image, convs, sizes, first.input, rng)


def topology(core: Core) -> str:
    """Like 784-256-10, or 28x28x1-C64-C64-256-10 with convolutions."""
    window = core.windows[0]
    shapes = core.layout.shapes
    size = f"{window.height}x{window.width}x{window.channels}" if window else shapes[0].n_inputs
    outputs = (
        f"C{shape.n_outputs}" if conv else str(shape.n_outputs)
        for shape, conv in zip(shapes, core.windows, strict=True)
    )
    return "-".join((str(size), *outputs))
