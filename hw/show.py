"""JSON values as text for a terminal: values line by line, lists of records as tables."""

import re
from typing import Any

_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_ROWS = 40


def as_text(value: Any) -> str:
    """A result as people read it.

    >>> print(as_text({"name": "sfc", "layers": [{"n": 3, "x": "bits"}, {"n": 12}, None]}))
    name  sfc
    <BLANKLINE>
    layers
      n   x
       3  bits
      12  -
       -  -
    """
    if isinstance(value, list):
        return _table(value)
    if not isinstance(value, dict):
        return _cell(value)
    lines = {k: v for k, v in value.items() if not _is_block(v)}
    blocks = {k: v for k, v in value.items() if _is_block(v)}
    width = max((len(k) for k in lines), default=0)
    parts = ["\n".join(f"{k:{width}}  {_cell(v)}" for k, v in lines.items())] if lines else []
    for name, block in blocks.items():
        inside = as_text(block).replace("\n", "\n  ")
        parts.append(f"{name}\n  {inside}")
    return "\n\n".join(parts)


def _is_block(value: Any) -> bool:
    is_table = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    return is_table or (isinstance(value, dict) and bool(value))


def _table(rows: list[Any]) -> str:
    if not rows or not isinstance(rows[0], dict):
        return _cell(rows)
    n_more = len(rows) - _MAX_ROWS
    rows = [row or {} for row in rows[:_MAX_ROWS]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    is_number = [all(isinstance(r.get(n), int | float | None) for r in rows) for n in names]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [
        [
            f"{c:>{w}}" if right else f"{c:{w}}"
            for c, w, right in zip(r, widths, is_number, strict=True)
        ]
        for r in cells
    ]
    head = [f"{n:{w}}" for n, w in zip(names, widths, strict=True)]
    if n_more > 0:
        lines.append([f"... {n_more} more; --json has all"])
    return "\n".join("  ".join(line).rstrip() for line in [head, *lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{len(value)} x {len(value[0])} values"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{len(value)} rows; --json has them"
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_cell(v)}" for k, v in value.items()) or "-"
    text = str(value)
    return text[:12] if _HASH.fullmatch(text) else text
