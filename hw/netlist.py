"""The memories of a netlist, and what makes a netlist wrong: every weight must still be in it.

Synthesis folds away what it proves constant or unread. A design that lost its weights so is small
and fast, and its figures mean nothing; so each memory is found again and counted.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sim.core import Core
from ..sim.exceptions import ToolError
from ..sim.memory import KINDS, Layout
from .boards import Board
from .reports import FLOPS, alarms, cell_counts, read_json

# Ports that let a write through when they are 1, of every memory cell that the flows can make.
WRITE_ENABLES = {
    "DP16KD": ("WEA", "WEB"),
    "PDPW16KD": ("CEW",),
    "TRELLIS_DPR16X4": ("WRE",),
    "SB_RAM40_4K": ("WCLKE", "WE"),
}
CAPACITY = {
    "DP16KD": 18_432,
    "PDPW16KD": 18_432,
    "TRELLIS_DPR16X4": 64,
    "SB_RAM40_4K": 4_096,
}  # bits
BLOCK_RAMS = ("DP16KD", "PDPW16KD", "SB_RAM40_4K")
DATA_IN = ("DI", "WDATA")  # how the data inputs of those cells begin
RAM_MODULE = "stoic_ram"
WEIGHTS_IN = "stoic_pe"  # the module whose memories hold weights
THRESHOLDS_IN = "stoic_threshold"  # ... thresholds
SMALL_BITS = 512  # weight memories up to this may be flip-flops


@dataclass(frozen=True)
class Memory:
    """One `stoic_ram` of a netlist, and what became of it.

    Attributes:
        path: of the instance.
        parent: module in which it stands, e.g. "stoic_pe".
        bits: that its memory cells hold, pads included; 0 when it has none.
        cell_words: words of a memory cell as it is configured; 0 when it has none.
        n_written: data inputs of its memory cells that hang on nets of their own, not on constants.
        n_read: data outputs of its memory cells that another cell uses.
        flops: flip-flops inside it: output registers, or what the memory was turned into.
        is_writable: every write enable hangs on a net, not on a constant.
        is_read: every cell has an output that another cell uses.
        is_blank: the bitstream gives it no contents.
    """

    path: str
    parent: str
    bits: int
    cell_words: int
    n_written: int
    n_read: int
    flops: int
    is_writable: bool
    is_read: bool
    is_blank: bool


def check_core(name: str, core: Core, board: Board, out_dir: Path) -> None:
    """Refuse a netlist of a core that does not fit or whose memories are not the core's.

    Args:
        name: of the network, for the message.
        out_dir: where log, statistics and netlist of synthesis are.

    Raises:
        ToolError: the message names the first thing that is wrong.
    """
    if core.engine:
        _check_fit(f"{name} on {board.name}", board, out_dir)
        check_engine_netlist(name, board, out_dir)
    else:
        check_netlist(name, core.layout, board, out_dir)


def check_netlist(name: str, layout: Layout, board: Board, out_dir: Path) -> None:
    """Refuse a netlist that does not fit or whose memories are not the layout's.

    Args:
        name: of the network, for the message.
        out_dir: where log, statistics and netlist of synthesis are.

    Raises:
        ToolError: the message names the first thing that is wrong.
    """
    who = f"{name} on {board.name}"
    if found := alarms(out_dir / "synth.log"):
        raise ToolError(f"{who}: synthesis warns: {found[0]}")
    _check_fit(who, board, out_dir)
    for problem in memory_problems(layout, memories(out_dir / "synth.netlist.json", board.top)):
        raise ToolError(f"{who}: {problem}")


def check_engine_netlist(name: str, board: Board, out_dir: Path) -> None:
    """As `check_netlist`, of an engine: all weights stand in the four single-port blocks of a UP5K.

    Raises:
        ToolError: the message names the first thing that is wrong.
    """
    who = f"{name} on {board.name}"
    if found := alarms(out_dir / "synth.log"):
        raise ToolError(f"{who}: synthesis warns: {found[0]}")
    netlist = out_dir / "synth.netlist.json"
    cells: dict[str, Any] = read_json(netlist)["modules"][board.top]["cells"]
    used = {bit for cell in cells.values() for bit in _bits(cell, "input") if isinstance(bit, int)}
    blocks = [cell["connections"] for cell in cells.values() if cell["type"] == "SB_SPRAM256KA"]
    written = {bit for pins in blocks for bit in pins["DATAIN"] if isinstance(bit, int)}
    read = [bit for pins in blocks for bit in pins["DATAOUT"] if bit in used]
    if len(blocks) != 4 or len(written) != 64 or len(read) != 64:
        raise ToolError(
            f"{who}: weights stand in {len(blocks)} blocks, {len(written)} bits of a word are "
            f"written and {len(read)} read, not 64 in 4"
        )
    if not all(isinstance(pins["WREN"][0], int) for pins in blocks):
        raise ToolError(f"{who}: a block of weights is never written")
    for memory in memories(netlist, board.top):
        if not (memory.is_writable and memory.is_read and memory.is_blank):
            raise ToolError(f"{who}: memory {memory.path} is constant, unread or initialised")


def _check_fit(who: str, board: Board, out_dir: Path) -> None:
    counts = cell_counts(out_dir / "synth.stat.json")
    needs = {
        "block memories": (sum(counts[kind] for kind in BLOCK_RAMS), board.ram_count),
        "LUTs": (counts["LUT4"] + counts["SB_LUT4"], board.luts),
    }
    for what, (need, has) in needs.items():
        if need > has:
            raise ToolError(f"{who}: does not fit: needs {need} {what}, the board has {has}")


def memory_problems(layout: Layout, found: Sequence[Memory]) -> Iterator[str]:
    """What is wrong with the memories of a netlist.

    Each weight bank of the layout must have a memory of its own with all its lanes, thresholds
    their tables, and every memory must be written by the host, read by the datapath and left blank
    by the bitstream.
    """
    banks = {kind: [bank for bank in layout.banks if bank.kind == kind] for kind in KINDS}
    weights = sorted((m for m in found if m.parent == WEIGHTS_IN), key=lambda m: _natural(m.path))
    tables = [m for m in found if m.parent == THRESHOLDS_IN]
    if len(weights) != len(banks["weights"]):
        yield f"the netlist has {len(weights)} weight memories, the layout {len(banks['weights'])}"
        return
    for bank, memory in zip(banks["weights"], weights, strict=True):
        who = f"weight memory {memory.path} ({bank.name})"
        # a neuron of fewer inputs than lanes leaves the others of its only word without use
        lanes = min(bank.width, layout.shapes[bank.layer].n_inputs)
        stored = bank.n_words * lanes
        if not memory.bits and stored > SMALL_BITS and memory.flops >= stored:
            yield f"{who} was turned into flip-flops"
        elif max(memory.bits, memory.flops) < stored:
            yield f"{who} came out empty, its weights constant"
        elif memory.bits:
            n_rows = -(-bank.n_words // memory.cell_words)  # cells for the lanes of a word, n times
            if min(memory.n_written, memory.n_read) < lanes * n_rows:
                what = f"{memory.n_written} are written, {memory.n_read} read"
                yield f"{who} lost lanes: of {lanes * n_rows} data bits {what}"
    stored = sum(bank.n_words * bank.width for bank in banks["thresholds"])
    if sum(max(m.bits, m.flops) for m in tables) < stored:
        yield f"the threshold memories hold less than the {stored} bits of the layout"
    for memory in found:
        if not memory.is_writable:
            yield f"memory {memory.path} is never written: what it holds is constant"
        if not memory.is_read:
            yield f"memory {memory.path} is never read"
        if not memory.is_blank:
            yield f"memory {memory.path} is initialised by the bitstream"


def _natural(path: str) -> list[int | str]:
    """Sort key in which 2 comes before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def memories(netlist: Path, top: str) -> tuple[Memory, ...]:
    """Every `stoic_ram` of a flattened netlist, by path.

    Yosys keeps a $scopeinfo cell for each instance that it flattened, even if nothing is left.
    """
    cells: dict[str, Any] = read_json(netlist)["modules"][top]["cells"]
    modules = {
        name: cell["attributes"].get("module_hdlname", cell["attributes"].get("module", ""))
        for name, cell in cells.items()
        if cell["type"] == "$scopeinfo" and cell["parameters"]["TYPE"] == "module"
    }
    inside: dict[str, list[dict[str, Any]]] = {p: [] for p, m in modules.items() if m == RAM_MODULE}
    used = set[int | str]()
    for name, cell in cells.items():
        used.update(bit for bit in _bits(cell, "input") if isinstance(bit, int))
        path = name
        while path and path not in inside:
            path = path.rpartition(".")[0]
        if path and cell["type"] != "$scopeinfo":
            inside[path].append(cell)
    return tuple(_memory(path, modules, inside[path], used) for path in sorted(inside))


def _memory(
    path: str, modules: dict[str, str], cells: list[dict[str, Any]], used: set[int | str]
) -> Memory:
    parent = path.rpartition(".")[0]
    while parent and parent not in modules:
        parent = parent.rpartition(".")[0]
    rams = [cell for cell in cells if cell["type"] in CAPACITY]
    read = [len(used.intersection(_bits(cell, "output"))) for cell in rams]
    return Memory(
        path=path,
        parent=modules.get(parent, ""),
        bits=sum(CAPACITY[cell["type"]] for cell in rams),
        cell_words=max((_words(cell) for cell in rams), default=0),
        n_written=sum(_written(cell) for cell in rams),
        n_read=sum(read),
        flops=sum(cell["type"].startswith(FLOPS) for cell in cells),
        is_writable=all(_is_writable(cell) for cell in rams),
        is_read=all(read),
        is_blank=not any(
            "1" in value.removeprefix("0b").removeprefix("0x")
            for cell in rams
            for key, value in cell["parameters"].items()
            if key.startswith("INIT")
        ),
    )


def _words(cell: dict[str, Any]) -> int:
    """Words of a memory cell as its read port is configured; parameters are binary strings."""
    parameters = cell["parameters"]
    if cell["type"] == "TRELLIS_DPR16X4":
        return 16
    if cell["type"] == "SB_RAM40_4K":
        return 256 << int(parameters["READ_MODE"], 2)
    width = int(parameters["DATA_WIDTH_R" if cell["type"] == "PDPW16KD" else "DATA_WIDTH_B"], 2)
    return 16_384 // (width - width // 9)  # every ninth bit is extra


def _written(cell: dict[str, Any]) -> int:
    """Different nets on the data inputs of a memory cell."""
    ports = [bits for port, bits in cell["connections"].items() if port.startswith(DATA_IN)]
    return len({bit for bits in ports for bit in bits if isinstance(bit, int)})


def _bits(cell: dict[str, Any], direction: str) -> list[int | str]:
    """What hangs on the ports of that direction: nets are numbers, constants are strings."""
    directions = cell["port_directions"]
    return [
        b
        for port, bits in cell["connections"].items()
        if directions[port] == direction
        for b in bits
    ]


def _is_writable(cell: dict[str, Any]) -> bool:
    enables = [cell["connections"].get(port, ["0"])[0] for port in WRITE_ENABLES[cell["type"]]]
    has_net = any(isinstance(bit, int) for bit in enables)
    return has_net if cell["type"] == "DP16KD" else has_net and "0" not in enables
