"""The commands `campaign run`, `show`, `plot`, `diff` and `export`."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import campaign, points
from ..sim.campaign import Agenda, Campaign, Errors, Job, Outcome, Progress, Task
from ..sim.container import writable
from ..sim.exceptions import ArtefactError, InputError
from ..sim.points import canonical, confusions, point_rows
from ..sim.rows import Row
from ..sim.store import Store
from . import devices
from .campaign_jobs import jobs as jobs_of
from .commands import DataRoot

log = logging.getLogger(__name__)

CampaignFile = Annotated[
    Path, typer.Argument(metavar="FILE.toml", help="Campaign.", show_default=False)
]
_SQLITE = b"SQLite format 3\0"


def campaign_run(
    file: CampaignFile,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine.")] = 1,
    cluster: Annotated[
        str, typer.Option(metavar="tcp://HOST:PORT", help="Dask scheduler whose workers compute.")
    ] = "",
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Also rows that other sources computed.")
    ] = False,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Compute the rows of a campaign that its store lacks, then show all of its points."""
    plan = campaign.load(file, data_root)
    if cluster and workers > 1:
        raise InputError("give --workers or --cluster, not both")
    return run_campaign(
        plan, file, data_root, workers=workers, cluster=cluster, is_recomputing=recompute
    )


def campaign_show(
    file: CampaignFile,
    watch: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Look so often until it is finished."),
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Show the points of the rows that the store has; a run that is still going may be watched."""
    plan = campaign.load(file, data_root)
    jobs = jobs_of(plan, data_root)
    start, first = time.monotonic(), -1
    while True:
        with Store(plan.store, create=False) as store:
            agenda = Agenda(jobs, plan.rule, store)
        if watch is None or agenda.is_finished:
            return result(plan, file, jobs, agenda, 0)
        first = agenda.n_done if first < 0 else first
        n_new = agenda.n_done - first
        left = (time.monotonic() - start) / n_new * (agenda.n_units - agenda.n_done) if n_new else 0
        log.info(
            "%s: %d of %d units%s",
            *(plan.name, agenda.n_done, agenda.n_units, f", {left:.0f} s left" if n_new else ""),
        )
        time.sleep(watch)


def campaign_plot(
    file: CampaignFile,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".svg, .png or .pdf; FILE.svg.", callback=writable),
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Draw accuracy over bit error rate, with 95 % intervals, of the rows that the store has."""
    from ..sim.report.figures import accuracy_figure, save_figure

    found = campaign_show(file, None, data_root)
    if not found["points"]:
        raise InputError(f"{found['store']} has no row of it; stoic campaign run {file}")
    path = output or file.with_suffix(".svg")
    save_figure(accuracy_figure(found["points"]), path)
    return {"figure": path, "n_rows": found["n_rows"]}


def campaign_export(
    file: CampaignFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", help=".csv or .parquet", callback=writable)
    ],
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Write the rows of a campaign that the store has, one line each."""
    from ..sim.campaign.export import export

    plan = campaign.load(file, data_root)
    jobs = jobs_of(plan, data_root)
    with Store(plan.store, create=False) as store:
        rows = Agenda(jobs, plan.rule, store).rows()
    names = _names(jobs)
    export(rows, output, {row.unit.key: _name(row, names) for row in rows})
    return {"table": output, "n_rows": len(rows), "store": plan.store}


def campaign_diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Store, or network of a campaign.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    of: Annotated[
        Path | None,
        typer.Option("--of", metavar="FILE.toml", help="Campaign whose networks A and B are."),
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Paired differences of accuracy on common chips, B minus A, and scores that are not the same.

    A and B are two stores, or with --of two networks or two error models of one campaign.
    """
    if of is None:
        first, second = _store_rows(a), _store_rows(b)
        without: tuple[str, ...] = ("device",)
        if any(len({row.unit.device for row in rows}) > 1 for rows in (first, second)):
            without = ()
    else:
        plan = campaign.load(of, data_root)
        jobs = jobs_of(plan, data_root)
        with Store(plan.store, create=False) as store:
            rows = Agenda(jobs, plan.rule, store).rows()
        first, second, without = _two_of(plan, jobs, rows, a, b)
    found = points.differences(first, second, lambda unit: points.point_key(unit, *without))
    if not found:
        raise InputError(f"{a} and {b} have no chip of one condition in common")
    return {
        "first": a,
        "second": b,
        "n_rows": sum(d.n_rows for d in found),
        "n_scores_differ": sum(d.n_scores_differ for d in found),
        "differences": [_difference(d) for d in found],
    }


def _difference(found: points.Difference) -> dict[str, Any]:
    values = asdict(found)
    return {
        **values.pop("what"),
        **{k: v for k, v in values.items() if k != "interval"},
        "low": found.interval.low,
        "high": found.interval.high,
        "method": found.interval.method,
    }


def _store_rows(path: str) -> list[Row]:
    file = Path(path)
    if not file.is_file():
        raise ArtefactError(f"{path}: no such result store; networks of a campaign need --of FILE")
    if not file.read_bytes()[: len(_SQLITE)] == _SQLITE:
        raise ArtefactError(f"{path}: not a result store")
    with Store(file, create=False) as store:
        return store.rows()


def _two_of(
    plan: Campaign, jobs: list[Job], rows: list[Row], a: str, b: str
) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Rows of two networks, or under two error models, and what they differ in."""
    networks = dict(
        zip(plan.models, [j.network.sha256 for j in _of_models(plan, jobs)], strict=True)
    )
    networks |= {job.network.name: job.network.sha256 for job in jobs}
    if a in networks and b in networks:
        pair = [[r for r in rows if r.unit.network_sha256 == networks[x]] for x in (a, b)]
        return pair[0], pair[1], ("network_sha256", "layout_sha256", "images_sha256")
    names = _names(jobs)
    pair = [[r for r in rows if _name(r, names) == x] for x in (a, b)]
    if not all(pair):
        legal = [*dict.fromkeys([*plan.models, *(e.name for e in names.values())])]
        missing = b if pair[0] else a
        raise InputError(f"{plan.name} has no rows of {missing!r}; there are {', '.join(legal)}")
    return pair[0], pair[1], ("errors",)


def _of_models(plan: Campaign, jobs: list[Job]) -> list[Job]:
    return jobs[:: len(jobs) // len(plan.models)]


def run_campaign(
    plan: Campaign,
    file: Path,
    data_root: Path | None,
    *,
    workers: int = 1,
    cluster: str = "",
    is_recomputing: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """The result of `campaign run`.

    Args:
        file: that the plan was read from.
        report: is called with every row; None says once a second how far the run is.
    """
    jobs = jobs_of(plan, data_root, threads=1 if workers > 1 or cluster else None)
    report = report or reporter(plan)
    with Store(plan.store) as store:
        ran: Outcome
        if cluster:
            from ..sim.campaign.cluster import run_cluster

            ran = run_cluster(
                jobs, plan.rule, store, cluster, report, is_recomputing=is_recomputing
            )
        elif workers > 1:
            ran = campaign.run_workers(
                jobs, plan.rule, store, workers, report, is_recomputing=is_recomputing
            )
        else:
            ran = campaign.run(jobs, plan.rule, store, report, is_recomputing=is_recomputing)
    found = result(plan, file, jobs, ran.agenda, ran.n_computed)
    if is_recomputing:
        found |= {"n_recomputed": ran.n_recomputed, "n_scores_differ": ran.n_different}
    return found


def result(
    plan: Campaign, file: Path, jobs: list[Job], agenda: Agenda, n_computed: int
) -> dict[str, Any]:
    """Rows and points of a campaign as JSON values."""
    rows, names = agenda.rows(), _names(jobs)
    sources = {job.device_name: job.code_sha256 for job in jobs}
    n_others = sum(row.code_sha256 != sources[row.unit.device] for row in rows)
    if n_others:
        log.warning(
            "%s: %d of %d rows were computed by other sources of the kit than these; "
            "stoic campaign run --recompute computes them again",
            *(plan.store, n_others, len(rows)),
        )
    summary = point_rows(rows, plan.rule, names)
    return {
        "campaign": plan.name,
        "campaign_file": file,
        "store": plan.store,
        "device": ", ".join(map(devices.kind_name, plan.devices)),
        "board": plan.board or None,
        "images": ", ".join(map(plan.images_name, plan.data)),
        "n_images": plan.n_images,
        "seeds": [plan.seed],
        "n_units": agenda.n_units,
        "n_rows": len(rows),
        "n_computed": n_computed,
        "n_rows_of_other_sources": n_others,
        "provisional": sorted({p["provisional"] for p in summary if p.get("provisional")}),
        "points": summary,
        "confusions": confusions(rows),
        "rows": [_row(row) for row in rows],
    }


def _names(jobs: list[Job]) -> dict[str, Errors]:
    """Error models of the campaign by what rows say of them."""
    return {
        canonical(points.whole(job.unit(Task(0, i, 0, 0)).errors)): condition.errors
        for job in jobs
        for i, condition in enumerate(job.conditions)
    }


def _name(row: Row, names: dict[str, Errors]) -> str:
    errors = names.get(canonical(points.whole(row.unit.errors)))
    return errors.name if errors else ""


def reporter(plan: Campaign) -> Callable[[Progress], None]:
    """Says once a second how far a run is."""
    last = time.monotonic()

    def report(at: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 1 and at.n_done < at.n_units:
            return
        last = now
        row, left = at.row, at.left_s
        log.info(
            "%s: %d of %d units%s%s; %s p01 %g p10 %g chip %d: %.2f %%",
            plan.name,
            at.n_done,
            at.n_units,
            f", at most {at.n_at_most}" if at.n_at_most > at.n_units else "",
            "" if left is None else f", {left:.0f} s left",
            row.network_name,
            row.p01,
            row.p10,
            row.unit.chip,
            100 * row.accuracy,
        )

    return report


def _row(row: Row) -> dict[str, Any]:
    return {
        "network": row.network_name,
        "device": row.unit.device,
        "model": row.unit.errors["model"],
        "p01": row.p01,
        "p10": row.p10,
        "chip": row.unit.chip,
        "event": row.unit.event,
        "protection": points.protection_name(row.unit.protection),
        "n_images": row.unit.n_images,
        "trial_sha256": replace(row.unit, device="").key,  # what is measured, on whatever device
        "n_correct": row.n_correct,
        "n_changed_bits": row.n_changed_bits,
        "faults_sha256": row.faults_sha256,
        "scores_sha256": row.scores_sha256,
        "confusion_sha256": hashlib.sha256(json.dumps(row.confusion).encode()).hexdigest(),
        "wall_time_s": row.wall_time_s,
    }
