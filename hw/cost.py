"""What a core takes of a board: block memories, counted, and logic cells, a fit.

Block memories are counted as `stoic_ram` asks for them; cells are a fit to packed netlists.
"""

from dataclasses import dataclass, replace

from ..sim import on_chip
from ..sim.core import (
    Core,
    group,
    map_bits,
    out_bits,
    planes,
    ring_words,
    room,
)
from ..sim.hardware import take_apart
from ..sim.memory import MAX_WIDTH
from .boards import Board

# Up to here `stoic_ram` takes no block memory: cells of 16 x 4 bits on ECP5, FIFO words on iCE40.
LUT_CELLS = 64
SHALLOW_FIFO = 8
SMALL_BITS = 64  # bits up to which Yosys makes registers of its own accord
LUT_WORDS = 64  # of a memory that Vivado is taken to put into LUTs
# pages of the host link: 8 kB and 2 kB; on a Zynq a guess at DMA and interconnect
LINK_BLOCKS = {"ecp5": 4, "ice40": 4, "xc7": 4, "zynq7": 8}

LABELS = 64  # that wait in `stoic_tally`
STORE_PART = 1 << 12  # words of a part of the images, on ECP5; no iCE40 has room for as many
# Cells of `stoic_store` and `stoic_tally`: of themselves, of a block of images (what chooses among
# blocks), of a word of few images that stand in no block. From synthesis alone.
STORE_CELLS, STORE_BLOCK, STORE_SMALL_WORD = 1000, {"ecp5": 24, "ice40": 10}, 6


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
        stage_lane: of each lane of a stage, which its processing elements share.
        planes, plane_lane: of `stoic_planes`, and of each of its lanes.
        plane_pe: of a processing element behind it, more than of another.
        small_bit: of a bit of memory that is no block memory.
        map, map_bit: of a window and a pool, and of each bit of the words of their pixels.
    """

    frame: int
    layer: int
    pe: int
    lane: float
    stage_lane: float
    planes: int
    plane_lane: int
    plane_pe: int
    small_bit: float
    map: int
    map_bit: float


ENGINE_CELLS = 1490, 30  # of an engine for one image, and of each of its layers
# Least squares on the cells that are packed (`make planner`); README.md has foldings and figures.
# 7-series: those of ECP5, whose LUTs are smaller, so more than it will take; no Vivado was at hand.
_ECP5 = CellModel(
    frame=1730, layer=540, pe=0, lane=3.1, stage_lane=1.41, planes=0, plane_lane=0, plane_pe=45,
    small_bit=0.156, map=450, map_bit=5.0,
)  # fmt: skip
_ICE40 = CellModel(
    frame=800, layer=710, pe=20, lane=8.5, stage_lane=0.0, planes=520, plane_lane=6, plane_pe=22,
    small_bit=1.6, map=450, map_bit=5.0,
)  # fmt: skip
CELLS = {
    "ecp5": _ECP5,
    "xc7": _ECP5,
    "zynq7": replace(_ECP5, frame=6000),
    "ice40": _ICE40,
}


# Cells of injectors of read errors: of a layer, of a lane of the ring, of an element of the
# independent form. Packed, a design or two of each family and form; ECP5 beside those of
# rtl/README.md. On iCE40 also those of the registers, which are there only where they are needed.
_ECP5_INJECTOR = (200, 0.35, 57)
INJECTOR_CELLS = {
    "ecp5": _ECP5_INJECTOR,
    "xc7": _ECP5_INJECTOR,
    "zynq7": _ECP5_INJECTOR,
    "ice40": (300, 1.0, 62),
}
REGISTER_CELLS = {"ecp5": 0, "xc7": 0, "zynq7": 0, "ice40": 870}


def injector_cells(core: Core, layer: int, board: Board) -> float:
    """Cells of the injector of a layer, 0 for a core without."""
    if not core.injector:
        return 0.0
    fold = core.layout.folds[layer]
    own, lane, element = INJECTOR_CELLS[board.family]
    if core.injector == "independent":
        return own + element * fold.pe
    return own + lane * fold.pe * fold.simd


def total_cost(core: Core, board: Board) -> Cost:
    """Cost of a whole design: layers, link, UART and clock, and images that are kept."""
    total = Cost(LINK_BLOCKS[board.family], CELLS[board.family].frame)
    if core.engine:
        return total + _engine_cost(core, board)
    if core.injector or take_apart(core.layout).needs_registers:
        total += Cost(0, REGISTER_CELLS[board.family])
    for layer in range(len(core.layout.shapes)):
        total += layer_cost(core, layer, board)
    return total + store_cost(core, board) if core.store else total


def store_cost(core: Core, board: Board) -> Cost:
    """Cost of `stoic_store` and `stoic_tally`: images, labels that wait, and the confusion."""
    n_words = core.store * on_chip.record_words(core)
    n_classes = core.layout.shapes[-1].n_outputs
    full, last = divmod(n_words, STORE_PART)
    images = full * memory_blocks(STORE_PART, 64, board) + memory_blocks(last, 64, board)
    others = _inferred_blocks(LABELS, 8, board)
    others += _inferred_blocks(n_classes * on_chip.row_words(n_classes), 64, board)
    cells = STORE_BLOCK[board.family] * images if images else STORE_SMALL_WORD * n_words
    return Cost(images + others, STORE_CELLS + cells)


def _engine_cost(core: Core, board: Board) -> Cost:
    """Cost of a `stoic_engine`: activations of an image, thresholds, scores on their way."""
    shapes = core.layout.shapes
    firsts = {chain[0] for chain in core.chains}
    words = 2 * core.layout.n_steps(0) + len(firsts) * shapes[-1].n_outputs
    words += sum(core.layout.n_steps(i) for i in range(len(shapes)) if i not in firsts)
    width = max(s.threshold_bits for s in shapes)
    memories = [(1 << _log2(words), 16)] * (MAX_WIDTH // 16)
    n_thresholds = sum(s.n_outputs for s in shapes if s.has_thresholds)
    memories.append((take_apart(core.layout).tables * n_thresholds, width))
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
        memories.append((take_apart(layout).tables * table, shape.threshold_bits, size))
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
    cells = model.layer + fold.pe * model.pe + model.small_bit * small_bits
    cells += fold.pe * fold.simd * model.lane
    cells += fold.pe // group(core, layer) * fold.simd * model.stage_lane
    if n_planes > 1:
        cells += model.planes + model.plane_lane * fold.simd + model.plane_pe * fold.pe
    if core.windows[layer]:
        cells += model.map + model.map_bit * (map_bits(core, layer) + out_bits(core, layer))
    return Cost(block_rams, round(cells + injector_cells(core, layer, board)))


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

    On 7-series Vivado decides; this is a guess that calls few memories small.
    """
    if board.family == "ecp5":
        is_small = -(-n_words // 16) * -(-width // 4) <= LUT_CELLS
    elif board.needs_vivado:
        is_small = n_words <= LUT_WORDS
    else:
        is_small = is_fifo and n_words <= SHALLOW_FIFO
    if is_small or n_words * width <= SMALL_BITS:
        return 0
    if board.family == "ice40":
        return _ice40_blocks(n_words, width, board)
    return -(-n_words // board.ram_depth) * -(-width // board.ram_width)


def _ice40_blocks(n_words: int, width: int, board: Board) -> int:
    """Blocks of the shape that Yosys finds cheapest.

    It trades width for depth, and puts words of several rows side by side into one block; what
    chooses among the rows costs it something, too.

    Source: Yosys 0.70, `memory_libmap` (muxes count half) and `ice40/brams.txt` (a block counts
    64); what it adds for writing is left out.
    """
    costs = []
    for k in range(4):
        rows = -(-n_words // (board.ram_depth << k))
        blocks = -(-rows * width // (board.ram_width >> k))
        costs.append((64 * blocks + width * (rows - 1) / 2, blocks))
    return min(costs)[1]


def _inferred_blocks(n_words: int, width: int, board: Board) -> int:
    """As `memory_blocks`, of a `stoic_ram` of one cycle, in which Yosys trades width for depth."""
    blocks = memory_blocks(n_words, width, board, is_fifo=True)
    aspects = [(board.ram_depth << k, board.ram_width >> k) for k in range(4)]
    return min([blocks, *(-(-n_words // depth) * -(-width // w) for depth, w in aspects)])


def _log2(count: int) -> int:
    """Address bits of `count` words."""
    return (count - 1).bit_length()
