"""`stoic export` and `stoic import`: checkpoint -> QONNX -> integer network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..sim import faults as fault_maps
from ..sim import network as networks
from ..sim.exceptions import InputError
from ..sim.memory import Fold, layout_of
from ..sim.network import Network

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def export_(
    checkpoint: Annotated[Path, typer.Argument(help="Trained network, *.ckpt.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="QONNX file; beside the checkpoint.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="Fault map, *.faults, written into the graph as nodes.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder for memory images of the integer network.")
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(help="PExSIMD of every layer for the images, e.g. 32x36,4x32,4x32,1x32."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint as QONNX and, from that file alone, as the integer network beside it."""
    from ..models.checkpoint import load_checkpoint
    from .images import write_images
    from .lower import lower
    from .qonnx import export_qonnx

    path = output or checkpoint.with_suffix(".onnx")
    fault_map = None if faults is None else fault_maps.load(faults)
    export_qonnx(load_checkpoint(checkpoint), path, fault_map)
    network = lower(path)
    net_path = path.with_suffix(".stoic")
    networks.save(network, net_path)
    written = {"qonnx": str(path), "network": str(net_path)}
    if images is not None:
        write_images(network, layout_of(network, _parse_folds(folds)), images)
        written["images"] = str(images)
    _print(network, written, as_json=as_json)


def import_(
    model: Annotated[Path, typer.Argument(help="ONNX file of a binary network.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Integer network; beside the model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lower an ONNX file to the exact integer network and say what was found in it."""
    from .lower import lower

    network = lower(model)
    path = output or model.with_suffix(".stoic")
    networks.save(network, path)
    _print(network, {"qonnx": str(model), "network": str(path)}, as_json=as_json)


def _parse_folds(text: str | None) -> tuple[Fold, ...] | None:
    if text is None:
        return None
    try:
        return tuple(Fold(*map(int, fold.split("x"))) for fold in text.split(","))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"folds must be PExSIMD of every layer, as 32x36,4x32, not {text!r}"
        ) from error


def report(network: Network) -> list[dict[str, Any]]:
    """One JSON-able row per layer: its summary, and the ties and nodes that the import noted."""
    rows = zip(networks.summary(network), network.notes["layers"], strict=True)
    return [{**row, "n_ties": len(note["ties"]), "nodes": note["nodes"]} for row, note in rows]


def _print(network: Network, written: dict[str, str], *, as_json: bool) -> None:
    from .executors import disagreements

    rows = report(network)
    disputed = disagreements(Path(written["qonnx"]))
    if as_json:
        values = {
            **written,
            "name": network.name,
            "sha256": network.sha256,
            "source_sha256": network.source_sha256,
            "weight_bits": network.n_weight_bits,
            "n_ties": network.notes["n_ties"],
            "executor_disagreements": [asdict(found) for found in disputed],
            "layers": rows,
            "notes": network.notes,
        }
        typer.echo(json.dumps(values))
        return
    columns = {
        "layer": "name",
        "nodes": "nodes",
        "input": "input",
        "fan-in": "n_inputs",
        "neurons": "n_outputs",
        "stored weight bits": "weight_bits",
        "constant": "n_constant",
        "negated": "n_negated",
        "ties": "n_ties",
    }
    table = Table(*columns, title=f"{network.name}: {network.n_weight_bits} stored weight bits")
    for row in rows:
        row = {**row, "nodes": " > ".join(row["nodes"])}
        table.add_row(*(str(row[key]) for key in columns.values()))
    console = Console()
    console.print(table)
    if network.notes["n_ties"]:
        console.print(
            f"{network.notes['n_ties']} neurons have a batch norm that is exactly 0 at a reachable "
            "sum; they fire there, as exact mathematics says, where a float kernel may not."
        )
    if disputed:
        console.print(
            f"At {len(disputed)} sums the qonnx executor's float batch norm decides otherwise than "
            "exact mathematics (--json names them); its scores can differ on images that meet one."
        )
    for what, path in written.items():
        console.print(f"{what}: {path}", soft_wrap=True, markup=False, highlight=False)
