"""Commands of `sim`: look at networks and fault maps, and make the report."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import faults as fault_maps
from . import network as networks
from . import operating_points, spatial, tables
from .container import writable
from .errors.published import SOURCES
from .faults import PLANES, FaultMap
from .memory import Layout
from .network import Network

NetworkFile = Annotated[
    Path, typer.Argument(metavar="NET.stoic", help="Integer network.", show_default=False)
]
MapFile = Annotated[
    Path, typer.Argument(metavar="MAP.faults", help="Fault map.", show_default=False)
]
TableName = Annotated[
    str | None, typer.Option("--table", metavar="NAME", help="Thresholds of this table.")
]


def load_network(path: Path, table: str | None = None) -> Network:
    """The network of a file, with the thresholds of one of its tables if that is named.

    Raises:
        ArtefactError: no such file, or not a right one.
        InputError: no such table.
    """
    found = networks.load(path)
    return found if table is None else networks.select(found, table)


def show(network: NetworkFile) -> dict[str, Any]:
    """Show an integer network: its layers, threshold tables, hashes, what its import noted."""
    found = networks.load(network)
    return {
        "name": found.name,
        "sha256": found.sha256,
        "source_sha256": found.source_sha256 or None,
        "n_inputs": found.n_inputs,
        "n_classes": found.n_classes,
        "n_weight_bits": found.n_weight_bits,
        "layers": networks.summary(found),
        "tables": [tables.row(table, found.layers) for table in found.tables],
        "notes": {name: note for name, note in found.notes.items() if name != "layers"},
    }


def join(
    members: Annotated[
        list[Path],
        typer.Argument(metavar="NET.stoic...", help="Members, which see the same images."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="ENSEMBLE.stoic", callback=writable)
    ],
) -> dict[str, Any]:
    """Join integer networks into an ensemble: one network, whose scores are the sums of theirs."""
    found = networks.ensemble(output.stem, [networks.load(path) for path in members])
    networks.save(found, output)
    return {**show(output), "file": output}


def faults_show(map_file: MapFile) -> dict[str, Any]:
    """Show a fault map: where it came from, and how many cells of each memory are faulty."""
    found = fault_maps.load(map_file)
    return {**describe(found), "memories": memories(found)}


def faults_list() -> dict[str, Any]:
    """Show the named operating points: rates, where faults are, what has no source."""
    groups = operating_points.named()
    rows = {group: [point.row() for point in points.values()] for group, points in groups.items()}
    cited = {row["source"] for points in rows.values() for row in points}
    return {
        **rows,
        "patterns": list(operating_points.PATTERNS),
        "sources": {cite: text for cite, text in SOURCES.items() if cite in cited},
    }


def describe(faults: FaultMap) -> dict[str, Any]:
    """Hashes, counts and provenance of a map as JSON values."""
    return {
        "sha256": faults.sha256,
        "layout_sha256": faults.layout.sha256,
        "n_banks": len(faults.layout.banks),
        "n_stored_bits": len(faults.layout.logical_cells),
        "n_faults": faults.n_faults,
        **{f"n_{name}": int(np.bitwise_count(getattr(faults, name)).sum()) for name in PLANES},
        "provenance": faults.provenance,
    }


def memories(faults: FaultMap) -> list[dict[str, Any]]:
    """One row per layer and kind of memory: its banks, stored bits, faults and how they lie."""
    layout = faults.layout
    faulty = {name: faults.cells(name).astype(np.bool_) for name in PLANES}
    rows = []
    for layer in range(len(layout.shapes)):
        for kind in dict.fromkeys(bank.kind for bank in layout.banks if bank.layer == layer):
            cells = _cells(layout, layer, kind)
            banks = [b for b in layout.banks if b.layer == layer and b.kind == kind]
            counts = {name: int(plane[cells].sum()) for name, plane in faulty.items()}
            rows.append(
                {
                    "layer": layer,
                    "kind": kind,
                    "n_banks": len(banks),
                    "words_per_bank": banks[0].n_words,
                    "word_bits": banks[0].width,
                    "n_stored_bits": int(cells.size),
                    **{f"n_{name}": n for name, n in counts.items()},
                    "n_0to1": counts["flip"] + counts["stuck1"],
                    "n_1to0": counts["flip"] + counts["stuck0"],
                    "fault_rate": sum(counts.values()) / cells.size,
                    **spatial.summary(faults, banks),
                }
            )
    return rows


def _cells(layout: Layout, layer: int, kind: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return layout.weight_cells(layer) if kind == "weights" else layout.threshold_cells(layer)


def report(
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = Path(
        "build/results"
    ),
    output: Annotated[
        Path, typer.Option("-o", "--output", help="HTML page to write.", callback=writable)
    ] = Path("build/report.html"),
) -> dict[str, Any]:
    """Make one self-contained HTML page of all results that are there, and sum them up."""
    from .report.page import summary, write_report
    from .report.results import read

    missing = write_report(results, output)
    return {"summary": summary(read(results)), "missing": missing, "report": output}
