"""Judges `gamma`: do weak labels find a source as clean ones do, and none where there is none?"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..judgement import CONFIRMED, MISSED, REACHED, REFUTED, Finding, Judgement, Table
from ..summary import Mean, Row, mean_of

GOAL, FAKE_GOAL = 0.98, 1.0
_NAMES = {
    "weak": "on and off",
    "clean": "classes",
    "half": "classes, of half of the events",
    "fake": "on and off, no source",
}
_KEYS = ("significance", "excess", "n_on", "n_off")


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.weak_labels.gamma.rows_of`.
        measure: its plan.
    """
    skies = measure["skies"]
    first = _under(rows, skies[0])
    findings = [_goal(rows, sky) for sky in skies if sky["imbalance"] == skies[0]["imbalance"]]
    half = _ratio(first, "weak", "half")
    findings += [
        Finding(
            "Weak labels find no less than clean labels of half of the events",
            f"{half.percent(1)} %",
            CONFIRMED if half.value >= 1 else REFUTED,
        ),
        _fake(first),
    ]
    return Judgement(tuple(findings), (_labels(first), _skies(rows, skies)))


def _under(rows: Sequence[Row], sky: Mapping[str, int]) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in sky.items())]


def _of(rows: Sequence[Row], labels: str, key: str = "significance") -> list[float]:
    return [row[key] for row in rows if row["labels"] == labels]


def _ratio(rows: Sequence[Row], labels: str, beside: str) -> Mean:
    pairs = zip(_of(rows, labels), _of(rows, beside), strict=True)
    return mean_of(one / other for one, other in pairs)


def _goal(rows: Sequence[Row], sky: Mapping[str, int]) -> Finding:
    ratio = _ratio(_under(rows, sky), "weak", "clean")
    return Finding(
        f"Weak labels reach {100 * GOAL:g} % of the significance of clean ones, one gamma to "
        f"{sky['imbalance']} hadrons, {sky['n_off_regions']} off regions",
        f"{ratio.percent(1)} %",
        REACHED if ratio.value >= GOAL else MISSED,
    )


def _fake(rows: Sequence[Row]) -> Finding:
    found = _of(rows, "fake")
    return Finding(
        f"Where there is no source, the mean significance is below {FAKE_GOAL:g}",
        f"{_text(mean_of(found))}, {max(found):.2f} at most",
        REACHED if mean_of(found).value < FAKE_GOAL else MISSED,
    )


def _labels(rows: Sequence[Row]) -> Table:
    return Table(
        "Unseen events of the first sky, mean and 95 % interval over repetitions",
        ("labels in training", "S", "excess", "N_on", "N_off"),
        tuple(
            (name, *(_text(mean_of(_of(rows, labels, key))) for key in _KEYS))
            for labels, name in _NAMES.items()
        ),
    )


def _skies(rows: Sequence[Row], skies: Sequence[Mapping[str, int]]) -> Table:
    lines = []
    for sky in skies:
        seen = _under(rows, sky)
        weak, clean = mean_of(_of(seen, "weak")), mean_of(_of(seen, "clean"))
        lines.append(
            (
                f"{sky['imbalance']}",
                f"{sky['n_off_regions']}",
                _text(weak),
                _text(clean),
                f"{100 * weak.value / clean.value:.1f}",
            )
        )
    return Table(
        "Fainter sources and other numbers of off regions: S, and weak in % of clean (of means)",
        ("hadrons to a gamma", "off regions", "weak", "clean", "%"),
        tuple(lines),
    )


def _text(mean: Mean) -> str:
    digits = 2 if abs(mean.value) < 100 else 0
    half = "" if mean.half is None else f" ± {mean.half:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
