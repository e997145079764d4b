"""The command `board campaign`: a campaign on a board, beside the reference, row for row."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import campaign
from ..sim.campaign import Campaign, Progress
from ..sim.exceptions import InputError
from . import campaign_commands, devices, inputs, lab, probe
from .campaign_commands import CampaignFile
from .commands import DataRoot, N, Url

_log = logging.getLogger(__name__)


def run_campaign(
    file: CampaignFile,
    url: Url,
    reference: Annotated[
        str, typer.Option(help="Whose rows they must be: golden, or engine, which is faster.")
    ] = "golden",
    n: N = None,
    specimen: Annotated[
        str, typer.Option(help='Which chip, in which state: "chip 7, 0.70 V"; has rows of its own.')
    ] = "",
    note: lab.Notes = None,
    log: lab.CampaignLogFile = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Run a campaign on a board and compare every row with the reference's, score for score."""
    plan = campaign.load(file, data_root)
    plan = replace(plan, n_images=n or plan.n_images, specimen=specimen or plan.specimen)
    if url == "virtual":  # whose runs no log keeps
        if specimen:
            raise InputError("--specimen is of a board behind a port, not of a virtual one")
        return run(plan, file, url, data_root, reference)
    log = lab.opened(log or plan.store.parent / lab.FILE)
    return logged(log, note, plan, file, url, data_root, reference)


def logged(
    log: Path,
    note: list[str] | None,
    plan: Campaign,
    file: Path,
    url: str,
    data_root: Path | None,
    reference: str,
) -> dict[str, Any]:
    """As `run`, with its line in the lab log: of the rows so far where it ends early."""
    identity = probe.identify(url, devices.line_speed(plan.board))
    say = campaign_commands.reporter(plan)
    values = {
        "url": url,
        "board": plan.board or None,
        "campaign": plan.name,
        "store": plan.store,
        "n_rows": None,
        "n_computed": 0,
        "seeds": [plan.seed],
        "specimen": plan.specimen or None,
        "network_files": [inputs.network_path(model) for model in plan.models],
    }
    with lab.line(log, "campaign", identity, note, values) as said:

        def count(at: Progress) -> None:
            said.update(n_rows=at.n_done, n_computed=at.n_computed)
            say(at)

        found = run(plan, file, url, data_root, reference, count)
        said.update({k: found[k] for k in ("n_rows", "n_computed", "n_rows_different")})
        said["networks"] = sorted({row["network"] for row in found["rows"]})
    if not found["n_computed"]:
        _log.warning(
            "nothing was measured now: all %d rows are of earlier runs on this bitstream%s; "
            "--specimen keeps those of another chip or state apart",
            *(found["n_rows"], f" and specimen {plan.specimen!r}" if plan.specimen else ""),
        )
    return {**found, "lab_log": log}


def run(
    plan: Campaign,
    file: Path,
    url: str,
    data_root: Path | None,
    reference: str,
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Rows of a board and of the reference, and in `failure` what differs.

    Raises:
        InputError: such a reference is not known, or does not know what injectors do.
    """
    if reference not in ("golden", "engine"):
        raise InputError(f"--reference must be golden or engine, not {reference!r}")
    if plan.injector and reference == "engine":
        raise InputError("golden alone knows what injectors of read errors do: --reference golden")
    plan = replace(plan, devices=(url,))
    found = campaign_commands.run_campaign(plan, file, data_root, report=report)
    same = campaign_commands.run_campaign(replace(plan, devices=(reference,)), file, data_root)
    others = different(found["rows"], same["rows"])
    failure = None
    if others:
        first = others[0]
        failure = (
            f"{len(others)} of {len(found['rows'])} rows of {url} are not {reference}'s; "
            f"first: p01 {first['p01']}, p10 {first['p10']}, chip {first['chip']}"
        )
    return {
        **found,
        "url": url,
        "specimen": plan.specimen or None if devices.is_port(url) else None,
        "reference": reference,
        "n_rows_different": len(others),
        "n_rows_counted_on_chip": sum(
            _compared(row) == "confusion_sha256" for row in found["rows"]
        ),
        "failure": failure,
    }


def different(
    rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows that are not the reference's; also those of chips that only one of them was asked for,
    as by a stop rule that met other accuracies.
    """
    theirs = {row["trial_sha256"]: row for row in others}
    found = []
    for row in rows:
        other = theirs.pop(row["trial_sha256"], None)
        if other is None or row[_compared(row)] != other[_compared(row)]:
            found.append(row)
    return found + list(theirs.values())


def _compared(row: dict[str, Any]) -> str:
    """What of a row is compared: scores, or what a chip counted that kept the images."""
    return "scores_sha256" if row["scores_sha256"] else "confusion_sha256"
