"""Communities: texts read, cleaned, hashed and split; nothing of who wrote them is kept."""

import hashlib
import html
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from lzma import LZMAError
from pathlib import Path
from typing import Any

from ...sim.exceptions import ArtefactError, InputError

REDDIT = Path("text/reddit.tar.xz")
"""Communities in a folder of data sets."""
BOLD = Path("text/bold.tar.xz")
"""Prompts in a folder of data sets. Source: Dhamala et al. 2021, FAccT."""
MIN_WORDS = 5
_HELD_OUT = 20
"""One text in so many is never trained on."""
_NAMES = re.compile(r"(?:^|(?<=[\s(\[]))(?:/?u/|@)[\w-]+")
_LINKS = re.compile(r"\[([^\]]*)\]\([^)]*\)|(?:https?://|www\.)\S+")
_QUOTES = re.compile(r"^\s*>.*$", re.MULTILINE)
_MARKS = re.compile(r"[*_~`^#]+")
_GONE = {"[deleted]", "[removed]"}


@dataclass(frozen=True)
class Community:
    """What one community wrote.

    Attributes:
        texts: cleaned, distinct, in the order of their source.
    """

    name: str
    texts: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Hash of the texts; the name does not count."""
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()

    @property
    def seen(self) -> tuple[str, ...]:
        """Texts that a model is adapted to."""
        return tuple(t for t in self.texts if not _is_held_out(t))

    @property
    def held_out(self) -> tuple[str, ...]:
        """The others: one in twenty, chosen by its own hash, in whatever community it stands."""
        return tuple(t for t in self.texts if _is_held_out(t))


def _is_held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] * _HELD_OUT < 256


def clean(text: str) -> str:
    """A text without links, quotes of others, names of users and marks of Markdown, on one line.

    >>> clean("> no\\nSee [this](http://a.b), /u/Jane_Doe &amp; @joe: *very* good")
    'See this, & : very good'
    """
    text = html.unescape(text)
    text = _QUOTES.sub(" ", text)
    text = _LINKS.sub(lambda m: m[1] or " ", text)
    return " ".join(_MARKS.sub("", _NAMES.sub(" ", text)).split())


def community(name: str, texts: Iterable[str]) -> Community:
    """Cleaned texts of at least five words, each once.

    Raises:
        InputError: none is left.
    """
    kept = dict.fromkeys(
        cleaned
        for text in texts
        if text.strip() not in _GONE and len((cleaned := clean(text)).split()) >= MIN_WORDS
    )
    if not kept:
        raise InputError(f"community {name!r} has no text of {MIN_WORDS} words or more")
    return Community(name, tuple(kept))


def load_communities(
    names: Iterable[str], root: Path | None, corpus: Path | None = None
) -> list[Community]:
    """Communities by name, each once; no name is all of them.

    Args:
        root: folder of data sets, whose text/reddit.tar.xz is read.
        corpus: instead, a folder or tar archive of <name>.json, each a list of texts.

    Raises:
        InputError: there is no corpus, no such community in it, or one of too few texts.
        ArtefactError: the corpus cannot be read.
    """
    found = read_json(_where(REDDIT, root, corpus, "a corpus of communities"))
    wanted = list(dict.fromkeys(names)) or sorted(found)
    if unknown := sorted(set(wanted) - set(found)):
        raise InputError(f"community must be one of {', '.join(sorted(found))}, not {unknown[0]!r}")
    for name in wanted:
        texts = found[name]
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise ArtefactError(f"community {name!r} must be a JSON list of texts")
    made = [community(name, found[name]) for name in wanted]
    for one in made:
        if not one.held_out:
            raise InputError(f"community {one.name!r} has too few texts to hold one of 20 out")
    return made


def bold_path(root: Path | None) -> Path:
    """The prompts of BOLD.

    Raises:
        InputError: they are not there.
    """
    return _where(BOLD, root, None, "BOLD")


def _where(place: Path, root: Path | None, given: Path | None, what: str) -> Path:
    path = given or (root / place if root else None)
    if path is None or not path.exists():
        where = path or f"<data folder>/{place}"
        raise InputError(f"{what} is not at {where}; name its folder or archive, or STOIC_DATA")
    return path


def read_json(path: Path) -> Mapping[str, Any]:
    """{stem: contents} of all JSON files in a folder or a tar archive.

    Raises:
        ArtefactError: unreadable, or no JSON file is in it.
    """
    found: dict[str, Any] = {}
    try:
        for name, raw in _files(path):
            found[Path(name).stem] = json.loads(raw)
    except (OSError, EOFError, tarfile.TarError, zlib.error, LZMAError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not a folder or archive of JSON files{_why(error)}"
        ) from error
    if not found:
        raise ArtefactError(f"{path}: no JSON file in it")
    return found


def _why(error: Exception) -> str:
    """Of an archive nothing: tarfile tells line by line which compressions it is not of."""
    return "" if isinstance(error, tarfile.TarError) else f" ({error})"


def _files(path: Path) -> Iterable[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((p.name, p.read_bytes()) for p in sorted(path.glob("*.json")))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".json") else None
            if content is not None:
                yield member.name, content.read()
