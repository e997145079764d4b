"""Options of `plan`, `synth`, `deploy`, `virtual` that decide a design, and the core they make."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..sim.core import FORMS, Core, Form, core_of
from ..sim.exceptions import InputError
from ..sim.injector import check_injectors
from ..sim.network import Network
from . import settings

if TYPE_CHECKING:
    from .boards import Board
    from .wish import Wish

ImagesPerS = Annotated[
    float | None,
    typer.Option("--images-per-s", metavar="N", help="The smallest folding that takes in so many."),
]
LatencyUs = Annotated[
    float | None,
    typer.Option("--latency-us", metavar="N", help="The smallest in which no image is longer."),
]
Smallest = Annotated[
    bool, typer.Option("--smallest", help="The smallest folding; by default the fastest.")
]
Injector = Annotated[
    str, typer.Option(metavar="FORM", help="Injectors of read errors: ring or independent.")
]
HoldTables = Annotated[
    bool, typer.Option("--tables", help="Hold all threshold tables; one is chosen at run time.")
]
Clock = Annotated[
    str,
    typer.Option(
        "--clock",
        metavar="MHZ|auto",
        help="Clock of the design, the board's; auto: what timing reaches, with margin.",
    ),
]
ImagesOnChip = Annotated[
    str,
    typer.Option(
        "--images-on-chip", metavar="N|max", help="Room for images in block memory that is left."
    ),
]


def wished(smallest: bool, images_per_s: float | None, latency_us: float | None) -> "Wish":
    """The wish that the options say.

    Raises:
        InputError: they say more than one, or a number is not above 0.
    """
    from .wish import Wish

    return Wish(smallest, images_per_s, latency_us)


def injector_form(name: str) -> Form | None:
    """The form of injectors of that name; None for "", which is none.

    Raises:
        InputError: there is none of that name.
    """
    for form in FORMS:
        if name == form:
            return form
    if name:
        raise InputError(f"--injector must be {' or '.join(FORMS)}, not {name!r}")
    return None


def designed(
    network: Network,
    board: "Board",
    wish: "Wish",
    injector: str = "",
    tables: bool = False,
    images_on_chip: str = "",
) -> Core:
    """The core that the options make of a network.

    Raises:
        InputError: it does not fit the board, or options are illegal or do not go together.
    """
    from . import fold
    from . import images_on_chip as images

    core = replace(core_of(network), injector=injector_form(injector))
    core = fold.fold(core, board, wish)
    if tables:
        core = settings.with_tables(core, len(network.tables))
        if short := fold.lacks(core, board):
            raise InputError(
                f"with its {len(network.tables)} threshold tables {network.name} {short}"
            )
    if core.injector:
        check_injectors(core)
    return images.with_images(core, images_on_chip, board)
