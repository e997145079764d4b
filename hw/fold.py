"""The folding planner: PE and SIMD of every layer for a board, and what they cost there.

Layers work at the same time on different images, so the slowest one sets the cycles per image
(`core.image_cycles`). A block memory gives at most `ram_width` bits a cycle, so weights kept
there are never read faster than the weight-bandwidth bound: weight bits read per image (under uint8
input once for each of 8 bit planes) / bits that all block memories of the board give in a cycle.
Only banks of a few words, which are distributed memory or registers, can beat it.

Block memories are counted as `stoic_ram` asks for them; LUTs are a fit to synthesis results.

On a UP5K one engine for all layers (`sim.rtl_engine`), whose weights stand in its single-port
memories, takes the place of units side by side where these do not fit, or cost more than is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..sim import on_chip
from ..sim.core import (
    Core,
    feed_cycles,
    group,
    image_cycles,
    in_bits,
    layer_cycles,
    map_bits,
    n_windows,
    out_bits,
    planes,
    ring_words,
    room,
)
from ..sim.exceptions import InputError
from ..sim.memory import MAX_WIDTH, Fold, Layout, Shape
from ..sim.rtl_engine import check_engine
from .boards import Board

# of the logic cells; above, routing seldom ends well (7-series: careful, none was routed)
MAX_FILL = {"ecp5": 0.85, "ice40": 0.88, "xc7": 0.7, "zynq7": 0.7}
# Up to here `stoic_ram` takes no block memory: cells of 16 x 4 bits on ECP5, FIFO words on iCE40.
LUT_CELLS = 64
SHALLOW_FIFO = 8
SMALL_BITS = 64  # bits up to which Yosys makes registers of its own accord
LUT_WORDS = 64  # of a memory that Vivado is taken to put into LUTs
# pages of the host link: 8 kB and 2 kB; on a Zynq a guess at DMA and interconnect
LINK_BLOCKS = {"ecp5": 4, "ice40": 4, "xc7": 4, "zynq7": 8}

LABELS = 64  # that wait in `stoic_tally`
# Cells of `stoic_store` and `stoic_tally`: of themselves, of a block of images (what chooses among
# rows of blocks), of a word of few images that stand in no block. From synthesis alone.
STORE_CELLS, STORE_BLOCK, STORE_SMALL_WORD = 1000, 7, 6


@dataclass(frozen=True)
class Cost:
    """What a part of a design takes: block memories, and logic cells (LUT, flip-flop or both)."""

    block_rams: int
    cells: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.block_rams + other.block_rams, self.cells + other.cells)


@dataclass(frozen=True)
class CellModel:
    """Logic cells of a design, linear in its parts; a fit.

    Attributes:
        frame: link, UART, clock and scores.
        layer: of a layer whatever its folding.
        pe, lane: of a processing element, and of each of its lanes.
        planes, plane_lane: of `stoic_planes`, and of each of its lanes.
        plane_pe: of a processing element behind it, more than of another.
        row_lane: of a lane of a weight memory, for every block below the first.
        small_bit: of a bit of memory that is no block memory.
        map, map_bit: of a window and a pool, and of each bit of the words of their pixels.
    """

    frame: int
    layer: int
    pe: int
    lane: float
    planes: int
    plane_lane: int
    plane_pe: int
    row_lane: float
    small_bit: float
    map: int
    map_bit: float


ENGINE_CELLS = 1830, 12  # of an engine for one image, and of each of its layers
# Least squares on the cells that are packed (`make planner`); README.md has foldings and figures.
# 7-series: those of ECP5, whose LUTs are smaller, so more than it will take; no Vivado was at hand.
_ECP5 = CellModel(
    frame=980, layer=235, pe=10, lane=6.8, planes=0, plane_lane=44, plane_pe=0, row_lane=2.7,
    small_bit=0.16, map=450, map_bit=5.0,
)  # fmt: skip
_ICE40 = CellModel(
    frame=800, layer=710, pe=20, lane=8.5, planes=520, plane_lane=6, plane_pe=22, row_lane=0.0,
    small_bit=1.6, map=450, map_bit=5.0,
)  # fmt: skip
CELLS = {
    "ecp5": _ECP5,
    "xc7": _ECP5,
    "zynq7": replace(_ECP5, frame=6000),
    "ice40": _ICE40,
}


@dataclass(frozen=True)
class Prediction:
    """What a folding will do on a board, before any tool runs.

    Attributes:
        layer_cycles: per image, of each layer.
        cycles_per_image: between images at full load.
        bound_cycles: weight-bandwidth bound of the board, all its block memories busy; of an
            engine, all its single-port ones.
        bandwidth_share: bound_cycles / cycles_per_image.
        block_rams_predicted, cells_predicted: by the cost model.
    """

    layer_cycles: tuple[int, ...]
    cycles_per_image: int
    bound_cycles: float
    bandwidth_share: float
    block_rams_predicted: int
    cells_predicted: int


def predict(core: Core, board: Board) -> Prediction:
    """Cycles, bound and cost of a core on a board."""
    shapes = core.layout.shapes
    cycles = image_cycles(core)
    bits_read = sum(
        n_windows(core, i) * planes(s) * s.n_inputs * s.n_outputs for i, s in enumerate(shapes)
    )
    bound = bits_read / (MAX_WIDTH if core.engine else board.ram_bits)
    cost = total_cost(core, board)
    return Prediction(
        layer_cycles=tuple(layer_cycles(core, i) for i in range(len(shapes))),
        cycles_per_image=cycles,
        bound_cycles=round(bound, 1),
        bandwidth_share=round(bound / cycles, 4),
        block_rams_predicted=cost.block_rams,
        cells_predicted=cost.cells,
    )


def fold(core: Core, board: Board, images_per_s: float | None = None) -> Core:
    """The core in the fastest folding that fits the board, no layer faster than the slowest needs.

    One engine for all layers is taken where no folding fits, or where it reaches `images_per_s` for
    less.

    Args:
        core: in any folding.
        images_per_s: a rate at the board's clock; the cheapest folding that reaches it is enough.

    Raises:
        InputError: no folding fits, or none reaches the rate; the message names what is short.
    """
    options = [_options(core, i, board) for i in range(len(core.layout.shapes))]
    limits = {f.cycles for layer in options for f in layer}
    cores = [folded for limit in sorted(limits) if (folded := _within(core, options, limit, board))]
    fitting = [folded for folded in cores if not lacks(folded, board)]
    engine = on_one_engine(core, board)
    if engine and (images_per_s or not fitting):
        fitting.append(engine)
    if not fitting:
        cheapest = min(cores, key=lambda folded: total_cost(folded, board).block_rams)
        raise InputError(f"no folding fits: the cheapest {lacks(cheapest, board)}")
    if images_per_s is None:
        return min(fitting, key=lambda c: (image_cycles(c), _share(total_cost(c, board), board)))
    enough = [c for c in fitting if image_cycles(c) * images_per_s <= board.core_hz]
    if not enough:
        fastest = board.core_hz / min(map(image_cycles, fitting))
        raise InputError(
            f"no folding that fits {board.name} reaches {images_per_s:g} images/s; "
            f"the fastest gives {fastest:.0f} at {board.core_hz / 1e6:g} MHz"
        )
    return min(enough, key=lambda folded: _share(total_cost(folded, board), board))


def on_one_engine(core: Core, board: Board) -> Core | None:
    """The core on one engine for all its layers, or None if that or the board cannot be."""
    if not board.has_spram or core.words or core.injector or any(core.pools):
        return None
    shapes = core.layout.shapes
    layout = Layout(shapes, (Fold(1, MAX_WIDTH),) * len(shapes))
    try:
        engine = replace(core, layout=layout, engine=True)
        check_engine(engine)
    except InputError:
        return None
    return None if lacks(engine, board) else engine


@dataclass(frozen=True)
class _Option:
    fold: Fold
    cycles: int  # of the layer if no fold is stretched, or of what feeds it


def _options(core: Core, layer: int, board: Board) -> tuple[_Option, ...]:
    """Foldings worth a look: SIMD fills whole memories and steps, PE fills whole folds.

    What comes in words of other units is also taken in whole words, or in parts of one.
    """
    shape = core.layout.shapes[layer]
    most = min(MAX_WIDTH, shape.n_inputs)
    widths = {min(width, most) for width in range(board.ram_width, MAX_WIDTH + 1, 4)} | {most}
    simds = {-(-shape.n_inputs // -(-shape.n_inputs // width)) for width in widths}
    if shape.input == "bits":
        word = map_bits(core, layer) if core.windows[layer] else in_bits(core, layer)
        simds |= {s for s in range(most // 2 + 1, most + 1) if s % word == 0 or word % s == 0}
    pes = {-(-shape.n_outputs // n_folds) for n_folds in range(1, shape.n_outputs + 1)}
    fed = {simd: max(feed_cycles(core, layer, simd).values(), default=0) for simd in simds}
    one = n_windows(core, layer) * planes(shape)
    return tuple(
        _Option(
            Fold(pe, simd),
            max(fed[simd], one * -(-shape.n_inputs // simd) * -(-shape.n_outputs // pe)),
        )
        for simd in sorted(simds)
        for pe in sorted(pes)
    )


def _within(
    core: Core, options: Sequence[tuple[_Option, ...]], limit: int, board: Board
) -> Core | None:
    """The cheapest core in which no layer takes more than `limit` cycles, if there is one."""
    shapes, folds = core.layout.shapes, tuple[Fold, ...]()
    for i, layer in reversed(list(enumerate(options))):
        # the cost of a dense layer depends on the width of the next one: the last is chosen first
        below = (shapes[i + 1], folds[0]) if folds and not core.windows[i] else None
        unfolded = replace(
            core,
            layout=Layout((shapes[i],), (Fold(1, 1),)),
            windows=core.windows[i : i + 1],
            pools=core.pools[i : i + 1],
        )
        costs = [
            (share, option.fold)
            for option in layer
            if option.cycles <= limit
            for cycles, share in [_part(unfolded, option.fold, below, board)]
            if cycles <= limit
        ]
        if not costs:
            return None
        folds = (min(costs, key=lambda cost: cost[0])[1], *folds)
    return replace(core, layout=Layout(shapes, folds))


@lru_cache(maxsize=1 << 16)
def _part(
    layer: Core, fold: Fold, below: tuple[Shape, Fold] | None, board: Board
) -> tuple[int, float]:
    """Cycles of a layer, and the share of the board that it takes."""
    (shape,) = layer.layout.shapes
    if below:
        core = Core(Layout((shape, below[0]), (fold, below[1])))
    else:
        core = replace(layer, layout=Layout((shape,), (fold,)))
    return layer_cycles(core, 0), _share(layer_cost(core, 0, board), board)


def _share(cost: Cost, board: Board) -> float:
    """How much of the board a cost takes; cells count twice, each costs time to place and route."""
    return cost.block_rams / board.ram_count + 2 * cost.cells / board.luts


def lacks(core: Core, board: Board) -> str:
    """What the board has too little of for this core, "" when it fits."""
    cost = total_cost(core, board)
    cells = int(board.luts * MAX_FILL[board.family])
    if cost.block_rams > board.ram_count:
        return f"needs {cost.block_rams} {board.ram_kind}, {board.name} has {board.ram_count}"
    if cost.cells > cells:
        return f"needs {cost.cells} logic cells, {board.name} has room for {cells}"
    return ""


def total_cost(core: Core, board: Board) -> Cost:
    """Cost of a whole design: layers, link, UART and clock, and images that are kept."""
    total = Cost(LINK_BLOCKS[board.family], CELLS[board.family].frame)
    if core.engine:
        return total + _engine_cost(core, board)
    for layer in range(len(core.layout.shapes)):
        total += layer_cost(core, layer, board)
    return total + store_cost(core, board) if core.store else total


def store_cost(core: Core, board: Board) -> Cost:
    """Cost of `stoic_store` and `stoic_tally`: images, labels that wait, and the confusion."""
    n_words = core.store * on_chip.record_words(core)
    n_classes = core.layout.shapes[-1].n_outputs
    images = 8 * _inferred_blocks(n_words, 8, board)
    others = _inferred_blocks(LABELS, 8, board)
    others += _inferred_blocks(n_classes * on_chip.row_words(n_classes), 64, board)
    cells = STORE_BLOCK * images if images else STORE_SMALL_WORD * n_words
    return Cost(images + others, STORE_CELLS + cells)


def _engine_cost(core: Core, board: Board) -> Cost:
    """Cost of a `stoic_engine`: activations of an image, thresholds, scores on their way."""
    shapes = core.layout.shapes
    firsts = {chain[0] for chain in core.chains}
    words = 2 * core.layout.n_steps(0) + len(firsts) * shapes[-1].n_outputs
    words += sum(core.layout.n_steps(i) for i in range(len(shapes)) if i not in firsts)
    width = max(s.threshold_bits for s in shapes)
    memories = [(1 << _log2(words), 16)] * (MAX_WIDTH // 16)
    memories.append((sum(s.n_outputs for s in shapes if s.has_thresholds), width))
    block_rams = sum(memory_blocks(n, bits, board) for n, bits in memories)
    block_rams += memory_blocks(2 << _log2(shapes[-1].n_outputs), width + 1, board, is_fifo=True)
    return Cost(block_rams, ENGINE_CELLS[0] + ENGINE_CELLS[1] * len(shapes))


def layer_cost(core: Core, layer: int, board: Board) -> Cost:
    """Cost of one `stoic_mvu` and of what feeds it; of a convolution also of its pool."""
    layout = core.layout
    shape, fold = layout.shapes[layer], layout.folds[layer]
    n_planes, n_steps = planes(shape), layout.n_steps(layer)
    # words, width and number of its memories: weights, pages, thresholds; its FIFO apart
    memories = [(layout.n_folds(layer) * n_steps, fold.simd, fold.pe)]
    memories.append((2 << _log2(n_steps * n_planes), fold.simd, 1))
    if shape.has_thresholds:
        size, width = group(core, layer), out_bits(core, layer)
        stages, n_folds = fold.pe // size, layout.n_folds(layer)
        table = stages << _log2(n_folds) if stages > 1 else n_folds
        memories.append((table, shape.threshold_bits, size))
        fifo = room(core, layer) << _log2(-(-shape.n_outputs // width)), width
    else:
        fifo = room(core, layer) << _log2(shape.n_outputs), shape.threshold_bits
    memories += _map_memories(core, layer)
    fifo_blocks = memory_blocks(*fifo, board, is_fifo=True)
    block_rams, small_bits = fifo_blocks, 0 if fifo_blocks else fifo[0] * fifo[1]
    for n_words, bits, n in memories:
        blocks = memory_blocks(n_words, bits, board)
        block_rams += n * blocks
        small_bits += 0 if blocks else n * n_words * bits
    model = CELLS[board.family]
    rows = max(0, -(-layout.n_folds(layer) * n_steps // board.ram_depth) - 1)
    cells = model.layer + fold.pe * model.pe + model.small_bit * small_bits
    cells += fold.pe * fold.simd * (model.lane + rows * model.row_lane)
    if n_planes > 1:
        cells += model.planes + model.plane_lane * fold.simd + model.plane_pe * fold.pe
    if core.windows[layer]:
        cells += model.map + model.map_bit * (map_bits(core, layer) + out_bits(core, layer))
    return Cost(block_rams, round(cells))


def _map_memories(core: Core, layer: int) -> list[tuple[int, int, int]]:
    """Words, width and number of the memories of the window and the pool of a convolution."""
    window, pool = core.windows[layer], core.pools[layer]
    if not window:
        return []
    memories = [(ring_words(core, layer), map_bits(core, layer), 1)]
    if pool:
        width = out_bits(core, layer)
        n_words = core.layout.shapes[layer].n_outputs // width
        memories.append((n_words, width, pool.kernel - 1))
        memories.append((pool.size(window.columns) * n_words, width, pool.kernel - 1))
    return memories


def memory_blocks(n_words: int, width: int, board: Board, is_fifo: bool = False) -> int:
    """Block memories that a `stoic_ram` of n_words of that width becomes.

    On iCE40 Yosys trades width for depth, so long as a block stays a power of two wide. On 7-series
    Vivado decides; this is a guess that calls few memories small.
    """
    if board.family == "ecp5":
        is_small = -(-n_words // 16) * -(-width // 4) <= LUT_CELLS
    elif board.needs_vivado:
        is_small = n_words <= LUT_WORDS
    else:
        is_small = is_fifo and n_words <= SHALLOW_FIFO
    if is_small or n_words * width <= SMALL_BITS:
        return 0
    aspects = [(board.ram_depth, board.ram_width)]
    if board.family == "ice40":
        aspects = [(board.ram_depth << k, board.ram_width >> k) for k in range(4)]
    return min(-(-n_words // depth) * -(-width // w) for depth, w in aspects)


def _inferred_blocks(n_words: int, width: int, board: Board) -> int:
    """As `memory_blocks`, of a `stoic_ram` of one cycle, in which Yosys trades width for depth."""
    blocks = memory_blocks(n_words, width, board, is_fifo=True)
    aspects = [(board.ram_depth << k, board.ram_width >> k) for k in range(4)]
    return min([blocks, *(-(-n_words // depth) * -(-width // w) for depth, w in aspects)])


def _log2(count: int) -> int:
    """Address bits of `count` words."""
    return (count - 1).bit_length()
