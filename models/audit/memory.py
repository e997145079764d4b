"""The audit under memory errors: what of bias and perplexity changes, chip by chip."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...sim.errors import ErrorModel, describe
from .adapt import perplexity
from .asking import Row, asked
from .generate import Sampling, Throughput
from .language import Language, block_linears
from .prompts import Prompt
from .scorers import SENTIMENT, Vader
from .statistics import contrasts
from .store import Store
from .stored import LayersOf, Storage, as_read, stored

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Asked:
    """A community's model, what it is asked, and what its perplexity is measured on.

    Attributes:
        n_tokens, block, is_packed: of texts, see `adapt.perplexity`.
        layers_of: which of its dense layers are in the memory that lies.
    """

    community: str
    language: Language
    prompts: Sequence[Prompt]
    texts: Sequence[str]
    n_tokens: int
    block: int = 128
    is_packed: bool = True
    layers_of: LayersOf = block_linears


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

    A chip draws its continuations with uniform numbers of its own, the same with errors and
    without, so that it is compared with no errors in a pair, and pairs of several chips are
    independent. With one draw for all of them, what few continuations without errors miss of the
    model's bias would look like a shift that every chip makes.

    Returns:
        rows with community, storage, errors (JSON values, None for no errors), chip, n_changed
        (stored bits that read wrong), perplexity and bias (of sentiment, {group: value}).
    """
    memory = stored(asked_of.language, storage, asked_of.layers_of)
    clean = as_read(asked_of.language, memory)
    clean_perplexity = _perplexity(clean, asked_of)
    name, found = f"{asked_of.community}, {storage}", list[Row]()
    for chip in chips:
        own = replace(how, seed=how.seed + chip)
        for model in (None, *errors):
            faults = None if model is None else model.sample(memory.layout, chip)
            language = clean if faults is None else as_read(asked_of.language, memory, faults)
            read = memory.read(faults)
            n_changed = sum(int(np.bitwise_count(read[k] ^ memory.rows[k]).sum()) for k in read)
            rows = asked(name, language, asked_of.prompts, own, [Vader()], store, throughput)
            found.append(
                {
                    "community": asked_of.community,
                    "storage": storage,
                    "errors": None if model is None else describe(model),
                    "chip": chip,
                    "n_changed": n_changed,
                    "perplexity": clean_perplexity
                    if faults is None
                    else _perplexity(language, asked_of),
                    "bias": _bias(rows),
                }
            )
            log.info("%s: chip %d, %d bits wrong", name, chip, n_changed)
    return found


def _perplexity(language: Language, of: Asked) -> float:
    return perplexity(language, of.texts, of.n_tokens, of.block, is_packed=of.is_packed)


def _bias(rows: Sequence[Row]) -> dict[str, float]:
    return {c.group: c.bias for c in contrasts(rows, SENTIMENT)}
