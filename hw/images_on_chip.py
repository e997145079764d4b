"""How many images fit on a chip beside a core, and the core that keeps them: before any synthesis.

A folding is chosen first, as if there were none; images take block memories that it leaves.
"""

import re
import reprlib
from dataclasses import replace

from ..sim import on_chip
from ..sim.core import Core, image_bytes
from ..sim.exceptions import InputError
from .boards import Board
from .cost import total_cost
from .fold import lacks
from .top_images import check

MOST = "max"


def most(core: Core, board: Board) -> int:
    """Images that fit beside a core; 0 where there is no room for one."""
    low, high = 0, on_chip.MAX_WORDS // on_chip.record_words(core)
    while low < high:
        middle = (low + high + 1) // 2
        if lacks(replace(core, store=middle), board):
            high = middle - 1
        else:
            low = middle
    return low


def with_images(core: Core, wish: str, board: Board | None) -> Core:
    """The core that keeps images: as many as wished, or `max`, as many as fit.

    Args:
        wish: a number, or MOST; "" for none.
        board: whose block memories they take; None: of no board, which has room for all that the
            host addresses.

    Raises:
        InputError: not a number, or so many do not fit; the message says how many do.
    """
    if not wish:
        return replace(core, store=0)
    if wish != MOST and not (re.fullmatch("[0-9]{1,9}", wish) and int(wish)):
        shown = reprlib.repr(wish)
        raise InputError(f"--images-on-chip must be a number from 1 or {MOST}, not {shown}")
    if board is None:
        if wish == MOST:
            raise InputError(f"--images-on-chip {MOST} needs a board, whose memories they fill")
        return _addressed(replace(core, store=int(wish)))
    if board.needs_vivado:
        raise InputError(f"images are kept on chips that the open tools build, not on {board.name}")
    fit = most(core, board)
    n = fit if wish == MOST else int(wish)
    if not 0 < n <= fit:
        left = max(0, board.ram_count - total_cost(replace(core, store=0), board).block_rams)
        asked = "" if wish == MOST else f", not {n}"
        raise InputError(
            f"{board.name} has room for {fit} images of {image_bytes(core)} bytes beside this "
            f"folding{asked}: it leaves {left} {board.ram_kind}"
        )
    return _addressed(replace(core, store=n))


def _addressed(core: Core) -> Core:
    check(core)
    return core
