"""What the cells of a netlist do, taken apart into tables, registers and memories.

Each cell of a netlist as Yosys writes it (JSON) becomes parts of three kinds, and nothing else is
needed to simulate it: truth tables of at most four nets, registers on the one clock, and memories
with one write and one read port. What a cell can do beyond that is refused, never ignored.

Source: the simulation models that Yosys ships (ice40/cells_sim.v, ecp5/common_sim.vh and
ccu2c_sim.vh); for block RAM of the ECP5, which has none there, Lattice FPGA-TN-02204 and the pins
in Yosys lattice/brams_map_16kd.v. `tests/test_netlist.py` runs both side by side.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..sim.exceptions import ToolError

Bit = int | str
"""A net, by its number, or a constant."""
Cell = dict[str, Any]
Fresh = Callable[[], int]
"""Gives the number of a net that nothing uses yet."""


@dataclass(frozen=True)
class Table:
    """out = bit number (inputs, the first lowest) of the table."""

    out: Bit
    inputs: tuple[Bit, ...]
    table: int


@dataclass(frozen=True)
class Register:
    """q = d at every edge of the clock; `initial` before the first."""

    clock: Bit
    q: Bit
    d: Bit
    initial: bool


@dataclass(frozen=True)
class Memory:
    """A memory with one write and one read port, blank at first; a read gives what stood there.

    Attributes:
        write_mask: of every data bit, the net that lets it be written while `write` is 1.
        n_stages: registers between memory and `read_data`; 0 reads without a clock.
        read: the net that lets the first of them change.
        middle: nets between two stages.
        clear: the net that makes the second of them 0.
    """

    clock: Bit
    write: Bit
    write_address: tuple[Bit, ...]
    write_data: tuple[Bit, ...]
    write_mask: tuple[Bit, ...]
    read: Bit
    read_address: tuple[Bit, ...]
    read_data: tuple[Bit, ...]
    n_stages: int
    middle: tuple[Bit, ...] = ()
    clear: Bit = "0"


Part = Table | Register | Memory


def parts(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """The parts of one cell.

    Raises:
        ToolError: a kind of cell, or a use of it, that is not modelled.
    """
    kind = cell["type"]
    if any(
        "1" in v for key, v in cell["parameters"].items() if re.fullmatch("INIT_.*|INITVAL.*", key)
    ):
        raise _refusal(cell, "contents")
    if kind in _MODELS:
        yield from _MODELS[kind](cell, fresh)
    elif found := re.fullmatch("SB_DFF(E?)(SR|SS|)", kind):
        yield from _sb_dff(cell, fresh, bool(found[1]), found[2])
    else:
        raise _refusal(cell, "type")


def table(function: Callable[[int, int, int, int], int]) -> int:
    """Truth table of a function of four bits.

    >>> hex(table(lambda a, b, c, d: a ^ b))
    '0x6666'
    """
    return sum((function(i & 1, i >> 1 & 1, i >> 2 & 1, i >> 3) & 1) << i for i in range(16))


_XOR = table(lambda a, b, c, d: a ^ b)
_MUX = table(lambda a, b, c, d: b if a else c)
_CARRY = table(lambda a, b, c, d: a + b + c >> 1)


def _refusal(cell: Cell, what: str) -> ToolError:
    value = cell["parameters"].get(what, cell["connections"].get(what, cell["type"]))
    return ToolError(f"no model of cell {cell['type']} with {what} {value}")


def _pin(cell: Cell, port: str) -> Bit:
    bits = cell["connections"].get(port) or ["0"]
    return bits[0]  # type: ignore[no-any-return]


def _pins(cell: Cell, names: Sequence[str]) -> tuple[Bit, ...]:
    return tuple(_pin(cell, name) for name in names)


def _bus(cell: Cell, port: str) -> tuple[Bit, ...]:
    return tuple(cell["connections"][port])


def _number(cell: Cell, name: str) -> int:
    return int(cell["parameters"].get(name, "0"), 2)


def _require(cell: Cell, **wanted: str) -> None:
    """Refuse a cell of which a parameter is there and is not what is modelled."""
    for name, value in wanted.items():
        if cell["parameters"].get(name, value).rstrip() != value:
            raise _refusal(cell, name)


def _tie(cell: Cell, value: str, *ports: str) -> None:
    """Refuse a cell of which a port is connected to anything but a constant."""
    for port in ports:
        if port in cell["connections"] and _pin(cell, port) != value:
            raise _refusal(cell, port)


def _lut(cell: Cell, output: str, inputs: Sequence[str], name: str) -> Iterator[Part]:
    yield Table(_pin(cell, output), _pins(cell, inputs), _number(cell, name))


def _sb_carry(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    yield Table(_pin(cell, "CO"), _pins(cell, ("I0", "I1", "CI")), _CARRY)


def _ccu2c(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """Two LUTs on a carry chain; the table of the first four entries generates the carry."""
    carry = _pin(cell, "CIN")
    for half in "01":
        init, cut = _number(cell, f"INIT{half}"), cell["parameters"].get(f"INJECT1_{half}", "YES")
        inputs = _pins(cell, [pin + half for pin in "ABCD"])
        chosen, generated = fresh(), fresh()
        out = _pin(cell, "COUT") if half == "1" else fresh()
        yield Table(chosen, inputs, init)
        yield Table(generated, inputs[:2], 0 if cut == "YES" else init & 0xF)
        yield Table(_pin(cell, f"S{half}"), (chosen, "0" if cut == "YES" else carry), _XOR)
        yield Table(out, (chosen, carry, generated), _MUX)
        carry = out


def _register(
    flop: Register, enable: Bit, reset: Bit, value: int, is_over: bool, fresh: Fresh
) -> Iterator[Part]:
    """With enable and synchronous reset to `value`; `is_over`: also while it is not enabled."""

    def after(d: int, enable: int, reset: int, q: int) -> int:
        if reset and (is_over or enable):
            return value
        return d if enable else q

    if (enable, reset) == ("1", "0"):
        yield flop
        return
    d = fresh()
    yield Table(d, (flop.d, enable, reset, flop.q), table(after))
    yield replace(flop, d=d)


def _sb_dff(cell: Cell, fresh: Fresh, has_enable: bool, reset: str) -> Iterator[Part]:
    """All of them wake up as 0, also those that a reset sets."""
    flop = Register(_pin(cell, "C"), _pin(cell, "Q"), _pin(cell, "D"), False)
    enable = _pin(cell, "E") if has_enable else "1"
    pin = _pin(cell, reset[-1]) if reset else "0"
    yield from _register(flop, enable, pin, int(reset == "SS"), False, fresh)


def _trellis_ff(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    _require(cell, CLKMUX="CLK", SRMODE="LSR_OVER_CE", LSRMODE="LSR")
    kinds, pins = cell["parameters"], {"CE": _pin(cell, "CE"), "LSR": _pin(cell, "LSR")}
    for name, bit in pins.items():
        mux = kinds.get(f"{name}MUX", "1" if name == "CE" else name).rstrip()
        if mux == "INV":
            pins[name] = fresh()
            yield Table(pins[name], (bit,), 0b01)
        elif mux in ("0", "1"):
            pins[name] = mux
    value = int(kinds.get("REGSET", "RESET") == "SET")
    flop = Register(_pin(cell, "CLK"), _pin(cell, "Q"), _pin(cell, "DI"), bool(value))
    yield from _register(flop, pins["CE"], pins["LSR"], value, True, fresh)


def _dpr16x4(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    _require(cell, WCKMUX="WCK", WREMUX="WRE")
    yield Memory(
        _pin(cell, "WCK"), _pin(cell, "WRE"), _bus(cell, "WAD"), _bus(cell, "DI"), ("1",) * 4,
        "1", _bus(cell, "RAD"), _bus(cell, "DO"), 0,
    )  # fmt: skip


def _sb_ram40_4k(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """256 x 16 with a mask, or 512 x 8, 1024 x 4, 2048 x 2 on every second, fourth, eighth pin."""
    mode = _number(cell, "READ_MODE")
    if mode != _number(cell, "WRITE_MODE") or mode > 3:
        raise _refusal(cell, "WRITE_MODE")
    pins = slice((0, 0, 1, 3)[mode], None, 1 << mode)
    mask: list[Bit] = ["1"] * (16 >> mode)
    if mode == 0:
        for i, bit in enumerate(_bus(cell, "MASK")):
            mask[i] = fresh()
            yield Table(mask[i], (bit,), 0b01)
    enables: list[Bit] = []
    for names in (("WE", "WCLKE"), ("RE", "RCLKE")):
        enables.append(fresh())
        yield Table(enables[-1], _pins(cell, names), 0b1000)
    clock = _pin(cell, "WCLK")
    if clock != _pin(cell, "RCLK"):
        raise _refusal(cell, "RCLK")
    yield Memory(
        clock, enables[0], _bus(cell, "WADDR")[: 8 + mode], _bus(cell, "WDATA")[pins], tuple(mask),
        enables[1], _bus(cell, "RADDR")[: 8 + mode], _bus(cell, "RDATA")[pins], 1,
    )  # fmt: skip


def _sb_spram256ka(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """16384 x 16 that reads or writes; what it shows after a write is what it showed before."""
    _tie(cell, "0", "STANDBY", "SLEEP")
    _tie(cell, "1", "POWEROFF")
    write, read = fresh(), fresh()
    yield Table(write, _pins(cell, ("CHIPSELECT", "WREN")), 0b1000)
    yield Table(read, _pins(cell, ("CHIPSELECT", "WREN")), 0b0010)
    mask = tuple(bit for bit in _bus(cell, "MASKWREN") for _ in range(4))
    address = _bus(cell, "ADDRESS")
    yield Memory(
        _pin(cell, "CLOCK"), write, address, _bus(cell, "DATAIN"), mask,
        read, address, _bus(cell, "DATAOUT"), 1,
    )  # fmt: skip


def _pdpw16kd(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """512 x 36 with its output register; the halves of a word leave exchanged."""
    _require(cell, REGMODE="OUTREG", RESETMODE="SYNC", CLKWMUX="CLKW", CLKRMUX="CLKR")
    if _number(cell, "DATA_WIDTH_W") != 36 or _number(cell, "DATA_WIDTH_R") != 36:
        raise _refusal(cell, "DATA_WIDTH_R")
    _tie(cell, "0", *(f"CS{port}{i}" for port in "WR" for i in range(3)))
    _tie(cell, "1", *(f"BE{i}" for i in range(4)), "OCER")
    if _pin(cell, "CLKW") != _pin(cell, "CLKR"):
        raise _refusal(cell, "CLKR")
    read = _pins(cell, [f"DO{(i + 18) % 36}" for i in range(36)])
    yield Memory(
        _pin(cell, "CLKW"), _pin(cell, "CEW"),
        _pins(cell, [f"ADW{i}" for i in range(9)]), _pins(cell, [f"DI{i}" for i in range(36)]),
        ("1",) * 36, _pin(cell, "CER"), _pins(cell, [f"ADR{i}" for i in range(5, 14)]), read,
        2, tuple(fresh() for _ in read), _pin(cell, "RST"),
    )  # fmt: skip


def _dp16kd(cell: Cell, fresh: Fresh) -> Iterator[Part]:
    """As Yosys infers it: port A writes, port B reads, without output register."""
    _require(cell, REGMODE_A="NOREG", REGMODE_B="NOREG", CLKAMUX="CLKA", CLKBMUX="CLKB")
    width = _number(cell, "DATA_WIDTH_A")
    low = {1: 0, 2: 1, 4: 2, 9: 3, 18: 4, 36: 5}.get(width)
    if low is None or width != _number(cell, "DATA_WIDTH_B"):
        raise _refusal(cell, "DATA_WIDTH_B")
    if _pin(cell, "CLKA") != _pin(cell, "CLKB"):
        raise _refusal(cell, "CLKB")
    _tie(cell, "0", *(f"CS{port}{i}" for port in "AB" for i in range(3)), "WEB", "RSTA", "RSTB")
    data = [f"DI{port}{i}" for port in "AB" for i in range(18)][:width]
    read = [f"DO{port}{i}" for port in ("AB" if width == 36 else "B") for i in range(18)][:width]
    write = fresh()
    yield Table(write, _pins(cell, ("WEA", "CEA")), 0b1000)
    mask = _pins(cell, [f"ADA{i // 9}" for i in range(width)]) if low > 3 else ("1",) * width
    yield Memory(
        _pin(cell, "CLKA"), write, _pins(cell, [f"ADA{i}" for i in range(low, 14)]),
        _pins(cell, data), mask, _pin(cell, "CEB"),
        _pins(cell, [f"ADB{i}" for i in range(low, 14)]), _pins(cell, read), 1,
    )  # fmt: skip


_MODELS: dict[str, Callable[[Cell, Fresh], Iterator[Part]]] = {
    "LUT4": lambda cell, fresh: _lut(cell, "Z", "ABCD", "INIT"),
    "SB_LUT4": lambda cell, fresh: _lut(cell, "O", ("I0", "I1", "I2", "I3"), "LUT_INIT"),
    "SB_CARRY": _sb_carry,
    "CCU2C": _ccu2c,
    "TRELLIS_FF": _trellis_ff,
    "TRELLIS_DPR16X4": _dpr16x4,
    "SB_RAM40_4K": _sb_ram40_4k,
    "SB_SPRAM256KA": _sb_spram256ka,
    "PDPW16KD": _pdpw16kd,
    "DP16KD": _dp16kd,
}
