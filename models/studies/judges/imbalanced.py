"""Judges `imbalanced`: is it worth knowing one rate of the noise, and what is significance for?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..judgement import CONFIRMED, PARTLY, REFUTED, Finding, Judgement, Table
from ..summary import Mean, Row, mean_of

PUBLISHED = {
    "significance-forest": ("Li and Ma, trees", 0.414, 8.66),
    "significance": ("Li and Ma, threshold", 0.413, 8.95),
    "menon-pk": ("Menon, p_minus known", 0.425, 8.80),
    "menon-ck": ("Menon, both rates known", 0.433, 8.92),
    "menon-cu": ("Menon, no rate known", 0.310, 7.99),
    "mithal": ("Mithal", 0.341, 8.35),
    "default": ("default F1", 0.170, 5.16),
}
"""Name, F1, S. Source: results in the code of Bunse et al. 2023, means over six noises."""

_CLAIMS = (
    ("f1", "menon-pk", "menon-cu", "Knowing p_minus raises F1 over knowing no rate"),
    ("f1", "menon-ck", "menon-pk", "Knowing p_plus too raises F1 a little more"),
    ("f1", "menon-pk", "significance", "A threshold for F1 has more F1 than one for S"),
    ("significance", "significance", "menon-pk", "A threshold for S has more S than one for F1"),
    ("significance", "significance", "significance-forest", "A threshold has more S than trees"),
    ("f1", "significance", "default", "A threshold for S has more F1 than the default"),
    ("significance", "significance", "default", "A threshold for S has more S than the default"),
)


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.weak_labels.imbalanced.rows_of`.
        measure: its plan.
    """
    names = sorted({row["set"] for row in rows})
    f1, found = (
        {m: _by_set(rows, m, key, names) for m in PUBLISHED} for key in ("f1", "significance")
    )
    by_key = {"f1": f1, "significance": found}
    findings = [
        _finding(claim, mean_of(np.subtract(by_key[key][one], by_key[key][other])))
        for key, one, other, claim in _CLAIMS
    ]
    table = Table(
        f"Means over {len(names)} sets of KEEL beside the published ones over 27 other sets",
        ("method", "F1", "published", "S", "published"),
        tuple(
            (
                name,
                _text(mean_of(f1[m]), 3),
                f"{p_f1:.3f}",
                _text(mean_of(found[m]), 2),
                f"{p_s:.2f}",
            )
            for m, (name, p_f1, p_s) in PUBLISHED.items()
        ),
    )
    sets = Table("Sets", ("names",), ((", ".join(names),),))
    return Judgement(tuple(findings), (table, sets))


def _by_set(rows: Sequence[Row], method: str, key: str, names: Sequence[str]) -> list[float]:
    of = [row for row in rows if row["method"] == method]
    return [float(np.mean([row[key] for row in of if row["set"] == name])) for name in names]


def _finding(claim: str, gain: Mean) -> Finding:
    verdict = CONFIRMED if gain.value > 0 else REFUTED
    if abs(gain.value) <= (gain.half or 0.0):
        verdict = PARTLY  # 0 is within the interval
    return Finding(claim, f"{_text(gain, 3)}", verdict)


def _text(mean: Mean, digits: int) -> str:
    half = "" if mean.half is None else f" ± {mean.half:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
