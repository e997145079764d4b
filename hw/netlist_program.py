"""A flat netlist of one clock, made ready to be simulated: nets numbered, tables in order.

Each table comes after all that its inputs depend on, so that one pass gives every net its value; a
loop is refused. Values have no X: what is not driven is 0, and memories and registers start as the
device leaves them after its configuration.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import ToolError
from .boards import Board
from .netlist_cells import Bit, Cell, Memory, Part, Register, Table, parts
from .reports import read_json

ZERO, ONE = 0, 1  # the nets of the constants
PLL_OUTPUT = {
    "EHXPLLL": "CLKOP",
    "SB_PLL40_PAD": "PLLOUTGLOBAL",
    "SB_PLL40_CORE": "PLLOUTGLOBAL",
}

TABLE = np.dtype([("out", "u4"), ("inputs", "u4", 4), ("table", "u4"), ("memory", "i4")])
"""`memory` 0 or more: this is no table but the read of that memory, which has no clock."""
REGISTER = np.dtype([("q", "u4"), ("d", "u4"), ("initial", "u4")])
MEMORY = np.dtype([("n_address", "u4"), ("width", "u4"), ("n_stages", "u4"), ("pins", "u4")])
"""`pins`: where in the pins are its write, read, clear; write and read address; write data, write
mask, read data, and of two stages the nets between them."""

Nets = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Line:
    """The registers of the UART between which and the link bytes go: nets, the lowest bit first."""

    rx_data: Nets
    rx_valid: Nets
    tx_left: Nets
    tx_data: Nets
    tx_valid: Nets


@dataclass(frozen=True, eq=False)
class Program:
    """A netlist as arrays.

    Attributes:
        ones: nets that are 1 throughout: the constant, and inputs that are held so.
        names: of the nets that have one, for people and tests; only such as are simulated.
    """

    n_nets: int
    tables: NDArray[np.void]
    registers: NDArray[np.void]
    memories: NDArray[np.void]
    pins: Nets
    ones: Nets
    line: Line
    names: Mapping[str, Nets]


def load(netlist: Path, board: Board) -> Program:
    """The program of the netlist that is placed on a board.

    Args:
        netlist: JSON as Yosys writes it, flattened.

    Raises:
        ToolError: a cell that is not modelled, several clocks, a loop, or no UART.
    """
    module = read_json(netlist)["modules"][board.top]
    names = {name: net["bits"] for name, net in module["netnames"].items()}
    held = {module["ports"]["uart_rx_i"]["bits"][0]}  # the line is silent
    if board.button_active_low:
        held.add(module["ports"]["button_i"]["bits"][0])
    return compile_cells(module["cells"], names, held)


def compile_cells(
    cells: Mapping[str, Cell], names: Mapping[str, list[Bit]], held: set[Bit]
) -> Program:
    """The program of cells.

    Args:
        names: nets by name.
        held: input nets that are 1 throughout; the others are 0.
    """
    plls = [cell for cell in cells.values() if cell["type"] in PLL_OUTPUT]
    if len(plls) != 1:
        raise ToolError(f"the netlist has {len(plls)} PLLs, must be 1")
    clock = plls[0]["connections"][PLL_OUTPUT[plls[0]["type"]]][0]
    held = held | {plls[0]["connections"]["LOCK"][0]}
    found = list(_parts(cells))
    numbers: dict[Bit, int] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}

    def net(bit: Bit) -> int:
        return numbers.setdefault(bit, len(numbers))

    def sink(bit: Bit) -> int:
        """The net that an output drives; one of its own if it is left open."""
        return net(bit if isinstance(bit, int) else f"open {len(numbers)}")

    for part in found:
        if not isinstance(part, Table) and part.clock != clock:
            raise ToolError(
                f"a register or memory has another clock than the PLL's: net {part.clock}"
            )
    memories = [part for part in found if isinstance(part, Memory)]
    registers = [part for part in found if isinstance(part, Register)]
    pins: list[int] = []
    rows = []
    for m in memories:
        rows.append((len(m.write_address), len(m.write_data), m.n_stages, len(pins)))
        pins += map(net, (m.write, m.read, m.clear, *m.write_address, *m.read_address))
        pins += map(net, (*m.write_data, *m.write_mask))
        pins += map(sink, (*m.read_data, *m.middle))
    steps = [
        _Step((sink(t.out), (*map(net, t.inputs), *[ZERO] * (4 - len(t.inputs))), t.table, -1))
        for t in found
        if isinstance(t, Table)
    ]
    for i, (n_address, width, n_stages, at) in enumerate(rows):
        if n_stages == 0:
            address, data = at + 3 + n_address, at + 3 + 2 * n_address + 2 * width
            row = (ZERO, (ZERO,) * 4, 0, i)
            steps.append(_Step(row, pins[address : address + n_address], pins[data : data + width]))
    state = [(sink(r.q), net(r.d), r.initial) for r in registers]
    named = {
        name: np.array([numbers[bit] for bit in bits], np.uint32)
        for name, bits in names.items()
        if all(bit in numbers for bit in bits)
    }
    return Program(
        n_nets=len(numbers),
        tables=np.array([step.row for step in _in_order(steps)], TABLE),
        registers=np.array(state, REGISTER),
        memories=np.array(rows, MEMORY),
        pins=np.array(pins, np.uint32),
        ones=np.array([ONE, *(numbers[bit] for bit in held if bit in numbers)], np.uint32),
        line=_line(named, {q for q, _, _ in state}),
        names=named,
    )


def mutant(program: Program, which: int, entry: int) -> Program:
    """The program with one entry of one truth table inverted.

    Raises:
        IndexError: no such table or entry.
    """
    if program.tables["memory"][which] >= 0 or not 0 <= entry < 16:
        raise IndexError(f"{which} has no entry {entry}")
    tables = program.tables.copy()
    tables["table"][which] ^= 1 << entry
    return replace(program, tables=tables)


def _parts(cells: Mapping[str, Cell]) -> Iterator[Part]:
    used = (b for c in cells.values() for bits in c["connections"].values() for b in bits)
    free = max(bit for bit in used if isinstance(bit, int))

    def fresh() -> int:
        nonlocal free
        free += 1
        return free

    for cell in cells.values():
        if cell["type"] != "$scopeinfo" and cell["type"] not in PLL_OUTPUT:
            yield from parts(cell, fresh)


@dataclass(frozen=True)
class _Step:
    """A row of TABLE; what it needs and makes, if that is not said by the row itself."""

    row: tuple[int, tuple[int, ...], int, int]
    inputs: Sequence[int] = ()
    outputs: Sequence[int] = ()

    @property
    def needs(self) -> set[int]:
        return set(self.inputs or self.row[1])

    @property
    def makes(self) -> Sequence[int]:
        return self.outputs or self.row[:1]


def _in_order(steps: Sequence[_Step]) -> Iterator[_Step]:
    """Each step after those that make what it needs."""
    maker = {net: i for i, step in enumerate(steps) for net in step.makes}
    n_missing = []
    users: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        before = {maker[net] for net in step.needs if net in maker}
        n_missing.append(len(before))
        for other in before:
            users.setdefault(other, []).append(i)
    ready = [i for i, n in enumerate(n_missing) if n == 0]
    for i in ready:  # grows meanwhile
        yield steps[i]
        for user in users.get(i, ()):
            n_missing[user] -= 1
            if n_missing[user] == 0:
                ready.append(user)
    if len(ready) != len(steps):
        raise ToolError(f"the netlist has a loop through {len(steps) - len(ready)} of its tables")


def _line(names: Mapping[str, Nets], registers: set[int]) -> Line:
    """Where bytes go in and out; Yosys keeps one of the names that a net has in its scopes."""

    def find(*places: str) -> Nets:
        found = (names[place] for place in places if place in names)
        nets = next((nets for nets in found if registers.issuperset(nets.tolist())), None)
        if nets is None:
            raise ToolError(f"the netlist has no registers {places[0]}")
        return nets

    link, uart = "u_top.u_link.", "u_uart."
    received = ["rx_tdata", "u_top.rx_tdata", f"{link}rx_tdata", f"{link}u_rx.s_axis_tdata"]
    received += [f"{uart}m_axis_tdata", f"{uart}u_rx.m_axis_tdata", f"{uart}u_rx.data_q"]
    sent = ["tx_tdata", "u_top.tx_tdata", f"{link}tx_tdata", f"{link}u_tx.m_axis_tdata"]
    sent += [f"{link}u_tx.data_q", f"{link}u_tx.u_crc.data_i"]
    sent += [f"{uart}s_axis_tdata", f"{uart}u_tx.s_axis_tdata"]
    return Line(
        rx_data=find(*received),
        rx_valid=find(f"{uart}u_rx.valid_q"),
        tx_left=find(f"{uart}u_tx.bits_q"),
        tx_data=find(*sent),
        tx_valid=find(f"{link}u_tx.valid_q"),
    )
