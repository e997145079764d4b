"""Foldings that FINN takes: PE divides the rows, SIMD the columns, SIMD >= columns / 1024.

As in our own planner the slowest layer is widened again and again, here until the lanes of a board
are spent. A lane on uint8 counts eight times.
"""

from math import ceil

from ..sim.exceptions import InputError
from ..sim.layers import Layer
from ..sim.memory import MAX_WIDTH, Fold
from ..sim.network import Network

# Boards of FINN's builder (build_dataflow_config.json, key `board`) and lanes that a layer may have
# in all: about one for each six LUTs of the part's logic, a rule of thumb, not a measured one.
BOARDS = {
    "Pynq-Z1": 4_000,
    "Pynq-Z2": 4_000,
    "Ultra96": 6_000,
    "Ultra96-V2": 6_000,
    "ZCU102": 24_000,
    "ZCU104": 20_000,
    "ZCU111": 40_000,
    "RFSoC2x2": 40_000,
    "RFSoC4x2": 40_000,
    "KV260_SOM": 10_000,
}
_MAX_LINE = 1024  # bits of a weight memory's line; wider ones route badly


def fold(network: Network, board: str) -> tuple[Fold, ...]:
    """A folding of each layer.

    Raises:
        InputError: a board that is not in BOARDS.
    """
    if board not in BOARDS:
        raise InputError(f"board must be one of {', '.join(BOARDS)}, not {board!r}")
    folds = [_least(layer) for layer in network.layers]
    steps = [_steps(layer) for layer in network.layers]
    while True:
        cycles = [_cycles(la, f) for la, f in zip(network.layers, folds, strict=True)]
        slowest = cycles.index(max(cycles))
        wider = [
            f for f in steps[slowest] if f.pe * f.simd > folds[slowest].pe * folds[slowest].simd
        ]
        if not wider:
            return tuple(folds)
        tried = [*folds[:slowest], wider[0], *folds[slowest + 1 :]]
        spent = sum(_lanes(la, f) for la, f in zip(network.layers, tried, strict=True))
        if spent > BOARDS[board]:
            return tuple(folds)
        folds = tried


def cycles_per_image(network: Network, folds: tuple[Fold, ...]) -> int:
    """Cycles of the slowest layer, which is what a full pipeline takes for an image."""
    return max(_cycles(la, f) for la, f in zip(network.layers, folds, strict=True))


def _cycles(layer: Layer, fold: Fold) -> int:
    return layer.n_windows * layer.n_outputs * layer.n_inputs // (fold.pe * fold.simd)


def _lanes(layer: Layer, fold: Fold) -> int:
    return fold.pe * fold.simd * (8 if layer.input == "uint8" else 1)


def _least(layer: Layer) -> Fold:
    return Fold(1, next(s for s in _divisors(layer.n_inputs) if s * 1024 >= layer.n_inputs))


def _steps(layer: Layer) -> list[Fold]:
    """Legal foldings, of each product the squarest, from narrow to wide."""
    best: dict[int, Fold] = {}
    for simd in _divisors(layer.n_inputs):
        if not ceil(layer.n_inputs / 1024) <= simd <= MAX_WIDTH:
            continue
        for pe in _divisors(layer.n_outputs):
            if pe * simd > _MAX_LINE:
                continue
            other = best.get(pe * simd)
            if other is None or abs(simd - pe) < abs(other.simd - other.pe):
                best[pe * simd] = Fold(pe, simd)
    return [best[product] for product in sorted(best)]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
