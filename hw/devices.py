"""Devices by name: `golden`, `engine`, ..., `virtual`, `pynq`, or the URL of a port.

`rtl-readmemh` and `rtl-saboteur` are the RTL with fault maps put into it by other ways.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..sim.device import Device, GoldenDevice, Selecting
from ..sim.exceptions import ArtefactError, InputError
from ..sim.network import Network, select
from .settings import Setting, checkpoint_of, hardware, qonnx_of

if TYPE_CHECKING:
    from .device import BoardDevice
    from .virtual_device import VirtualDevice

log = logging.getLogger(__name__)


def _engine(at: Setting) -> Device:
    from ..sim.engine import EngineDevice

    return EngineDevice(threads=at.threads)


def _torch(at: Setting) -> Device:
    from ..models.frozen import TorchDevice

    return TorchDevice(checkpoint_of(at))


def _onnx(at: Setting) -> Device:
    from ..export.executors import OnnxDevice

    return OnnxDevice(qonnx_of(at))


def _onnxruntime(at: Setting) -> Device:
    from ..export.executors import OnnxRuntimeDevice

    return OnnxRuntimeDevice(at.threads)


def _finn(at: Setting) -> Device:
    from ..export.executors import FinnDevice

    return FinnDevice()


def _finn_base(at: Setting) -> Device:
    from ..export.finn_base import FinnBaseDevice

    return FinnBaseDevice()


def _rtl(at: Setting) -> Device:
    from ..sim.rtl import RtlDevice

    layout = hardware(at).layout if at.tables else at.folding
    return RtlDevice(layout, engine=at.engine, injector=at.injector)


def _netlist(at: Setting) -> Device:
    from . import boards
    from .netlist_device import NetlistDevice, netlist_program

    if not at.board:
        open_boards = "|".join(boards.names(needs_vivado=False))
        raise InputError(f"netlist needs a board: --board {open_boards}")
    folder = at.network_file.parent / at.board  # where `stoic synth` builds
    program = netlist_program(at.network.name, hardware(at), boards.load(at.board), folder)
    return NetlistDevice(program, hardware(at))


def _pynq(at: Setting) -> Device:
    from . import boards
    from .pynq import open_pynq

    zynqs = [name for name in boards.names() if not boards.load(name).has_uart]
    if at.board not in zynqs:
        raise InputError(f"pynq needs a board that pynq runs on: --board {'|'.join(zynqs)}")
    folder = at.network_file.parent / at.board  # where `stoic synth` builds
    return open_pynq(folder / f"{at.network.name}.bit", hardware(at))


def _preset(at: Setting) -> Device:
    from ..sim.saboteur import PresetDevice

    return PresetDevice(at.folding)


def _saboteur(at: Setting) -> Device:
    from ..sim.saboteur import SaboteurDevice

    return SaboteurDevice(at.folding)


def virtual(at: Setting) -> "VirtualDevice":
    """A virtual board of its own, driven as a real one."""
    from . import boards
    from .virtual_device import VirtualDevice

    return VirtualDevice(hardware(at), boards.load(at.board) if at.board else None)


def load(device: Device, network: Network, table: str | None = None) -> None:
    """Load a network; with a table run on its thresholds, chosen at run time where tables are.

    Raises:
        InputError: the network has no such table.
    """
    if table is not None and isinstance(device, Selecting) and device.n_tables > 1:
        device.load(network)
        device.select(table)
    else:
        device.load(network if table is None else select(network, table))


OPENERS: dict[str, Callable[[Setting], Device]] = {
    "golden": lambda at: GoldenDevice(),
    "engine": _engine,
    "torch": _torch,
    "onnx": _onnx,
    "onnxruntime": _onnxruntime,
    "finn": _finn,
    "finn-base": _finn_base,
    "rtl": _rtl,
    "netlist": _netlist,
    "rtl-readmemh": _preset,
    "rtl-saboteur": _saboteur,
    "virtual": virtual,
    "pynq": _pynq,
}


LEGAL = f"{', '.join(OPENERS)}, or the URL of a port."


def check_name(spec: str) -> None:
    """Refuse what is neither a device nor a port.

    Raises:
        InputError: with the legal names.
    """
    if spec not in OPENERS and not is_port(spec):
        raise InputError(
            f"device must be one of {', '.join(OPENERS)}, or the URL of a port "
            f"(/dev/ttyUSB0, socket://host:port), not {spec!r}"
        )


def is_port(spec: str) -> bool:
    """Whether the name is a path or URL that pyserial opens."""
    return "/" in spec or spec.startswith("COM")


def is_hardware(spec: str) -> bool:
    """Whether the device is a core, simulated or real."""
    return spec in ("netlist", "virtual", "pynq") or spec.startswith("rtl") or is_port(spec)


def line_speed(board: str) -> int:
    """Baud rate of a board's UART; without a board that of most.

    Raises:
        InputError: the board has none.
    """
    from . import boards
    from .device import DEFAULT_BAUD

    if not board:
        return DEFAULT_BAUD
    chosen = boards.load(board)
    if not chosen.has_uart:
        raise InputError(f"{board} has no UART, its processor is the host: --device pynq there")
    return chosen.baud


def kind_name(spec: str) -> str:
    """What kind of device it is: a board wherever its port is."""
    return "board" if is_port(spec) else spec


def row_name(spec: str, at: Setting) -> str:
    """Name of the device in campaign rows: hardware with its build, as other gates give other rows.

    Raises:
        BoardError: a port behind which no board says what its build is.
    """
    if is_port(spec):
        from .probe import identify

        build = identify(spec, line_speed(at.board)).build
    elif is_hardware(spec):
        from . import boards
        from .soc import soc_id
        from .top import Target, build_id
        from .virtual import DEFAULT_CLOCK_HZ

        board = boards.load(at.board) if at.board else None
        clock_hz = board.core_hz if board else DEFAULT_CLOCK_HZ
        target: Target = board.target if board else "generic"
        who = soc_id if spec == "pynq" else build_id
        build = who(hardware(at), clock_hz=clock_hz, target=target)
    else:
        return spec
    return f"{kind_name(spec)} {build.hex()[:12]}"


def open_device(spec: str, at: Setting) -> Device:
    """A device by name; close it. That of a port was opened is in the lab log beside the network.

    Raises:
        InputError: the name is unknown.
        ToolError, BoardError: what it runs on is missing or does not answer.
    """
    check_name(spec)
    if spec in OPENERS:
        return OPENERS[spec](at)
    device = open_port(spec, at)
    _log_opened(spec, at, device)
    return device


def _log_opened(url: str, at: Setting, device: "BoardDevice") -> None:
    from . import lab

    values = {
        "url": url,
        "board": at.board or None,
        "network_files": [at.network_file],
        "network": at.network.name,
        "network_sha256": at.network.sha256,
    }
    try:
        file = lab.opened(at.network_file.parent / lab.FILE)
        lab.write(file, "open", device.identity, None, values)
    except ArtefactError as error:  # such a command has no option that names another log
        log.warning("%s", error)


def open_port(url: str, at: Setting) -> "BoardDevice":
    """A board behind a port, which itself tells its folding and whether it has room for tables.

    Raises:
        BoardError: port missing or busy, no answer, or a board for another network.
    """
    from .device import BoardDevice
    from .probe import find_core

    core = find_core(url, at.network, at.board, at.n_tables)
    device = BoardDevice(url, core, baud=line_speed(at.board))
    device.name = kind_name(url)  # a port is not what was measured
    return device
