"""`stoic finn` and `stoic finn-check`: a network as a job of FINN's builder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..sim import network as networks
from ..sim.container import writable
from ..sim.exceptions import ToolError
from . import inputs
from .commands import Data, DataRoot, InputFile, N, Split


def finn(
    network_file: Annotated[
        Path, typer.Argument(metavar="NET.stoic", help="Integer network.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="The job folder.")
    ],
    board: Annotated[str, typer.Option(help="A board of FINN's builder.")] = "Pynq-Z2",
    data: Data = None,
    split: Split = "test",
    n: N = None,
    input_file: InputFile = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Write a folder that FINN's `build_dataflow` builds as it is."""
    from ..export.finn import write_job
    from ..sim.engine import scores

    network = networks.load(network_file)
    found = inputs.images(network, data, split, n, input_file, data_root)
    job = write_job(network, board, output, found.values, scores(network, found.values))
    rows = {k: v for k, v in job.items() if k not in ("files", "format", "version")}
    return {**rows, "files": {"job": output}}


def finn_check(
    job: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A job folder.", show_default=False)
    ],
    checkout: Annotated[
        Path | None, typer.Option("--finn", metavar="CHECKOUT", help="FINN's sources, branch dev.")
    ] = None,
    result: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE.json", help="What was found.", callback=writable
        ),
    ] = Path("build/results/finn_check.json"),
) -> dict[str, Any]:
    """Run FINN's front end, estimate steps and verification on a job; no Vivado is needed."""
    if checkout is None:
        from ..export.finn_check import MISSING

        raise ToolError(MISSING)
    command = [sys.executable, "-m", f"{__name__.split('.')[0]}.export.finn_check"]
    command += [str(job), "--finn", str(checkout), "--json", str(result)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ})
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ToolError(f"FINN's check of {job} failed: {last}")
    return dict(json.loads(result.read_text()))
