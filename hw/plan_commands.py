"""The command `plan`: what a network takes of a board and does there, before any tool runs."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from ..sim.commands import NetworkFile, load_network
from ..sim.core import core_of
from ..sim.exceptions import InputError
from . import clock as clocks
from . import plan as planner
from .design_options import (
    Clock,
    HoldTables,
    ImagesOnChip,
    ImagesPerS,
    Injector,
    LatencyUs,
    Smallest,
    designed,
    injector_form,
    wished,
)
from .fold import foldings


def plan(
    network: NetworkFile,
    board: Annotated[str, typer.Option(help="Board to plan for.")],
    images_per_s: ImagesPerS = None,
    latency_us: LatencyUs = None,
    smallest: Smallest = False,
    injector: Injector = "",
    tables: HoldTables = False,
    images_on_chip: ImagesOnChip = "",
    clock: Clock = "",
) -> dict[str, Any]:
    """Say what a network takes of a board and does there, what bounds it, and what would help."""
    if clock == clocks.AUTO:
        raise InputError("what timing reaches is known after place and route: stoic synth")
    wish = wished(smallest, images_per_s, latency_us)
    chosen, net = clocks.board_at(board, clock, wish), load_network(network, None)
    core = replace(core_of(net), injector=injector_form(injector))
    try:
        foldings(core, chosen)
    except InputError as refusal:
        others = ", ".join(planner.others_for(core, chosen))
        raise InputError(f"{refusal}; it fits {others or 'no board of the kit'}") from refusal
    core = designed(net, chosen, wish, injector, tables, images_on_chip)
    return {"network": net.name, **planner.row(planner.plan(core, chosen, wish))}
