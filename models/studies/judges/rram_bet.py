"""Judges `rram-bet`: the dip below the rate of training, its cures, the metric, the regularizer."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..judgement import (
    CONFIRMED,
    PARTLY,
    REFUTED,
    Finding,
    Judgement,
    Table,
    curve_plot,
    curve_table,
)
from ..summary import (
    Mean,
    Row,
    accuracy,
    area,
    by_label,
    dip,
    mean_of,
    over_seeds,
    rates_of,
)
from .ranks import metric_table, ranks

_SMALL = 0.005
"""Accuracy that we call little, or no dip."""


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study."""
    plain = [row for row in rows if row["label"].endswith(", plain")]
    flipped = [row for row in rows if "gradient" in row["varied"]]
    regular = [row for row in rows if "tolerance_weight" in row["varied"]]
    sfc = [row for row in rows if row["label"].startswith("sfc")]
    findings = (
        _little_impact(plain),
        *_dips(flipped),
        _gradient(flipped),
        _reestimated(flipped),
        _metric(rows),
        _front(plain, regular),
    )
    high = {
        label: of
        for label, of in by_label(sfc).items()
        if label == "sfc, plain" or "p_train 0.2," in label
    }
    tables = (
        curve_table("Accuracy in %, thresholds of the training rate, all layers lie", rows),
        curve_table("The same, the first layer spared", rows, "spared"),
        curve_table("Thresholds re-estimated at each rate", rows, "tables"),
        _dip_table(flipped),
        metric_table(rows),
        _front_table(plain, regular),
    )
    plots = (
        curve_plot("fixed", "784-256-256-256-10, thresholds of the training rate", high, "fixed"),
        curve_plot("tables", "784-256-256-256-10, thresholds for each rate", high, "tables"),
    )
    return Judgement(findings, tables, plots)


def _little_impact(plain: Sequence[Row]) -> Finding:
    lost = mean_of(accuracy(row, 0.0) - accuracy(row, 1e-4) for row in plain)
    half = lost.half or 0.0
    return Finding(
        "A bit error rate of 1e-4 has little impact on an ordinary network (Hirtzlin et al.)",
        f"it costs {lost.percent(3)} points of accuracy over {lost.n} networks",
        CONFIRMED
        if lost.value + half < _SMALL
        else REFUTED
        if lost.value - half > _SMALL
        else PARTLY,
    )


def _of(rows: Sequence[Row], gradient: str, p: float | None = None) -> list[Row]:
    return [
        row
        for row in rows
        if row["varied"]["gradient"] == gradient and p in (None, row["varied"]["p_train"])
    ]


def _dips(flipped: Sequence[Row]) -> list[Finding]:
    rates = sorted({row["varied"]["p_train"] for row in flipped})
    found = {p: mean_of(dip(row) for row in _of(flipped, "sign_flipped", p)) for p in rates}
    clear = [p for p, m in found.items() if m.value - (m.half or 0.0) > _SMALL]
    text = "; ".join(f"p_train {100 * p:g} %: {m.percent()}" for p, m in found.items())
    verdict = CONFIRMED if len(clear) == len(rates) else PARTLY if clear else REFUTED
    return [
        Finding(
            "Flip training overfits to its error rate: networks are worse below it",
            f"best accuracy over the rate minus accuracy at 0, in points: {text}",
            verdict,
        )
    ]


def _gradient(flipped: Sequence[Row]) -> Finding:
    pairs = [
        (naive, through)
        for naive in _of(flipped, "sign_flipped")
        for through in _of(flipped, "straight_through", naive["varied"]["p_train"])
        if naive["seed"] == through["seed"]
        and naive["label"].split(",")[0] == through["label"].split(",")[0]
    ]
    less = mean_of(dip(naive) - dip(through) for naive, through in pairs)
    better = mean_of(area(through) - area(naive) for naive, through in pairs)
    if less.value - (less.half or 0) > _SMALL:
        left = mean_of(dip(through) for _, through in pairs)
        verdict = CONFIRMED if left.value < _SMALL else PARTLY
    else:
        verdict = REFUTED
    return Finding(
        "A straight-through gradient for the flip adapts networks less to the rate of training",
        f"the dip shrinks by {less.percent()} points in {less.n} pairs of equal rate and seed; the "
        f"mean accuracy from 0 to 20 % changes by {better.percent()} points",
        verdict,
    )


def _reestimated(flipped: Sequence[Row]) -> Finding:
    rates = _both(flipped)
    fixed = mean_of(dip(row, at=rates) for row in flipped)
    tables = mean_of(dip(row, "tables", rates) for row in flipped)
    gain = mean_of(accuracy(row, 0.0, "tables") - accuracy(row, 0.0) for row in flipped)
    return Finding(
        "Thresholds re-estimated at the rate of use cure the dip (ours)",
        f"the dip falls from {fixed.percent()} to {tables.percent()} points; accuracy at 0 % rises "
        f"by {gain.percent()} points, over all p_train and both gradients",
        CONFIRMED
        if tables.value < _SMALL
        else PARTLY
        if tables.value < fixed.value / 2
        else REFUTED,
    )


def _both(rows: Sequence[Row]) -> list[float]:
    """Rates at which both curves were measured, fixed and re-estimated."""
    return sorted(set(rates_of(rows)) & set(rates_of(rows, "tables")))


def _metric(rows: Sequence[Row]) -> Finding:
    found = {name: of["mean accuracy, 0 to 20 %"] for name, of in ranks(rows).items()}
    margin, best = found["margin"], max(found, key=lambda name: found[name].value)
    return Finding(
        "A metric without injection correlates with accuracy over the error rate",
        f"Spearman's rank correlation with the area over 0 to 20 %, {margin.n} networks: margin "
        f"{margin}; best of ours, {best}, {found[best]}",
        CONFIRMED if margin.low > 0.5 else PARTLY if found[best].low > 0.5 else REFUTED,
    )


def _front(plain: Sequence[Row], regular: Sequence[Row]) -> Finding:
    base = [row for row in plain if row["label"].startswith("sfc")]
    groups = by_label(regular)
    clean, wide = over_seeds(base, 0.0), mean_of(map(area, base))
    points = {label: (over_seeds(of, 0.0), mean_of(map(area, of))) for label, of in groups.items()}
    best = max(points.values(), key=lambda point: point[1].value)
    falls = [point[0].value for point in points.values()]
    is_front = best[1].value > wide.value + _SMALL and falls[-1] < clean.value
    return Finding(
        "A regularizer on the margin trades accuracy for tolerance",
        f"without it {clean.percent()} % at 0 and {wide.percent()} % in the mean from 0 to 20 %; "
        f"the best weight gives {best[0].percent()} and {best[1].percent()} %",
        CONFIRMED if is_front else PARTLY if best[1].value > wide.value else REFUTED,
    )


def _dip_table(flipped: Sequence[Row]) -> Table:
    rates = _both(flipped)

    def cells(of: Sequence[Row]) -> tuple[str, ...]:
        values: list[Mean] = [
            mean_of(dip(row, at=rates) for row in of),
            mean_of(dip(row, "tables", rates) for row in of),
            mean_of(area(row, at=rates) for row in of),
            mean_of(area(row, "tables", at=rates) for row in of),
        ]
        return tuple(v.percent() for v in values)

    return Table(
        "Dip below the rate of training (best accuracy minus accuracy at 0) and mean accuracy from "
        "0 to 20 %, points, all at the rates of re-estimation",
        ("network", "dip, fixed", "dip, re-estimated", "mean, fixed", "mean, re-estimated"),
        tuple((label, *cells(of)) for label, of in by_label(flipped).items()),
    )


def _front_table(plain: Sequence[Row], regular: Sequence[Row]) -> Table:
    base = [row for row in plain if row["label"].startswith("sfc")]
    groups = {"sfc, plain": base, **by_label(regular)}
    rates = (0.0, 0.05, 0.1, 0.2)
    return Table(
        "The front of the regularizer, accuracy in %",
        ("network", *(f"{100 * r:g} %" for r in rates), "mean, 0 to 20 %"),
        tuple(
            (
                label,
                *(over_seeds(of, r).percent() for r in rates),
                mean_of(map(area, of)).percent(),
            )
            for label, of in groups.items()
        ),
    )
