"""Blocks of docs/onnx.md and the README: what was imported, refused, agreed upon and timed."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from ..exceptions import ArtefactError
from .readme_tables import read

IMPORTED = {  # and what a row calls it
    "tfc_1w1a": "TFC",
    "sfc_1w1a": "SFC",
    "lfc_1w1a": "LFC (2.9 Mbit)",
    "cnv_1w1a": "CNV (1.5 Mbit)",
}


def onnx(results: Path) -> Iterable[str]:
    """One line a claim, with the command that makes it."""
    yield "| what | result | command |"
    yield "|---|---|---|"
    for part in (_imports, _refusals, _executors, _speed):
        yield from part(results)


def in_short(results: Path) -> Iterable[str]:
    """The same for the README."""
    rows, files = imports(results), _agreements(results)
    hostile = read(results / "hostile_import.json", "make fuzz-import")
    fuzzed = read(results / "fuzz_import.json", "make fuzz-import")
    speed = [row["engine_vs_onnxruntime"] for row in _speeds(results)]
    compared = [row for file in files for row in file["comparisons"]]
    devices = ", ".join(dict.fromkeys(row["device"] for row in compared))
    nets = f"{len(files)} networks of `models/zoo`"
    names = ", ".join(IMPORTED[name][:3] for name in dict.fromkeys(row["network"] for row in rows))
    n_bad = hostile["n_failures"] + len(fuzzed["failures"])
    yield "| ONNX | | command |"
    yield "|---|---|---|"
    yield (
        f"| Brevitas' {names} 1W1A, imported: scores that differ from exact mathematics "
        f"| {wrong_of(rows, 'n_wrong_exact', 'n_scores')} | `make import-zoo` |"
    )
    yield (
        "| wrong and damaged files that were neither read rightly nor refused in one line "
        f"| **{n_bad}** of {hostile['n_cases'] + fuzzed['n_cases']:,} | `make fuzz-import` |"
    )
    yield (
        f"| scores that differ from golden: {devices}; {nets}, two fault maps "
        f"| {wrong_of(compared, 'n_mismatches', 'n_scores')} | `make agree-onnx` |"
    )
    yield (
        f"| engine beside onnxruntime, one core, least and most "
        f"| ~{min(speed):.0f} x, ~{max(speed):.0f} x | `make bench-onnx` |"
    )


def imports(results: Path) -> list[dict[str, Any]]:
    """Rows of `make import-zoo`, of the networks that were imported."""
    paths = [results / f"import_zoo-{name}.json" for name in IMPORTED]
    found = [path for path in paths if path.is_file()] or paths[:1]
    return [row for path in found for row in read(path, "make import-zoo")["rows"]]


def wrong_of(rows: list[dict[str, Any]], wrong: str, of: str) -> str:
    """How many of how many, over all rows."""
    return f"**{sum(row[wrong] for row in rows):,}** of {sum(row[of] for row in rows):,}"


def _imports(results: Path) -> Iterable[str]:
    rows = imports(results)
    n_images = max(row["n_images"] for row in rows)
    kinds = "random, trained, both signs of every scale, ties"
    for name in dict.fromkeys(row["network"] for row in rows):
        title, chosen = IMPORTED[name], [row for row in rows if row["network"] == name]
        yield (
            f"| scores of Brevitas' {title} 1W1A that differ from exact mathematics; {kinds}; "
            f"both exporters; {n_images:,} images each "
            f"| {wrong_of(chosen, 'n_wrong_exact', 'n_scores')} | `make import-zoo` |"
        )
    untied = [row for row in rows if not row["n_ties"]]
    tied = [row for row in rows if row["n_ties"]]
    yield (
        f"| the same against torch, networks without ties "
        f"| {wrong_of(untied, 'n_wrong_torch', 'n_torch_scores')} | `make import-zoo` |"
    )
    yield (
        f"| the same at ties, which torch may decide otherwise, {tied[0]['n_ties']:,} to "
        f"{tied[-1]['n_ties']:,} neurons a network "
        f"| {wrong_of(tied, 'n_wrong_torch', 'n_torch_scores').replace('**', '')} "
        "| `make import-zoo` |"
    )
    for name in dict.fromkeys(row["network"] for row in rows):
        title, chosen = IMPORTED[name], [row for row in rows if row["network"] == name]
        cpu = median(row["import_cpu_s"] for row in chosen)
        wall = max(row["import_s"] for row in chosen)
        yield (
            f"| import of {title}, median CPU time; greatest median of wall time, busy machine "
            f"| ~{cpu:.2f} s; ~{wall:.1f} s | `make import-zoo` |"
        )
    yield (
        "| wrong networks that this comparison caught "
        f"| {sum(r['n_mutants_caught'] for r in rows)} of {sum(r['n_mutants'] for r in rows)} "
        "| `make import-zoo` |"
    )


def _refusals(results: Path) -> Iterable[str]:
    hostile = read(results / "hostile_import.json", "make fuzz-import")
    fuzzed = read(results / "fuzz_import.json", "make fuzz-import")
    yield (
        f"| files of 8 MB that are wrong in one place: not one clear line within "
        f"{hostile['limit_s']:.0f} s and {hostile['limit_memory_per_byte']:g} bytes a byte of the "
        f"file | **{hostile['n_failures']}** of {hostile['n_cases']} | `make fuzz-import` |"
    )
    yield (
        f"| slowest of these; most memory for a byte of the file | ~{hostile['slowest_s']:.1f} s; "
        f"{hostile['greatest_memory_per_byte']:.1f} bytes | `make fuzz-import` |"
    )
    yield (
        f"| damaged small graphs, {fuzzed['seconds']:.0f} s: neither a network nor one line "
        f"| **{len(fuzzed['failures'])}** of {fuzzed['n_cases']:,} | `make fuzz-import` |"
    )
    yield (
        f"| slowest of these; growth of the process | ~{fuzzed['slowest_s']:.1f} s; "
        f"~{fuzzed['memory_growth_mib']:.0f} MiB | `make fuzz-import` |"
    )


def _agreements(results: Path) -> list[dict[str, Any]]:
    files = [read(path, "make agree-onnx") for path in sorted(results.glob("agree_onnx-*.json"))]
    if not files:
        raise ArtefactError(f"{results}: no agree_onnx-*.json; make agree-onnx makes it")
    return files


def _executors(results: Path) -> Iterable[str]:
    files = _agreements(results)
    found = [(file["network"], row) for file in files for row in file["comparisons"]]
    for device in dict.fromkeys(row["device"] for _, row in found):
        mine = [(network, row) for network, row in found if row["device"] == device]
        networks = ", ".join(f"`{name}`" for name in dict.fromkeys(name for name, _ in mine))
        least, most = (f(row["n_images"] for _, row in mine) for f in (min, max))
        images = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield (
            f"| {device} beside golden, {images} images, no faults and two maps; {networks} "
            f"| {wrong_of([row for _, row in mine], 'n_mismatches', 'n_scores')} "
            "| `make agree-onnx` |"
        )
    yield (
        "| wrong networks that this comparison caught "
        f"| {sum(f['n_mutants_caught'] for f in files)} of {sum(f['n_mutants'] for f in files)} "
        "| `make agree-onnx` |"
    )


def _speeds(results: Path) -> list[dict[str, Any]]:
    return list(read(results / "bench_onnx.json", "make bench-onnx")["rows"])


def _speed(results: Path) -> Iterable[str]:
    for row in _speeds(results):
        faults = f", {100 * row['bit_error_rate']:g} % faults" if row["bit_error_rate"] else ""
        yield (
            f"| engine beside onnxruntime, one thread: {row['network']}{faults} "
            f"| ~{row['engine_images_per_s']:,.0f} and ~{row['onnxruntime_images_per_s']:,.0f} "
            f"images/s, ~{row['engine_vs_onnxruntime']:.0f} x | `make bench-onnx` |"
        )
