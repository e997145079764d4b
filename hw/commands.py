"""Commands that need a device or a board; each returns JSON values, which `hw/cli.py` prints."""

import io
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..sim import agreement, campaign, golden, operating_points
from ..sim import faults as fault_maps
from ..sim import network as networks
from ..sim.agreement import NONE, Comparison, Trial
from ..sim.campaign import Campaign
from ..sim.commands import NetworkFile, describe
from ..sim.container import write_whole
from ..sim.device import Device
from ..sim.exceptions import BoardError, InputError
from ..sim.faults import FaultMap
from ..sim.memory import shapes_of
from ..sim.network import Network
from ..sim.store import Row, Store
from . import devices, inputs
from .devices import Setting

log = logging.getLogger(__name__)

Data = Annotated[str | None, typer.Option(help="Data set, e.g. fashion-mnist.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
N = Annotated[int | None, typer.Option("--n", min=1, help="The first so many images; all.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of data sets.  [env: STOIC_DATA]")]
BoardName = Annotated[str, typer.Option(help="Board whose folding lays the bits out; or none.")]
CampaignFile = Annotated[
    Path, typer.Argument(metavar="FILE.toml", help="Campaign.", show_default=False)
]
InputFile = Annotated[
    Path | None, typer.Option("--input", metavar="X.npy", help="Images instead of --data.")
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="SCORES.npy")]
MapFiles = Annotated[
    list[Path] | None, typer.Option("--faults", metavar="MAP.faults", help="Repeatable.")
]


def faults_sample(
    network: NetworkFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MAP.faults")],
    errors: Annotated[
        str | None, typer.Option(help=f"One of {operating_points.legal_names()}.")
    ] = None,
    p01: Annotated[float | None, typer.Option(help="P(read 1 | stored 0).")] = None,
    p10: Annotated[float | None, typer.Option(help="P(read 0 | stored 1).")] = None,
    chip: Annotated[int, typer.Option(min=0, help="Number of the chip.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the population of chips.")] = 0,
    where: Annotated[str, typer.Option(help="Kinds of memory, comma-separated.")] = "weights",
    board: BoardName = "",
) -> dict[str, Any]:
    """Draw the faults that one chip is born with, for a network's memories."""
    if (errors is None) == (p01 is None and p10 is None):
        raise InputError("give either --errors NAME or --p01 and --p10")
    if errors is not None:
        point = operating_points.parse(errors)
    elif p01 is None or p10 is None:
        raise InputError("--p01 and --p10 must be given together")
    else:
        point = operating_points.from_rates(p01, p10)
    net = networks.load(network)
    layout = devices.board_layout(net, board)
    kinds = [kind.strip() for kind in where.split(",")]
    drawn = point.model(seed).sample(layout, chip, kinds)  # type: ignore[arg-type]  # checked there
    fault_maps.save(drawn, output)
    return {
        "map": output,
        "errors": point.name,
        "source": point.source,
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
) -> dict[str, Any]:
    """Write the int32 scores (images x classes) that a device gives."""
    devices.check_name(device)
    net = networks.load(network)
    images = inputs.images(net, data, split, n, input_file, data_root)
    fault_map = load_map(net, faults)
    opened = devices.open_device(device, devices.setting(network, net, board))
    try:
        return {
            "network": net.name,
            "network_sha256": net.sha256,
            **infer_on(opened, net, images, fault_map, output),
        }
    finally:
        opened.close()


def infer_on(
    device: Device,
    network: Network,
    images: inputs.Images,
    faults: FaultMap | None,
    output: Path,
) -> dict[str, Any]:
    """Load, inject, infer and write the scores; what happened as JSON values."""
    output.parent.mkdir(parents=True, exist_ok=True)  # refused now, not after the work
    device.load(network)
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
        "scores_sha256": campaign.scores_sha256(scores),
        "seconds": seconds,
    }
    if images.labels is not None:
        n_correct = int((golden.classify(scores) == images.labels).sum())
        result |= {"n_correct": n_correct, "accuracy": n_correct / len(scores)}
    return result


def agree(
    network: NetworkFile,
    device_names: Annotated[
        str, typer.Option("--devices", metavar="A,B,C", help=devices.LEGAL)
    ] = "engine",
    faults: MapFiles = None,
    data: Data = None,
    split: Split = "test",
    n: N = None,
    input_file: InputFile = None,
    sample: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE=N", help="A slow device gets the first N images only."),
    ] = None,
    mutants: Annotated[bool, typer.Option(help="Also give each device wrong networks.")] = True,
    board: BoardName = "",
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Compare devices with golden under fault maps, every score; a difference is a failure."""
    names = [name.strip() for name in device_names.split(",")]
    for name in names:
        devices.check_name(name)
    if len(set(names)) != len(names):
        raise InputError(f"a device is named twice in {device_names!r}")
    net = networks.load(network)
    images = inputs.images(net, data, split, n, input_file, data_root)
    maps: list[FaultMap | None] = [None]
    paths: list[Path] = []
    for path in faults or []:
        found = load_map(net, path)
        if _label(found) in map(_label, maps):  # e.g. rram-3.3% and iid-3.3%
            log.info("%s: the same faults as a map before it", path)
            continue
        maps.append(found)
        paths.append(path)
    sizes = agreement.sample_sizes(_samples(sample), names, len(images.values))
    at = devices.setting(network, net, board)

    log.info("golden: %d images under %d maps", len(images.values), len(maps))
    reference = agreement.reference_scores(net, maps, images.values)
    wrong: list[agreement.Mutant] = []
    few = images.values[: min(agreement.N_MUTANT_IMAGES, *sizes.values())]
    if mutants:
        with_faults = next((m for m in maps if m is not None and m.n_faults), None)
        wrong = agreement.find_mutants(net, with_faults, few)
    comparisons: list[Comparison] = []
    trials: list[Trial] = []
    for name in names:
        device = devices.open_device(name, at)
        try:
            comparisons += agreement.agree(
                reference, device, net, maps, images.values[: sizes[name]], say_comparison
            )
            if wrong:
                trials += _try_mutants(device, name, at, wrong, few)
        finally:
            device.close()

    n_mismatches = sum(c.n_mismatches for c in comparisons)
    return {
        "network": net.name,
        "network_file": network,
        "network_sha256": net.sha256,
        "images": images.name,
        "images_sha256": images.sha256,
        "n_images": len(images.values),
        "reference": "golden",
        "own_files": {name: file for name in names if (file := devices.own_file(name, at))},
        "maps": map_rows(net, maps, paths),
        "comparisons": comparisons,
        "mutants": [{**vars(t), "is_caught": t.is_caught} for t in trials],
        "n_scores": sum(c.n_scores for c in comparisons),
        "n_mismatches": n_mismatches,
        "n_mutants": len(trials),
        "n_mutants_caught": sum(t.is_caught for t in trials),
        "seeds": seeds_of(maps),
        "failure": agree_failure(comparisons, trials),
    }


def _try_mutants(
    device: Device,
    name: str,
    at: Setting,
    mutants: Sequence[agreement.Mutant],
    images: NDArray[np.generic],
) -> list[Trial]:
    if devices.own_file(name, at) is None:
        return agreement.try_mutants(mutants, device, at.network, images)
    # Its network comes from its own file, where only weights are stored bits: weights and faults
    # are made wrong there, by injection, and a threshold in the same executor without the file.
    stored = [m for m in mutants if m.kind != "threshold"]
    trials = agreement.try_mutants(stored, device, at.network, images, at.layout)
    free = devices.open_device(name, devices.without_own_files(at))
    try:
        others = [m for m in mutants if m.kind == "threshold"]
        return [*agreement.try_mutants(others, free, at.network, images), *trials]
    finally:
        free.close()


def say_comparison(row: Comparison) -> None:
    """Log one line of progress."""
    log.info(
        "%s, faults %s: %d of %d scores differ (%.1f s)",
        row.device,
        row.map_sha256[:12],
        row.n_mismatches,
        row.n_scores,
        row.seconds,
    )


def agree_failure(comparisons: Sequence[Comparison], trials: Sequence[Trial]) -> str | None:
    """What to say of the first score that differs or the first mutant that escaped, or None."""
    escaped = [t for t in trials if not t.is_caught or t.n_unexpected]
    for c in comparisons:
        if (first := c.first_mismatch) is not None:
            return (
                f"{c.device} disagrees with golden under faults {c.map_sha256[:12]} in "
                f"{c.n_mismatches} of {c.n_scores} scores; first: image {first.image} class "
                f"{first.class_index}: {first.got}, must be {first.expected}"
            )
    for t in escaped:
        fate = "gives scores that golden does not" if t.is_caught else "escapes the comparison"
        return f"{t.device}: the mutant {t.where!r} {fate}"
    return None


def map_rows(
    network: Network, maps: Sequence[FaultMap | None], paths: Sequence[Path] | None
) -> list[dict[str, Any]]:
    """One row per map, the first being none, as JSON values."""
    named: list[Path | None] = [None, *(paths or [])]
    return [_map_row(network, m, p) for m, p in zip(maps, named, strict=True)]


def seeds_of(maps: Sequence[FaultMap | None]) -> list[int]:
    """Seeds of the populations that the chips came from."""
    return sorted({m.provenance["seed"] for m in maps if m and "seed" in m.provenance})


def _map_row(network: Network, faults: FaultMap | None, path: Path | None) -> dict[str, Any]:
    if faults is None:
        return {"map": NONE, "path": None, "n_faults": 0, "n_changed_bits": 0, "provenance": {}}
    return {
        "map": faults.sha256,
        "path": path,
        "n_faults": faults.n_faults,
        "n_changed_bits": fault_maps.n_changed(network, faults),
        "provenance": faults.provenance,
    }


def _label(faults: FaultMap | None) -> str:
    return NONE if faults is None else faults.sha256


def _samples(texts: list[str] | None) -> dict[str, int]:
    sizes = {}
    for text in texts or []:
        name, _, size = text.partition("=")
        if not size.isdecimal():
            raise InputError(f"--sample must be DEVICE=N, e.g. onnx=256, not {text!r}")
        sizes[name] = int(size)
    return sizes


def load_map(network: Network, path: Path | None) -> FaultMap | None:
    """The map of a file, if it is of this network."""
    if path is None:
        return None
    faults = fault_maps.load(path)
    fault_maps.check_for(network, faults)
    return faults


def campaign_run(file: CampaignFile, data_root: DataRoot = None) -> dict[str, Any]:
    """Compute the rows of a campaign that its store lacks, then show all of its points."""
    return run_campaign(campaign.load(file), file, data_root, is_computing=True)


def campaign_show(file: CampaignFile, data_root: DataRoot = None) -> dict[str, Any]:
    """Show the points of the rows that the store has; a run that is still going may be watched."""
    return run_campaign(campaign.load(file), file, data_root, is_computing=False)


def campaign_plot(
    file: CampaignFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=".svg, .png or .pdf; FILE.svg.")
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Draw accuracy over bit error rate, with 95 % intervals, of the rows that the store has."""
    from ..sim.report.figures import accuracy_figure, save_figure

    found = run_campaign(campaign.load(file), file, data_root, is_computing=False)
    if not found["points"]:
        raise InputError(f"{found['store']} has no row of it; stoic campaign run {file}")
    path = output or file.with_suffix(".svg")
    save_figure(accuracy_figure(found["points"]), path)
    return {"figure": path, "n_rows": found["n_rows"]}


def run_campaign(
    plan: Campaign, file: Path, data_root: Path | None, *, is_computing: bool
) -> dict[str, Any]:
    """The result of `campaign run` and `show`.

    Args:
        file: that the plan was read from.
        is_computing: whether rows that the store lacks are computed.
    """
    devices.check_name(plan.device)
    rows: list[Row] = []
    n_units = n_computed = 0
    for at, images in _networks(plan, data_root):
        name = devices.row_name(plan.device, at)
        pairs = campaign.expand(plan, name, at.network, at.layout, images.values, images.labels)
        units = [unit for unit, _ in pairs]
        with Store(plan.store, create=is_computing) as store:
            found = store.rows(units)
            n_units += len(units)
            if is_computing and len(found) < len(units):
                n_computed += len(units) - len(found)
                found = _compute(plan, at, name, images, store, len(found))
            rows += found
    return {
        "campaign": plan.name,
        "campaign_file": file,
        "store": plan.store,
        "device": devices.kind_name(plan.device),
        "board": plan.board or None,
        "images": plan.images_name,
        "n_images": plan.n_images,
        "seeds": [plan.seed],
        "n_units": n_units,
        "n_rows": len(rows),
        "n_computed": n_computed,
        "points": campaign.point_rows(rows),
        "confusions": campaign.confusions(rows),
        "rows": [_row(row) for row in rows],
    }


def _networks(plan: Campaign, data_root: Path | None) -> Iterator[tuple[Setting, inputs.Images]]:
    for model in plan.models:
        path = inputs.network_path(model)
        network = networks.load(path)
        images = inputs.images(network, plan.data, plan.split, plan.n_images, None, data_root)
        yield devices.setting(path, network, plan.board), images


def _compute(
    plan: Campaign, at: Setting, name: str, images: inputs.Images, store: Store, n_found: int
) -> list[Row]:
    start = last = time.monotonic()

    def progress(done: int, total: int, row: Row) -> None:
        nonlocal last
        now = time.monotonic()
        if done > n_found and (now - last > 1 or done == total):
            last = now
            errors = row.unit.errors
            log.info(
                "%s: %d of %d units, %.0f s left; p01 %g p10 %g chip %d: %.2f %%",
                at.network.name,
                done,
                total,
                (now - start) / (done - n_found) * (total - done),
                errors["p01"],
                errors["p10"],
                row.unit.chip,
                100 * row.accuracy,
            )

    device = devices.open_device(plan.device, at)
    try:
        return campaign.run(
            plan, device, at.network, at.layout, images.values, images.labels, store, progress, name
        )
    finally:
        device.close()


def _row(row: Row) -> dict[str, Any]:
    return {
        "network": row.network_name,
        "p01": row.unit.errors["p01"],
        "p10": row.unit.errors["p10"],
        "chip": row.unit.chip,
        "n_images": row.unit.n_images,
        "n_correct": row.n_correct,
        "n_changed_bits": row.n_changed_bits,
        "faults_sha256": row.faults_sha256,
        "scores_sha256": row.scores_sha256,
        "wall_time_s": row.wall_time_s,
    }


def synth(
    network: NetworkFile,
    board: Annotated[str, typer.Option(help="Board to build for.")],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Of place and route; the board's own number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; the board's, beside NET.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
) -> dict[str, Any]:
    """Build a bitstream of a network for a board: synthesis, place and route, figures."""
    from . import boards, fold
    from . import synth as flow

    chosen = boards.load(board)
    net = networks.load(network)
    layout = fold.fold(shapes_of(net), chosen)
    numbers = range(1, (seeds or chosen.seeds) + 1)
    return flow.build(net.name, layout, chosen, out or network.parent / board, numbers, jobs).row()


def virtual(
    network: NetworkFile,
    board: BoardName = "",
    tcp: Annotated[int | None, typer.Option(help="TCP port; 0 or none: a free one.")] = None,
    pty: Annotated[Path | None, typer.Option(help="Link to make to a pty instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Boot a virtual board for a network, print its URL, and run it until Ctrl-C."""
    from . import boards, virtual_device

    if tcp is not None and pty is not None:
        raise InputError("give --tcp or --pty, not both")
    net = networks.load(network)
    at = devices.setting(network, net, board)
    chosen = boards.load(board) if board else None
    with virtual_device.boot(devices.memories_of(at), chosen, tcp_port=tcp, pty=pty) as running:
        values = {"url": running.url, "pid": running.pid, "board": board or None}
        typer.echo(json.dumps(values) if as_json else running.url)
        sys.stdout.flush()
        status = running.wait()
    raise BoardError(f"the virtual board at {values['url']} ended with status {status}")


def doctor(data_root: DataRoot = None) -> dict[str, Any]:
    """Say which tools, packages and data are here, and how to get what is missing."""
    from .doctor import examine

    return examine(data_root)
