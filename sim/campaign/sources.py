"""One hash over the sources that compute a row.

It is a column of the row, not part of its key. With it in the key every renamed variable would turn
the rows of all stores into rows of nothing, and a campaign of a week could not survive an update of
the kit; without it anywhere a store would mix the results of different programs unseen. So rows of
other sources stand, are counted and named by `campaign run` and `show`, and `--recompute` computes
them again and says how many scores differ.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_KIT = Path(__file__).parents[2]
_ROOTS = ("sim/campaign/trial.py", "sim/device.py", "sim/engine.py")
_SUFFIXES = (".py", ".cpp", ".h", ".v")


@cache
def code_sha256(folders: tuple[str, ...] = ()) -> str:
    """Hash of names and contents of `files`."""
    digest = hashlib.sha256()
    for path in files(folders):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_KIT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def files(folders: Iterable[str] = ()) -> list[Path]:
    """Every source that may take part in a row of golden or the engine, in order of their names.

    What `campaign/trial.py` and the devices import, directly or not, and the C++ of `sim`.

    Args:
        folders: of the kit ("models", "rtl", ...), taken whole, for devices that live there.
    """
    found = {path for path in (_KIT / "sim").glob("*") if path.suffix in (".cpp", ".h")}
    waiting = [_KIT / root for root in _ROOTS]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    for folder in folders:
        found |= {p for p in (_KIT / folder).rglob("*") if p.suffix in _SUFFIXES}
    return sorted(found)


def _imports(path: Path) -> list[Path]:
    """Files of the kit that a module imports, wherever in the module; their packages too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue  # the kit imports itself relatively
        base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for name in (base, *(base / alias.name for alias in node.names)):
            found += [p for p in (name.with_suffix(".py"), name / "__init__.py") if p.is_file()]
    return found
