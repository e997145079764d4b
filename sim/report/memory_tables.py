"""Blocks of docs/protection.md: what protections and threshold tables are worth."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .readme_tables import read

CONDITIONS = {
    "iid-1%": "1 %",
    "iid-10%": "10 %",
    "iid-p01=0.02-p10=0.1": "p01 2 %, p10 10 %",
}


def protections(results: Path) -> Iterable[str]:
    """Mean accuracy under each protection, a column for each network and condition."""
    found = read(results / "protections.json", "make protections")
    points = [p for p in found["points"] if p["condition"] in CONDITIONS]
    networks = list(dict.fromkeys(p["network"] for p in points))
    names = list(dict.fromkeys(p["protection"] for p in points))
    mean = {(p["network"], p["condition"], p["protection"]): p["mean"] for p in points}
    overhead = {p["protection"]: p["overhead"] for p in points}
    columns = [(network, condition) for network in networks for condition in CONDITIONS]
    head = [f"`{network}`, {CONDITIONS[condition]}" for network, condition in columns]
    yield f"| protection | overhead % | {' | '.join(head)} |"
    yield "|---" * (2 + len(head)) + "|"
    for name in names:
        cells = [f"{100 * mean[(*column, name)]:.2f}" for column in columns]
        yield f"| {name} | {100 * overhead[name]:.1f} | {' | '.join(cells)} |"
    hashes = {p["network"]: p["network_sha256"][:8] for p in points}
    yield ""
    yield (
        f"Mean accuracy in percent on all {found['n_images']:,} test images, "
        f"{max(p['n_chips'] for p in points)} chips, seed 1; networks "
        f"{', '.join(f'`{name}` {sha}' for name, sha in hashes.items())}. `make protections`"
    )


def threshold_tables(results: Path) -> Iterable[str]:
    """A table for each network: accuracy with its own thresholds and with those of each method."""
    return table_lines(read(results / "tables.json", "make tables"))


def table_lines(found: dict[str, Any]) -> Iterable[str]:
    """The same of the object that `models.bench_tables` writes."""
    rows = {(r["network"], r["method"], r["condition"]): r for r in found["rows"]}
    conditions = list(dict.fromkeys(r["condition"] for r in found["rows"]))
    methods = list(dict.fromkeys(r["method"] for r in found["rows"]))
    for network, sha in {r["network"]: r["network_sha256"][:8] for r in found["rows"]}.items():
        yield f"| `{network}`, {sha} | {' | '.join(conditions)} |"
        yield "|---" * (1 + len(conditions)) + "|"
        for method in methods:
            cells = [rows[network, method, condition] for condition in conditions]
            shown = [f"{_percent(r['accuracy'])} ± {_half(r)}" for r in cells]
            yield f"| {method} | {' | '.join(shown)} |"
        yield ""
    yield (
        f"Mean accuracy in percent with a 95 % interval over "
        f"{len(found['rows'][0]['chips'])} chips, all {found['n_images']:,} test images. "
        "`make tables`"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _half(row: dict[str, float]) -> str:
    return _percent((row["high"] - row["low"]) / 2)
