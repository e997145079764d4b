"""`stoic export`, `import` and `encode`: checkpoint -> QONNX -> integer network."""

import io
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..sim import container
from ..sim import faults as fault_maps
from ..sim import network as networks
from ..sim.exceptions import InputError
from ..sim.layers import Layer
from ..sim.memory import Fold, layout_of

FORMS = ("qonnx", "onnx", "popcounts", "products")
Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL.ckpt", help="Trained network, or NET.stoic with --form.", show_default=False
    ),
]
Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL.onnx", help="QONNX of a binary network.", show_default=False),
]


def export_(
    checkpoint: Checkpoint,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="MODEL.onnx",
            help="QONNX; beside the checkpoint.",
            callback=container.writable,
        ),
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
    form: Annotated[
        str | None,
        typer.Option(metavar="|".join(FORMS), help="Write an integer network in this form."),
    ] = None,
) -> dict[str, Any]:
    """Write a checkpoint as QONNX and, from that file alone, the integer network beside it.

    With --form it takes an integer network: qonnx (BipolarQuant), onnx (standard ONNX, which any
    runtime has), popcounts (XnorPopcountMatMul, MultiThreshold), products (for FINN's builder).
    """
    if form is not None:
        if images is not None or folds is not None:
            raise InputError("--images and --folds are of a checkpoint; leave --form out")
        return _write_form(checkpoint, form, output, faults)
    from ..models.checkpoint import load_checkpoint

    chosen = _parse_folds(folds)
    path = _beside(output or checkpoint.with_suffix(".onnx"), checkpoint)
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
            "-o",
            "--output",
            metavar="NET.stoic",
            help="Integer network; beside the model.",
            callback=container.writable,
        ),
    ] = None,
    pixels: Annotated[
        bool,
        typer.Option("--pixels", help="The float input is a pixel of 0..255, divided by 255."),
    ] = False,
) -> dict[str, Any]:
    """Lower a QONNX file to the exact integer network and say what was found in it.

    n_ties counts neurons that are exactly 0 at a reachable sum: they fire there, as exact
    mathematics says. executor_disagreements are the sums at which the float arithmetic of
    onnxruntime, or of torch, decides otherwise; n_ties_otherwise counts the ties among them.
    operations are 2 for each stored bit that meets a lane, an image.
    """
    from .lower import lower
    from .ties import disagreements

    path = _beside(output or model.with_suffix(".stoic"), model)
    network = lower(model, pixels=pixels)
    otherwise = disagreements(model)
    networks.save(network, path)
    notes = network.notes["layers"]
    rows = zip(network.layers, networks.summary(network), notes, strict=True)
    entry = {k: v for k, v in network.notes["input"].items() if k != "levels"}
    return {
        "name": network.name,
        "sha256": network.sha256,
        "source_sha256": network.source_sha256,
        "n_weight_bits": network.n_weight_bits,
        "n_operations": sum(_operations(layer) for layer in network.layers),
        "n_ties": network.notes["n_ties"],
        "n_ties_otherwise": dict(Counter(d.executor for d in otherwise if d.is_tie)),
        "input": {**entry, "thermometer": list(network.thermometer)},
        "layers": [
            {
                **row,
                "operations": _operations(layer),
                "n_ties": len(note["ties"]),
                "nodes": " > ".join(note["nodes"]),
            }
            for layer, row, note in rows
        ],
        "tail": notes[-1]["tail"],
        "ties": [
            {"layer": note["name"], "neuron": neuron, "sum": at}
            for note in notes
            for neuron, at in note["ties"]
        ],
        "executor_disagreements": otherwise,
        "metadata": network.notes["metadata"],
        "files": {"qonnx": model, "network": path},
    }


def _write_form(file: Path, form: str, output: Path | None, faults: Path | None) -> dict[str, Any]:
    """An integer network as a graph of integers, and whether it is read back as that network."""
    if form not in FORMS:
        raise InputError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
    if form == "products" and faults is not None:
        raise InputError("a graph for FINN's builder has no fault nodes; use form popcounts")
    path = _beside(output or file.with_suffix(".onnx"), file)
    network = networks.load(file)
    fault_map = None if faults is None else fault_maps.load(faults)
    from .finn_form import popcount_model, product_model
    from .integer import integer_model
    from .lower import lower_model
    from .qonnx import stamp, to_bytes

    if form == "products":
        model = product_model(network)
    elif form == "popcounts":
        model = popcount_model(network, fault_map)
    else:
        model = integer_model(network, fault_map, standard=form == "onnx")
    stamp(model, network.name, {"network_sha256": network.sha256})
    container.write_whole(path, to_bytes(model))
    wanted = network if fault_map is None else fault_maps.apply(network, fault_map)
    found = None
    if len(network.thermometer) < 2:  # several levels of a pixel are a branch to lowering
        found = lower_model(model, network.name).network.sha256
    return {
        "name": network.name,
        "form": form,
        "sha256": wanted.sha256,
        "is_read_back": found and found == wanted.sha256,
        "operations": sorted({node.op_type for node in model.graph.node}),
        "files": {"onnx": path},
    }


def encode(
    network: Annotated[
        Path,
        typer.Argument(metavar="NET.stoic", help="An imported network.", show_default=False),
    ],
    images: Annotated[
        Path,
        typer.Argument(metavar="X.npy", help="Images as the graph takes them.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="LANES.npy",
            help="Images of the network.",
            callback=container.writable,
        ),
    ],
) -> dict[str, Any]:
    """Turn float images of the imported graph into integer images of the network, channel-last.

    An element becomes the number of levels that it reaches, as `import` found them.
    """
    from .encoding import lanes_of_file

    found = networks.load(network)
    lanes = lanes_of_file(found, images)
    container.write_whole(output, _npy(lanes))
    return {"n_images": len(lanes), "n_elements": found.n_inputs, "files": {"lanes": output}}


def _beside(output: Path, source: Path) -> Path:
    """The output, which must not be the file that is read."""
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is what is read; name another output with -o")
    return output


def _npy(values: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _operations(layer: Layer) -> int:
    return 2 * layer.n_inputs * layer.n_outputs * layer.n_windows


def _parse_folds(text: str | None) -> tuple[Fold, ...] | None:
    if text is None:
        return None
    try:
        return tuple(Fold(*map(int, fold.split("x"))) for fold in text.split(","))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"folds must be PExSIMD of every layer, as 32x36,4x32, not {text!r}"
        ) from error
