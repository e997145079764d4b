"""The command `agree`: every score of every device beside golden's, also under faults."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..sim import agreement
from ..sim import faults as fault_maps
from ..sim.agreement import NONE, Comparison, Trial
from ..sim.commands import NetworkFile, TableName, load_network
from ..sim.device import Device
from ..sim.exceptions import InputError
from ..sim.faults import FaultMap
from ..sim.network import Network
from . import devices, inputs, settings
from .commands import BoardName, Data, DataRoot, InputFile, MapFiles, N, Split, load_map
from .settings import Setting

log = logging.getLogger(__name__)


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
    table: TableName = None,
) -> dict[str, Any]:
    """Compare devices with golden under fault maps, every score; a difference is a failure."""
    names = [name.strip() for name in device_names.split(",")]
    for name in names:
        devices.check_name(name)
    if len(set(names)) != len(names):
        raise InputError(f"a device is named twice in {device_names!r}")
    net = load_network(network, table)
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
    n_tables = len(load_network(network).tables)
    at = settings.setting(network, net, board, n_tables=n_tables)

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
        "own_files": {name: file for name in names if (file := settings.own_file(name, at))},
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
    if settings.own_file(name, at) is None:
        return agreement.try_mutants(mutants, device, at.network, images)
    # Its network comes from its own file, where only weights are stored bits: weights and faults
    # are made wrong there, by injection, and a threshold in the same executor without the file.
    stored = [m for m in mutants if m.kind != "threshold"]
    trials = agreement.try_mutants(stored, device, at.network, images, at.layout)
    free = devices.open_device(name, settings.without_own_files(at))
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
