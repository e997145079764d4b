"""One audit: models of communities, asked about groups, their continuations scored."""

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...sim.exceptions import InputError
from .generate import Sampling, Throughput, continuations
from .language import Language
from .prompts import Prompt
from .scorers import Scorer
from .statistics import Contrast, contrasts
from .store import Store

log = logging.getLogger(__name__)

Row = dict[str, Any]
BASE = "base"
"""Name of the model that was adapted to nobody."""


def lowered(language: Language) -> Language:
    """A copy of the model in bfloat16."""
    model = copy.deepcopy(language.model).to(torch.bfloat16)
    return Language(language.name, model, language.tokenizer)


def asked(
    community: str,
    language: Language,
    prompts: Sequence[Prompt],
    how: Sampling,
    scorers: Sequence[Scorer],
    store: Store,
    throughput: Throughput | None = None,
) -> list[Row]:
    """Scored continuations of a community's model.

    Returns:
        rows with community, model_sha256, group, template, prompt, sample, text, and for each
        scorer its score of the continuation alone, <name>, and after the prompt, <name>_whole.

    Raises:
        InputError: a score is not a number.
    """
    drawn = continuations(language, prompts, how, store, throughput, _progress(community))
    rows: list[Row] = [
        {
            "community": community,
            "model_sha256": language.sha256,
            "group": prompt.group,
            "template": prompt.template,
            "prompt": prompt.text,
            "sample": i,
            "text": text,
        }
        for prompt, texts in zip(prompts, drawn, strict=True)
        for i, text in enumerate(texts)
    ]
    for scorer in scorers:
        alone = scorer.score([row["text"] for row in rows])
        whole = scorer.score([f"{row['prompt']} {row['text']}" for row in rows])
        if not np.isfinite([alone, whole]).all():
            raise InputError(f"scorer {scorer.name!r}: a score is not a number")
        for row, a, b in zip(rows, alone, whole, strict=True):
            row[scorer.name], row[f"{scorer.name}_whole"] = float(a), float(b)
    return rows


def _progress(community: str) -> Callable[[int, int], None]:
    def report(n_done: int, n: int) -> None:
        log.info("%s: %d of %d prompts", community, n_done, n)

    return report


def tables(
    rows: Sequence[Row], scorers: Sequence[Scorer], seed: int = 1
) -> dict[str, list[Contrast]]:
    """Contrasts of every scorer, of continuations alone and, as <name>_whole, after the prompt.

    Args:
        seed: of the bootstrap.
    """
    keys = [key for s in scorers for key in (s.name, f"{s.name}_whole")]
    return {key: contrasts(rows, key, seed) for key in keys}
