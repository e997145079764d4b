"""Judges `gamma`: do weak labels find a source as clean ones do, and none where there is none?"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..judgement import MISSED, REACHED, Finding, Judgement, Table
from ..summary import Mean, Row, mean_of

GOAL, FAKE_GOAL = 0.98, 1.0
_NAMES = {"weak": "on and off", "clean": "classes", "fake": "on and off, no source"}


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.weak_labels.gamma.run`.
        measure: its plan.
    """
    leaves = tuple(measure["min_leaves"])
    best = {
        name: max(leaves, key=lambda leaf: mean_of(_of(rows, name, leaf, "significance")).value)
        for name in _NAMES
    }
    table = Table(
        "Significance of unseen events, mean and 95 % interval over repetitions",
        ("labels in training", "events in a leaf", "S", "excess", "N_on", "N_off"),
        tuple(
            (
                _NAMES[name],
                f"{leaf}",
                *(_text(mean_of(_of(rows, name, leaf, key))) for key in _KEYS),
            )
            for name in _NAMES
            for leaf in leaves
        ),
    )
    equal = [
        Finding(
            f"Weak labels reach {GOAL:.0%} of the significance of clean ones: leaves of {leaf}",
            *_reached(_ratio(rows, leaf, leaf)),
        )
        for leaf in leaves
    ]
    own = Finding(
        f"Weak labels reach {GOAL:.0%}, each kind of label with the leaves that suit it best",
        *_reached(_ratio(rows, best["weak"], best["clean"])),
    )
    return Judgement((*equal, own, _fake(rows, best["fake"])), (table,))


_KEYS = ("significance", "excess", "n_on", "n_off")


def _of(rows: Sequence[Row], labels: str, leaf: int, key: str) -> list[float]:
    return [row[key] for row in rows if (row["labels"], row["min_leaf"]) == (labels, leaf)]


def _ratio(rows: Sequence[Row], weak_leaf: int, clean_leaf: int) -> Mean:
    weak = _of(rows, "weak", weak_leaf, "significance")
    clean = _of(rows, "clean", clean_leaf, "significance")
    return mean_of(w / c for w, c in zip(weak, clean, strict=True))


def _reached(ratio: Mean) -> tuple[str, str]:
    return f"{ratio.percent(1)} %", REACHED if ratio.value >= GOAL else MISSED


def _fake(rows: Sequence[Row], worst: int) -> Finding:
    """The leaves at which the fake source looks most like one."""
    found = mean_of(_of(rows, "fake", worst, "significance"))
    highest = max(_of(rows, "fake", worst, "significance"))
    return Finding(
        f"Where there is no source, the mean significance is below {FAKE_GOAL:g}",
        f"{_text(found)}, {highest:.2f} at most",
        REACHED if found.value < FAKE_GOAL else MISSED,
    )


def _text(mean: Mean) -> str:
    digits = 2 if abs(mean.value) < 100 else 0
    half = "" if mean.half is None else f" ± {mean.half:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
