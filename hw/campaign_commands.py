"""The commands `campaign run`, `show` and `plot`: a campaign file to rows and points."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import campaign
from ..sim import network as networks
from ..sim.campaign import Campaign
from ..sim.exceptions import InputError
from ..sim.points import confusions, point_rows
from ..sim.store import Row, Store
from . import devices, inputs
from .commands import DataRoot
from .devices import Setting

log = logging.getLogger(__name__)

CampaignFile = Annotated[
    Path, typer.Argument(metavar="FILE.toml", help="Campaign.", show_default=False)
]


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
        "points": point_rows(rows),
        "confusions": confusions(rows),
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
