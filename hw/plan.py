"""What a core will do on a board, what bounds it and what would help: said before any tool runs.

Cycles are exact for dense layers and within 1 % for convolutions (`tests/test_rtl_conv.py`), block
memories counted, cells a fit (`fold`, `cost`), latencies upper estimates.
"""

from dataclasses import dataclass, replace
from typing import Any

from ..sim.core import Core, image_bytes, image_cycles, unit_cycles
from ..sim.memory import MAX_WIDTH, Fold, Layout
from . import boards, images_on_chip
from .boards import Board
from .cost import layer_cost
from .fold import Prediction, candidates, fold, lacks, overruns, predict, room_of
from .link import OVERHEAD_BYTES
from .wish import FASTEST, Wish, latency_us

BITS_OF_A_BYTE = 10  # on a UART: start, 8, stop
MEMORIES, CELLS, BYTES, LINK = "memory bandwidth", "logic cells", "input bytes", "link"


@dataclass(frozen=True)
class Plan:
    """A core on a board, before synthesis.

    Attributes:
        slowest: unit that sets the cycles per image: "layer 0", "input", "planes 0", ...
        core_bound: why the core is no faster.
        link_images_per_s: that the UART carries at most, 0.0 where there is none.
    """

    core: Core
    board: Board
    wish: Wish
    told: Prediction
    slowest: str
    core_bound: str
    link_images_per_s: float

    @property
    def images_per_s(self) -> float:
        """Of the core, at the board's clock."""
        return self.board.core_hz / self.told.cycles_per_image

    @property
    def bound(self) -> str:
        """Of core and link the one that is slower."""
        is_link = 0 < self.link_images_per_s < self.images_per_s
        return LINK if is_link else self.core_bound

    def line(self) -> str:
        """In one line, for a log."""
        told, board = self.told, self.board
        if self.link_images_per_s:
            link = f"; its UART carries {self.link_images_per_s:,.0f}"
        else:
            link = ""
        return (
            f"plan: {self.images_per_s:,.0f} images/s at {board.core_hz / 1e6:g} MHz, bound by "
            f"{self.core_bound} ({self.slowest}, {told.cycles_per_image:,} cycles){link}; "
            f"{told.block_rams_predicted} of {board.ram_count} {board.ram_kind}, "
            f"{told.cells_predicted:,} cells of {room_of(board):,} that may be taken"
        )


def plan(core: Core, board: Board, wish: Wish = FASTEST) -> Plan:
    """The plan of a core that `fold` chose by a wish."""
    units = unit_cycles(core)
    slowest = max(units, key=lambda unit: (units[unit], unit.startswith("layer")))
    return Plan(
        core=core,
        board=board,
        wish=wish,
        told=predict(core, board),
        slowest=slowest,
        core_bound=_core_bound(core, board, wish, slowest),
        link_images_per_s=_link_images_per_s(core, board),
    )


def _core_bound(core: Core, board: Board, wish: Wish, slowest: str) -> str:
    kind = slowest.split()[0]
    if kind in ("input", "planes"):
        return BYTES
    if kind == "engine":
        return MEMORIES
    if kind != "layer":
        return f"the slowest unit, {slowest}"
    if wish != FASTEST:
        return "the wish"
    faster = [c for c in candidates(_unfolded(core), board) if image_cycles(c) < image_cycles(core)]
    if not faster:
        return f"the slowest layer, {slowest}"
    memories, cells = min((overruns(c, board) for c in faster), key=max)
    return MEMORIES if memories >= cells else CELLS


def _unfolded(core: Core) -> Core:
    """As `core_of` makes it of the network, so that it is folded to the same again."""
    layout = Layout(core.layout.shapes, (Fold(1, MAX_WIDTH),) * len(core.layout.shapes))
    return replace(core, layout=layout, engine=False, store=0)


def _link_images_per_s(core: Core, board: Board) -> float:
    if not board.has_uart:
        return 0.0
    n_classes = core.layout.shapes[-1].n_outputs
    request = image_bytes(core) + OVERHEAD_BYTES
    answer = 4 * n_classes + 2 + OVERHEAD_BYTES  # scores, status and class
    return board.baud / BITS_OF_A_BYTE / max(request, answer)


def others_for(core: Core, board: Board) -> list[str]:
    """Boards that a folding for this board fits, where none fits this one."""
    cores = candidates(core, board)
    loaded = (boards.load(name) for name in boards.names())
    return [b.name for b in loaded if any(not lacks(core, b) for core in cores)]


def change(found: Plan) -> str:
    """What would make it faster, in a line or two."""
    core, board, advice = found.core, found.board, list[str]()
    on_bytes = core.layout.shapes[0].input == "uint8"
    if found.bound == LINK:
        rate = int(found.link_images_per_s)
        advice.append(f"streamed images need no more than --images-per-s {rate}")
        fit = 0 if core.engine or board.needs_vivado else images_on_chip.most(core, board)
        if fit and not core.store:
            advice.append(f"--images-on-chip max keeps {fit} of them, for campaigns")
    elif found.core_bound == BYTES:
        advice.append("fewer bytes an image: smaller images" + " or bits" * on_bytes)
    elif found.core_bound == "the wish":
        fastest = board.core_hz / image_cycles(fold(_unfolded(core), board))
        advice.append(f"nothing; without the wish it would be {fastest:,.0f} images/s")
    elif core.engine:
        advice.append("fewer weights, or a board on which its layers stand side by side")
    elif found.core_bound == MEMORIES:
        again = ", which on uint8 are read 8 times an image" * on_bytes
        advice.append(f"a board of more {board.ram_kind}, or fewer weights{again}")
    elif found.core_bound == CELLS:
        advice.append(f"a board of more logic cells, or fewer weights in {found.slowest}")
    else:
        advice.append(f"fewer inputs, neurons or windows in {found.slowest}")
    return "; ".join(advice)


def row(found: Plan) -> dict[str, Any]:
    """The plan as JSON values."""
    core, board, told = found.core, found.board, found.told
    units = unit_cycles(core)
    layers = [
        {
            "layer": i,
            "simd": fold.simd,
            "pe": fold.pe,
            "cycles": told.layer_cycles[i],
            **({} if core.engine else _cost_row(core, i, board)),
        }
        for i, fold in enumerate(core.layout.folds)
    ]
    return {
        "board": board.name,
        "wish": str(found.wish),
        "fits": True,
        "engine": core.engine,
        "injector": core.injector,
        "images_on_chip": core.store,
        "clock_mhz": board.core_hz / 1e6,
        "cycles_per_image": told.cycles_per_image,
        "images_per_s": round(found.images_per_s),
        "latency_us_at_most": round(latency_us(core, board), 2),
        "link_images_per_s": round(found.link_images_per_s) or None,
        "slowest": found.slowest,
        "core_bound": found.core_bound,
        "bound": found.bound,
        "change": change(found),
        "bandwidth_share": told.bandwidth_share,
        "memory": board.ram_kind,
        "memories": told.block_rams_predicted,
        "memories_available": board.ram_count,
        "cells": told.cells_predicted,
        "cells_room": room_of(board),
        "cells_available": board.luts,
        "layers": layers,
        "other_units": [
            {"unit": unit, "cycles": n} for unit, n in units.items() if not unit.startswith("layer")
        ],
    }


def _cost_row(core: Core, layer: int, board: Board) -> dict[str, int]:
    cost = layer_cost(replace(core, store=0), layer, board)
    return {"memories": cost.block_rams, "cells": cost.cells}
