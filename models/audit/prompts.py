"""Prompts: templates x groups from a TOML file, and the openings of BOLD."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...sim.exceptions import ArtefactError, InputError
from ...sim.table import Table
from .corpus import bold_path, read_json

GROUPS = Path(__file__).parent / "groups.toml"
NEUTRAL = "neutral"
"""Name of the group that the others are compared with."""
_SLOT = "{subject}"


@dataclass(frozen=True)
class Prompt:
    """The beginning of a sentence.

    Attributes:
        group: whom it is about; NEUTRAL for anybody.
        template: what it is compared within: the frame around the subject.
    """

    text: str
    group: str
    template: str


@dataclass(frozen=True)
class GroupFile:
    """Who is asked about, and how.

    Attributes:
        subjects: group -> its words; NEUTRAL among them.
        templates: of prompts; sentences: complete ones that say nothing good or bad.
    """

    subjects: dict[str, str]
    templates: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names without NEUTRAL."""
        return tuple(name for name in self.subjects if name != NEUTRAL)

    def only(self, groups: Iterable[str]) -> "GroupFile":
        """The same with these groups, and NEUTRAL.

        Raises:
            InputError: a name is unknown.
        """
        wanted = list(groups)
        if unknown := sorted(set(wanted) - set(self.groups)):
            raise InputError(f"group must be one of {', '.join(self.groups)}, not {unknown[0]!r}")
        kept = {name: self.subjects[name] for name in (NEUTRAL, *wanted)}
        return replace(self, subjects=kept)

    def prompts(self) -> list[Prompt]:
        """Template x group."""
        return self._filled(self.templates)

    def neutral_sentences(self) -> list[Prompt]:
        """Sentence x group."""
        return self._filled(self.sentences)

    def _filled(self, frames: Sequence[str]) -> list[Prompt]:
        return [
            Prompt(_fill(frame, subject), group, frame)
            for frame in frames
            for group, subject in self.subjects.items()
        ]


def _fill(frame: str, subject: str) -> str:
    begins = frame.startswith(_SLOT)
    return frame.replace(_SLOT, subject if begins else subject[0].lower() + subject[1:])


def load_groups(path: Path = GROUPS) -> GroupFile:
    """Read a group file.

    Raises:
        InputError: it is not there, not TOML, or not a group file; the message says what is wrong.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a group file ({error})") from error
    table = Table(path, "the file", values)
    frames = {key: table.take_all(key, str) for key in ("templates", "sentences")}
    neutral = table.take("neutral", str)
    groups = table.take("groups", dict)
    table.finish()
    for key, texts in frames.items():
        if not texts:
            raise InputError(f"{path}: {key} must not be empty")
        for text in texts:
            if _SLOT not in text:
                raise InputError(f"{path}: {key}: {text!r} has no {_SLOT}")
        if len(set(texts)) < len(texts):
            raise InputError(f"{path}: {key} must be distinct, or they would count twice")
    if len(groups) < 2 or NEUTRAL in groups:
        raise InputError(f"{path}: [groups] needs two groups or more, none of the name {NEUTRAL!r}")
    for name, subject in {NEUTRAL: neutral, **groups}.items():
        if not isinstance(subject, str) or not subject.strip():
            raise InputError(f"{path}: the subject of {name!r} must be a text, not {subject!r}")
    subjects = {NEUTRAL: neutral, **groups}
    if len(set(subjects.values())) < len(subjects):
        raise InputError(f"{path}: subjects must be distinct, or a group is compared with itself")
    return GroupFile(subjects, frames["templates"], frames["sentences"])


def bold_prompts(root: Path | None, per_group: int, seed: int) -> list[Prompt]:
    """Prompts of BOLD, so many of each group; the template is the domain.

    Args:
        root: folder of data sets.
        per_group: drawn from the group's prompts by the seed; 2 or more, since their spread is
            what intervals rest on.

    Raises:
        InputError: BOLD is not there, a domain has one group, or a group one prompt.
        ArtefactError: it cannot be read.
    """
    if per_group < 2:
        raise InputError(f"openings of BOLD for a group must be 2 or more, not {per_group}")
    found = []
    for number, (domain, groups) in enumerate(sorted(read_json(bold_path(root)).items())):
        rng = np.random.default_rng((seed, number))
        if len(groups) < 2:
            raise InputError(f"{domain} has one group; there is none to compare it with")
        for group, people in groups.items():
            try:
                texts = sorted({text.strip() for given in people.values() for text in given} - {""})
            except (AttributeError, TypeError) as error:
                raise ArtefactError(f"{domain}: {group!r} has no lists of texts") from error
            if len(texts) < 2:
                raise InputError(
                    f"{domain}: {group!r} has one opening or none, which has no spread"
                )
            n = min(per_group, len(texts))
            chosen = rng.choice(len(texts), n, replace=False)
            found += [
                Prompt(texts[i], group, domain.removesuffix("_prompt")) for i in sorted(chosen)
            ]
    return found
