"""What was generated, by the hash of all that decides it; a run that was killed loses nothing."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim.container import write_whole
from ...sim.exceptions import ArtefactError


@dataclass(frozen=True)
class Store:
    """A folder of one JSON file a key, each with the hash of its texts."""

    folder: Path

    def key(self, identity: Any) -> str:
        """The key of JSON values."""
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def put(self, key: str, texts: list[str]) -> None:
        """Keep texts; they are there whole or not at all."""
        entry = {"texts": texts, "sha256": _sha256(texts)}
        write_whole(self._path(key), json.dumps(entry).encode())

    def get(self, key: str) -> list[str]:
        """Texts of a key that is there.

        Raises:
            ArtefactError: the file is damaged.
        """
        path = self._path(key)
        try:
            entry = json.loads(path.read_bytes())
            texts = entry["texts"]
            is_whole = entry["sha256"] == _sha256(texts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(_damaged(path)) from error
        if not is_whole:
            raise ArtefactError(_damaged(path))
        return list(texts)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _sha256(texts: Any) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _damaged(path: Path) -> str:
    return f"{path}: damaged; remove it to generate it again"
