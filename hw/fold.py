"""The folding planner: PE and SIMD of every layer for a board, and what they cost there.

Layers work at the same time on different images, so the slowest one sets the cycles per image
(`core.image_cycles`). A block memory gives at most `ram_width` bits a cycle, so weights kept
there are never read faster than the weight-bandwidth bound: weight bits read per image (under uint8
input once for each of 8 bit planes) / bits that all block memories of the board give in a cycle.
Only banks of a few words, which are distributed memory or registers, can beat it.

What a folding takes of the board, `cost.py` says.

On a UP5K one engine for all layers (`sim.rtl_engine`), whose weights stand in its single-port
memories, takes the place of units side by side where these do not fit, or cost more than is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..sim.core import (
    Core,
    feed_cycles,
    image_cycles,
    in_bits,
    layer_cycles,
    map_bits,
    n_windows,
    planes,
)
from ..sim.exceptions import InputError
from ..sim.injector import MAX_INDEPENDENT
from ..sim.memory import MAX_WIDTH, Fold, Layout, Shape
from ..sim.rtl_engine import check_engine
from .boards import Board
from .cost import Cost, layer_cost, total_cost
from .wish import FASTEST, Wish, latency_us

# of the logic cells; above, routing seldom ends well (7-series: careful, none was routed)
MAX_FILL = {"ecp5": 0.85, "ice40": 0.88, "xc7": 0.7, "zynq7": 0.7}


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


def fold(core: Core, board: Board, wish: Wish = FASTEST) -> Core:
    """The core in a folding that fits the board and does what is wished; by default the fastest.

    No layer is faster than the slowest needs. One engine for all layers is taken where no folding
    fits, or where it does what is wished for less.

    Args:
        core: in any folding; words as wide as its own between two layers are tried, too.
        wish: what the folding is chosen for; the cheapest that does it is enough.

    Raises:
        InputError: no folding fits, or none does what is wished; the message names what is short.
    """
    fitting = foldings(core, board)
    if wish == FASTEST:
        side_by_side = [folded for folded in fitting if not folded.engine]
        return min(
            side_by_side or fitting,
            key=lambda c: (image_cycles(c), _share(total_cost(c, board), board)),
        )
    enough = [folded for folded in fitting if wish.is_met(folded, board)]
    if not enough:
        raise InputError(_unmet(fitting, board, wish))
    return min(enough, key=lambda folded: _share(total_cost(folded, board), board))


def _unmet(fitting: Sequence[Core], board: Board, wish: Wish) -> str:
    if wish.images_per_s is not None:
        asked = f"{wish.images_per_s:g} images/s"
        most = f"the fastest gives {board.core_hz / min(map(image_cycles, fitting)):.0f}"
    else:
        least = min(latency_us(folded, board) for folded in fitting)
        asked = f"{wish.latency_us:g} us from image to score"
        most = f"the quickest takes at most {least:.4g}"
    return (
        f"no folding that fits {board.name} reaches {asked}; {most} at {board.core_hz / 1e6:g} MHz"
    )


def foldings(core: Core, board: Board) -> tuple[Core, ...]:
    """Every core that `fold` may choose: of each speed the cheapest folding, if it fits.

    The last may be one engine.

    Raises:
        InputError: none fits; the message names what is short.
    """
    cores = candidates(core, board)
    fitting = [folded for folded in cores if not lacks(folded, board)]
    if engine := on_one_engine(core, board):
        fitting.append(engine)
    if not fitting:
        nearest = min(cores, key=lambda folded: max(overruns(folded, board)))
        raise InputError(f"no folding fits: the cheapest {lacks(nearest, board)}")
    return tuple(fitting)


@lru_cache(maxsize=64)  # a command that folds also looks which folding a board was built for
def candidates(core: Core, board: Board) -> tuple[Core, ...]:
    """Of each speed, fastest first, the cheapest core of units side by side, fit it or not."""
    options = [_options(core, i, board) for i in range(len(core.layout.shapes))]
    limits = {f.cycles for layer in options for f in layer}
    found = (_within(core, options, limit, board) for limit in sorted(limits))
    return tuple(dict.fromkeys(folded for folded in found if folded))


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
    if core.injector == "independent":
        pes = {pe for pe in pes if pe <= MAX_INDEPENDENT}
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
        core = Core(Layout((shape, below[0]), (fold, below[1])), injector=layer.injector)
    else:
        core = replace(layer, layout=Layout((shape,), (fold,)))
    return layer_cycles(core, 0), _share(layer_cost(core, 0, board), board)


def _share(cost: Cost, board: Board) -> float:
    """How much of the board a cost takes; cells count twice, each costs time to place and route."""
    return cost.block_rams / board.ram_count + 2 * cost.cells / board.luts


def overruns(core: Core, board: Board) -> tuple[float, float]:
    """Block memories, and logic cells, needed / those that there are; above 1 it does not fit."""
    cost = total_cost(core, board)
    return cost.block_rams / board.ram_count, cost.cells / room_of(board)


def room_of(board: Board) -> int:
    """Logic cells of a board that a design may take."""
    return int(board.luts * MAX_FILL[board.family])


def lacks(core: Core, board: Board) -> str:
    """What the board has least of for this core, "" when it fits."""
    cost = total_cost(core, board)
    memories, cells = overruns(core, board)
    if max(memories, cells) <= 1:
        return ""
    if memories >= cells:
        return f"needs {cost.block_rams} {board.ram_kind}, {board.name} has {board.ram_count}"
    return f"needs {cost.cells} logic cells, {board.name} has room for {room_of(board)}"
