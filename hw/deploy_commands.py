"""The commands `deploy` and `board program`: bitstreams into boards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim.commands import NetworkFile, load_network
from ..sim.exceptions import BoardError
from . import boards, devices, lab, probe, programming, top
from . import clock as clocks
from .board_commands import identity_row, load_row
from .design_options import (
    Clock,
    HoldTables,
    ImagesOnChip,
    ImagesPerS,
    Injector,
    LatencyUs,
    Smallest,
    designed,
    wished,
)
from .device import BoardDevice

ProgrammedBoard = Annotated[str, typer.Option(help="Board to program.", show_default=False)]


def deploy(
    network: NetworkFile,
    board: ProgrammedBoard,
    url: Annotated[
        str | None, typer.Option(help="Port of its UART; that with the board's USB chip.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; the board's, beside NET.")] = None,
    note: lab.Notes = None,
    log: lab.LogFile = None,
    images_per_s: ImagesPerS = None,
    latency_us: LatencyUs = None,
    smallest: Smallest = False,
    injector: Injector = "",
    tables: HoldTables = False,
    images_on_chip: ImagesOnChip = "",
    clock: Clock = "",
) -> dict[str, Any]:
    """Build if need be, program the board, write the network and read it back."""
    wish = wished(smallest, images_per_s, latency_us)
    chosen, net = clocks.board_at(board, clock, wish), load_network(network, None)
    log = lab.opened(log or network.parent / lab.FILE)
    devices.line_speed(board)
    programming.find_program(chosen)  # asked now, not after the synthesis, as is the port
    if url is not None and url.startswith("/") and not Path(url).exists():
        raise BoardError(f"{url}: no such port; plug the board in or correct the path")
    core = designed(net, chosen, wish, injector, tables, images_on_chip)
    folder = clocks.folder_of(out or network.parent / board, chosen)
    made = clocks.build(net.name, core, chosen, clock, folder)
    command = programming.program(made.bitstream, chosen)
    clock_hz = round(made.clock_mhz_asked * 1e6)
    build = top.build_id(core, clock_hz=clock_hz, target=chosen.target)

    def is_it(port: str) -> bool:
        try:
            return probe.identify(port, chosen.baud).build == build
        except BoardError:
            return False

    port = url or programming.port_of(chosen, is_it)
    device = BoardDevice(port, core, baud=chosen.baud)
    try:
        if device.identity.build != build:
            raise BoardError(
                f"{port}: runs build {device.identity.build.hex()[:12]}, programmed was "
                f"{build.hex()[:12]}; it is another board, or did not take the bitstream"
            )
        row = {
            "board": board,
            "url": port,
            "bitstream": str(made.bitstream),
            "bitstream_sha256": made.bitstream_sha256,
            "programmed_with": " ".join(command),
            **load_row(device, net),
        }
        lab.write(log, "deploy", device.identity, note, row)
        return {**row, **identity_row(device.identity), "lab_log": log}
    finally:
        device.close()


def program(
    bitstream: Annotated[Path, typer.Argument(metavar="BITSTREAM", show_default=False)],
    board: ProgrammedBoard,
) -> dict[str, Any]:
    """Load a bitstream into a board."""
    command = programming.program(bitstream, boards.load(board))
    return {"board": board, "bitstream": bitstream, "programmed_with": " ".join(command)}
