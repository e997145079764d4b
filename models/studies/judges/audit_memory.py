"""Judges the part of `audit` under memory errors: does bias shift before perplexity does?"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.special import stdtr

from ....sim.intervals import quantile_t
from ...audit.statistics import LEVEL, holm
from ..judgement import CONFIRMED, MISSED, REFUTED, Finding, Table
from ..summary import Mean, Row, mean_of

Conditions = dict[str, dict[str, list[Row]]]


def conditions(rows: Sequence[Row]) -> Conditions:
    """storage -> condition ("none" first) -> rows of the same models, or chips, in order."""
    found: Conditions = {}
    for row in rows:
        name = "none" if row["errors"] is None else _rate(row)
        found.setdefault(row["storage"], {}).setdefault(name, []).append(row)
    return found


def _rate(row: Row) -> str:
    errors = row["errors"]
    return f"{100 * (errors['p01'] + errors['p10']) / 2:g} %"


def _pairs(of: Mapping[str, list[Row]], condition: str) -> list[tuple[Row, Row]]:
    """(under errors, without) of the same model, with the same uniform numbers."""
    clean = {(row["community"], row["chip"]): row for row in of["none"]}
    return [(row, clean[row["community"], row["chip"]]) for row in of[condition]]


def _perplexity(pairs: Sequence[tuple[Row, Row]]) -> Mean:
    """Rise of the log perplexity, which is additive."""
    return mean_of(float(np.log(a["perplexity"] / b["perplexity"])) for a, b in pairs)


def _shift(pairs: Sequence[tuple[Row, Row]], group: str, sign_by: bool) -> Mean:
    """Change of a group's bias; of planted models, towards (-) or away from zero."""
    return mean_of(
        (a["bias"][group] - b["bias"][group])
        * (float(np.sign(a["planted"][group])) if sign_by else 1.0)
        for a, b in pairs
    )


def _retained(pairs: Sequence[tuple[Row, Row]]) -> Mean | None:
    """The share of what was planted that is still found: slope under errors over slope without."""
    if "planted" not in pairs[0][0]:
        return None
    return mean_of(_slope(a) / _slope(b) for a, b in pairs)


def _slope(row: Row) -> float:
    beta = np.array([row["planted"][g] for g in row["planted"]])
    bias = np.array([row["bias"][g] for g in row["planted"]])
    return float(beta @ bias / (beta @ beta))


def _p(mean: Mean) -> float:
    """Two-sided, of Student's t; the mean's half-width gives its standard error.

    1 where nothing says how far values spread: of one pair.
    """
    if mean.half is None:
        return 1.0
    if mean.half == 0:
        return float(mean.value == 0)
    t = abs(mean.value) / (mean.half / quantile_t(mean.n))
    return 2 * float(stdtr(mean.n - 1, -t))


def _moved_groups(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """Groups whose bias shifted, after Holm over groups."""
    groups = list(pairs[0][0]["bias"])
    is_planted = "planted" in pairs[0][0]
    p = holm([_p(_shift(pairs, g, is_planted)) for g in groups])
    return [g for g, value in zip(groups, p, strict=True) if value < LEVEL]


def _widest(pairs: Sequence[tuple[Row, Row]]) -> str:
    """The two groups whose distance in bias changed most, with its interval."""
    groups = list(pairs[0][0]["bias"])

    def change(one: str, other: str) -> Mean:
        return mean_of(
            abs(a["bias"][one] - a["bias"][other]) - abs(b["bias"][one] - b["bias"][other])
            for a, b in pairs
        )

    changes = {(a, b): change(a, b) for a, b in combinations(groups, 2)}
    one, other = max(changes, key=lambda key: abs(changes[key].value))
    return f"{one} and {other} {_signed(changes[one, other])}"


def _is_moved(mean: Mean | None, rest: float = 0.0) -> bool:
    return mean is not None and mean.half is not None and abs(mean.value - rest) > mean.half


def first_to_move(what: str, of: Mapping[str, list[Row]]) -> Finding:
    """Whether bias moves at a lower rate than perplexity: an interval beside no change.

    Bias moves when what is kept of a planted one does, or a group's after Holm over groups. Where
    neither moves nothing is shown.
    """
    rates = [name for name in of if name != "none"]
    bias = perplexity = None
    for name in rates:
        pairs = _pairs(of, name)
        if perplexity is None and _is_moved(_perplexity(pairs)):
            perplexity = name
        if bias is None and (_is_moved(_retained(pairs), 1.0) or _moved_groups(pairs)):
            bias = name
    order = [*rates, None]
    is_before = order.index(bias) < order.index(perplexity)
    return Finding(
        f"Under bit errors bias shifts before perplexity does: {what}",
        f"bias first at {bias or 'none of the rates'}, perplexity at "
        f"{perplexity or 'none of the rates'}",
        CONFIRMED if is_before else MISSED if perplexity is None else REFUTED,
    )


def memory_table(planted: Conditions, model: Conditions, name: str) -> Table:
    """A line for each storage and rate, of the planted models and of the large one `name`."""
    lines = []
    for what, storages in (("planted", planted), (name, model)):
        for kind, of in storages.items():
            for condition in (c for c in of if c != "none"):
                pairs = _pairs(of, condition)
                retained = _retained(pairs)
                rise = _perplexity(pairs)
                lines.append(
                    (
                        f"{what}, {kind}",
                        condition,
                        f"{len(pairs)}",
                        f"{np.mean([row['perplexity'] for row in of['none']]):.1f}",
                        rise.percent(),
                        "" if retained is None else retained.percent(1),
                        ", ".join(_moved_groups(pairs)) or "none",
                        _widest(pairs),
                    )
                )
    return Table(
        "Memory errors, paired with the same model without them; planted: a chip a community, "
        f"{name}: a community's own chips. Moved groups are after Holm; ± are 95 % intervals "
        "(Student's t). The two groups are the most changed of all pairs, so their interval is too "
        "narrow",
        (
            "model",
            "bit error rate",
            "pairs",
            "perplexity without",
            "100 x rise of log perplexity",
            "planted bias kept, %",
            "groups whose bias moved",
            "distance that changed most",
        ),
        tuple(lines),
    )


def _signed(mean: Mean) -> str:
    return f"{mean.value:+.2f}" + ("" if mean.half is None else f" ± {mean.half:.2f}")
