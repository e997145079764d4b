"""The study of ensembles, put on a page; its networks come from a plan of its own, not recipes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...sim.container import write_whole
from ...sim.report.study import write_page
from ..ensembles.study import CLAIM, TITLE, Plan, protocol, run
from .judges.gncl import judge


def study(
    plan: Plan, folder: Path, workers: int, pages: Path | None, root: Path | None
) -> dict[str, Any]:
    """Train and measure what is missing of a plan, and judge it.

    Args:
        folder: of its rows and networks, each under the key of its trial.
        workers: processes, each of one thread.
        pages: where its page goes.
        root: folder of data sets.
    """
    rows = run(plan, folder, workers, root)
    raw = folder / "rows.json"
    write_whole(raw, json.dumps(rows).encode())
    cpu_h = sum(row["train_cpu_s"] for row in rows) / 3600
    measured = asdict(plan)
    result: dict[str, Any] = {
        "study": "gncl",
        "title": TITLE,
        "claim": CLAIM,
        "protocol": protocol(plan),
        "effort": f"{len(rows)} trainings, seeds {_listed(plan.seeds)}, at equal memory "
        f"{_listed(plan.equal_seeds)}; chips 0 to {plan.chips - 1} of population 0. ± is half of "
        "a 95 % interval over training seeds (Student's t), under faults each a mean over chips. "
        f"Training took {cpu_h:.2f} CPU hours.",
        "measure": measured,
        **judge(rows, measured).as_json(),
        "rows": raw,
    }
    if pages is not None:
        result["page"] = write_page(result, pages)
    return result


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))
