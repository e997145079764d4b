"""What devices of a network are opened with: its files, and the hardware that it is to run on."""

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..sim import container
from ..sim.core import Core, Form, core_of, default_core
from ..sim.exceptions import InputError
from ..sim.hardware import hardware_layout
from ..sim.memory import Layout, layout_of
from ..sim.network import Network

if TYPE_CHECKING:
    from .wish import Wish

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What a device may need to know of the network before it is opened.

    Attributes:
        network_file: beside it stand the checkpoint and the QONNX file that it came from.
        folding: layout of devices that have memories; None leaves it to the device.
        engine: the hardware of that folding is one engine for all layers (`Core.engine`).
        injector: form of the hardware's injectors of read errors (`Core.injector`), None for none.
        board: whose top the virtual board and the netlist are; "" for devices that have none.
        tables: hardware holds all threshold tables of the network, and one is chosen at run time.
        n_tables: of the network's file, all of which a board behind a port may have room for.
        own_files: torch and onnx run the network's own checkpoint and QONNX file.
        threads: of the engine.
    """

    network_file: Path
    network: Network
    folding: Layout | None = None
    engine: bool = False
    injector: Form | None = None
    board: str = ""
    tables: bool = False
    n_tables: int = 0
    own_files: bool = True
    threads: int = 1

    @property
    def layout(self) -> Layout:
        """Whose cells fault maps address: the folding, or one processing element a layer."""
        return self.folding or layout_of(self.network)


def setting(
    network_file: Path,
    network: Network,
    board: str = "",
    *,
    tables: bool = False,
    n_tables: int | None = None,
    wish: "Wish | None" = None,
    injector: Form | None = None,
) -> Setting:
    """The setting of a network on a board, or without one.

    Hardware with injectors, on no board, has the folding that is quick to simulate.

    Args:
        n_tables: of the file, where the network is one of its tables; None: those of the network.

    Raises:
        InputError: unknown board, a network that does not fit it, or a wish without a board.
    """
    found = Setting(
        network_file,
        network,
        board=board,
        tables=tables,
        n_tables=len(network.tables) if n_tables is None else n_tables,
        threads=len(os.sched_getaffinity(0)),
        injector=injector,
    )
    if not board and wish is not None and wish.needs_board:
        raise InputError("a wish for a folding needs a board; give --board")
    if not board and injector is None:
        return found
    core = board_core(network, board, wish, injector) if board else default_core(network)
    return replace(found, folding=core.layout, engine=core.engine)


def board_core(
    network: Network, board: str, wish: "Wish | None" = None, injector: Form | None = None
) -> Core:
    """The core that the planner makes of a network for a board.

    Args:
        wish: None for the fastest.
        injector: form of its injectors of read errors, None for none.

    Raises:
        InputError: unknown board, or a network that does not fit it.
    """
    from . import boards, fold
    from .wish import FASTEST

    core = replace(core_of(network), injector=injector)
    return fold.fold(core, boards.load(board), wish or FASTEST)


def board_layout(network: Network, board: str) -> Layout:
    """Layout by the board's folding; without a board one processing element a layer."""
    return board_core(network, board).layout if board else layout_of(network)


def checkpoint_of(at: Setting) -> Path | None:
    """The checkpoint beside the network file, if the network says that it was made from it.

    Whether the two give the same integers is for a comparison to find out, so it is not asked here.
    """
    path = at.network_file.with_suffix(".ckpt")
    if not (at.own_files and path.is_file()):
        return None
    from ..models.checkpoint import load_checkpoint

    source = at.network.notes.get("metadata", {}).get("stoic.checkpoint_sha256")
    if load_checkpoint(path).sha256 != source:
        log.warning(
            "%s is of another network; torch runs the integers of %s", path, at.network_file
        )
        return None
    return path


def qonnx_of(at: Setting) -> Path | None:
    """The QONNX file beside the network file, if the network was lowered from it."""
    path = at.network_file.with_suffix(".onnx")
    if not (at.own_files and path.is_file()):
        return None
    if container.file_sha256(path) != at.network.source_sha256:
        log.warning("%s is of another network; onnx runs the integers of %s", path, at.network_file)
        return None
    return path


def without_own_files(at: Setting) -> Setting:
    """The setting in which torch and onnx run the integers that are loaded into them."""
    return replace(at, own_files=False)


def with_threads(at: Setting, threads: int) -> Setting:
    """The setting in which the engine takes so many threads."""
    return replace(at, threads=threads)


def own_file(spec: str, at: Setting) -> Path | None:
    """The file that the device takes its network from, or None when it takes what is loaded."""
    if spec == "torch":
        return checkpoint_of(at)
    return qonnx_of(at) if spec == "onnx" else None


def hardware(at: Setting) -> Core:
    """Core of the hardware: in the board's folding, or one that is quick to build and simulate."""
    if at.folding:
        core = core_of(at.network, at.folding, engine=at.engine)
    else:
        core = default_core(at.network)
    core = replace(core, injector=at.injector)
    return with_tables(core, len(at.network.tables)) if at.tables else core


def with_tables(core: Core, n_tables: int) -> Core:
    """The core with room for so many threshold tables beside a network's own thresholds."""
    return replace(core, layout=hardware_layout(core.layout, 1 + n_tables))
