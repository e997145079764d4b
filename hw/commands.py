"""Commands that need a device or a board; each returns JSON values, which `hw/cli.py` prints."""

import io
import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..sim import faults as fault_maps
from ..sim import golden, operating_points, rows
from ..sim import network as networks
from ..sim.agreement import NONE
from ..sim.commands import NetworkFile, TableName, describe
from ..sim.container import writable, write_whole
from ..sim.device import Device
from ..sim.exceptions import BoardError, InputError
from ..sim.faults import FaultMap
from ..sim.memory import stored_bits
from ..sim.network import Network
from . import devices, inputs, settings
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

log = logging.getLogger(__name__)

Data = Annotated[str | None, typer.Option(help="Data set, e.g. fashion-mnist.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
N = Annotated[
    int | None, typer.Option("--n", min=1, max=1 << 31, help="The first so many images; all.")
]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of data sets.  [env: STOIC_DATA]")]
BoardName = Annotated[str, typer.Option(help="Board whose folding lays the bits out; or none.")]
InputFile = Annotated[
    Path | None, typer.Option("--input", metavar="X.npy", help="Images instead of --data.")
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="SCORES.npy", callback=writable)]
_PORT = "Port: /dev/ttyUSB1, a pty, socket://host:port"
Port = Annotated[str, typer.Option(help=f"{_PORT}.", show_default=False)]
Url = Annotated[str, typer.Option(help=f"{_PORT}; or virtual, to boot one.", show_default=False)]
MapFiles = Annotated[
    list[Path] | None, typer.Option("--faults", metavar="MAP.faults", help="Repeatable.")
]


def faults_sample(
    network: NetworkFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MAP.faults", callback=writable)
    ],
    errors: Annotated[
        str | None, typer.Option(help=f"One of {operating_points.legal_names()}.")
    ] = None,
    p01: Annotated[float | None, typer.Option(help="P(read 1 | stored 0).")] = None,
    p10: Annotated[float | None, typer.Option(help="P(read 0 | stored 1).")] = None,
    chip: Annotated[int, typer.Option(min=0, help="Number of the chip.")] = 0,
    event: Annotated[int, typer.Option(min=0, help="Number of the programming, or image.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the population of chips.")] = 0,
    where: Annotated[str, typer.Option(help="Kinds of memory, comma-separated.")] = "weights",
    board: BoardName = "",
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Draw the faults of one chip, for a network's memories."""
    if (errors is None) == (p01 is None and p10 is None):
        raise InputError("give either --errors NAME or --p01 and --p10")
    if errors is not None:
        point = operating_points.parse(errors)
    elif p01 is None or p10 is None:
        raise InputError("--p01 and --p10 must be given together")
    else:
        point = operating_points.from_rates(p01, p10)
    net = networks.load(network)
    layout = settings.board_layout(net, board)
    kinds = [kind.strip() for kind in where.split(",")]
    model = point.model(seed, data_root)
    stored = stored_bits(net, layout) if model.needs_data else None
    drawn = model.sample(layout, chip, kinds, event=event, stored=stored)  # type: ignore[arg-type]
    fault_maps.save(drawn, output)
    return {
        "map": output,
        "errors": point.name,
        "source": point.source,
        **({"provisional": point.provisional} if point.provisional else {}),
        **describe(drawn),
        "n_changed_bits": fault_maps.n_changed(net, drawn),
    }


def infer(
    network: NetworkFile,
    output: Output,
    data: Data = None,
    split: Split = "test",
    n: N = None,
    input_file: InputFile = None,
    device: Annotated[str, typer.Option(help=devices.LEGAL)] = "engine",
    faults: Annotated[Path | None, typer.Option(metavar="MAP.faults")] = None,
    board: BoardName = "",
    data_root: DataRoot = None,
    table: TableName = None,
) -> dict[str, Any]:
    """Write the int32 scores (images x classes) that a device gives."""
    devices.check_name(device)
    net = networks.load(network)
    chosen = net if table is None else networks.select(net, table)
    if table is None or not devices.is_hardware(device):  # that chooses at run time
        net, table = chosen, None
    images = inputs.images(net, data, split, n, input_file, data_root)
    fault_map = load_map(net, faults)
    at = settings.setting(network, net, board, tables=table is not None)
    opened = devices.open_device(device, at)
    try:
        return {
            "network": chosen.name,
            "network_sha256": chosen.sha256,
            **infer_on(opened, net, images, fault_map, output, table),
        }
    finally:
        opened.close()


def infer_on(
    device: Device,
    network: Network,
    images: inputs.Images,
    faults: FaultMap | None,
    output: Path,
    table: str | None = None,
    *,
    is_loaded: bool = False,
) -> dict[str, Any]:
    """Load unless that is done, inject, infer and write the scores; what happened as JSON."""
    if not is_loaded:
        devices.load(device, network, table)
        device.inject(faults)
    start = time.perf_counter()
    scores = device.infer(images.values)
    seconds = time.perf_counter() - start
    buffer = io.BytesIO()
    np.save(buffer, scores)
    write_whole(output, buffer.getvalue())
    result = {
        "device": device.name,
        "images": images.name,
        "n_images": len(scores),
        "faults_sha256": NONE if faults is None else faults.sha256,
        "scores": output,
        "scores_sha256": rows.scores_sha256(scores),
        "seconds": seconds,
    }
    if images.labels is not None:
        n_correct = int((golden.classify(scores) == images.labels).sum())
        result |= {"n_correct": n_correct, "accuracy": n_correct / len(scores)}
    return result


def load_map(network: Network, path: Path | None) -> FaultMap | None:
    """The map of a file, if it is of this network."""
    if path is None:
        return None
    faults = fault_maps.load(path)
    fault_maps.check_for(network, faults)
    return faults


def synth(
    network: NetworkFile,
    board: Annotated[str, typer.Option(help="Board to build for.")],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Of place and route; the board's own number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; the board's, beside NET.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
    images_per_s: ImagesPerS = None,
    latency_us: LatencyUs = None,
    smallest: Smallest = False,
    injector: Injector = "",
    tables: HoldTables = False,
    images_on_chip: ImagesOnChip = "",
    clock: Clock = "",
) -> dict[str, Any]:
    """Build a bitstream of a network for a board: synthesis, place and route, figures.

    Where the board needs Vivado and there is none, write the project that makes it.
    """
    from . import clock as clocks
    from . import fold, plan, vivado
    from . import synth as flow
    from .flows.vivado import find_vivado

    wish = wished(smallest, images_per_s, latency_us)
    chosen = clocks.board_at(board, clock, wish)
    net = networks.load(network)
    core = designed(net, chosen, wish, injector, tables, images_on_chip)
    log.info("%s", plan.plan(core, chosen, wish).line())
    if core.store:
        log.info("%s keeps %d images on the chip", board, core.store)
    numbers = range(1, (seeds or chosen.seeds) + 1)
    folder = clocks.folder_of(out or network.parent / board, chosen)
    if chosen.needs_vivado and len(numbers) == 1 and find_vivado() is None:
        design = flow.Design(net.name, core, chosen, vivado.sources_of(core, chosen))
        project = vivado.write_project(design, folder)
        log.warning("Vivado is not on PATH; wrote its project, %s", project.to_do)
        return {
            "network": net.name,
            "board": board,
            "project": project.folder,
            "run": " ".join(project.command),
            "bitstream": None,
            "predicted": asdict(fold.predict(core, chosen)),
        }
    made = clocks.build(net.name, core, chosen, clock, folder, numbers, jobs)
    return {**made.row(), "folder": made.bitstream.parent}


def virtual(
    network: NetworkFile,
    board: BoardName = "",
    url: Annotated[str, typer.Option(help="tcp, tcp:PORT, pty or pty:LINK.")] = "tcp",
    baud: Annotated[int, typer.Option(min=0, help="Imitate the speed of a UART; 0: none.")] = 0,
    latency_ms: Annotated[
        float, typer.Option(min=0, help="Imitate the latency timer of its USB chip.")
    ] = 0.0,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="The netlist that is placed, not the RTL; slow.")
    ] = False,
    images_per_s: ImagesPerS = None,
    latency_us: LatencyUs = None,
    smallest: Smallest = False,
    injector: Injector = "",
    tables: HoldTables = False,
    images_on_chip: ImagesOnChip = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Boot a virtual board for a network, print its URL, and run it until Ctrl-C."""
    from . import boards, virtual_device
    from . import images_on_chip as images
    from .virtual import DEFAULT_CLOCK_HZ, Speed

    net, form = networks.load(network), injector_form(injector)
    wish = wished(smallest, images_per_s, latency_us)
    at = settings.setting(network, net, board, tables=tables, wish=wish, injector=form)
    chosen = boards.load(board) if board else None
    clock_hz = chosen.core_hz if chosen else DEFAULT_CLOCK_HZ

    def tell(speed: Speed) -> None:
        log.info(
            "%d cycles, %.3g MHz: %.3g of real time at %g MHz",
            *(speed.cycles, speed.cycles / speed.busy_s / 1e6),
            *(speed.of_real_time(clock_hz), clock_hz / 1e6),
        )

    def start(url: str, pid: int) -> None:
        values = {"url": url, "pid": pid, "board": board or None}
        typer.echo(json.dumps(values) if as_json else url)
        sys.stdout.flush()

    if netlist:
        if baud or latency_ms:
            raise InputError("a netlist has no line whose speed or latency could be imitated")
        if images_on_chip:
            raise InputError("images on the chip are served of the RTL, without --netlist")
        from .virtual_netlist import serve_netlist

        serve_netlist(at, url, start, tell)
        return
    core = images.with_images(settings.hardware(at), images_on_chip, chosen)
    with virtual_device.boot(core, chosen, url=url, baud=baud, latency_ms=latency_ms) as running:
        if core.store:
            log.info("%s keeps %d images on the chip", board or "it", core.store)
        start(running.url, running.pid)
        status = running.wait(tell)
    raise BoardError(f"the virtual board at {running.url} ended with status {status}")


def doctor(data_root: DataRoot = None) -> dict[str, Any]:
    """Say which tools, packages and data are here, and how to get what is missing."""
    from .doctor import examine

    return examine(data_root)
