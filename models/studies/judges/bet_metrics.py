"""Judges `bet-metrics`: margins and importance of neurons against tolerance, over all networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..judgement import (
    CONFIRMED,
    MISSED,
    PARTLY,
    REACHED,
    REFUTED,
    Finding,
    Judgement,
    Line,
    Plot,
    Table,
)
from ..summary import (
    Rank,
    Row,
    accuracy,
    area,
    by_label,
    mean_of,
    prediction_errors,
    rank_correlation,
)
from .ranks import metric_table, ranks

_AREA = "mean accuracy, 0 to 20 %"


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study."""
    measured = _dense(rows)
    found = ranks(measured)
    best = max(found, key=lambda name: found[name][_AREA].value)
    errors = prediction_errors(measured)
    off = float(np.mean(errors))
    findings = (
        Finding(
            "A metric without injection ranks networks as their measured tolerance does, at 0.9",
            f"best of {len(found)} metrics over {len(measured)} networks: {best}, "
            f"{found[best][_AREA]}; mean margin {found['margin'][_AREA]}",
            REACHED if found[best][_AREA].value >= 0.9 else MISSED,
        ),
        Finding(
            "Accuracy predicted without injection is off by 1.5 points at most in the mean",
            f"mean absolute error {100 * off:.2f} points, 95 % of {len(errors)} predictions within "
            f"{100 * float(np.quantile(errors, 0.95)):.2f} (predicted on "
            f"{measure['n_metric_images']} test images, measured on all)",
            REACHED if off <= 0.015 else MISSED,
        ),
        _trend(measured, "margin", "Flip training raises the margin of neurons"),
        _importance(measured),
    )
    tables = (metric_table(measured), _by_training(measured))
    return Judgement(findings, tables, (_scatter(measured, best), *_histograms(measured)))


def _dense(rows: Sequence[Row]) -> list[Row]:
    """Fully connected networks on Fashion-MNIST, whose accuracies can be compared."""
    return [
        row
        for row in rows
        if row["recipe"]["data"] == "fashion-mnist" and not row["recipe"].get("convs")
    ]


def _trained(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """Networks of the grid of flip training, by their rate of training; 0 is plain."""
    found: dict[float, list[Row]] = {}
    for row in rows:
        if row["label"] == "sfc, plain":
            found.setdefault(0.0, []).append(row)
        elif row["label"].startswith("sfc, p_train"):
            found.setdefault(row["varied"]["p_train"], []).append(row)
    return dict(sorted(found.items()))


def _trend(rows: Sequence[Row], name: str, claim: str) -> Finding:
    groups = _trained(rows)
    means = {p: mean_of(row["metrics"][name] for row in of) for p, of in groups.items()}
    text = ", ".join(f"{m.value:.3f} at {100 * p:g} %" for p, m in means.items())
    values = [m.value for m in means.values()]
    rises = all(b > a for a, b in zip(values, values[1:], strict=False))
    return Finding(
        claim,
        f"784-256-256-256-10, by rate of training: {text}",
        CONFIRMED if rises else PARTLY if values[-1] > values[0] else REFUTED,
    )


def _importance(rows: Sequence[Row]) -> Finding:
    found: dict[str, Rank] = {}
    for name in ("inversion", "drop", "gradient"):
        known = [row for row in rows if row["importance_variance"].get(name) is not None]
        found[name] = rank_correlation(known, _variance_by(name), area)
    text = ", ".join(f"{name} {rank}" for name, rank in found.items())
    tied = [r for r in found.values() if r.high < 0]
    return Finding(
        "Networks whose importance varies less between neurons tolerate more",
        f"rank correlation of the variance (last hidden layer) with the mean accuracy from 0 to "
        f"20 %: {text}",
        CONFIRMED if len(tied) == len(found) else PARTLY if tied else REFUTED,
    )


def _variance_by(name: str) -> Callable[[Row], float]:
    return lambda row: float(row["importance_variance"][name])


def _by_training(rows: Sequence[Row]) -> Table:
    names = ("margin", "stability", "critical_ber", "gap", "kept_area")
    return Table(
        "Metrics of networks, mean over seeds, beside measured accuracy in %",
        ("network", *names, "variance of importance", "5 %", "10 %", _AREA),
        tuple(
            (
                label,
                *(f"{mean_of(row['metrics'][n] for row in of).value:.3f}" for n in names),
                _variance(of),
                *(mean_of(accuracy(row, rate) for row in of).percent(1) for rate in (0.05, 0.1)),
                mean_of(map(area, of)).percent(1),
            )
            for label, of in by_label(rows).items()
        ),
    )


def _variance(of: Sequence[Row]) -> str:
    values = [row["importance_variance"].get("inversion") for row in of]
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else "-"


def _scatter(rows: Sequence[Row], name: str) -> Plot:
    kinds: dict[str, list[Row]] = {"plain": [], "flips": [], "other": []}
    for row in rows:
        label = row["label"]
        kind = (
            "plain"
            if "plain" in label
            else "flips"
            if "p_train" in label or "flips" in label
            else "other"
        )
        kinds[kind].append(row)
    lines = tuple(
        Line(
            kind,
            tuple(row["metrics"][name] for row in of),
            tuple(100 * area(row) for row in of),
        )
        for kind, of in kinds.items()
        if of
    )
    title = f"{name}, without injection, against measurement"
    return Plot("metric", title, name, f"{_AREA}, %", lines, is_scatter=True)


def _histograms(rows: Sequence[Row]) -> list[Plot]:
    chosen = {"plain": "sfc, plain", "p_train 20 %": "sfc, p_train 0.2, straight_through"}
    found = {
        name: next(row for row in rows if row["label"] == label) for name, label in chosen.items()
    }
    layers = list(found["plain"]["histograms"])
    return [
        Plot(
            f"margins-{k}",
            f"Signed margins of hidden layer {k + 1}",
            "(s - T) / sqrt(n)",
            "share of decisions, %",
            tuple(
                Line(
                    name,
                    tuple(row["histograms"][layer]["centres"]),
                    tuple(100 * v for v in row["histograms"][layer]["shares"]),
                )
                for name, row in found.items()
            ),
        )
        for k, layer in enumerate(layers)
    ]
