"""Benches as files, so that other programs than pytest can run them.

`pytest tests/test_rtl_*.py --bench-list FOLDER` puts every bench that a test runs into FOLDER and
runs none; `load` reads them. A bench is one folder: `bench.json`, its inputs, and the sources that
a test generated.
"""

import json
from dataclasses import asdict
from pathlib import Path

from ... import rtl
from .runner import Bench, key_of

FILE = "bench.json"


class Shelf:
    """Stands in for `runner.Cosim` in tests: puts benches into a folder instead of running them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def passes(self, bench: Bench) -> None:
        """Save a bench; again does nothing."""
        save(bench, self.folder / f"{bench.unit}-{bench.module}-{key_of(bench)}")

    def catches(self, bench: Bench, file: str, old: str, new: str) -> None:
        """A mutant written by hand is no bench."""


def save(bench: Bench, folder: Path) -> None:
    """Write a bench; sources of the kit by name, all others with their text."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for path in bench.sources:
        if path.parent != rtl.ROOT:
            (folder / path.name).write_bytes(path.read_bytes())
        names.append(path.name)
    for name, content in bench.inputs.items():
        (folder / name).write_bytes(content)
    values = {**asdict(bench), "sources": names, "inputs": sorted(bench.inputs)}
    (folder / FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> list[Bench]:
    """All benches of a folder, in the order of their names."""
    found = []
    for path in sorted(folder.resolve().glob(f"*/{FILE}")):
        values = json.loads(path.read_text(encoding="utf-8"))
        own = {name: path.parent / name for name in values["sources"]}
        sources = tuple(p if p.is_file() else rtl.ROOT / n for n, p in own.items())
        inputs = {name: (path.parent / name).read_bytes() for name in values["inputs"]}
        found.append(Bench(values["unit"], values["module"], sources, values["parameters"], inputs))
    return found
