"""`stoic train`, `stoic accuracy`, `stoic data fetch`: recipe -> checkpoint -> table."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim.container import writable, write_whole
from ..sim.exceptions import InputError

log = logging.getLogger(__name__)

_SEEDED = (
    "gamma",
    "imbalanced",
    "trace",
    "trigger",
)  # names of `studies.seeded.STUDIES`, which needs scikit-learn

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", "--data", help="Folder of data sets.  [env: STOIC_DATA]"),
]


def train(
    recipe: Annotated[
        str, typer.Argument(help="Recipe of the kit, or a TOML file.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(min=0, help="With the recipe it remakes the network.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; build/<name>.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="Of torch: cpu, cuda, cuda:1, ...")] = "cpu",
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Write <out>/<name>.ledger, for stoic trace.")
    ] = False,
    ledger_mb: Annotated[float, typer.Option(min=0.0, help="The most that it may hold.")] = 1000.0,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg", help="Draw its curves: .svg, .png or .pdf.", callback=writable
        ),
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Train a network into <out>/<name>.ckpt; a run that was killed goes on where it stopped.

    log.jsonl beside it has a row for each epoch: accuracy on the validation split at BER 0, at the
    highest trained rate and at the rates that the recipe selects the epoch on.
    """
    from . import train as training
    from .evaluate import training_cost
    from .recipe import load_recipe
    from .tracer.recorder import Recorder

    if plot is not None:
        from ..sim.report.figures import check_format

        check_format(plot)
    chosen = load_recipe(recipe)
    if epochs is not None:
        chosen = replace(chosen, epochs=epochs)
    folder = out or Path("build") / chosen.name
    report = _epoch_line(chosen.name, chosen.epochs)
    recorder = Recorder(folder / f"{chosen.name}.ledger", ledger_mb) if ledger else None
    made = training.train(
        chosen, seed, folder, data_root, report=report, device=device, recorder=recorder
    )
    if plot is not None:
        _draw_curves(folder, chosen.name, plot)
    return {
        "checkpoint": folder / f"{chosen.name}.ckpt",
        "sha256": made.sha256,
        "seed": seed,
        "results": made.results,
        "training": training_cost(folder / "log.jsonl"),
        "recipe": made.recipe,
    }


def _draw_curves(folder: Path, name: str, plot: Path) -> None:
    from ..sim.report.figures import save_figure
    from ..sim.report.training import training_figure

    lines = (folder / "log.jsonl").read_text().splitlines()
    save_figure(training_figure([json.loads(line) for line in lines], name), plot)


def _epoch_line(name: str, n_epochs: int) -> Callable[[dict[str, Any]], None]:
    def report(row: dict[str, Any]) -> None:
        found = ", ".join(
            f"{100 * accuracy:.2f} % at {_condition(label)}"
            for label, accuracy in row["validation_accuracy"].items()
        )
        what = f"validation {found}" if found else f"loss {row['loss']:.4f}"
        log.info("%s epoch %d/%d: %s", name, row["epoch"], n_epochs, what)

    return report


def _condition(label: str) -> str:
    return f"BER {100 * float(label):g} %" if label[0].isdigit() else label


def accuracy(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT...", help="*.ckpt", show_default=False)
    ],
    chips: Annotated[int, typer.Option(min=2, help="Chips of each rate.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the population of chips.")] = 0,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Accuracy of networks on the test set over bit error rate, all weight memories flipped."""
    from ..sim.engine import EngineDevice
    from .checkpoint import load_checkpoint
    from .data import load
    from .evaluate import accuracy_table, training_cost

    loaded = [load_checkpoint(path) for path in checkpoints]
    sets = sorted({str(c.recipe.get("data", "an unnamed data set")) for c in loaded})
    if len(sets) != 1:
        raise InputError(f"one table needs one data set, these were trained on {', '.join(sets)}")

    def report(point: dict[str, Any]) -> None:
        log.info(
            "%s at BER %g %%: %.2f %%",
            point["model"],
            100 * point["ber"],
            point["accuracy_percent"],
        )

    test = load(sets[0], "test", data_root)
    table = accuracy_table(loaded, test, EngineDevice(), n_chips=chips, seed=seed, report=report)
    for entry, path in zip(table["models"], checkpoints, strict=True):
        entry["training"] = training_cost(path.parent / "log.jsonl")
    return {"data": sets[0], **table}


def data_fetch(
    name: Annotated[str, typer.Argument(help="Data set, e.g. fashion-mnist.", show_default=False)],
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Find a data set, or fetch it into the cache, and check every file of it."""
    from . import data, event_tables

    if name in event_tables.TABLES:
        hashes = event_tables.check(name, data_root)
        files = [{"file": file, "decoded_sha256": sha256} for file, sha256 in hashes.items()]
        return {"data": name, "files": files}
    folder = data.find(name, data_root) or data.fetch(name)
    source = data.SOURCES[name]
    for part in (source.train, source.test):
        data.read_part(folder, part)
    return {
        "data": name,
        "folder": folder,
        "files": [
            {"file": file, "decoded_sha256": sha256} for file, sha256 in data.hashes(name).items()
        ],
    }


def study(
    name: Annotated[str, typer.Argument(help="Study of the kit, e.g. best.", show_default=False)],
    nets: Annotated[Path, typer.Option(help="Folder of the networks of all studies.")] = Path(
        "build/studies"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes, each of one thread.")] = 2,
    pages: Annotated[Path | None, typer.Option(help="Write page and figures there.")] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Train and measure the networks of a study, and judge its claims.

    Networks that are there already are not made again; a run that was killed goes on.
    """
    if name in _SEEDED:
        from .studies import seeded

        return seeded.study(name, nets, workers, pages, data_root)
    if name == "audit":
        from .audit.study import Plan as AuditPlan
        from .studies import audit

        return audit.study(AuditPlan(), nets / name, pages, data_root)
    if name == "gncl":
        from .ensembles.study import Plan
        from .studies import gncl

        return gncl.study(Plan(), nets / name, workers, pages, data_root)
    from ..sim.report.study import write_page
    from .studies.judges import JUDGES
    from .studies.plan import load_study
    from .studies.run import network_row, run

    chosen = load_study(name)
    rows = run(chosen, nets, workers, data_root)
    raw = nets / f"{name}.json"
    write_whole(raw, json.dumps(rows).encode())
    measured = vars(chosen.measure)
    result: dict[str, Any] = {
        "study": name,
        "title": chosen.title,
        "claim": chosen.claim,
        "protocol": chosen.protocol,
        "measure": measured,
        "seeds": {
            "training": sorted({net.seed for net in chosen.nets}),
            "chips": chosen.measure.seed,
        },
        **JUDGES[name](rows, measured).as_json(),
        "networks": [network_row(row) for row in rows],
        "rows": raw,
    }
    if pages is not None:
        result["page"] = write_page(result, pages)
    return result
