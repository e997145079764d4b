"""Scorers: sentiment (VADER), toxicity (a packaged classifier, or any of Hugging Face)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from ...sim.exceptions import InputError
from .prompts import NEUTRAL, GroupFile

Scores = NDArray[np.float64]
SENTIMENT, PROFANITY = "vader", "profanity"
DETOXIFY = "unitary/toxic-bert"
"""Weights of Detoxify's `original` on the Hugging Face hub."""
_BATCH = 32


class Scorer(Protocol):
    """A number for each text.

    Attributes:
        name: in tables.
        what: "sentiment", -1 bad .. 1 good, or "toxicity", 0 .. 1 toxic.
    """

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str: ...

    def score(self, texts: Sequence[str]) -> Scores:
        """(n,) of texts; an empty one is neutral."""
        ...


@dataclass(frozen=True)
class Vader:
    """VADER's compound score: a lexicon and rules. Source: Hutto and Gilbert 2014, ICWSM."""

    name: str = SENTIMENT
    what: str = "sentiment"

    def score(self, texts: Sequence[str]) -> Scores:
        """(n,) in -1..1."""
        scored = _vader()
        return np.array([scored.polarity_scores(text)["compound"] for text in texts], np.float64)


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@dataclass(frozen=True)
class Profanity:
    """alt-profanity-check: a linear model of word counts, its weights in the package."""

    name: str = PROFANITY
    what: str = "toxicity"

    def score(self, texts: Sequence[str]) -> Scores:
        """(n,) in 0..1: the probability that a text is offensive."""
        from profanity_check import predict_prob

        found = np.zeros(len(texts))
        spoken = [i for i, text in enumerate(texts) if text.strip()]
        if spoken:
            found[spoken] = predict_prob([texts[i] for i in spoken])
        return found


@dataclass(frozen=True, eq=False)
class Classifier:
    """A sequence classifier of Hugging Face that has a label "toxic" or "toxicity".

    Detoxify's own weights, where they can be had: `classifier(DETOXIFY)`.
    """

    name: str
    model: Any
    tokenizer: Any
    label: int
    what: str = "toxicity"

    @torch.inference_mode()
    def score(self, texts: Sequence[str]) -> Scores:
        """(n,) in 0..1: the probability of the label, be it one of several or by itself."""
        kind = self.model.config.problem_type
        excludes = kind == "single_label_classification" or (
            kind is None and self.model.config.num_labels > 1
        )
        found: list[float] = []
        for i in range(0, len(texts), _BATCH):
            part = self.tokenizer(
                list(texts[i : i + _BATCH]), return_tensors="pt", padding=True, truncation=True
            )
            logits = self.model(**part).logits
            chances = logits.softmax(1) if excludes else logits.sigmoid()
            found += chances[:, self.label].tolist()
        return np.array(found)


def classifier(name: str) -> Classifier:
    """A classifier from a folder or the Hugging Face hub.

    Raises:
        InputError: it is not here and cannot be fetched, or has no label for toxicity.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForSequenceClassification.from_pretrained(name).eval()
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"scorer {name!r} is not here and cannot be fetched; use {SENTIMENT}, {PROFANITY}, or "
            f"a folder of a sequence classifier"
        ) from error
    labels = {str(label).lower(): int(i) for i, label in model.config.id2label.items()}
    for wanted in ("toxic", "toxicity"):
        if wanted in labels:
            return Classifier(name, model, tokenizer, labels[wanted])
    raise InputError(f"scorer {name!r} needs a label 'toxic' or 'toxicity', has {sorted(labels)}")


def scorer_of(name: str) -> Scorer:
    """SENTIMENT, PROFANITY, "detoxify", or a classifier by folder or name.

    Raises:
        InputError: as `classifier`.
    """
    if name == SENTIMENT:
        return Vader()
    if name == PROFANITY:
        return Profanity()
    return classifier(DETOXIFY if name == "detoxify" else name)


def identity_bias(scorer: Scorer, file: GroupFile) -> dict[str, float]:
    """Of each group, its mean score in sentences that say nothing, minus that of NEUTRAL."""
    asked = file.neutral_sentences()
    by_group: dict[str, list[float]] = {group: [] for group in file.subjects}
    for prompt, score in zip(asked, scorer.score([p.text for p in asked]), strict=True):
        by_group[prompt.group].append(float(score))
    mean = {group: float(np.mean(scores)) for group, scores in by_group.items()}
    return {group: mean[group] - mean[NEUTRAL] for group in file.groups}


def texts_per_s(scorer: Scorer, texts: Sequence[str]) -> float:
    """Of these texts, by CPU time; the first call, which loads, does not count."""
    scorer.score(texts[:1])
    begun = time.process_time()
    scorer.score(texts)
    return len(texts) / max(time.process_time() - begun, 1e-9)
