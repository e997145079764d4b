"""Judges `best`: the kit's networks against what was aimed at."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..judgement import MISSED, REACHED, Finding, Judgement, Table, curve_plot, curve_table
from ..summary import Row, by_label, over_seeds, prediction_errors

GOALS: dict[str, dict[float, float]] = {
    "fashion-sfc": {0.0: 0.880, 0.033: 0.877, 0.05: 0.873, 0.1: 0.853},
    "fashion-fc2048-plain": {0.0: 0.885},
    "fashion-vgg3": {0.0: 0.91, 0.05: 0.895, 0.1: 0.88},
    "mnist-conv": {0.1: 0.985},
}
"""Least accuracy aimed at by rate, thresholds fixed, all layers exposed."""
BELOW: dict[tuple[str, str], dict[float, float]] = {
    ("fashion-fc2048", "fashion-fc2048-plain"): {0.05: 0.01, 0.1: 0.02},
}
"""Most that a network may lose against the clean accuracy of its plain twin."""


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study."""
    groups = by_label(rows)
    findings = [
        _aim(label, groups[label], goal) for label, goal in GOALS.items() if label in groups
    ]
    for (label, twin), allowed in BELOW.items():
        findings += [_below(groups, label, twin, rate, most) for rate, most in allowed.items()]
    tables = (
        curve_table("Accuracy in %, one table of thresholds, all layers lie", rows),
        curve_table("The same, the first layer spared", rows, "spared"),
        curve_table("Thresholds re-estimated at each rate", rows, "tables"),
        curve_table("Thresholds re-estimated on each chip", rows, "chip_tables"),
        _prediction(rows),
    )
    plots = (curve_plot("fixed", "One table of thresholds, all layers lie", groups, "fixed"),)
    return Judgement(tuple(findings), tables, plots)


def _aim(label: str, rows: Sequence[Row], goal: Mapping[float, float]) -> Finding:
    found = {rate: over_seeds(rows, rate) for rate in goal}
    aims = ", ".join(f"{100 * least:g} % at {100 * rate:g} %" for rate, least in goal.items())
    text = ", ".join(f"{mean.percent()} % at {100 * rate:g} %" for rate, mean in found.items())
    reached = all(found[rate].value >= least for rate, least in goal.items())
    return Finding(f"{label}: at least {aims}", text, REACHED if reached else MISSED)


def _below(
    groups: Mapping[str, Sequence[Row]], label: str, twin: str, rate: float, most: float
) -> Finding:
    clean = over_seeds(groups[twin], 0.0)
    found = {
        what: over_seeds(groups[label], rate, curve)
        for what, curve in (
            ("fixed thresholds", "fixed"),
            ("thresholds for the rate", "tables"),
            ("for each chip", "chip_tables"),
        )
    }
    text = ", ".join(
        f"{what} {mean.percent()} % ({100 * (clean.value - mean.value):+.2f} points lost)"
        for what, mean in found.items()
    )
    reached = clean.value - found["fixed thresholds"].value <= most
    return Finding(
        f"{label}: at {100 * rate:g} % within {100 * most:g} points of {twin} without errors",
        f"{clean.percent()} % clean; {text}",
        REACHED if reached else MISSED,
    )


def _prediction(rows: Sequence[Row]) -> Table:
    return Table(
        "Accuracy predicted without injection, mean absolute error to 10 %, points",
        ("network", "error"),
        tuple(
            (label, f"{100 * sum(errors) / len(errors):.2f}")
            for label, of in by_label(rows).items()
            if (errors := prediction_errors(of))
        ),
    )
