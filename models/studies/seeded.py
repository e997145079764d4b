"""Studies whose repetitions are seeds: rows kept as they come, judged, and put on a page."""

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ...sim.container import write_whole
from ...sim.report.study import write_page
from ..tracer import study as trace_study
from ..weak_labels import gamma, imbalanced, trigger_study
from .judgement import Judge
from .judges import gamma as gamma_judge
from .judges import imbalanced as imbalanced_judge
from .judges import trace as trace_judge
from .judges import trigger as trigger_judge

Row = dict[str, Any]


class Plan(Protocol):
    """What a study measures; `seeds` has a repetition each."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the repetitions."""
        ...

    def as_json(self) -> dict[str, Any]:
        """JSON values, seeds among them."""
        ...


STUDIES: dict[str, tuple[ModuleType, Judge]] = {
    "gamma": (gamma, gamma_judge.judge),
    "imbalanced": (imbalanced, imbalanced_judge.judge),
    "trace": (trace_study, trace_judge.judge),
    "trigger": (trigger_study, trigger_judge.judge),
}
"""A module with TITLE, CLAIM, PROTOCOL, a Plan and `repeat`, and who judges its rows."""


def study(
    name: str,
    folder: Path,
    workers: int,
    pages: Path | None,
    root: Path | None,
    plan: Plan | None = None,
) -> dict[str, Any]:
    """Measure what is missing of a study of STUDIES, and judge it.

    Args:
        folder: where <name>.json keeps its rows; those of the same plan are not measured again.
        workers: processes, each of one thread.
        pages: where its page goes.
        root: folder of data sets.
        plan: another one than the study's own.
    """
    module, judge = STUDIES[name]
    chosen: Plan = module.Plan() if plan is None else plan
    raw = folder / f"{name}.json"
    rows = measured(module, chosen, raw, workers, root)
    cpu_h = sum(row["cpu_s"] for row in rows) / 3600
    result: dict[str, Any] = {
        "study": name,
        "title": module.TITLE,
        "claim": module.CLAIM,
        "protocol": module.PROTOCOL,
        "effort": f"{len(chosen.seeds)} repetitions, seeds {chosen.seeds[0]} to "
        f"{chosen.seeds[-1]}; {cpu_h:.2f} CPU hours.",
        "measure": chosen.as_json(),
        **judge(rows, chosen.as_json()).as_json(),
        "rows": raw,
    }
    if pages is not None:
        result["page"] = write_page(result, pages)
    return result


def measured(
    module: ModuleType, plan: Plan, raw: Path, workers: int, root: Path | None
) -> list[Row]:
    """Rows of all seeds of a plan, in order; each goes into `raw` as soon as it is there."""
    key = _key(plan)
    kept = json.loads(raw.read_text()) if raw.is_file() else {}
    rows: list[Row] = kept["rows"] if kept.get("plan") == key else []
    missing = [seed for seed in plan.seeds if seed not in {row["seed"] for row in rows}]
    raw.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for job in [pool.submit(module.repeat, plan, seed, root) for seed in missing]:
            rows = rows + job.result()
            write_whole(raw, json.dumps({"plan": key, "rows": rows}).encode())
    return [row for seed in plan.seeds for row in rows if row["seed"] == seed]


def _key(plan: Plan) -> Mapping[str, Any]:
    values: Mapping[str, Any] = json.loads(json.dumps(plan.as_json()))
    return {name: value for name, value in values.items() if name != "seeds"}
