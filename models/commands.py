"""`stoic train` and `stoic accuracy`: a recipe becomes a checkpoint, checkpoints become a table."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..sim.container import write_whole

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="STOIC_DATA", help="Folder of data sets; else cached or fetched."
    ),
]


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe of the kit, or a TOML file.")],
    seed: Annotated[int, typer.Option(min=0, help="With the recipe it remakes the network.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; build/<name>.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Train a network; a killed run goes on where it stopped.

    Writes <name>.ckpt and log.jsonl (one row an epoch: accuracy on the validation split at BER 0,
    at the highest trained rate, and at the rates that the recipe selects on).
    """
    from .recipe import load_recipe
    from .train import train as run

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = load_recipe(recipe)
    if epochs is not None:
        chosen = replace(chosen, epochs=epochs)
    folder = out or Path("build") / chosen.name
    console = Console(stderr=True)

    def report(row: dict[str, Any]) -> None:
        found = ", ".join(
            f"{100 * a:.2f} % at BER {100 * float(p):g} %"
            for p, a in row["validation_accuracy"].items()
        )
        console.print(
            f"{chosen.name} epoch {row['epoch']}/{chosen.epochs}: validation {found} "
            f"({row['cpu_s']:.1f} CPU s)",
            highlight=False,
            soft_wrap=True,
        )

    checkpoint = run(chosen, seed, folder, data, report=report)
    path = folder / f"{chosen.name}.ckpt"
    if as_json:
        values = {
            "checkpoint": str(path),
            "sha256": checkpoint.sha256,
            "seed": seed,
            "recipe": checkpoint.recipe,
            "results": checkpoint.results,
        }
        typer.echo(json.dumps(values, indent=1))
    else:
        typer.echo(f"{path}  {checkpoint.sha256[:12]}")


def accuracy(
    checkpoints: Annotated[list[Path], typer.Argument(help="Trained networks, *.ckpt.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="JSON file of the table.")
    ] = None,
    chips: Annotated[int, typer.Option(min=2, help="Chips a rate.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the population of chips.")] = 0,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Accuracy of networks on the test set over bit error rate, all weight memories flipped."""
    from ..sim.engine import EngineDevice
    from ..sim.exceptions import InputError
    from .checkpoint import load_checkpoint
    from .data import load
    from .evaluate import accuracy_table, training_cost

    loaded = [load_checkpoint(path) for path in checkpoints]
    sets = sorted({str(c.recipe.get("data", "fashion-mnist")) for c in loaded})
    if len(sets) != 1:
        raise InputError(f"one table needs one data set, these were trained on {', '.join(sets)}")
    values = accuracy_table(
        loaded, load(sets[0], "test", data), EngineDevice(), n_chips=chips, seed=seed
    )
    named = " ".join(str(path) for path in checkpoints)
    values = {"command": f"stoic accuracy {named} --chips {chips} --seed {seed}", **values}
    for entry, path in zip(values["models"], checkpoints, strict=True):
        entry["training"] = training_cost(path.parent / "log.jsonl")
    text = json.dumps(values, indent=1)
    if output is not None:
        write_whole(output, text.encode())
    if as_json:
        typer.echo(text)
    else:
        _print(values)


def _print(values: dict[str, Any]) -> None:
    table = Table(
        "BER %",
        *(entry["name"] for entry in values["models"]),
        title=f"accuracy %, mean of {values['n_chips']} chips, {values['n_images']} test images",
    )
    for points in zip(*(entry["points"] for entry in values["models"]), strict=True):
        cells = []
        for point in points:
            interval = point["interval_percent"]
            reach = f" ± {(interval[1] - interval[0]) / 2:.2f}" if interval else ""
            cells.append(f"{point['accuracy_percent']:.2f}{reach}")
        table.add_row(f"{100 * points[0]['ber']:g}", *cells)
    Console().print(table)
