"""What a solver says of a proof."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """The answers there are; only the first is one that a proof wants."""

    PROVED = "proved"
    REFUTED = "refuted"  # with a counterexample
    VACUOUS = "vacuous"  # nothing can meet what is assumed, or nothing that is to be seen happens
    UNKNOWN = "unknown"  # no answer in time


@dataclass(frozen=True)
class Verdict:
    """An answer, and what it rests on: the claim that failed, how large a proof was."""

    answer: Answer
    detail: str = ""
