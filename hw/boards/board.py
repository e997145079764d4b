"""A board as its folder describes it: `board.toml`, a pins file and a README."""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...sim.exceptions import InputError
from ..flows.pll import CELLS, Family, Pll, find_pll
from ..top import Target
from .pins import pins_problem

FOLDER = Path(__file__).parent
UART_DIVISORS = range(4, 1 << 16)  # of stoic_uart
MAX_BAUD_ERROR = 0.02  # a UART samples the middle of bit 10: 2 % is a fifth of a bit

FAMILIES: tuple[Family, ...] = ("ecp5", "ice40", "xc7", "zynq7")
TARGETS: dict[Family, Target] = {
    "ecp5": "ecp5",
    "ice40": "ice40",
    "xc7": "generic",
    "zynq7": "generic",
}
_USB_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
SECTIONS = ("device", "clock", "flow", "uart", "io", "resources")
NO_UART = {"baud": 0, "usb": ()}  # of a chip whose processor is the host


@dataclass(frozen=True)
class Board:
    """A board as `board.toml` describes it; frequencies in Hz.

    Attributes:
        seeds: of place and route, how many to try unless told otherwise.
        core_hz: clock of the design, asked of place and route and made by the PLL from pin_hz.
        baud: of its UART; 0 where the host is on the chip's own bus (`has_uart`).
        pll_cell: of the family's cells, the one that the clock pin allows.
        luts, flops: four-input LUTs and flip-flops of the device.
        distributed_ram: LUTs may serve as small memories.
        usb: ids of the USB chip that carries the UART, "vendor:product" in hexadecimal.
        ram_kind, ram_count, ram_width, ram_depth: block memories at their widest port.
        program: command that loads the bitstream; "{bitstream}" stands for its path.
    """

    name: str
    title: str
    pins: Path
    program: tuple[str, ...]
    family: Family
    device: str
    package: str
    speed_grade: str
    pin_hz: int
    core_hz: int
    pll_cell: str
    baud: int
    usb: tuple[str, ...]
    seeds: int
    n_leds: int
    led_active_low: bool
    button_active_low: bool
    tie_high: tuple[str, ...]
    luts: int
    flops: int
    distributed_ram: bool
    ram_kind: str
    ram_count: int
    ram_width: int
    ram_depth: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "baud" and not self.has_uart else 1
            if field.type is int and (type(value) is not int or value < least):
                raise InputError(
                    f"board {self.name}: {field.name} must be {least} or more, not {value!r}"
                )
        if self.family not in FAMILIES:
            raise InputError(
                f"board {self.name}: family must be one of {FAMILIES}, not {self.family!r}"
            )
        if self.pll_cell not in CELLS[self.family]:
            raise InputError(
                f"board {self.name}: pll_cell must be one of {CELLS[self.family]}, "
                f"not {self.pll_cell!r}"
            )
        if not self.pins.is_file():
            raise InputError(f"board {self.name}: no pins file {self.pins.name}")
        if problem := pins_problem(self.pins.read_text(), self.family, self.ports):
            raise InputError(f"board {self.name}: {self.pins.name}: {problem}")
        if not self.has_uart and (self.baud or self.usb):
            raise InputError(f"board {self.name}: a {self.family} has no [uart]: its host is on it")
        if wrong := [usb for usb in self.usb if not _USB_ID.fullmatch(usb)]:
            raise InputError(f"board {self.name}: usb must be like 0403:6015, not {wrong[0]!r}")
        _ = self.pll  # refuses a clock that the PLL cannot make
        if self.has_uart and self.uart_divisor not in UART_DIVISORS:
            raise InputError(
                f"board {self.name}: {self.core_hz} Hz are {self.uart_divisor} clocks a bit at "
                f"{self.baud} baud; stoic_uart takes {UART_DIVISORS[0]} to {UART_DIVISORS[-1]}"
            )
        if self.has_uart and abs(self.baud_error) >= MAX_BAUD_ERROR:
            raise InputError(
                f"board {self.name}: {self.core_hz} Hz / {self.uart_divisor} is "
                f"{self.baud_error:+.1%} off {self.baud} baud; must be < {MAX_BAUD_ERROR:.0%}"
            )

    @property
    def has_uart(self) -> bool:
        """Whether the host is behind a UART, and not a processor on the same chip."""
        return self.family != "zynq7"

    @property
    def needs_vivado(self) -> bool:
        """Whether its flow is Vivado's and not that of open tools."""
        return self.family in ("xc7", "zynq7")

    @property
    def part(self) -> str:
        """Its chip by the name that the vendor gives it."""
        return f"{self.device}{self.package}-{self.speed_grade}"

    @property
    def target(self) -> Target:
        """Whose memories `stoic_ram` uses; Vivado and others infer the generic ones."""
        return TARGETS[self.family]

    @property
    def uart_divisor(self) -> int:
        """Clocks a bit."""
        return round(self.core_hz / self.baud)

    @property
    def baud_error(self) -> float:
        """Relative error of the baud rate that the divisor gives."""
        return self.core_hz / self.uart_divisor / self.baud - 1

    @property
    def pll(self) -> Pll:
        """Settings that make core_hz from pin_hz exactly."""
        return find_pll(self.family, self.pin_hz, self.core_hz)

    @property
    def ports(self) -> tuple[str, ...]:
        """Ports of the wrapper, bit by bit, by the names that place and route gives them."""
        leds = [f"led_o[{i}]" for i in range(self.n_leds)] if self.n_leds > 1 else ["led_o"]
        if not self.has_uart:
            return (*leds, *self.tie_high)
        return "clk_i", "button_i", "uart_rx_i", "uart_tx_o", *leds, *self.tie_high

    @property
    def top(self) -> str:
        """Name of the wrapper module."""
        return "board_" + self.name.replace("-", "_")

    @property
    def has_spram(self) -> bool:
        """Whether it has the single-port memories that hold the weights of an engine."""
        return self.device == "up5k"

    @property
    def ram_bits(self) -> int:
        """Bits that the block memories give in one cycle."""
        return self.ram_count * self.ram_width


def names(needs_vivado: bool | None = None) -> tuple[str, ...]:
    """Every board of the kit, or those that need Vivado, or those that do not."""
    found = sorted(path.parent.name for path in FOLDER.glob("*/board.toml"))
    if needs_vivado is None:
        return tuple(found)
    return tuple(name for name in found if load(name).needs_vivado == needs_vivado)


def load(name: str) -> Board:
    """The board of that name.

    Raises:
        InputError: unknown board, or a board file that does not hold exactly what a Board needs.
    """
    if name not in names():
        raise InputError(f"unknown board {name!r}; known boards: {', '.join(names())}")
    return read(FOLDER / name)


def read(folder: Path) -> Board:
    """The board that a folder with `board.toml` describes."""
    path = folder / "board.toml"
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
        if values["device"]["family"] == "zynq7":
            values = {"uart": NO_UART, **values}
        for section in SECTIONS:
            values |= values.pop(section)
        values |= {
            "name": folder.name,
            "pins": folder / values["pins"],
            "program": tuple(values["program"]),
            "tie_high": tuple(values["tie_high"]),
            "usb": tuple(values["usb"]),
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a board file ({error!r})") from error
    wanted = {field.name for field in fields(Board)}
    if wrong := wanted ^ values.keys():
        raise InputError(f"{path}: missing or unknown keys: {', '.join(sorted(wrong))}")
    return Board(**values)
