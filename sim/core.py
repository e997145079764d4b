"""What of a network and its folding decides its core, and the cycles that the core takes.

Memory sees rows only, so a `Layout` does not say where the windows of a convolution lie or how an
image is encoded; the gates depend on both.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from . import memory, physical
from .exceptions import InputError
from .layers import UINT8_MAX, Conv, Pool, Window
from .memory import MAX_WIDTH, Fold, Layout, Shape, layout_of, shapes_of
from .network import Network

DEFAULT_CYCLES = 1500
Form = Literal["ring", "independent"]  # of an injector of transient read errors
FORMS: tuple[Form, ...] = get_args(Form)
_DRAIN_CYCLES = 24  # at most, of `stoic_mvu` from its last word to its first total that leaves


@dataclass(frozen=True)
class Core:
    """A folded network without its weights and thresholds.

    Attributes:
        layout: its memories: a plain layout, or one of `hardware.hardware_layout`.
        windows: of each layer, None where it is dense; () for dense layers only.
        pools: behind each layer, None where there is none; () for no pools.
        thermometer: levels of the encoding of the image, () for none.
        words: images come in words of the lanes of the first layer, not in bytes.
        engine: one engine runs all layers of all members in turn (`rtl_engine`); images come in
            beats of 16 lanes.
        injector: form of the layers' injectors of transient read errors, None for none.
        store: images that the chip keeps in front of the core (`on_chip`); they change none of the
            network's memories, so the hash knows nothing of them.
    """

    layout: Layout
    windows: tuple[Window | None, ...] = ()
    pools: tuple[Pool | None, ...] = ()
    thermometer: tuple[int, ...] = ()
    words: bool = False
    engine: bool = False
    injector: Form | None = None
    store: int = 0

    def __post_init__(self) -> None:
        n = len(self.layout.shapes)
        for name in ("windows", "pools"):
            if not getattr(self, name):
                object.__setattr__(self, name, (None,) * n)
            if len(getattr(self, name)) != n:
                raise InputError(f"{n} layers need {n} {name}, not {len(getattr(self, name))}")
        is_one_dense_chain = len(self.chains) == 1 and not any(self.windows)
        if self.side_by_side > 1 and not (is_one_dense_chain or self.engine):
            raise InputError(
                "B must be 1 in ensembles, unless one engine runs them, and under convolutions, "
                f"not {self.side_by_side}"
            )
        if self.words and not (
            is_one_dense_chain and self.layout.shapes[0].input == "bits" and not self.thermometer
        ):
            raise InputError("images come in words only to one chain of dense layers, on bits")
        if self.store and (self.words or self.engine or self.side_by_side > 1):
            raise InputError("images on the chip are bytes, for a core of layers in a row, B 1")

    @property
    def side_by_side(self) -> int:
        """Images that share every weight word that is read (B)."""
        return self.layout.folds[0].b if self.layout.folds else 1

    @property
    def chains(self) -> tuple[range, ...]:
        """The layers of each member of an ensemble; the last of each, and no other, has scores."""
        ends = [i + 1 for i, shape in enumerate(self.layout.shapes) if not shape.has_thresholds]
        return tuple(range(a, b) for a, b in zip([0, *ends], ends, strict=False))

    @property
    def is_plain(self) -> bool:
        """Whether the layout says all: dense layers, and an image as it comes."""
        is_dense = not (any(self.windows) or any(self.pools) or self.thermometer)
        return is_dense and not (self.words or self.engine or self.injector)

    @property
    def sha256(self) -> str:
        """Hash of all that it holds; that of the layout where this says all."""
        if self.is_plain:
            return self.layout.sha256
        values = to_json(replace(self, store=0))
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def to_json(core: Core) -> dict[str, Any]:
    """JSON values from which `from_json` makes the same core."""
    values = asdict(core)
    del values["layout"], values["store"]
    store = {"store": core.store} if core.store else {}
    return {"layout": memory.to_json(core.layout), **({} if core.is_plain else values), **store}


def from_json(values: dict[str, Any]) -> Core:
    """The core that `to_json` wrote."""
    return Core(
        physical.from_json(values["layout"]),
        tuple(Window(**v) if v else None for v in values.get("windows", ())),
        tuple(Pool(**v) if v else None for v in values.get("pools", ())),
        tuple(values.get("thermometer", ())),
        values.get("words", False),
        values.get("engine", False),
        values.get("injector"),
        values.get("store", 0),
    )


def core_of(network: Network, layout: Layout | None = None, *, engine: bool = False) -> Core:
    """The core of a network under a layout; without one, a processing element a layer.

    Args:
        engine: one engine runs it (`Core.engine`).

    Raises:
        InputError: the layout is of other shapes, or the network is nothing that a core runs.
    """
    layout = layout or layout_of(network)
    if layout.shapes != shapes_of(network):
        raise InputError(f"the core is not for the shapes of network {network.name!r}")
    convs = [layer if isinstance(layer, Conv) else None for layer in network.layers]
    return Core(
        layout,
        tuple(conv.window if conv else None for conv in convs),
        tuple(conv.pool if conv else None for conv in convs),
        network.thermometer,
        engine=engine,
    )


def default_core(network: Network, cycles: int = DEFAULT_CYCLES) -> Core:
    """A core of up to 64 lanes, quick to build and to simulate.

    Its layers take up to `cycles` cycles an image, or as many as it takes to feed them.
    """
    plain = core_of(network)
    fed = [n for unit, n in unit_cycles(plain).items() if not unit.startswith("layer")]
    cycles, folds = max(cycles, *fed), []
    for i, shape in enumerate(plain.layout.shapes):
        word = 1 if shape.input == "uint8" else in_bits(plain, i)
        if plain.windows[i] and shape.input == "bits":
            word = map_bits(plain, i)
        simd = min(shape.n_inputs, MAX_WIDTH // word * word)
        one_fold = n_windows(plain, i) * -(-shape.n_inputs // simd) * planes(shape)
        n_folds = max(1, cycles // one_fold)
        folds.append(Fold(-(-shape.n_outputs // n_folds), simd))
    took = unit_cycles(core_of(network, layout_of(network, tuple(folds))))
    for i, shape in enumerate(plain.layout.shapes):
        if took[f"layer {i}"] > cycles:  # results of an odd number of elements leave one by one
            pe = 1 << (folds[i].pe - 1).bit_length()
            folds[i] = Fold(min(pe, shape.n_outputs), folds[i].simd)
    return core_of(network, layout_of(network, tuple(folds)))


def planes(shape: Shape) -> int:
    """Bit planes of what a lane carries: 8 for uint8, 1 for bits."""
    return 8 if shape.input == "uint8" else 1


def group(core: Core, layer: int) -> int:
    """Processing elements that share a pipeline stage of `stoic_mvu`.

    The least power of two that divides PE and the width of the layer's output words and lets the
    results of a fold leave within the cycles of a fold; else the greatest, which stretches folds
    the least. The host's bank number is divided by it within a cycle: 13 would leave 26 MHz on an
    ECP5.
    """
    layout = core.layout
    if not layout.shapes[layer].has_thresholds:
        return 1
    pe, width = layout.folds[layer].pe, out_bits(core, layer)
    busy = layout.n_steps(layer) * planes(layout.shapes[layer])
    sizes = [1 << k for k in range(pe.bit_length()) if pe % (1 << k) == width % (1 << k) == 0]
    return next((size for size in sizes if 2 * (pe // size) - 1 <= busy), sizes[-1])


def fold_cycles(core: Core, layer: int) -> int:
    """Cycles in which every processing element finishes one neuron."""
    layout = core.layout
    stages = layout.folds[layer].pe // group(core, layer)
    return max(layout.n_steps(layer) * planes(layout.shapes[layer]), 2 * stages - 1)


def room(core: Core, layer: int) -> int:
    """Images, or windows, that the output FIFO of a layer holds: as many as are on their way."""
    if not core.windows[layer]:
        return 2
    busy = core.layout.n_folds(layer) * fold_cycles(core, layer)
    stages = core.layout.folds[layer].pe // group(core, layer)
    n_words = core.layout.shapes[layer].n_outputs // out_bits(core, layer)
    return 1 << (-(-(2 * stages + n_words + _DRAIN_CYCLES) // busy)).bit_length()


def layer_cycles(core: Core, layer: int) -> int:
    """Cycles that a layer works on an image.

    While one of its two pages is worked on the other one is filled: two windows take as long as one
    is filled and worked on, and 3 cycles more.
    """
    busy = core.layout.n_folds(layer) * fold_cycles(core, layer)
    if not core.windows[layer]:
        return busy
    load = core.layout.n_steps(layer) * planes(core.layout.shapes[layer])
    return -(-n_windows(core, layer) * max(2 * busy, busy + load + 3) // 2)


def image_bytes(core: Core) -> int:
    """Bytes of one image on the stream: one an element that is a uint8, else one for 8 elements."""
    n = n_elements(core, 0)
    if core.thermometer:
        return n // len(core.thermometer)
    return n if core.layout.shapes[0].input == "uint8" else -(-n // 8)


def beat_bits(core: Core) -> int:
    """Bits of a beat of the stream of images."""
    if core.engine:
        return 16
    return core.layout.folds[0].simd if core.words else 8


def image_cycles(core: Core) -> int:
    """Cycles between images at full load: those of the slowest unit."""
    return max(unit_cycles(core).values())


def unit_cycles(core: Core) -> dict[str, int]:
    """Cycles an image of every unit: the input, the layers, and what stands between them."""
    if core.engine:
        n_beats = core.layout.n_steps(0) * MAX_WIDTH // beat_bits(core)
        return {
            "input": image_bytes(core) + n_beats,  # `stoic_engine_bytes`: each takes a cycle
            "engine": -(-engine_cycles(core) // core.side_by_side),
        }
    levels = max(1, len(core.thermometer) // thermometer_bits(core))
    cycles = {
        "input": core.layout.n_steps(0) if core.words else image_bytes(core) * levels,
        "scores": core.layout.shapes[-1].n_outputs,
    }
    for i, (shape, fold) in enumerate(zip(core.layout.shapes, core.layout.folds, strict=True)):
        feed = feed_cycles(core, i, fold.simd)
        cycles |= {f"{unit} {i}": n for unit, n in feed.items()}
        cycles[f"layer {i}"] = -(-layer_cycles(core, i) // core.side_by_side)
        if core.windows[i]:
            n_words = n_windows(core, i) * shape.n_outputs // out_bits(core, i)
            cycles[f"pool {i}"] = 4 * n_words
    return cycles


def feed_cycles(core: Core, layer: int, simd: int) -> dict[str, int]:
    """Cycles an image of the units that make words of `simd` lanes for a layer."""
    shape, window, cycles = core.layout.shapes[layer], core.windows[layer], dict[str, int]()
    if window:
        n_words = window.columns * window.kernel**2 * pixel_words(core, layer)
        cycles["window"] = window.rows * (n_words + 3) + window.height
    if shape.input == "uint8":
        whole, rest = divmod(shape.n_inputs, simd)
        bytes_in = whole * max(9, simd) + (max(9, rest) if rest else 0)
        cycles["planes"] = n_windows(core, layer) * bytes_in
    elif window or not (core.words or _is_behind_dense(core, layer)):
        word = map_bits(core, layer) if window else in_bits(core, layer)
        cycles["width"] = n_windows(core, layer) * -(-shape.n_inputs // math.gcd(word, simd))
    return cycles


def _is_behind_dense(core: Core, layer: int) -> bool:
    """Whether the `stoic_mvu` before the layer makes its words."""
    before = layer - 1
    is_behind = layer > 0 and core.layout.shapes[before].has_thresholds
    return is_behind and not core.windows[before]


def word_bits(n: int) -> int:
    """Bits of the words in which n elements, the channels of a pixel, come: all words are full."""
    return max(width for width in range(1, MAX_WIDTH + 1) if n % width == 0)


def value_bits(shape: Shape) -> int:
    """Bits of what a layer compares: P unsigned, s signed."""
    if shape.input == "uint8":
        return (UINT8_MAX * shape.n_inputs).bit_length() + 1
    return shape.n_inputs.bit_length()


def out_bits(core: Core, layer: int) -> int:
    """Bits of the words that the `stoic_mvu` of a layer gives."""
    shape = core.layout.shapes[layer]
    if not shape.has_thresholds:
        return value_bits(shape)
    if core.windows[layer]:
        return word_bits(shape.n_outputs)
    return core.layout.folds[layer + 1].simd


def n_windows(core: Core, layer: int) -> int:
    """How often every row of a layer is applied to one image."""
    window = core.windows[layer]
    return window.rows * window.columns if window else 1


def n_elements(core: Core, layer: int) -> int:
    """Elements that a layer is given for one image."""
    window = core.windows[layer]
    if window:
        return window.height * window.width * window.channels
    return core.layout.shapes[layer].n_inputs


def in_bits(core: Core, layer: int) -> int:
    """Bits of the words in which the elements of a layer on bits come."""
    if layer and core.layout.shapes[layer - 1].has_thresholds:
        return out_bits(core, layer - 1)
    return thermometer_bits(core) if core.thermometer else 8


def map_bits(core: Core, layer: int) -> int:
    """Bits of the words of a pixel in which a convolution is given its map."""
    window = core.windows[layer]
    assert window is not None, "a dense layer has no pixels"
    return 8 if core.layout.shapes[layer].input == "uint8" else word_bits(window.channels)


def pixel_words(core: Core, layer: int) -> int:
    """Words of a pixel of the map that a convolution is given."""
    window = core.windows[layer]
    assert window is not None, "a dense layer has no pixels"
    is_uint8 = core.layout.shapes[layer].input == "uint8"
    return window.channels if is_uint8 else window.channels // map_bits(core, layer)


def ring_words(core: Core, layer: int) -> int:
    """Words of the ring of rows of the `stoic_window` of a convolution."""
    window = core.windows[layer]
    assert window is not None, "a dense layer has no pixels"
    lines = max(window.kernel + window.stride, 2 * (window.kernel - window.pad))
    return lines * window.width * pixel_words(core, layer)


def thermometer_bits(core: Core) -> int:
    """Bits of the words in which the code of an element comes."""
    return word_bits(max(1, len(core.thermometer)))


def engine_cycles(core: Core) -> int:
    """Cycles of B images on one engine (`rtl_engine`), from one start to the next."""
    layout = core.layout
    sweep = sum(layout.n_steps(i) * s.n_outputs for i, s in enumerate(layout.shapes))
    n_scores = core.side_by_side * len(core.chains) * layout.shapes[-1].n_outputs
    return sweep + 11 * len(layout.shapes) + n_scores + 2


def score_bits(core: Core) -> int:
    """Bits of a signed score, the sum over members."""
    ends = [core.layout.shapes[chain[-1]] for chain in core.chains]
    most = sum(s.n_inputs * (UINT8_MAX if s.input == "uint8" else 1) for s in ends)
    return most.bit_length() + 1
