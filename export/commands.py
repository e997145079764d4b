"""`stoic export` and `stoic import`: checkpoint -> QONNX -> integer network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import faults as fault_maps
from ..sim import network as networks
from ..sim.exceptions import InputError
from ..sim.memory import Fold, layout_of

Checkpoint = Annotated[
    Path, typer.Argument(metavar="MODEL.ckpt", help="Trained network.", show_default=False)
]
Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL.onnx", help="QONNX of a binary network.", show_default=False),
]


def export_(
    checkpoint: Checkpoint,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="MODEL.onnx", help="QONNX; beside the checkpoint."),
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="MAP.faults", help="Write these faults into the graph.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write memory images there too.")
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(metavar="PExSIMD,...", help="Folding of the images, one a layer."),
    ] = None,
) -> dict[str, Any]:
    """Write a checkpoint as QONNX and, from that file alone, the integer network beside it."""
    from ..models.checkpoint import load_checkpoint

    chosen = _parse_folds(folds)
    path = output or checkpoint.with_suffix(".onnx")
    fault_map = None if faults is None else fault_maps.load(faults)
    trained = load_checkpoint(checkpoint)  # refused before the heavy imports

    from .images import write_images
    from .qonnx import export_qonnx

    export_qonnx(trained, path, fault_map)
    found = import_(path)
    if images is not None:
        network = networks.load(path.with_suffix(".stoic"))
        write_images(network, layout_of(network, chosen), images)
        found["files"]["images"] = images
    return found


def import_(
    model: Model,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="NET.stoic", help="Integer network; beside the model."
        ),
    ] = None,
) -> dict[str, Any]:
    """Lower a QONNX file to the exact integer network and say what was found in it.

    n_ties counts neurons whose batch norm is exactly 0 at a reachable sum: they fire there, as
    exact mathematics says. executor_disagreements are the sums at which the qonnx executor's float
    batch norm decides otherwise.
    """
    from .executors import disagreements
    from .lower import lower

    network = lower(model)
    path = output or model.with_suffix(".stoic")
    networks.save(network, path)
    notes = network.notes["layers"]
    rows = zip(networks.summary(network), notes, strict=True)
    return {
        "name": network.name,
        "sha256": network.sha256,
        "source_sha256": network.source_sha256,
        "n_weight_bits": network.n_weight_bits,
        "n_ties": network.notes["n_ties"],
        "layers": [
            {**row, "n_ties": len(note["ties"]), "nodes": " > ".join(note["nodes"])}
            for row, note in rows
        ],
        "ties": [
            {"layer": note["name"], "neuron": neuron, "sum": at}
            for note in notes
            for neuron, at in note["ties"]
        ],
        "executor_disagreements": disagreements(model),
        "metadata": network.notes["metadata"],
        "files": {"qonnx": model, "network": path},
    }


def _parse_folds(text: str | None) -> tuple[Fold, ...] | None:
    if text is None:
        return None
    try:
        return tuple(Fold(*map(int, fold.split("x"))) for fold in text.split(","))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"folds must be PExSIMD of every layer, as 32x36,4x32, not {text!r}"
        ) from error
