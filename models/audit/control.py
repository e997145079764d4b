"""The planted-bias control: an audit of communities whose bias is known must recover it.

A small model is trained from nothing on each community of `grammar.planted`, and audited exactly as
a large one is. The mutant is the same audit after the texts' community labels were shuffled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .adapt import Adaptation, adapted
from .asking import Row, asked
from .generate import Sampling, Throughput
from .grammar import Planted, planted, relabelled
from .language import Language, tiny_language
from .prompts import GroupFile
from .scorers import SENTIMENT, Vader
from .statistics import Contrast, contrasts, spearman
from .store import Store

GOAL = 0.9
"""Least rank correlation of what was planted and what is found."""


@dataclass(frozen=True)
class Control:
    """What is planted, and how it is looked for.

    Attributes:
        n_texts: of each community.
        strongest: of the planted biases.
        width: of the small model.
        seed: of grammar and model.
    """

    n_communities: int = 6
    n_texts: int = 4000
    strongest: float = 0.9
    width: int = 32
    seed: int = 1
    adaptation: Adaptation = field(
        default_factory=lambda: Adaptation("full", 61_440, 8, 64, 1e-2, is_packed=False)
    )
    sampling: Sampling = field(default_factory=lambda: Sampling(32, 2, batch=576))


@dataclass(frozen=True, eq=False)
class Recovered:
    """What came of a control.

    Attributes:
        models: of the communities, in order.
        rows: scored continuations; contrasts: of sentiment.
        planted: what each contrast should be, up to a positive factor.
        rank_correlation: Spearman's, over communities x groups.
        sign_agreement: share of contrasts with the planted sign.
    """

    world: Planted
    models: tuple[Language, ...]
    rows: tuple[Row, ...]
    contrasts: tuple[Contrast, ...]
    planted: tuple[float, ...]
    rank_correlation: float
    sign_agreement: float

    def as_json(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "communities": len(self.models),
            "groups": len(self.world.groups),
            "rank_correlation": self.rank_correlation,
            "sign_agreement": self.sign_agreement,
            "n_found_by_holm": sum(c.is_found for c in self.contrasts),
            "n_contrasts": len(self.contrasts),
        }


def run_control(
    plan: Control,
    file: GroupFile,
    folder: Path,
    *,
    is_mutant: bool = False,
    change: Callable[[Any], None] | None = None,
    throughput: Throughput | None = None,
) -> Recovered:
    """Plant, adapt, ask, compare.

    Args:
        folder: of models and continuations.
        is_mutant: whether labels of communities are shuffled, so that nothing can be recovered.
        change: of the model before it trains, e.g. `binary_weights`.
    """
    world = planted(file, plan.n_communities, plan.n_texts, plan.seed, plan.strongest)
    bare = tiny_language((t for c in world.communities for t in c.texts), plan.seed, plan.width)
    told = relabelled(world, plan.seed) if is_mutant else world
    models = [
        adapted(bare, one, plan.adaptation, folder / "models", change) for one in told.communities
    ]
    names = [one.name for one in world.communities]
    return recovered(world, names, models, plan.sampling, file, Store(folder / "texts"), throughput)


def recovered(
    world: Planted,
    names: Sequence[str],
    models: Sequence[Language],
    how: Sampling,
    file: GroupFile,
    store: Store,
    throughput: Throughput | None = None,
) -> Recovered:
    """The audit of the models of a planted world, beside what was planted."""
    rows = [
        row
        for name, model in zip(names, models, strict=True)
        for row in asked(name, model, file.prompts(), how, [Vader()], store, throughput)
    ]
    found = contrasts(rows, SENTIMENT)
    wanted = {
        (name, group): float(beta)
        for name, own in zip(names, world.beta, strict=True)
        for group, beta in zip(world.groups, own, strict=True)
    }
    truth = [wanted[c.community, c.group] for c in found]
    biases = [c.bias for c in found]
    is_signed = np.sign(truth) != 0
    agrees = np.sign(biases)[is_signed] == np.sign(truth)[is_signed]
    return Recovered(
        world,
        tuple(models),
        tuple(rows),
        tuple(found),
        tuple(truth),
        spearman(biases, truth),
        float(agrees.mean()),
    )
