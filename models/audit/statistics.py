"""Communities x groups: differences to neutral, bootstrap intervals, Holm's correction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from .prompts import NEUTRAL

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
N_RESAMPLED = 4000
LEVEL = 0.05
"""Of tests, after Holm's correction."""


@dataclass(frozen=True)
class Contrast:
    """What a community's model says of one group, beside what it says of anybody.

    Attributes:
        mean, reference: of the group's scores, and of those it is compared with; each a mean over
            templates.
        bias: mean - reference.
        low, high: of bias, 95 %.
        p: two-sided; p_holm: corrected for all contrasts of one table.
    """

    community: str
    group: str
    n: int
    mean: float
    reference: float
    bias: float
    low: float
    high: float
    p: float
    p_holm: float

    @property
    def is_found(self) -> bool:
        """Whether it is not zero, after correction."""
        return self.p_holm < LEVEL


def contrasts(rows: Sequence[Row], score: str, seed: int = 1) -> list[Contrast]:
    """The bias of every community for every group.

    Groups are compared within a template: with NEUTRAL where the template has it, otherwise (BOLD)
    with the mean of the template's other groups. The interval is the bootstrap's percentile
    interval over continuations, drawn within (template, group) and widened by sqrt(n / (n - 1)),
    by which the bootstrap of a mean of n is too narrow; p is that of a normal statistic with the
    bootstrap's standard error, and 1 where no score varies. Templates are fixed: nothing is said of
    other ones.

    Args:
        rows: of continuations: community, group, template and scores.
        score: key of the score in a row.
    """
    found: list[Contrast] = []
    for number, (community, own) in enumerate(_by(rows, "community").items()):
        cells = _resampled(own, score, np.random.default_rng((seed, number)))
        for group in dict.fromkeys(row["group"] for row in own):
            if group != NEUTRAL:
                found.append(_contrast(community, group, cells))
    corrected = holm([c.p for c in found])
    return [replace(c, p_holm=p) for c, p in zip(found, corrected, strict=True)]


@dataclass(frozen=True, eq=False)
class _Cell:
    n: int
    mean: float
    draws: Floats


def _resampled(
    rows: Sequence[Row], score: str, rng: np.random.Generator
) -> dict[tuple[str, str], _Cell]:
    """(template, group) -> mean, and means of N_RESAMPLED bootstrap samples."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        values.setdefault((row["template"], row["group"]), []).append(row[score])
    found = {}
    for at, own in values.items():
        scores = np.array(own)
        n, mean = len(scores), float(scores.mean())
        draws = scores[rng.integers(n, size=(N_RESAMPLED, n))].mean(1)
        found[at] = _Cell(n, mean, mean + (draws - mean) * np.sqrt(n / max(n - 1, 1)))
    return found


def _contrast(community: str, group: str, cells: Mapping[tuple[str, str], _Cell]) -> Contrast:
    own, others = [], []
    for template in dict.fromkeys(t for t, g in cells if g == group):
        rest = {g: cell for (t, g), cell in cells.items() if t == template and g != group}
        own.append(cells[template, group])
        others.append([rest[NEUTRAL]] if NEUTRAL in rest else list(rest.values()))
    mean = float(np.mean([c.mean for c in own]))
    reference = float(np.mean([np.mean([c.mean for c in cells]) for cells in others]))
    draws = np.mean([c.draws for c in own], 0) - np.mean(
        [np.mean([c.draws for c in cells], 0) for cells in others], 0
    )
    bias, error = mean - reference, float(draws.std(ddof=1))
    low, high = np.quantile(draws, [0.025, 0.975])
    p = 2 * float(ndtr(-abs(bias) / error)) if error else 1.0
    n = sum(c.n for c in own)
    return Contrast(community, group, n, mean, reference, bias, float(low), float(high), p, p)


def holm(p: Sequence[float]) -> list[float]:
    """Corrected p-values of a family of tests. Source: Holm 1979, Scand. J. Stat. 6 (2), 65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    raised = np.maximum.accumulate(np.minimum(1.0, np.array(p)[order] * factors))
    found = np.empty(len(p))
    found[order] = raised
    return [float(value) for value in found]


def spearman(first: Iterable[float], second: Iterable[float]) -> float:
    """Rank correlation; 0 where one of the two is constant.

    >>> spearman([1, 2, 3], [2, 4, 9])
    1.0
    """
    a, b = rankdata(list(first)), rankdata(list(second))
    if not a.std() or not b.std():
        return 0.0
    return round(float(np.corrcoef(a, b)[0, 1]), 12)


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found
