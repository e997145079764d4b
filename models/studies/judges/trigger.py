"""Judges `trigger`: what it finds beside a float network, and how far its memory may lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....sim import operating_points
from ..judgement import MISSED, REACHED, Finding, Judgement, Table
from ..summary import Mean, Row, mean_of

GOAL, GOAL_AT_1_PERCENT = 0.97, 0.95


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.weak_labels.trigger_study.repeat`.
        measure: its plan.
    """
    findings = (
        _goal("Without errors", GOAL, _ratio(rows, "")),
        _goal("At a bit error rate of 1 %", GOAL_AT_1_PERCENT, _ratio(rows, "iid-1%")),
    )
    return Judgement(findings, (_conditions(rows, measure), _thresholds(rows, measure)))


def _goal(where: str, goal: float, ratio: Mean) -> Finding:
    return Finding(
        f"{where} the binary trigger has {100 * goal:g} % of the float network's significance",
        f"{ratio.percent(1)} %",
        REACHED if ratio.value >= goal else MISSED,
    )


def _by_seed(
    rows: Sequence[Row], network: str, condition: str, key: str, threshold: int = 0
) -> list[float]:
    """Means over chips."""
    of = [
        row
        for row in rows
        if (row["network"], row["condition"], row["threshold"]) == (network, condition, threshold)
    ]
    seeds = sorted({row["seed"] for row in of})
    return [float(np.mean([row[key] for row in of if row["seed"] == seed])) for seed in seeds]


def _ratio(rows: Sequence[Row], condition: str, network: str = "binary") -> Mean:
    found = _by_seed(rows, network, condition, "significance")
    taught_by = _by_seed(rows, "float", "", "significance")
    return mean_of(one / other for one, other in zip(found, taught_by, strict=True))


def _conditions(rows: Sequence[Row], measure: Mapping[str, Any]) -> Table:
    lines = []
    for name, network in (("no trigger, every event kept", "none"), ("float network", "float")):
        found = mean_of(_by_seed(rows, network, "", "significance"))
        lines.append((name, "-", "-", "-", _text(found), _ratio(rows, "", network).percent(1)))
    for name in ("", *measure["conditions"]):
        point = operating_points.parse(name or "none")
        energy = point.row()["energy"] or "-"
        if energy != "-" and point.provisional:
            energy += " (provisional)"
        lines.append(
            (
                f"`{name}`" if name else "no errors",
                f"{100 * point.p01:.3g}",
                f"{100 * point.p10:.3g}",
                energy,
                _text(mean_of(_by_seed(rows, "binary", name, "significance"))),
                _ratio(rows, name).percent(1),
            )
        )
    head = ("memory", "0 reads 1, %", "1 reads 0, %", "energy of a bit", "S", "% of float")
    return Table("Significance of the trigger by what its weight memory does", head, tuple(lines))


def _thresholds(rows: Sequence[Row], measure: Mapping[str, Any]) -> Table:
    lines = []
    for threshold in measure["thresholds"]:
        n_on, n_off, n = (
            np.array(_by_seed(rows, "binary", "", key, threshold))
            for key in ("n_on", "n_off", "n_events")
        )
        found = _by_seed(rows, "binary", "", "significance", threshold)
        kept = mean_of((n_on + n_off) / n).percent(1)
        lines.append(
            (f"{threshold}", kept, *(_text(mean_of(list(v))) for v in (n_on, n_off, found)))
        )
    head = ("threshold", "events kept, %", "N_on", "N_off", "S")
    return Table("The threshold of the score, set in the field", head, tuple(lines))


def _text(mean: Mean) -> str:
    digits = 2 if abs(mean.value) < 100 else 0
    half = "" if mean.half is None else f" ± {mean.half:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
