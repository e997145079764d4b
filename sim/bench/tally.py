"""What benches compared, counted, so that "0 mismatches" says out of how many."""

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

FILE = "compared.jsonl"  # one line a comparison, in the folder in which the simulator runs


def expect(got: Sequence[object], wanted: Sequence[object], what: str = "word") -> None:
    """Assert that two sequences are equal, and count their elements."""
    n_compared = max(len(got), len(wanted))
    wrong = [i for i, (g, w) in enumerate(zip_longest(got, wanted)) if g != w]
    with Path(FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"compared": n_compared, "mismatches": len(wrong)}) + "\n")
    if wrong:
        i = wrong[0]
        pair = f"got {list(got[i : i + 1])}, wanted {list(wanted[i : i + 1])}"
        raise AssertionError(f"{len(wrong)} of {n_compared} differ, first {what} {i}: {pair}")


def total(folder: Path) -> tuple[int, int]:
    """(compared, mismatches) of all comparisons of a simulation that ran in this folder."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return sum(r["compared"] for r in rows), sum(r["mismatches"] for r in rows)
