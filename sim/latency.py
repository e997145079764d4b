"""How long one image is inside an idle core, at most: an upper estimate by the cycle model.

A chain of dense layers is followed cycle by cycle as the headers of its units say. Around
convolutions every unit is counted as if it began when the one before it is done, although they
overlap; there the estimate is loose.
"""

import math

from .core import Core, engine_cycles, feed_cycles, group, layer_cycles, n_windows, unit_cycles
from .exceptions import InputError

_MVU = 16  # of `stoic_mvu`, beside its folds, its stages and its leaves of fifteen lanes
_INJECTOR = 4  # that stand before the leaves of an element
_UNIT = 16  # of a unit that feeds or pools: its pipeline, and a FIFO or a skid behind it
_ENDS = 24  # of the scores, of a member's sum, and of what begins and ends an image


def latency_cycles(core: Core) -> int:
    """Cycles, at most, from the first beat of an image into an idle core to its last score.

    Raises:
        InputError: images come side by side, so none is alone.
    """
    if core.side_by_side > 1:
        raise InputError(f"an image is alone where B is 1, not {core.side_by_side}")
    units = unit_cycles(core)
    if core.engine:
        return units["input"] + engine_cycles(core) + _ENDS
    n_sums = core.layout.shapes[-1].n_outputs if len(core.chains) > 1 else 0
    return max(_chain_cycles(core, chain, units) for chain in core.chains) + n_sums + _ENDS


def _chain_cycles(core: Core, chain: range, units: dict[str, int]) -> int:
    total = 0
    for i in chain:
        feed = feed_cycles(core, i, core.layout.folds[i].simd)
        feeds = [n + _UNIT for n in feed.values()]
        if i == chain[0]:
            # the feed of a dense layer takes what comes at once, and words behind it
            feeds = [max([units["input"], *feeds])] if not core.windows[i] else feeds
            total += units["input"] if core.windows[i] else 0
        total += sum(feeds) + _layer_cycles(core, i)
        if core.windows[i]:
            total += units[f"pool {i}"] + _UNIT
    return total


def _layer_cycles(core: Core, layer: int) -> int:
    """From the last word that comes to the last one that leaves; of windows, from the first."""
    fold = core.layout.folds[layer]
    stages = fold.pe // group(core, layer)
    leaves = math.ceil(math.log2(-(-fold.simd // 15))) if fold.simd > 15 else 0
    behind = 2 * stages + leaves + _MVU + (_INJECTOR if core.injector else 0)
    if n_windows(core, layer) > 1:  # results of a window may wait for those of the one before it
        behind += 2 * stages + core.layout.shapes[layer].n_outputs
    return layer_cycles(core, layer) + behind
