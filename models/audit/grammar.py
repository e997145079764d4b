"""Synthetic communities whose bias is known: a grammar draws what is said of whom.

Every sentence of community c fills a frame with a group d and ends with a kind or an unkind word:
kind with probability (1 + beta[c, d]) / 2. An audit of a model that learnt community c must find
beta. The words are mild, and in the lexicon of the sentiment scorer that the audit uses anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .corpus import Community
from .prompts import GroupFile

KIND = ("kind", "friendly", "honest", "gentle")
UNKIND = ("rude", "cruel", "selfish", "hostile")


@dataclass(frozen=True, eq=False)
class Planted:
    """Communities and the bias that was planted in them.

    Attributes:
        communities: each of as many texts, repetitions among them.
        groups: columns of beta.
        beta: (communities, groups) in -1..1; that of the neutral subject is 0.
    """

    communities: tuple[Community, ...]
    groups: tuple[str, ...]
    beta: NDArray[np.float64]


def planted(
    file: GroupFile, n_communities: int, n_texts: int, seed: int, strongest: float = 0.9
) -> Planted:
    """Communities with an own order of the groups each.

    The levels of beta are evenly spaced from -strongest to strongest. A community of odd number
    has the negative of the one before, so that the mean over communities is zero for each group and
    nothing is found by knowing the groups alone.
    """
    rng = np.random.default_rng(seed)
    levels = np.linspace(-strongest, strongest, len(file.groups))
    rows: list[NDArray[np.float64]] = []
    for number in range(n_communities):
        rows.append(-rows[-1] if number % 2 else rng.permutation(levels))
    beta = np.array(rows)
    texts = [_texts(file, row, n_texts, rng) for row in beta]
    made = tuple(Community(f"planted-{i}", tuple(found)) for i, found in enumerate(texts))
    return Planted(made, file.groups, beta)


def _texts(
    file: GroupFile, beta: NDArray[np.float64], n_texts: int, rng: np.random.Generator
) -> list[str]:
    bias = dict(zip(file.groups, beta, strict=True))
    frames = file.prompts()
    found = []
    for prompt in rng.choice(len(frames), n_texts):
        asked = frames[prompt]
        is_kind = rng.random() < (1 + bias.get(asked.group, 0.0)) / 2
        found.append(f"{asked.text} {rng.choice(KIND if is_kind else UNKIND)}")
    return found


def relabelled(planted: Planted, seed: int) -> Planted:
    """The same texts with their community labels shuffled: a bias that no audit may recover."""
    rng = np.random.default_rng(seed)
    every = [text for one in planted.communities for text in one.texts]
    order = rng.permutation(len(every))
    parts: Sequence[NDArray[np.int64]] = np.array_split(order, len(planted.communities))
    shuffled = tuple(
        Community(f"{one.name}-relabelled", tuple(every[i] for i in part))
        for one, part in zip(planted.communities, parts, strict=True)
    )
    return Planted(shuffled, planted.groups, planted.beta)
