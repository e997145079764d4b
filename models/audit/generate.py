"""Continuations: sampled in batches, each a function of model, prompt, seed and number alone.

Prompts of equal length share a batch, so that nothing is padded and any causal model will do. Every
sample draws its own uniform numbers (`sim.sampling`), whatever else is in the batch: two models
under the same seed differ by their probabilities and by nothing else, which is what makes faults of
a memory comparable with none. (Sums may round differently in batches of other sizes.)
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...sim import sampling
from ...sim.exceptions import InputError
from .language import Language
from .prompts import Prompt
from .store import Store

VERSION = 1
"""Raised by hand when equal parameters would give other texts."""


@dataclass(frozen=True)
class Sampling:
    """How continuations are drawn.

    Attributes:
        n_samples: of each prompt.
        n_tokens: of a continuation, at most; it ends before that with its text or line.
        top_k, top_p: only the likeliest tokens, so many, of so much probability together.
        batch: continuations at once.
    """

    n_samples: int = 100
    n_tokens: int = 30
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 0.95
    seed: int = 1
    batch: int = 64

    def __post_init__(self) -> None:
        if min(self.n_samples, self.n_tokens, self.top_k, self.batch) < 1:
            raise InputError("samples, tokens, top_k and batch must be 1 or more")
        if self.temperature <= 0 or not 0 < self.top_p <= 1:
            raise InputError("temperature must be above 0 and top_p in 0..1")


@dataclass
class Throughput:
    """What generation took, over all calls that it is given to."""

    n_tokens: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


def continuations(
    language: Language,
    prompts: Sequence[Prompt],
    how: Sampling,
    store: Store,
    throughput: Throughput | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[list[str]]:
    """`n_samples` continuations of every prompt; those in the store are not drawn again.

    Args:
        report: told how many prompts of how many are there, after each batch.
    """
    of = {p.text: store.key(_identity(language, p.text, how)) for p in prompts}
    missing = [text for text in of if of[text] not in store]
    n_done = len(of) - len(missing)
    for part in _batches(language, missing, max(1, how.batch // how.n_samples)):
        cpu, wall = time.process_time(), time.perf_counter()
        texts, n_tokens = _draw(language, part, how)
        if throughput is not None:
            throughput.n_tokens += n_tokens
            throughput.cpu_s += time.process_time() - cpu
            throughput.wall_s += time.perf_counter() - wall
        for prompt, own in texts.items():
            store.put(of[prompt], own)
        n_done += len(part)
        if report is not None:
            report(n_done, len(of))
    return [store.get(of[p.text]) for p in prompts]


def _identity(language: Language, prompt: str, how: Sampling) -> list[Any]:
    drawn = {k: v for k, v in asdict(how).items() if k != "batch"}
    return [VERSION, language.sha256, prompt, drawn]


def _batches(language: Language, prompts: Iterable[str], size: int) -> Iterable[list[str]]:
    by_length: dict[int, list[str]] = {}
    for prompt in prompts:
        by_length.setdefault(len(language.tokens(prompt)), []).append(prompt)
    for same in by_length.values():
        yield from (same[i : i + size] for i in range(0, len(same), size))


@torch.inference_mode()
def _draw(
    language: Language, prompts: Sequence[str], how: Sampling
) -> tuple[dict[str, list[str]], int]:
    """Continuations of prompts of equal length, and how many tokens they took."""
    starts = torch.tensor([language.tokens(p) for p in prompts for _ in range(how.n_samples)])
    draws = torch.from_numpy(_uniforms(prompts, how))  # (rows, n_tokens)
    written = torch.full((len(starts), how.n_tokens), language.end)
    active, fed, past = torch.arange(len(starts)), starts, None
    n_tokens = 0
    for step in range(how.n_tokens):
        out = language.model(input_ids=fed, past_key_values=past, use_cache=True)
        past = out.past_key_values
        token = _choose(out.logits[:, -1].float(), draws[active, step], how)
        n_tokens += len(active)
        written[active, step] = token
        goes_on = torch.tensor([not _ends(language, int(t)) for t in token])
        if not goes_on.any():
            break
        if not goes_on.all():
            kept = goes_on.nonzero()[:, 0]
            active, token = active[kept], token[kept]
            past.batch_select_indices(kept)
        fed = token[:, None]
    texts = [_text(language, row.tolist()) for row in written]
    n = how.n_samples
    return {p: texts[i * n : (i + 1) * n] for i, p in enumerate(prompts)}, n_tokens


def _uniforms(prompts: Sequence[str], how: Sampling) -> NDArray[np.float64]:
    return np.array(
        [
            sampling.uniforms(sampling.key("stoic.audit/1", how.seed, p, i), how.n_tokens)
            for p in prompts
            for i in range(how.n_samples)
        ]
    )


def _choose(logits: Tensor, u: Tensor, how: Sampling) -> Tensor:
    """(rows,) the token at which the likeliest tokens' probabilities add up to more than u."""
    top, tokens = (logits / how.temperature).topk(min(how.top_k, logits.shape[-1]))
    p = top.double().softmax(-1)
    p = p * (p.cumsum(-1) - p < how.top_p)  # the first one that passes it is still taken
    total = p.cumsum(-1)
    place = (total <= (u * total[:, -1])[:, None]).sum(-1)
    return tokens.gather(1, place[:, None])[:, 0]


def _ends(language: Language, token: int) -> bool:
    return token == language.end or "\n" in language.tokenizer.decode([token])


def _text(language: Language, tokens: list[int]) -> str:
    kept = tokens[: tokens.index(language.end)] if language.end in tokens else tokens
    text = language.tokenizer.decode(kept, skip_special_tokens=True)
    return str(text).partition("\n")[0].strip()
