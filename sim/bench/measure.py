"""What benches cover: cover points on Icarus, lines and toggles on Verilator, run once each."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ... import rtl
from ..exceptions import InputError
from . import codecover, cover
from .books import Books, digest, key_of_run
from .lean import ask
from .runner import Bench, run

LIMIT_S = 600  # of processor time, of one bench


@dataclass(frozen=True)
class Measured:
    """What all benches together cover."""

    hits: cover.Hits
    code: codecover.Code


def measure(
    benches: Sequence[Bench], books: Books, seed: int, n_jobs: int, *, has_code: bool
) -> Measured:
    """Run what does not stand in the books.

    Args:
        has_code: lines and toggles too; a build by Verilator for every bench.

    Raises:
        InputError: a bench fails.
    """
    with ThreadPoolExecutor(n_jobs) as pool:
        hits = list(pool.map(lambda b: _hits(b, books, seed), benches))
        builds = list(pool.map(lambda b: _code(b, books, seed), benches if has_code else ()))
    code = {path.name: codecover.FileCover() for path in rtl.sources()} if has_code else {}
    for build in builds:
        for name, points in build.items():
            if name in code:
                code[name].add(points)
    return Measured(cover.merged(hits), code)


def _hits(bench: Bench, books: Books, seed: int) -> cover.Hits:
    key = digest("hits", key_of_run(bench, seed))
    if key not in books.rows:
        with tempfile.TemporaryDirectory(dir=books.path.parent) as name:
            answer = ask(bench, Path(name) / "run", seed, LIMIT_S)
            if not answer.passes:
                raise InputError(f"{bench.unit} {dict(bench.parameters)} {answer.why}")
            books.put(key, cover.read(Path(name) / "run"))
    hits: cover.Hits = books.rows[key]
    return hits


def _code(bench: Bench, books: Books, seed: int) -> codecover.Code:
    key = digest("code", key_of_run(bench, seed))
    if key not in books.rows:
        with tempfile.TemporaryDirectory(dir=books.path.parent) as name:
            got = run(bench, Path(name), seed, "verilator", codecover.BUILD_ARGS)
            if got.failed or not got.tests:
                raise InputError(f"{bench.unit} {dict(bench.parameters)} fails on Verilator")
            text = (got.log.parent / codecover.FILE).read_text(encoding="utf-8")
        books.put(key, codecover.to_json(codecover.parse(text)))
    return codecover.from_json(books.rows[key])
