"""Judges `chips`: does tolerance of one memory carry over to others?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..judgement import CONFIRMED, PARTLY, REFUTED, Finding, Judgement, Table, curve_table
from ..summary import Mean, Row, by_label, mean_of

_SMALL = 0.005
_IID = "independent, 0 to 10 %"


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study."""
    groups = by_label(rows)
    memories = tuple(measure["errors"])
    table = Table(
        "Accuracy in % on memories (20 chips that training never saw), and on the chip of training",
        ("trained under", "no errors", *memories, "own chip"),
        tuple(
            (
                label,
                mean_of(float(np.mean(row["fixed"]["0"])) for row in of).percent(),
                *(_on(of, memory).percent() for memory in memories),
                mean_of(float(np.mean(row["own"])) for row in of).percent()
                if "own" in of[0]
                else "-",
            )
            for label, of in groups.items()
        ),
    )
    findings = (_one_chip(groups), _lower_rate(groups), _statistics(groups), _free(groups))
    return Judgement(findings, (table, curve_table("Independent errors, accuracy in %", rows)))


def _on(of: Sequence[Row], memory: str) -> Mean:
    return mean_of(float(np.mean(row["errors"][memory])) for row in of)


def _one_chip(groups: Mapping[str, Sequence[Row]]) -> Finding:
    one, fresh = groups["independent 8.14 %, one chip"], groups[_IID]
    own = mean_of(float(np.mean(row["own"])) for row in one)
    other, free = _on(one, "iid-8.14%"), _on(fresh, "iid-8.14%")
    return Finding(
        "A network trained on one fixed chip does not carry over to others (Stutz et al.)",
        f"independent errors of 8.14 %: {own.percent()} % on its own chip, {other.percent()} % on "
        f"others, where random errors of 0 to 10 % in training give {free.percent()} %",
        CONFIRMED if own.value - other.value > _SMALL and free.value > other.value else REFUTED,
    )


def _lower_rate(groups: Mapping[str, Sequence[Row]]) -> Finding:
    one = groups["independent 8.14 %, one chip"]
    own = mean_of(float(np.mean(row["own"])) for row in one)
    clean = mean_of(float(np.mean(row["fixed"]["0"])) for row in one)
    return Finding(
        "It is worse on its own chip at a lower rate too (Stutz et al.)",
        f"{own.percent()} % at 8.14 %, {clean.percent()} % without errors",
        CONFIRMED if own.value > clean.value + _SMALL else REFUTED,
    )


def _statistics(groups: Mapping[str, Sequence[Row]]) -> Finding:
    lines, memory = [], "rram-replay-1t1r"
    rates = "independent, the rates of RADAR 1T1R"
    for label in ("plain", _IID, rates, memory):
        lines.append(f"{label}: {_on(groups[label], memory).percent()} %")
    carried = _on(groups[rates], memory).value
    as_good = carried > _on(groups[memory], memory).value - 2 * _SMALL
    iid = _on(groups[_IID], memory).value
    return Finding(
        "For measured RRAM cells the two rates are what training must know, not the cells",
        f"accuracy on replayed 1T1R cells, by what training met: {'; '.join(lines)}",
        CONFIRMED if as_good and carried > iid + _SMALL else PARTLY if as_good else REFUTED,
    )


def _free(groups: Mapping[str, Sequence[Row]]) -> Finding:
    memory = "bram-0.53V"
    plain, own = _on(groups["plain"], memory), _on(groups[f"{memory}, one chip"], memory)
    clean = mean_of(float(np.mean(row["fixed"]["0"])) for row in groups["plain"])
    return Finding(
        "Block RAM at its last working voltage needs no training for tolerance",
        f"KC705 at 0.53 V: plain {plain.percent()} % (no errors {clean.percent()} %), trained on "
        f"one board {own.percent()} %",
        CONFIRMED if clean.value - plain.value < _SMALL else REFUTED,
    )
