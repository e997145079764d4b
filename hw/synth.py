"""From a core to a bitstream: synthesis, place and route on several seeds, packing, figures.

A second run with the same inputs does nothing, and a killed run goes on where it stopped: `steps`.
"""

import hashlib
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..sim.container import file_sha256, kit_version
from ..sim.core import Core, to_json
from ..sim.exceptions import InputError, ToolError
from .boards import Board, wrapper_verilog
from .flows import nextpnr
from .flows.yosys import FIRST, synth_command
from .fold import Prediction, predict
from .netlist import check_core
from .reports import Route, Utilisation, route, utilisation
from .steps import alone, at_once, holds, put, said, step

LABEL = "place-and-route estimate"
NETLIST = "synth.netlist.json"
BUILD = "build.json"


class ClockMissedError(ToolError):
    """No seed meets the clock; `routes` are what they reached."""

    def __init__(self, message: str, routes: Sequence[Route]) -> None:
        super().__init__(message)
        self.routes = tuple(routes)


@dataclass(frozen=True)
class Design:
    """A core on a board, as Verilog.

    Attributes:
        sources: file name -> text; all that is synthesised.
    """

    network: str
    core: Core
    board: Board
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Build:
    """What the tools made and said of one design; every figure is an estimate, none from silicon.

    Attributes:
        routes: one a seed, in the order asked.
        prediction: cycles, memories and bound of the folding.
        bitstream: of the seed with the highest Fmax.
        inputs_sha256: of sources, pins, board, tool versions and seeds.
    """

    network: str
    board: str
    core: dict[str, Any]
    label: str
    clock_mhz_asked: float
    utilisation: Utilisation
    routes: tuple[Route, ...]
    prediction: Prediction
    synth_wall_s: float
    bitstream: Path
    bitstream_sha256: str
    inputs_sha256: str
    tools: dict[str, str]

    @property
    def best(self) -> Route:
        """The seed whose bitstream is kept."""
        return max(self.routes, key=lambda r: r.fmax_mhz)

    @property
    def fmax_mhz_median(self) -> float:
        """Median over the seeds."""
        return round(statistics.median(r.fmax_mhz for r in self.routes), 2)

    def row(self) -> dict[str, Any]:
        """JSON values with units in the names."""
        cycles = self.prediction.cycles_per_image
        values = asdict(self)
        prediction = values.pop("prediction")
        return {
            **values,
            **prediction,
            "bitstream": self.bitstream.name,
            "seeds": [r.seed for r in self.routes],
            "timing_met": self.best.fmax_mhz >= self.clock_mhz_asked,
            "seeds_that_met_timing": sum(r.fmax_mhz >= self.clock_mhz_asked for r in self.routes),
            "fmax_mhz_best": self.best.fmax_mhz,
            "fmax_mhz_median": self.fmax_mhz_median,
            "best_seed": self.best.seed,
            "images_per_s_at_clock": round(self.clock_mhz_asked * 1e6 / cycles),
            "images_per_s_at_fmax": round(self.best.fmax_mhz * 1e6 / cycles),
            "kit_version": kit_version(),
        }


def design_sources(core: Core, board: Board) -> dict[str, str]:
    """Everything that the board's top needs: file name -> Verilog text."""
    from .top import core_text, sources_below, top_verilog

    files = {path.name: path.read_text() for path in sources_below(core)}
    return {
        **files,
        "stoic_core.v": core_text(core, board.target),
        "stoic_top.v": top_verilog(core, clock_hz=board.core_hz, target=board.target),
        f"{board.top}.v": wrapper_verilog(board),
    }


def build(
    network_name: str,
    core: Core,
    board: Board,
    out_dir: Path,
    seeds: Sequence[int] = (),
    jobs: int = 2,
) -> Build:
    """Synthesise, place, route and pack a core for a board.

    Args:
        out_dir: where sources, logs, netlist, reports, `<network>.bit` and `build.json` go.
        seeds: of place and route; the board's own number of seeds from 1 when empty.
        jobs: processes at once.

    Raises:
        ToolError: a tool is missing or failed, the design does not fit, or its memories are not
            what the layout says. There is a bitstream only if all is well.
        ClockMissedError: no seed meets the clock.
    """
    if board.needs_vivado:
        from . import vivado

        if len(seeds) > 1:
            raise InputError(f"{board.name} is built by Vivado, which has no seeds")
        with alone(out_dir):
            return vivado.build(network_name, core, board, out_dir)
    design = Design(network_name, core, board, design_sources(core, board))
    return build_design(design, out_dir, seeds, jobs)


def synthesise(design: Design, out_dir: Path) -> Path:
    """The netlist that is placed, as JSON, checked: the first step of `build_design`.

    Raises:
        ToolError: as `build`.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    _synthesise(design, out_dir, tool_versions(design.board))
    check_core(design.network, design.core, design.board, out_dir)
    return out_dir / NETLIST


def build_design(design: Design, out_dir: Path, seeds: Sequence[int] = (), jobs: int = 2) -> Build:
    """As `build`, of given sources."""
    board = design.board
    seeds = tuple(seeds) or tuple(range(1, board.seeds + 1))
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds must be different numbers from 0, not {seeds}")
    tools = tool_versions(board)
    inputs = inputs_sha256(design, seeds, tools)
    with alone(out_dir):
        return _build(design, out_dir, seeds, jobs, tools, inputs)


def _build(
    design: Design,
    out_dir: Path,
    seeds: Sequence[int],
    jobs: int,
    tools: dict[str, str],
    inputs: str,
) -> Build:
    board = design.board
    forget_others(out_dir, inputs)
    bitstream = out_dir / f"{design.network}.{'bit' if board.family == 'ecp5' else 'bin'}"

    synth_wall_s = _synthesise(design, out_dir, tools)
    check_core(design.network, design.core, board, out_dir)

    def one_seed(seed: int) -> Route:
        return _route(design, out_dir, seed, tools)

    routes = at_once(one_seed, seeds, jobs)
    best = max(routes, key=lambda r: r.fmax_mhz)
    clock_mhz = board.core_hz / 1e6
    if best.fmax_mhz < clock_mhz:
        bitstream.unlink(missing_ok=True)
        raise ClockMissedError(
            f"{design.network} on {board.name}: {clock_mhz:g} MHz not met on any of seeds "
            f"{', '.join(map(str, seeds))}; best {best.fmax_mhz:g} MHz, {best.critical_path}",
            routes,
        )
    routed = f"seed{best.seed}.routed"
    command = nextpnr.pack(board, routed, bitstream.name)
    step(out_dir, "pack", command, [out_dir / routed], [bitstream], tools)

    made = Build(
        network=design.network,
        board=board.name,
        core=to_json(design.core),
        label=LABEL,
        clock_mhz_asked=clock_mhz,
        utilisation=utilisation(
            out_dir / "synth.stat.json", out_dir / f"seed{best.seed}.report.json", board
        ),
        routes=routes,
        prediction=predict(design.core, board),
        synth_wall_s=synth_wall_s,
        bitstream=bitstream,
        bitstream_sha256=file_sha256(bitstream),
        inputs_sha256=inputs,
        tools=tools,
    )
    put(out_dir / BUILD, json.dumps(made.row(), indent=2, sort_keys=True) + "\n")
    return made


def tool_versions(board: Board) -> dict[str, str]:
    """Versions of the Python packages that carry the tools.

    Raises:
        InputError: the board is built by Vivado.
        ToolError: one is not installed.
    """
    if board.needs_vivado:
        raise InputError(f"{board.name} is built by Vivado, so there is no netlist of open tools")
    versions = {}
    for package in nextpnr.packages(board):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise ToolError(f"{package} is not installed; pip install 'stoic[hw]'") from error
    return versions


def inputs_sha256(design: Design, seeds: Sequence[int], tools: Mapping[str, str]) -> str:
    """Hash of all that decides a bitstream."""
    board = {**asdict(design.board), "pins": design.board.pins.read_text()}
    inputs = [dict(design.sources), board, list(seeds), dict(tools), to_json(design.core)]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def write_sources(design: Design, out_dir: Path) -> list[str]:
    """Write the Verilog of a design into `src`, and nothing else there; the paths in out_dir.

    Where that changes anything, what was built of other sources is no build of these: the folder's
    `build.json` goes first, so that a run that is killed leaves none.
    """
    folder = out_dir / "src"
    folder.mkdir(parents=True, exist_ok=True)
    unwanted = set(folder.iterdir()) - {folder / name for name in design.sources}
    if unwanted or not all(holds(folder / name, text) for name, text in design.sources.items()):
        (out_dir / BUILD).unlink(missing_ok=True)
    for stale in unwanted:
        stale.unlink()
    for name, text in design.sources.items():
        put(folder / name, text)
    return [f"src/{name}" for name in sorted(design.sources)]


def _synthesise(design: Design, out_dir: Path, tools: Mapping[str, str]) -> float:
    board = design.board
    sources = write_sources(design, out_dir)
    put(out_dir / "pins", board.pins.read_text())
    job = {
        "sources": sources,
        "top": board.top,
        "synth": synth_command(board.family, board.device),
        "netlist": NETLIST,
        "stat": "synth.stat.json",
    }
    put(out_dir / "synth.job.json", json.dumps(job, indent=2))
    command = [sys.executable, "-m", "stoic.hw.flows.yosys", "synth.job.json"]
    inputs = [out_dir / "synth.job.json", *(out_dir / source for source in sources)]
    inputs += [FIRST[job["synth"]]] if job["synth"] in FIRST else []
    outputs = [out_dir / NETLIST, out_dir / "synth.stat.json"]
    return step(out_dir, "synth", command, inputs, outputs, tools)


def _route(design: Design, out_dir: Path, seed: int, tools: Mapping[str, str]) -> Route:
    name = f"seed{seed}"
    report = f"{name}.report.json"
    command = nextpnr.place_and_route(
        design.core, design.board, NETLIST, "pins", f"{name}.routed", report, seed
    )
    inputs = [out_dir / NETLIST, out_dir / "pins"]
    outputs = [out_dir / f"{name}.routed", out_dir / report]
    wall_s = step(out_dir, name, command, inputs, outputs, tools)
    return route(out_dir / report, seed, wall_s)


def forget_others(out_dir: Path, inputs: str) -> None:
    """Remove `build.json` if other inputs made it (`inputs_sha256`)."""
    if said(out_dir / BUILD).get("inputs_sha256") != inputs:
        (out_dir / BUILD).unlink(missing_ok=True)
