"""The command `tables`: threshold tables for a network, one for each operating condition."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer

from ..sim import network as networks
from ..sim import operating_points, tables
from ..sim.commands import NetworkFile
from ..sim.container import rewritable
from ..sim.exceptions import InputError
from ..sim.protection import fitting
from ..sim.protection.thresholds import METHODS, Method
from ..sim.tables import Table
from . import inputs, settings
from .commands import BoardName, Data, DataRoot, InputFile, MapFiles, load_map

N_IMAGES = 2000


def tables_(
    network: NetworkFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT.stoic", callback=rewritable)
    ],
    errors: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeatable. One of {operating_points.legal_names()}."),
    ] = None,
    faults: MapFiles = None,
    data: Data = None,
    by: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "statistics",
    n: Annotated[
        int, typer.Option("--n", min=1, help="The first so many training images.")
    ] = N_IMAGES,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.ckpt", help="Of this network: its batch norms are measured anew."
        ),
    ] = None,
    chips: Annotated[
        int, typer.Option(min=1, help="Drawn for every --errors, for all but closed.")
    ] = fitting.CHIPS,
    seed: Annotated[
        int, typer.Option(min=0, help="Of these chips; not that of chips you measure on.")
    ] = fitting.SEED,
    input_file: InputFile = None,
    board: BoardName = "",
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Add threshold tables: for any chip at --errors, or for the one chip of --faults.

    Statistics take the network's own thresholds as right for memory that tells the truth; where
    they are a compromise between rates, as after training under errors, its checkpoint knows more.
    Images for calibration are training images. A table is named by its operating point, or as the
    file of the fault map; one of a name that the network has already takes its place.
    """
    net = networks.load(network)
    method = _method(by) if checkpoint is None else _refit(net, checkpoint)
    if not errors and not faults:
        raise InputError("give --errors NAME or --faults MAP.faults, each as often as needed")
    if method == "closed" and data is None and input_file is None:
        images, name = None, ""
    else:
        given = inputs.images(net, data, "train", n, input_file, data_root)
        images, name = given.values, f"{data}/train" if data else Path(given.name).name
    layout = settings.board_layout(net, board)
    points = [operating_points.parse(text) for text in errors or []]
    found: list[Table] = [
        fitting.of_point(net, point, images, method, chips, seed, layout, data_root, name)
        for point in points
    ]
    for path in faults or []:
        chip = load_map(net, path)
        assert chip is not None, "a path names a map"
        if images is None:
            raise InputError("the closed form knows rates, not a chip; use statistics or data")
        found.append(fitting.of_chip(net, path.stem, chip, images, method, name))
    names = [table.name for table in found]
    if len(set(names)) != len(names):
        raise InputError(f"two of the tables would have one name: {', '.join(names)}")
    replaced = sorted({table.name for table in net.tables} & set(names))
    more = networks.with_tables(net, found)
    networks.save(more, output)
    return {
        "name": net.name,
        "sha256": more.sha256,
        "tables": [tables.row(table, more.layers) for table in more.tables],
        "added": names,
        "replaced": replaced,
        "seeds": [seed] if points else [],
        "network": output,
    }


def _refit(net: networks.Network, path: Path) -> fitting.Refit:
    """What measures the batch norms of this checkpoint, which must be that of the network."""
    from ..models.calibration import recalibrated
    from ..models.checkpoint import load_checkpoint
    from ..models.frozen import integers

    checkpoint = load_checkpoint(path)
    own = integers(checkpoint)
    same = len(own.layers) == len(net.layers) and all(
        np.array_equal(a.weights, b.weights)
        and (a.thresholds is None) == (b.thresholds is None)
        and (a.thresholds is None or (a.thresholds == b.thresholds).all())
        for a, b in zip(own.layers, net.layers, strict=True)
    )
    if not same:
        raise InputError(f"{path} is not the checkpoint of network {net.name!r}")
    return partial(recalibrated, checkpoint)


def _method(text: str) -> Method:
    for method in get_args(Method):
        if text == method:
            return method  # type: ignore[no-any-return]
    raise InputError(f"--by must be one of {', '.join(METHODS)}, not {text!r}")
