"""`stoic trace`: what predictions of a network, or faults of its memory, owe to its training."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .commands import DataRoot

CheckpointFile = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="*.ckpt", show_default=False)
]
LedgerFolder = Annotated[
    Path | None, typer.Option("--ledger", help="Folder of its ledger; <name>.ledger beside it.")
]


def trace(
    checkpoint: CheckpointFile,
    ledger: LedgerFolder = None,
    n: Annotated[int, typer.Option(min=1, help="Test images to score.")] = 1000,
    shown: Annotated[int, typer.Option(min=0, help="Of them, to explain one by one.")] = 4,
    top: Annotated[int, typer.Option(min=1, help="Training images for each and layer.")] = 8,
    faults: Annotated[
        Path | None, typer.Option(metavar="MAP.faults", help="What does this map undo?")
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Explain predictions by the training, from a ledger that stoic train --ledger wrote.

    Half of the images that are explained are the first right answers, the others the first wrong
    ones.
    """
    from .checkpoint import load_checkpoint
    from .tracer import explain
    from .tracer.ledger import load_ledger

    made = load_checkpoint(checkpoint)
    found = load_ledger(ledger or checkpoint.with_suffix(".ledger"), made)
    training, test = explain.images_of(found, data_root, n)
    begun = time.perf_counter()
    result = explain.explained(found, training, test, shown, top)
    seconds = time.perf_counter() - begun
    if faults is not None:
        result["faults"] = explain.faulted(found, test, faults)
    return {
        "network": made.name,
        "data": made.recipe.get("data"),
        "checkpoint_sha256": made.sha256,
        "seeds": {"training": made.seed},
        "ledger": found.folder,
        "ledger_bytes": found.n_bytes,
        "n_epochs": found.n_epochs,
        "n_images": n,
        "seconds": round(seconds, 2),
        **result,
    }
