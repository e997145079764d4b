"""Commands that drive a board behind a port, real or virtual: only `--url` tells them apart."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..sim import agreement, campaign, registers
from ..sim.agreement import N_MUTANT_IMAGES, Comparison, Scores
from ..sim.commands import NetworkFile, TableName, load_network
from ..sim.exceptions import BoardError, InputError, ToolError
from ..sim.hardware import written
from ..sim.memory import bank_words
from ..sim.network import Network
from ..sim.registers import Count
from . import (
    agree_commands,
    board_campaign,
    boards,
    commands,
    devices,
    inputs,
    lab,
    probe,
    programming,
    settings,
)
from .commands import BoardName, Data, DataRoot, InputFile, MapFiles, N, Output, Port, Split, Url
from .device import BoardDevice
from .link import Identity
from .wish import wish_of

_log = logging.getLogger(__name__)


def list_() -> dict[str, Any]:
    """List the boards that the kit knows, and the ports and cables of this machine."""
    known = [boards.load(name) for name in boards.names()]
    try:
        cables, loader = programming.cables(), programming.find_loader()
    except (ToolError, BoardError) as error:
        cables, loader = [], str(error)
    return {
        "boards": [
            {
                "name": board.name,
                "title": board.title,
                "device": board.device,
                "core_mhz": board.core_hz / 1e6,
                "luts": board.luts,
                "block_rams": board.ram_count,
                "built_by": "Vivado" if board.needs_vivado else "yosys, nextpnr",
                "usb": ", ".join(board.usb),
                "program": " ".join(board.program) if board.has_uart else "pynq's Overlay",
            }
            for board in known
        ],
        "ports": programming.ports(),
        "cables": cables,
        "loader": loader,
    }


def identify(
    url: Port, board: Annotated[str, typer.Option(help="Whose baud rate the line has.")] = ""
) -> dict[str, Any]:
    """Ask a board what it is: protocol, build, layout, clock."""
    baud = devices.line_speed(board)
    return {"url": url, **identity_row(probe.identify(url, baud))}


def load(
    network: NetworkFile,
    url: Url,
    note: lab.Notes = None,
    log: lab.LogFile = None,
    board: BoardName = "",
    table: TableName = None,
) -> dict[str, Any]:
    """Write a network into a board and read every word back."""
    net = load_network(network, table)
    log = lab.opened(log or network.parent / lab.FILE)
    device, run = _open(url, network, board, net), _run_of(url, board, network, net)
    try:
        with lab.line(log, "load", device.identity, note, run) as said:
            row = load_row(device, net)
            said.update(row)
        return {"url": url, **identity_row(device.identity), **row, "lab_log": log}
    finally:
        device.close()


def infer(
    network: NetworkFile,
    url: Url,
    output: Output,
    data: Data = None,
    split: Split = "test",
    n: N = None,
    input_file: InputFile = None,
    faults: Annotated[Path | None, typer.Option(metavar="MAP.faults")] = None,
    held: Annotated[
        bool, typer.Option("--held", help="The board holds the network: read it, write nothing.")
    ] = False,
    note: lab.Notes = None,
    log: lab.LogFile = None,
    board: BoardName = "",
    data_root: DataRoot = None,
    table: TableName = None,
) -> dict[str, Any]:
    """Write the int32 scores (images x classes) that a board gives."""
    if held and (faults is not None or table is not None):
        raise InputError("--held takes a board as it is; --faults and --table change it")
    net = load_network(network, table)
    images = inputs.images(net, data, split, n, input_file, data_root)
    fault_map = commands.load_map(net, faults)
    log = lab.opened(log or network.parent / lab.FILE)
    device, run = _open(url, network, board, net), _run_of(url, board, network, net)
    try:
        with lab.line(log, "infer", device.identity, note, run) as said:
            if held:
                device.adopt(net)
            row = commands.infer_on(device, net, images, fault_map, output, is_loaded=held)
            said.update(row)
    finally:
        device.close()
    return {"network": net.name, "network_sha256": net.sha256, **row, "lab_log": log}


def selftest(
    network: NetworkFile,
    url: Url,
    faults: MapFiles = None,
    data: Data = None,
    split: Split = "test",
    n: N = None,
    input_file: InputFile = None,
    campaign_file: Annotated[
        Path | None,
        typer.Option("--campaign", metavar="FILE.toml", help="Run this one too, of this network."),
    ] = None,
    note: lab.Notes = None,
    log: lab.LogFile = None,
    board: BoardName = "",
    data_root: DataRoot = None,
    table: TableName = None,
) -> dict[str, Any]:
    """Write a network, read it back, and compare all scores with golden's, also under faults.

    So is what the board's registers counted of them, where it has any.

    Without --data and --input the images are random.
    """
    if table is not None and campaign_file is not None:
        raise InputError("a campaign runs a network's own thresholds; give --table or --campaign")
    net = load_network(network, table)
    plan = None
    if campaign_file is not None:
        plan = campaign.load(campaign_file, data_root)
        plan = replace(plan, models=(str(network),), board=board or plan.board)
        if wish_of(plan.wish).needs_board and not plan.board:
            raise InputError(f"wish {plan.wish!r} needs a board; give --board")
    log = lab.opened(log or network.parent / lab.FILE)
    if data is None and input_file is None:
        images = inputs.random_images(net, n or N_MUTANT_IMAGES)
    else:
        images = inputs.images(net, data, split, n, input_file, data_root)
    maps = [None, *(commands.load_map(net, path) for path in faults or [])]
    few = images.values[:N_MUTANT_IMAGES]
    mutants = agreement.find_mutants(net, next((m for m in maps if m and m.n_faults), None), few)
    reference = agreement.reference_scores(net, maps, images.values)
    device, run = _open(url, network, board, net), _run_of(url, board, network, net)
    try:
        with lab.line(log, "selftest", device.identity, note, run) as said:
            loaded = load_row(device, net)
            start = time.perf_counter()
            with _counting(device, reference) as counts:
                comparisons = agreement.agree(
                    reference, device, net, maps, images.values, agree_commands.say_comparison
                )
            seconds = time.perf_counter() - start
            counters = device.counters()
            try:
                trials = agreement.try_mutants(mutants, device, net, few)
            finally:
                device.load(net)  # who comes next finds no mutant
            failure = agree_commands.agree_failure(comparisons, trials) or _miscount(url, counts)
            shown = {**_totals(comparisons), "failure": failure}
            counted = {"counters": counters, "registers": list(map(asdict, counts))}
            said.update({**shown, **loaded, **counted})
    finally:
        device.close()
    ran = None
    if plan is not None and campaign_file is not None:
        go = board_campaign.run if url == "virtual" else partial(board_campaign.logged, log, note)
        ran = go(plan, campaign_file, url, data_root, "golden")
    failure = failure or (ran["failure"] if ran else None)
    return {
        "url": url,
        "board": board or None,
        **shown,
        **identity_row(device.identity),
        **loaded,
        "images": images.name,
        "n_images": len(images.values),
        "reference": "golden",
        "maps": agree_commands.map_rows(net, maps, faults),
        "comparisons": comparisons,
        "mutants": [{**vars(t), "is_caught": t.is_caught} for t in trials],
        "seconds": seconds,
        **counted,
        "seeds": sorted({*agree_commands.seeds_of(maps), *(ran["seeds"] if ran else [])}),
        "campaign": ran,
        "lab_log": log,
        "failure": failure,
    }


@contextmanager
def _counting(device: BoardDevice, reference: Sequence[Scores]) -> Iterator[list[Count]]:
    """What the registers count of images with these scores is in the list, once they are inferred.

    It stays empty where there are none, or where frames were sent again: those count twice.
    """
    found: list[Count] = []
    if not device.has_registers:
        yield found
        return
    retries, bound = device.counters()["retries"], device.registers().margin_bound
    device.bound_margins(registers.middle_bound(reference))
    before = device.registers()
    yield found
    after = device.registers()
    device.bound_margins(bound)
    if device.counters()["retries"] == retries:
        found += registers.counts(before, after, reference)
    else:
        _log.warning("%s: frames were sent again, so registers are not compared", device.url)


def _miscount(url: str, counts: Sequence[Count]) -> str | None:
    """What to say of the first register that is not golden's, or None."""
    for c in counts:
        if c.got != c.expected:
            return f"{url}: register {c.register} counted {c.got}, golden {c.expected}"
    return None


def _run_of(url: str, board: str, file: Path, network: Network) -> dict[str, Any]:
    """What a line in the lab log says before anything came out."""
    return {
        "url": url,
        "board": board or None,
        "network_files": [file],
        "network": network.name,
        "network_sha256": network.sha256,
    }


def _totals(comparisons: list[Comparison]) -> dict[str, int]:
    return {
        "n_scores": sum(c.n_scores for c in comparisons),
        "n_mismatches": sum(c.n_mismatches for c in comparisons),
    }


def identity_row(identity: Identity) -> dict[str, Any]:
    """What a board says about itself, as JSON values."""
    values = asdict(identity)
    values["layout_id"], values["build_id"] = values.pop("layout").hex(), values.pop("build").hex()
    return values


def _open(url: str, path: Path, board: str, chosen: Network) -> BoardDevice:
    """The board behind a port, or a virtual one, for a network of a file or one of its tables."""
    at = settings.setting(path, chosen, board, n_tables=len(load_network(path).tables))
    return devices.virtual(at) if url == "virtual" else devices.open_port(url, at)


def load_row(device: BoardDevice, network: Network) -> dict[str, Any]:
    """Load and read back; `load` checked it already, this counts what there was to check."""
    start = time.perf_counter()
    device.load(network)
    words = bank_words(written(network, device.layout), device.layout)
    read = device.read_back()
    n_wrong = sum(int(np.sum(a != b)) for a, b in zip(words, read, strict=True))
    return {
        "network": network.name,
        "network_sha256": network.sha256,
        "n_words": sum(map(len, words)),
        "n_words_different": n_wrong,
        "load_seconds": time.perf_counter() - start,
    }
