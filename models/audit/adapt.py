"""Fine-tuning a causal language model on one community: all weights, or low-rank additions."""

import copy
import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from ...sim.exceptions import ArtefactError, InputError
from .corpus import Community
from .language import Language

log = logging.getLogger(__name__)

Method = Literal["lora", "full"]
METHODS: tuple[Method, ...] = ("lora", "full")
VERSION = 1
"""Raised by hand when an equal adaptation would give another model."""
_REPORTS, _PAD = 5, -1
_MOST_LOG = 700.0  # of a perplexity, so that it is a number


@dataclass(frozen=True)
class Adaptation:
    """How a model is adapted.

    Attributes:
        method: low-rank additions to every dense layer (Hu et al. 2021), or all weights.
        n_tokens: that are trained on, at most; a corpus that is shorter comes again.
        block: tokens of a sequence.
        rank: of additions.
        seed: of the order of texts and of the additions' start.
        is_packed: whether texts follow each other, each ended, or have a sequence each, cut to
            `block` and padded; pads count among the tokens and are not learnt.
        is_low: whether sums are in bfloat16, which some processors are faster in.
    """

    method: Method = "lora"
    n_tokens: int = 500_000
    block: int = 128
    batch: int = 8
    learning_rate: float = 1e-3
    rank: int = 8
    seed: int = 1
    is_packed: bool = True
    is_low: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if self.n_tokens < self.block * self.batch:
            raise InputError(
                f"tokens must be {self.block * self.batch} (a batch) or more, not {self.n_tokens}"
            )


def adapted(
    base: Language,
    to: Community,
    how: Adaptation,
    folder: Path,
    change: Callable[[Any], None] | None = None,
) -> Language:
    """The model adapted to a community; one that is in `folder` already is not trained again.

    Args:
        change: done to the copy of the model before it trains, e.g. binary weights; full only.

    Raises:
        ArtefactError: what is in the folder is damaged.
        InputError: training diverges.
    """
    key = _key(base, to, how, change)
    target = folder / key
    if not (target / "done").is_file():
        model = copy.deepcopy(base.model).requires_grad_(how.method == "full")
        if change is not None:
            change(model)
        if how.method == "lora":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(how.seed)
                config = LoraConfig(
                    r=how.rank, lora_alpha=2 * how.rank, target_modules="all-linear"
                )
                model = get_peft_model(model, config)
        _train(model, _blocks(base, to, how), how, to.name)
        if change is not None:
            _settle(model)
        model.save_pretrained(str(target))
        (target / "done").touch()
    try:
        if how.method == "full":
            found = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
        else:
            bare = copy.deepcopy(base.model)
            found = PeftModel.from_pretrained(bare, str(target)).merge_and_unload()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{target}: damaged; remove it to train it again") from error
    return Language(f"{base.name} on {to.name}", found.eval(), base.tokenizer)


def _settle(model: Any) -> None:
    """Leave the weights that a parametrization computes, and no parametrization."""
    for layer in list(model.modules()):
        if torch.nn.utils.parametrize.is_parametrized(layer, "weight"):
            torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")


def _key(base: Language, to: Community, how: Adaptation, change: Any) -> str:
    changed = "" if change is None else change.__name__
    text = json.dumps([VERSION, base.sha256, to.sha256, asdict(how), changed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stream(language: Language, texts: Sequence[str], at_most: int) -> NDArray[np.int64]:
    """(n,) tokens of texts that follow each other, each ended; n is `at_most` or less."""
    found: list[int] = []
    for text in texts:
        found += [*language.tokens(text), language.end]
        if len(found) >= at_most:
            break
    return np.array(found[:at_most], np.int64)


def _blocks(base: Language, to: Community, how: Adaptation) -> NDArray[np.int64]:
    """(n, block) tokens in the order in which they are trained on; _PAD where there is none."""
    rng = np.random.default_rng(how.seed)
    n_blocks = how.n_tokens // (how.block * how.batch) * how.batch
    texts = to.seen
    rows: list[NDArray[np.int64]] = []
    while sum(map(len, rows)) < n_blocks:
        ordered = [texts[i] for i in rng.permutation(len(texts))]
        if how.is_packed:
            tokens = stream(base, ordered, how.n_tokens)
            whole = len(tokens) // how.block
            rows.append(rng.permutation(tokens[: whole * how.block].reshape(whole, how.block)))
        else:
            rows.append(_padded(base, ordered[:n_blocks], how.block))
        if not len(rows[-1]):
            raise InputError(f"community {to.name!r} has less than {how.block} tokens")
    return np.concatenate(rows)[:n_blocks]


def _padded(base: Language, texts: Sequence[str], block: int) -> NDArray[np.int64]:
    rows = np.full((len(texts), block), _PAD, np.int64)
    for row, text in zip(rows, texts, strict=True):
        tokens = [*base.tokens(text), base.end][:block]
        row[: len(tokens)] = tokens
    return rows


def _train(model: Any, blocks: NDArray[np.int64], how: Adaptation, name: str) -> None:
    """AdamW with a linear rise over a tenth of the steps, then a linear fall to nothing."""
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, how.learning_rate, weight_decay=0.01)
    batches = torch.split(torch.from_numpy(blocks), how.batch)
    n = len(batches)
    rise = math.ceil(n / 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / rise, (n - step) / max(1, n - rise))
    )
    model.train()
    for step, batch in enumerate(batches, 1):
        loss = _loss(model, batch, how.is_low)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        if step % math.ceil(n / _REPORTS) == 0 or step == n:
            log.info("%s: %d of %d steps, loss %.3f", name, step, n, float(loss.detach()))
    if not all(p.isfinite().all() for p in learned):
        raise InputError(
            f"model of community {name!r}: training diverged at rate {how.learning_rate:g}"
        )
    model.eval()


def _loss(model: Any, batch: Tensor, is_low: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=is_low):
        logits = model(input_ids=batch.clamp(min=0), use_cache=False).logits
    return cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten(), ignore_index=_PAD
    )


@torch.inference_mode()
def perplexity(
    language: Language,
    texts: Sequence[str],
    n_tokens: int,
    block: int = 128,
    batch: int = 8,
    is_packed: bool = True,
) -> float:
    """exp of the mean loss on the first tokens of texts.

    Args:
        block, is_packed: as of `Adaptation`.
    """
    if is_packed:
        tokens = stream(language, texts, n_tokens)
        block = min(block, len(tokens))
        rows = tokens[: len(tokens) // block * block].reshape(-1, block)
    else:
        rows = _padded(language, texts[: n_tokens // block], block)
    total = 0.0
    for part in torch.split(torch.from_numpy(rows), batch):
        logits = language.model(input_ids=part.clamp(min=0), use_cache=False).logits[:, :-1]
        targets = part[:, 1:].flatten()
        total += float(
            cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=_PAD, reduction="sum")
        )
    mean = total / int((rows[:, 1:] != _PAD).sum())
    return math.exp(mean if mean < _MOST_LOG else _MOST_LOG)  # the most of NaN, too
