"""What of a network and its folding decides its core, and the cycles that the core takes.

Memory sees rows only, so a `Layout` does not say where the windows of a convolution lie or how an
image is encoded; the gates depend on both.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from . import memory, physical
from .exceptions import InputError
from .layers import UINT8_MAX, Conv, Pool, Window
from .memory import Fold, Layout, Shape, layout_of, shapes_of
from .network import Network, require_dense

DEFAULT_CYCLES = 1500


@dataclass(frozen=True)
class Core:
    """A folded network without its weights and thresholds.

    Attributes:
        layout: its memories: a plain layout, or one of `hardware.hardware_layout`.
        windows: of each layer, None where it is dense; () for dense layers only.
        pools: behind each layer, None where there is none; () for no pools.
        thermometer: levels of the encoding of the image, () for none.
    """

    layout: Layout
    windows: tuple[Window | None, ...] = ()
    pools: tuple[Pool | None, ...] = ()
    thermometer: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.layout.shapes)
        for name in ("windows", "pools"):
            if not getattr(self, name):
                object.__setattr__(self, name, (None,) * n)
            if len(getattr(self, name)) != n:
                raise InputError(f"{n} layers need {n} {name}, not {len(getattr(self, name))}")

    @property
    def chains(self) -> tuple[range, ...]:
        """The layers of each member of an ensemble; the last of each, and no other, has scores."""
        ends = [i + 1 for i, shape in enumerate(self.layout.shapes) if not shape.has_thresholds]
        return tuple(range(a, b) for a, b in zip([0, *ends], ends, strict=False))

    @property
    def is_plain(self) -> bool:
        """Whether the layout says all: dense layers, and an image as it comes."""
        return not (any(self.windows) or any(self.pools) or self.thermometer)

    @property
    def sha256(self) -> str:
        """Hash of all that it holds; that of the layout where this says all."""
        if self.is_plain:
            return self.layout.sha256
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()


def to_json(core: Core) -> dict[str, Any]:
    """JSON values from which `from_json` makes the same core."""
    values = asdict(core)
    del values["layout"]
    return {"layout": memory.to_json(core.layout), **({} if core.is_plain else values)}


def from_json(values: dict[str, Any]) -> Core:
    """The core that `to_json` wrote."""
    return Core(
        physical.from_json(values["layout"]),
        tuple(Window(**v) if v else None for v in values.get("windows", ())),
        tuple(Pool(**v) if v else None for v in values.get("pools", ())),
        tuple(values.get("thermometer", ())),
    )


def core_of(network: Network, layout: Layout | None = None) -> Core:
    """The core of a network under a layout; without one, a processing element a layer.

    Raises:
        InputError: the layout is of other shapes, or the network is nothing that a core runs.
    """
    require_dense(network, "the core")
    layout = layout or layout_of(network)
    if layout.shapes != shapes_of(network):
        raise InputError(f"the core is not for the shapes of network {network.name!r}")
    convs = [layer if isinstance(layer, Conv) else None for layer in network.layers]
    return Core(
        layout,
        tuple(conv.window if conv else None for conv in convs),
        tuple(conv.pool if conv else None for conv in convs),
        network.thermometer,
    )


def default_core(network: Network, cycles: int = DEFAULT_CYCLES) -> Core:
    """A core of 64 lanes and about `cycles` cycles an image; quick to build and to simulate."""
    folds = []
    for shape in shapes_of(network):
        work = -(-shape.n_inputs // 64) * planes(shape) * shape.n_outputs
        folds.append(Fold(min(shape.n_outputs, -(-work // cycles)), 64))
    return core_of(network, layout_of(network, tuple(folds)))


def planes(shape: Shape) -> int:
    """Bit planes of what a lane carries: 8 for uint8, 1 for bits."""
    return 8 if shape.input == "uint8" else 1


def group(core: Core, layer: int) -> int:
    """Processing elements that share a pipeline stage of `stoic_mvu`.

    The least number that divides PE and the width of the layer's output words and lets the results
    of a fold leave within the cycles of a fold; else the greatest, which stretches folds the least.
    """
    layout = core.layout
    if not layout.shapes[layer].has_thresholds:
        return 1
    pe, width = layout.folds[layer].pe, layout.folds[layer + 1].simd
    busy = layout.n_steps(layer) * planes(layout.shapes[layer])
    sizes = [size for size in range(1, pe + 1) if pe % size == 0 and width % size == 0]
    return next((size for size in sizes if 2 * (pe // size) - 1 <= busy), sizes[-1])


def fold_cycles(core: Core, layer: int) -> int:
    """Cycles in which every processing element finishes one neuron."""
    layout = core.layout
    stages = layout.folds[layer].pe // group(core, layer)
    return max(layout.n_steps(layer) * planes(layout.shapes[layer]), 2 * stages - 1)


def layer_cycles(core: Core, layer: int) -> int:
    """Cycles that a layer works on an image."""
    return core.layout.n_folds(layer) * fold_cycles(core, layer)


def image_bytes(core: Core) -> int:
    """Bytes of one image on the stream: one a pixel for uint8, one for 8 elements for bits."""
    first = core.layout.shapes[0]
    return first.n_inputs if first.input == "uint8" else -(-first.n_inputs // 8)


def image_cycles(core: Core) -> int:
    """Cycles between images at full load: those of the slowest layer, or of the input."""
    layout = core.layout
    n_bytes = image_bytes(core)
    if layout.shapes[0].input == "uint8":
        n_bytes += max(
            layout.n_steps(chain[0]) * max(2, 10 - layout.folds[chain[0]].simd)
            for chain in core.chains
        )
    return max(n_bytes, *(layer_cycles(core, i) for i in range(len(layout.shapes))))


def score_bits(core: Core) -> int:
    """Bits of a signed score, the sum over members."""
    ends = [core.layout.shapes[chain[-1]] for chain in core.chains]
    most = sum(s.n_inputs * (UINT8_MAX if s.input == "uint8" else 1) for s in ends)
    return most.bit_length() + 1
