"""Books: answers of benches and proofs by the hash of all that they depend on."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from .runner import Bench


class Books:
    """JSON values by key, appended to a file as they come, and read again by the next program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.rows: dict[str, Any] = dict(json.loads(line) for line in lines)

    def put(self, key: str, row: object) -> None:
        """Keep a row."""
        self.rows[key] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, row]) + "\n")


def digest(*parts: str | bytes) -> str:
    """Hash of parts, where each begins and ends included."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def key_of_run(bench: Bench, seed: int) -> str:
    """Hash of a run of a bench: sources, parameters, inputs, seed and the bench's Python code."""
    texts = [path.read_bytes() for path in (*bench.sources, *code_of(bench.module))]
    named = (bench.unit, bench.module, sorted(bench.parameters.items()), seed)
    return digest(repr(named), *texts, *(bench.inputs[k] for k in sorted(bench.inputs)))


def code_of(module: str) -> list[Path]:
    """The Python files of a bench: its own and what it imports of this folder."""
    folder, found, todo = Path(__file__).parent, set[Path](), [module]
    while todo:
        path = folder / f"{todo.pop()}.py"
        if path.is_file() and path not in found:
            found.add(path)
            text = path.read_text(encoding="utf-8")
            todo += re.findall(r"^from \.(\w+) import", text, re.MULTILINE)
            for names in re.findall(r"^from \. import (.+)$", text, re.MULTILINE):
                todo += names.split(", ")
    return sorted(found)
