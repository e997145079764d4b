"""What benches cover: cover points on Icarus, lines and toggles on Verilator, run once each."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ... import rtl
from ..exceptions import InputError
from . import codecover, cover
from .books import Books, digest, key_of_run
from .lean import Answer, ask
from .runner import Bench, run

RUNS = "runs.jsonl"  # the books
LIMIT_S = 600  # of processor time, of one bench


@dataclass(frozen=True)
class Clean:
    """A run on Icarus of a bench that passes: what it says, and the cover points it met."""

    answer: Answer
    hits: cover.Hits


def clean(bench: Bench, books: Books, seed: int) -> Clean:
    """The bench as it is, run unless it stands in the books.

    Raises:
        InputError: it fails.
    """
    key = digest("clean", key_of_run(bench, seed))
    if key not in books.rows:
        with tempfile.TemporaryDirectory(dir=books.path.parent) as name:
            answer = ask(bench, Path(name) / "run", seed, LIMIT_S)
            books.put(key, [asdict(answer), cover.read(Path(name) / "run")])
    values, hits = books.rows[key]
    answer = Answer(**values)
    if not answer.passes:
        raise InputError(f"{bench.unit} {dict(bench.parameters)} {answer.why} as it is")
    return Clean(answer, hits)


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
        hits = [run.hits for run in pool.map(lambda b: clean(b, books, seed), benches)]
        builds = list(pool.map(lambda b: _code(b, books, seed), benches if has_code else ()))
    code = {path.name: codecover.FileCover() for path in rtl.sources()} if has_code else {}
    for build in builds:
        for name, points in build.items():
            if name in code:
                code[name].add(points)
    return Measured(cover.merged(hits), code)


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
