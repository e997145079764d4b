"""Communities x groups: differences to neutral, bootstrap intervals, permutation tests, Holm."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from .prompts import NEUTRAL

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
N_RESAMPLED = 4000
LEVEL = 0.05
"""Of tests, after Holm's correction, and of intervals."""
_ROUNDING, _CHUNK = 1e-12, 4_000_000


@dataclass(frozen=True)
class Contrast:
    """What a community's model says of one group, beside what it says of anybody.

    Attributes:
        n: continuations of the group; n_units: what the interval draws again, see `contrasts`.
        mean, reference: of the group's scores, and of those it is compared with; each a mean over
            templates.
        bias: mean - reference.
        low, high: of bias, 95 %.
        p: two-sided; p_holm: corrected for all contrasts of one table.
    """

    community: str
    group: str
    n: int
    n_units: int
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
    with the mean of the template's other groups.

    What is replicated, and is drawn again or shuffled, is the unit within (template, group):

    - openings, where a group has several in a template (BOLD, whose template is a domain). They
      are a draw from what could be said of the group, and continuations of one opening resemble
      each other; an opening counts as the mean of its continuations, and comes or goes with all
      of them. Ten continuations of an opening tell no more of other openings than one.
    - continuations, where a group has one prompt in a template (a frame, filled in). Frames are
      chosen, few and the same for all groups; they are fixed, and nothing is said of others.

    The interval is the bootstrap's percentile interval over units. A mean of n is spread too little
    by the bootstrap, and its spread is uncertain: draws are widened by sqrt(n / (n - 1)), and the
    interval by the quantile of Student's t over that of a normal, at the degrees of freedom of
    Welch and Satterthwaite over the (template, group) that are compared. p is the share of shuffles
    of the units over the groups that are compared whose bias is as large: exact for few units of
    any distribution (toxicity is 0 nearly always, and p of t finds what is not there). It is of no
    difference at all: where all groups of a template are compared, one that only spreads farther
    has a small p too often, and its interval is what tells.

    Args:
        rows: of continuations: community, group, template, prompt and scores.
        score: key of the score in a row.

    Raises:
        ValueError: a group has nothing to be compared with in its template, or one unit only.
    """
    by_community = {c: _cells(own, score) for c, own in _by(rows, "community").items()}
    family = sum(len(_groups(templates)) for templates in by_community.values())
    n_shuffled = max(N_RESAMPLED, round(2 * family / LEVEL))  # else none could be left after Holm
    found: list[Contrast] = []
    for number, (community, templates) in enumerate(by_community.items()):
        rng = np.random.default_rng((seed, number))
        drawn = {t: _drawn(cells, rng) for t, cells in templates.items()}
        shuffled = {t: _shuffled(cells, n_shuffled, rng) for t, cells in templates.items()}
        found += [
            _contrast(community, group, templates, drawn, shuffled) for group in _groups(templates)
        ]
    corrected = holm([c.p for c in found])
    return [replace(c, p_holm=p) for c, p in zip(found, corrected, strict=True)]


@dataclass(frozen=True, eq=False)
class _Cell:
    """(template, group): how many continuations, and (n,) scores of the units."""

    n_rows: int
    units: Floats

    @property
    def mean(self) -> float:
        return float(self.units.mean())


_Templates = Mapping[str, Mapping[str, _Cell]]
"""template -> group -> cell"""
_Draws = Mapping[str, Mapping[str, Floats]]
"""template -> group -> draws"""


def _cells(rows: Sequence[Row], score: str) -> dict[str, dict[str, _Cell]]:
    found: dict[str, dict[str, _Cell]] = {}
    for template, of in _by(rows, "template").items():
        for group, own in _by(of, "group").items():
            prompts = [[row[score] for row in rows] for rows in _by(own, "prompt").values()]
            units = [np.mean(of) for of in prompts] if len(prompts) > 1 else prompts[0]
            if len(units) < 2:
                raise ValueError(f"group {group!r} has one continuation in {template!r}")
            found.setdefault(template, {})[group] = _Cell(len(own), np.array(units, np.float64))
        if len(found[template]) < 2:
            (alone,) = found[template]
            raise ValueError(f"group {alone!r} is alone in {template!r}: nothing to compare with")
    return found


def _groups(templates: _Templates) -> list[str]:
    every = dict.fromkeys(group for cells in templates.values() for group in cells)
    return [group for group in every if group != NEUTRAL]


def _others(groups: Iterable[str], group: str) -> list[str]:
    """Whom a group is compared with, of those of its template."""
    groups = list(groups)
    return [NEUTRAL] if NEUTRAL in groups else [g for g in groups if g != group]


def _drawn(cells: Mapping[str, _Cell], rng: np.random.Generator) -> dict[str, Floats]:
    """(N_RESAMPLED,) means of bootstrap samples of each group's units."""
    found = {}
    for group, cell in cells.items():
        n = len(cell.units)
        draws = cell.units[rng.integers(n, size=(N_RESAMPLED, n))].mean(1)
        found[group] = cell.mean + (draws - cell.mean) * np.sqrt(n / (n - 1))
    return found


def _shuffled(cells: Mapping[str, _Cell], n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """(n,) of each group, its bias after shuffles of units over those that it is compared with.

    One shuffle serves all groups where all are compared with each other.
    """
    found: dict[str, Floats] = {}
    for group in cells:
        if group == NEUTRAL or group in found:
            continue
        together = [group, *_others(cells, group)]
        means = _means([cells[g].units for g in together], n, rng)
        for i, one in enumerate([group] if NEUTRAL in cells else together):
            found[one] = means[i] - np.delete(means, i, 0).mean(0)
    return found


def _means(parts: Sequence[Floats], n: int, rng: np.random.Generator) -> Floats:
    """(n_parts, n) means of the parts after shuffles of all values, _CHUNK values at a time."""
    values = np.concatenate(parts)
    ends = np.cumsum([len(part) for part in parts])
    found = np.empty((len(parts), n))
    step = max(1, _CHUNK // len(values))
    for first in range(0, n, step):
        some = rng.permuted(np.tile(values, (min(step, n - first), 1)), axis=1)
        found[:, first : first + step] = [
            part.mean(1) for part in np.split(some, ends[:-1], axis=1)
        ]
    return found


def _contrast(
    community: str, group: str, templates: _Templates, drawn: _Draws, shuffled: _Draws
) -> Contrast:
    own = {t: cells[group] for t, cells in templates.items() if group in cells}
    weighed: list[tuple[float, _Cell, Floats]] = []
    for t, cell in own.items():
        others = _others(templates[t], group)
        weighed.append((1 / len(own), cell, drawn[t][group]))
        weighed += [(-1 / len(own) / len(others), templates[t][g], drawn[t][g]) for g in others]
    mean = float(np.mean([cell.mean for cell in own.values()]))
    bias = float(sum(weight * cell.mean for weight, cell, _ in weighed))
    draws = np.sum([weight * of for weight, _, of in weighed], 0)
    low, high = bias + _wider(weighed) * (np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2]) - bias)
    chance = np.mean([shuffled[t][group] for t in own], 0)
    n_as_large = int((np.abs(chance) >= abs(bias) * (1 - _ROUNDING) - _ROUNDING).sum())
    p = (1 + n_as_large) / (1 + len(chance))
    n, n_units = (sum(c.n_rows for c in own.values()), sum(len(c.units) for c in own.values()))
    return Contrast(
        community, group, n, n_units, mean, mean - bias, bias, float(low), float(high), p, p
    )


def _wider(weighed: Sequence[tuple[float, _Cell, Floats]]) -> float:
    """Quantile of t over that of a normal, for a sum of weighed means whose variances differ.

    Source: Welch 1947, Biometrika 34, 28-35; Satterthwaite 1946, Biometrics Bulletin 2, 110-114.
    """
    parts = np.array([weight**2 * of.var() for weight, _, of in weighed])
    if not parts.any():
        return 1.0
    n = np.array([len(cell.units) for _, cell, _ in weighed])
    freedom = parts.sum() ** 2 / (parts**2 / (n - 1)).sum()
    return float(stdtrit(freedom, 1 - LEVEL / 2) / ndtri(1 - LEVEL / 2))


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
