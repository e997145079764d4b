"""Rows as a table for other programs: CSV, or Parquet with `stoic[table]`."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..container import write_whole
from ..exceptions import InputError, ToolError
from ..rows import Row

FORMATS = (".csv", ".parquet")


def columns(row: Row) -> dict[str, Any]:
    """A row as flat values; dictionaries and the confusion as JSON text."""
    values = {f: getattr(row.unit, f) for f in row.unit.__dataclass_fields__}
    values |= {f: getattr(row, f) for f in row.__dataclass_fields__ if f != "unit"}
    flat = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in values.items()}
    model = row.unit.errors["model"]
    return {"key": row.unit.key, "model": model, "accuracy": row.accuracy, **flat}


def export(rows: Sequence[Row], path: Path, names: Mapping[str, str] | None = None) -> None:
    """Write the rows in the format that the name of the file says; it appears whole or not at all.

    Args:
        names: key of a row -> name of its condition, a column of its own.

    Raises:
        InputError: no rows, or another format.
        ToolError: Parquet without pyarrow.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"a table must end in {' or '.join(FORMATS)}, not {path.name!r}")
    if not rows:
        raise InputError("there is no row to export")
    named = names or {}
    table = [{"condition": named.get(row.unit.key, ""), **columns(row)} for row in rows]
    write_whole(path, _csv(table) if path.suffix == ".csv" else _parquet(table))


def _csv(table: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def _parquet(table: Sequence[Mapping[str, Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ToolError(f"Parquet needs {error.name!r}; install stoic[table]") from error
    kinds = {
        **dict.fromkeys(("chip", "event", "n_images", "n_correct"), pyarrow.int64()),
        **dict.fromkeys(("n_faults", "n_changed_bits"), pyarrow.int64()),
        **dict.fromkeys(("overhead_bits", "n_stored_bits"), pyarrow.int64()),
        **dict.fromkeys(("p01", "p10", "accuracy", "wall_time_s"), pyarrow.float64()),
    }
    schema = pyarrow.schema([(c, kinds.get(c, pyarrow.string())) for c in table[0]])
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(table), schema), buffer)
    return buffer.getvalue()
