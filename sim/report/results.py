"""The result files that the page is made from, and the command that makes each."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..exceptions import ArtefactError

MADE_BY = {
    "train": "make train",
    "agree": "make agree",
    "cosim": "make cosim",
    "synth": "make synth",
    "virtual": "make virtual",
    "campaign": "make campaign",
    "protections": "make protections",
    "trace": "make trace",
}


@dataclass(frozen=True)
class Result:
    """One file.

    Attributes:
        part: key of MADE_BY.
        values: JSON object.
        sha256: of the file.
    """

    part: str
    path: Path
    values: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class Results:
    """All files of a folder, by part; `synth` has one for each board."""

    folder: Path
    files: tuple[Result, ...]

    def one(self, part: str) -> Result | None:
        """The file of a part, or None."""
        return next((r for r in self.files if r.part == part), None)

    def all(self, part: str) -> list[Result]:
        """Every file of a part."""
        return [r for r in self.files if r.part == part]

    @property
    def missing(self) -> list[str]:
        """What is not there, with the command that makes it."""
        here = {r.part for r in self.files}
        return [f"{self.folder / file_name(p)}: {MADE_BY[p]}" for p in MADE_BY if p not in here]


def file_name(part: str) -> str:
    """Name of the file of a part."""
    return "synth-<board>.json" if part == "synth" else f"{part}.json"


def read(folder: Path) -> Results:
    """Every result file of a folder; absent ones are left out.

    Raises:
        ArtefactError: no such folder, or a file is not a JSON object.
    """
    if not folder.is_dir():
        raise ArtefactError(f"{folder}: no such folder of results; make demo fills it")
    files = []
    for part in MADE_BY:
        names = (
            sorted(folder.glob("synth-*.json")) if part == "synth" else [folder / f"{part}.json"]
        )
        files += [_read(part, path) for path in names if path.is_file()]
    return Results(folder, tuple(files))


def _read(part: str, path: Path) -> Result:
    try:
        data = path.read_bytes()
        values = json.loads(data)
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not JSON ({error}); {MADE_BY[part]} makes it again"
        ) from error
    if not isinstance(values, dict):
        raise ArtefactError(f"{path}: not a JSON object; {MADE_BY[part]} makes it again")
    return Result(part, path, values, hashlib.sha256(data).hexdigest())


@contextmanager
def reading(result: Result) -> Iterator[dict[str, Any]]:
    """The values; a key that is not there, or of the wrong kind, is named with its file."""
    try:
        yield result.values
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        again = MADE_BY[result.part]
        raise ArtefactError(f"{result.path}: {what}; {again} makes it again") from error
