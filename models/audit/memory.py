"""The audit under memory errors: what of bias and perplexity changes, chip by chip."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...sim.errors import ErrorModel, describe
from .adapt import perplexity
from .asking import Row, asked
from .generate import Sampling, Throughput
from .language import Language
from .prompts import Prompt
from .scorers import SENTIMENT, Vader
from .statistics import contrasts
from .store import Store
from .stored import Storage, as_read, stored

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Asked:
    """A community's model, what it is asked, and what its perplexity is measured on.

    Attributes:
        n_tokens, block, is_packed: of texts, see `adapt.perplexity`.
    """

    community: str
    language: Language
    prompts: Sequence[Prompt]
    texts: Sequence[str]
    n_tokens: int
    block: int = 128
    is_packed: bool = True


def memory_rows(
    asked_of: Asked,
    storage: Storage,
    errors: Sequence[ErrorModel],
    chips: Iterable[int],
    how: Sampling,
    store: Store,
    throughput: Throughput | None = None,
) -> list[Row]:
    """What each chip of each error model does to one model.

    Returns:
        rows with community, storage, errors (JSON values, None for no errors), chip, n_changed
        (stored bits that read wrong), perplexity and bias (of sentiment, {group: value}). The same
        uniform numbers are drawn under all faults, so chips compare in pairs with no errors.
    """
    memory = stored(asked_of.language, storage)
    numbers = tuple(chips)
    drawn: list[tuple[ErrorModel | None, int]] = [(None, 0)]
    drawn += [(model, chip) for model in errors for chip in numbers]
    found: list[Row] = []
    for model, chip in drawn:
        faults = None if model is None else model.sample(memory.layout, chip)
        read = memory.read(faults)
        n_changed = sum(int(np.bitwise_count(read[k] ^ memory.rows[k]).sum()) for k in read)
        language = as_read(asked_of.language, memory, faults)
        rows = asked(
            f"{asked_of.community}, {storage}",
            language,
            asked_of.prompts,
            how,
            [Vader()],
            store,
            throughput,
        )
        found.append(
            {
                "community": asked_of.community,
                "storage": storage,
                "errors": None if model is None else describe(model),
                "chip": chip,
                "n_changed": n_changed,
                "perplexity": perplexity(
                    language,
                    asked_of.texts,
                    asked_of.n_tokens,
                    asked_of.block,
                    is_packed=asked_of.is_packed,
                ),
                "bias": _bias(rows),
            }
        )
        log.info("%s, %s: %d bits wrong", asked_of.community, storage, n_changed)
    return found


def _bias(rows: Sequence[Row]) -> dict[str, float]:
    return {c.group: c.bias for c in contrasts(rows, SENTIMENT)}
