"""From a core to a bitstream by Vivado: the project is written here, and run where Vivado is.

The folder then holds `src/`, `pins.xdc` and `build.tcl`, which need nothing of this kit. What
Vivado reports is judged as `synth` judges what open tools say; no figure is given that no tool
gave.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..sim.container import file_sha256
from ..sim.core import Core, to_json
from ..sim.exceptions import ToolError
from .boards import Board
from .flows import vivado
from .fold import predict
from .steps import put, step
from .synth import (
    BUILD,
    Build,
    Design,
    design_sources,
    forget_others,
    inputs_sha256,
    write_sources,
)
from .vivado_reports import alarms, memory_bits, n_latches, route, timing, utilisation
from .zynq import zynq_sources

LABEL = "Vivado implementation estimate"


@dataclass(frozen=True)
class Project:
    """Files from which Vivado makes a bitstream.

    Attributes:
        sources: Verilog, paths in the folder.
        command: that makes the bitstream when it is run in the folder.
        products: what it makes.
    """

    folder: Path
    sources: tuple[str, ...]
    command: tuple[str, ...]
    products: tuple[Path, ...]

    @property
    def to_do(self) -> str:
        """What a person does with it."""
        return f"run it there: {' '.join(self.command)}"


def sources_of(core: Core, board: Board) -> dict[str, str]:
    """Everything that the board's top needs: file name -> Verilog text."""
    return design_sources(core, board) if board.has_uart else zynq_sources(core, board)


def write_project(design: Design, out_dir: Path) -> Project:
    """Write sources, constraints and Tcl; what is there already and the same stays."""
    board, bitstream = design.board, f"{design.network}.bit"
    sources = write_sources(design, out_dir)
    put(out_dir / vivado.PINS, board.pins.read_text())
    put(out_dir / vivado.SCRIPT, vivado.build_tcl(board, sources, bitstream))
    products = [out_dir / bitstream, out_dir / vivado.UTILISATION, out_dir / vivado.TIMING]
    if not board.has_uart:
        products.append((out_dir / bitstream).with_suffix(".hwh"))
    return Project(out_dir, tuple(sources), vivado.COMMAND, tuple(products))


def build(network_name: str, core: Core, board: Board, out_dir: Path) -> Build:
    """Write the project and run it.

    Raises:
        ToolError: Vivado is not on PATH, fails, does not meet the clock, or its reports say that
            the design is not what it should be. The project is written in any case.
    """
    design = Design(network_name, core, board, sources_of(core, board))
    project = write_project(design, out_dir)
    path = vivado.find_vivado()
    if path is None:
        raise ToolError(
            f"Vivado is not on PATH; its project is written to {out_dir}, {project.to_do}"
        )
    tools = {"vivado": vivado.vivado_version(path)}
    made_from = inputs_sha256(design, (), tools)
    forget_others(out_dir, made_from)
    inputs = [out_dir / name for name in (vivado.SCRIPT, vivado.PINS, *project.sources)]
    command = [path, *project.command[1:]]
    wall_s = step(out_dir, "vivado", command, inputs, project.products, tools)
    report, found = out_dir / vivado.UTILISATION, timing(out_dir / vivado.TIMING)
    made = Build(
        network=network_name,
        board=board.name,
        core=to_json(core),
        label=LABEL,
        clock_mhz_asked=board.core_hz / 1e6,
        utilisation=utilisation(report),
        routes=(route(found, board.core_hz, wall_s),),
        prediction=predict(core, board),
        synth_wall_s=0.0,  # in one run with all the rest
        bitstream=project.products[0],
        bitstream_sha256=file_sha256(project.products[0]),
        inputs_sha256=made_from,
        tools=tools,
    )
    if problem := _problem(core, out_dir):
        made.bitstream.unlink()
        (out_dir / BUILD).unlink(missing_ok=True)
        raise ToolError(f"{network_name} on {board.name}: {problem}")
    put(out_dir / BUILD, json.dumps(made.row(), indent=2, sort_keys=True) + "\n")
    return made


def _problem(core: Core, out_dir: Path) -> str:
    """The first thing that is wrong with what Vivado made, "" if nothing is."""
    report, found = out_dir / vivado.UTILISATION, timing(out_dir / vivado.TIMING)
    stored = sum(b.n_words * b.width for b in core.layout.banks if b.kind == "weights")
    if said := alarms(out_dir / "vivado.log"):
        return f"synthesis warns: {said[0]}"
    if n_latches(report):
        return f"{n_latches(report)} latches were inferred"
    if found.n_unclocked:
        return f"no clock reaches {found.n_unclocked} registers"
    if memory_bits(report) < stored:
        return f"its memories hold {memory_bits(report)} bits, the weights alone are {stored}"
    for what, slack in (("setup", found.setup_slack_ns), ("hold", found.hold_slack_ns)):
        if slack < 0:
            return f"{what} times are not met by {-slack:g} ns; {found.critical_path}"
    return ""
