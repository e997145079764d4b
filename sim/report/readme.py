"""The numbers of README.md and of docs: made from the result files, never typed.

`python -m stoic.sim.report.readme README.md [--results DIR] [--write]` compares each block between
marks, in the README, in the pages of docs beside it and in the README of each part, with what the
result files give, and ends with status 1 when they differ. A number after `~` was timed on a noisy
machine; it may differ by a factor of 1.5. Only `--write` changes files, and leaves blocks of which
no result is there as they are. Without it the README needs all its results; blocks of other pages,
and the pages of studies (docs/studies), are compared where there is a result.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ..exceptions import ArtefactError, StoicError
from . import (
    board_tables,
    memory_tables,
    onnx_tables,
    readme_tables,
    signoff_tables,
    study,
    tolerance_tables,
    trigger_tables,
)

NOISE = 1.5
BLOCKS: dict[str, Callable[[Path], Iterable[str]]] = {
    "accuracy": readme_tables.accuracy,
    "tolerant": readme_tables.tolerant,
    "exactness": readme_tables.exactness,
    "beside": readme_tables.beside,
    "hardware": readme_tables.hardware,
    "onnx": onnx_tables.onnx,
    "onnx-in-short": onnx_tables.in_short,
    "boards": board_tables.boards,
    "builds": readme_tables.builds,
    "planner": readme_tables.planner,
    "signoff": signoff_tables.signoff,
    "units": signoff_tables.units,
    "protections": memory_tables.protections,
    "threshold-tables": memory_tables.threshold_tables,
    "prediction": tolerance_tables.prediction,
    "certificates": tolerance_tables.certificates,
    "metrics": tolerance_tables.metrics,
    "trigger-found": trigger_tables.found,
    "trigger-fast": trigger_tables.fast,
}
END = "<!-- end of results -->"
_BLOCK = re.compile(
    r"(?P<begin><!-- results (?P<name>[\w-]+): made by `make readme` -->)\n"
    rf"(?P<text>.*?)\n?(?P<end>{END})",
    re.DOTALL,
)
_TIMED = re.compile(r"~([\d,.]*\d)")


def difference(old: str, new: str) -> str:
    """The first line in which two blocks differ, timed numbers aside, or ""."""
    before, after = old.splitlines(), new.splitlines()
    for have, want in zip(before, after, strict=False):
        if _TIMED.sub("~", have) != _TIMED.sub("~", want):
            return f"has {have!r}, results give {want!r}"
        for a, b in zip(_TIMED.findall(have), _TIMED.findall(want), strict=True):
            x, y = (float(number.replace(",", "")) for number in (a, b))
            if not y / NOISE <= x <= y * NOISE:
                return f"has ~{a} in {have!r}, results give {b}"
    return "" if len(before) == len(after) else f"has {len(before)} lines, results {len(after)}"


def check(page: Path, results: Path, *, write: bool, needs_all: bool = False) -> str:
    """What differs in a page, "" for nothing; with `write` it is changed to what results give.

    Args:
        needs_all: a missing result is an error; otherwise its block is left as it is.

    Raises:
        ArtefactError: a result file or a mark is missing, or a block has no such name.
    """
    found = ""

    def renewed(block: re.Match[str]) -> str:
        nonlocal found
        if block["name"] not in BLOCKS:
            raise ArtefactError(f"{page}: no results {block['name']!r}; there are {list(BLOCKS)}")
        try:
            new = "\n".join(BLOCKS[block["name"]](results))
        except ArtefactError:
            if needs_all:
                raise
            return block[0]
        found = found or difference(block["text"].strip(), new)
        return f"{block['begin']}\n{new}\n{block['end']}"

    old = page.read_text(encoding="utf-8")
    text, n_blocks = _BLOCK.subn(renewed, old)
    if n_blocks != old.count(END) or (needs_all and not n_blocks):
        raise ArtefactError(f"{page}: needs a mark `<!-- results NAME: ... -->` before each {END}")
    if write and text != old:
        page.write_text(text, encoding="utf-8")
    return "" if write else found


def pages(results: Path, folder: Path, *, write: bool) -> str:
    """The first page of a study that is not what its result gives, "" for none."""
    for path in sorted(results.glob("study_*.json")):
        found = readme_tables.read(path, "make study")
        page = folder / f"{found['study']}.md"
        if write:
            study.write_page(found, folder)
        elif not page.is_file() or page.read_text(encoding="utf-8") != study.text(found) + "\n":
            return f"{page} differs from {path}"
    return ""


def main() -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("readme", type=Path)
    parser.add_argument("--results", type=Path, default=Path("build/results"))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    docs = given.readme.parent / "docs"
    try:
        differs = {
            given.readme: check(
                given.readme, given.results, write=given.write, needs_all=not given.write
            )
        }
        for page in sorted([*docs.rglob("*.md"), *docs.parent.glob("*/README.md")]):
            differs[page] = check(page, given.results, write=given.write)
        found = next((f"{page} {what}" for page, what in differs.items() if what), "")
        found = found or pages(given.results, docs / "studies", write=given.write)
    except KeyError as error:
        print(f"readme: a result file lacks {error}; make it again", file=sys.stderr)
        return 2
    except (StoicError, OSError) as error:
        print(f"readme: {error}", file=sys.stderr)
        return 2
    if found:
        print(f"{found}; run make readme", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
