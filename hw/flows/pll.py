"""PLL settings found by exact search, and the instance that carries them."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from ...sim.exceptions import InputError

Family = Literal["ecp5", "ice40", "xc7", "zynq7"]

# Of iCE40 the first where the clock has the pin that belongs to the PLL, else the second. FCLK_CLK0
# is the clock that the processor of a Zynq gives the fabric.
CELLS = {
    "ecp5": ("EHXPLLL",),
    "ice40": ("SB_PLL40_PAD", "SB_PLL40_CORE"),
    "xc7": ("PLLE2_BASE",),
    "zynq7": ("FCLK_CLK0",),
}

# What comes out. Source: the tables named below; of the global clock tree of an Artix-7 of speed
# grade -1, and of the clocks that a Zynq-7000 gives its fabric (UG585, as Vivado limits them).
OUT_HZ: dict[Family, tuple[int, int]] = {
    "ecp5": (3_125_000, 400_000_000),
    "ice40": (16_000_000, 275_000_000),
    "xc7": (6_250_000, 464_000_000),
    "zynq7": (100_000, 250_000_000),
}
# Source: Lattice FPGA-DS-02012 (ECP5), table of sysCLOCK PLL timing; FPGA-DS-02008 (iCE40 UP). The
# icepll of Project IceStorm has the same for all iCE40.
ECP5_VCO_HZ = (400_000_000, 800_000_000)
ECP5_PFD_HZ = (3_125_000, 400_000_000)
ECP5_MAX_DIVISOR = 128
ICE40_VCO_HZ = (533_000_000, 1_066_000_000)
ICE40_PFD_HZ = (10_000_000, 133_000_000)
ICE40_MAX_DIVIDE, ICE40_MAX_MULTIPLY, ICE40_MAX_DIVQ = 16, 128, 6
# Source: AMD DS181 (Artix-7), PLL switching characteristics of speed grade -1; UG472 (divisors).
XC7_VCO_HZ = (800_000_000, 1_600_000_000)
XC7_PFD_HZ = (19_000_000, 450_000_000)
XC7_MAX_DIVIDE, XC7_MAX_MULTIPLY, XC7_MAX_POST = 56, 64, 128
# Source: AMD UG585 (Zynq-7000), chapter Clocks: FCLK is the I/O PLL, which boot leaves at 1 GHz,
# through two divisors of 1..63.
ZYNQ7_IO_PLL_HZ, ZYNQ7_MAX_DIVISOR = 1_000_000_000, 63
# From pin to core: largest factor, and largest divisor of those that stand behind one another.
_LARGEST = {
    "ecp5": (ECP5_MAX_DIVISOR, ECP5_MAX_DIVISOR),
    "ice40": (ICE40_MAX_MULTIPLY, ICE40_MAX_DIVIDE << ICE40_MAX_DIVQ),
    "xc7": (XC7_MAX_MULTIPLY, XC7_MAX_DIVIDE * XC7_MAX_POST),
}


@dataclass(frozen=True)
class Pll:
    """The oscillator inside runs at core * post, which is pin * multiply / divide but on ECP5.

    There feedback is from the output, so core is pin * multiply / divide.

    Attributes:
        divide: of the reference, DIVR + 1 on iCE40.
        multiply: in the feedback, DIVF + 1 on iCE40.
        post: divisor from the oscillator to the output, 2**DIVQ on iCE40.
    """

    family: Family
    pin_hz: int
    core_hz: int
    divide: int
    multiply: int
    post: int


def find_pll(family: Family, pin_hz: int, core_hz: int) -> Pll:
    """Settings that give core_hz exactly, of the highest phase detector clock (least jitter).

    Raises:
        InputError: none does.

    >>> find_pll("ecp5", 25_000_000, 100_000_000)
    Pll(family='ecp5', pin_hz=25000000, core_hz=100000000, divide=1, multiply=4, post=6)
    """
    least, most = OUT_HZ[family]
    if not least <= core_hz <= most:
        raise InputError(
            f"the {family} PLL makes {least / 1e6:g} to {most / 1e6:g} MHz, not {core_hz / 1e6:g}"
        )
    search = {"ecp5": _ecp5, "ice40": _ice40, "xc7": _xc7, "zynq7": _zynq7}
    found = search[family](pin_hz, core_hz)
    if found is None:
        raise InputError(f"the {family} PLL cannot make {core_hz} Hz from {pin_hz} Hz exactly")
    return found


@cache
def candidates(family: Family, pin_hz: int) -> frozenset[int]:
    """Clocks in whole Hz that its divisors come to; `find_pll` makes those that are in range."""
    if family == "zynq7":
        most = ZYNQ7_MAX_DIVISOR**2
        divisors = (n for n in range(1, most + 1) if ZYNQ7_IO_PLL_HZ % n == 0)
        return frozenset(ZYNQ7_IO_PLL_HZ // n for n in divisors)
    most_multiply, most_divide = _LARGEST[family]
    return frozenset(
        pin_hz * multiply // divide
        for divide in range(1, most_divide + 1)
        for multiply in range(1, most_multiply + 1)
        if pin_hz * multiply % divide == 0
    )


def _ecp5(pin_hz: int, core_hz: int) -> Pll | None:
    # Feedback from the output: multiply sets core, post the oscillator, which is best mid-range.
    middle = sum(ECP5_VCO_HZ) / 2
    posts = [
        post
        for post in range(1, ECP5_MAX_DIVISOR + 1)
        if ECP5_VCO_HZ[0] <= core_hz * post <= ECP5_VCO_HZ[1]
    ]
    for divide in range(1, ECP5_MAX_DIVISOR + 1):
        multiply, rest = divmod(core_hz * divide, pin_hz)
        in_range = ECP5_PFD_HZ[0] <= pin_hz / divide <= ECP5_PFD_HZ[1]
        if posts and in_range and not rest and 1 <= multiply <= ECP5_MAX_DIVISOR:
            post = min(posts, key=lambda p: abs(core_hz * p - middle))
            return Pll("ecp5", pin_hz, core_hz, divide, multiply, post)
    return None


def _ice40(pin_hz: int, core_hz: int) -> Pll | None:
    for divide in range(1, ICE40_MAX_DIVIDE + 1):
        if not ICE40_PFD_HZ[0] <= pin_hz / divide <= ICE40_PFD_HZ[1]:
            continue
        for divq in range(1, ICE40_MAX_DIVQ + 1):
            vco = core_hz << divq
            multiply, rest = divmod(vco * divide, pin_hz)
            in_range = ICE40_VCO_HZ[0] <= vco <= ICE40_VCO_HZ[1]
            if in_range and not rest and 1 <= multiply <= ICE40_MAX_MULTIPLY:
                return Pll("ice40", pin_hz, core_hz, divide, multiply, 1 << divq)
    return None


def _xc7(pin_hz: int, core_hz: int) -> Pll | None:
    for divide in range(1, XC7_MAX_DIVIDE + 1):
        if not XC7_PFD_HZ[0] <= pin_hz / divide <= XC7_PFD_HZ[1]:
            continue
        for post in range(XC7_MAX_POST, 0, -1):  # the fastest oscillator, which jitters least
            multiply, rest = divmod(core_hz * post * divide, pin_hz)
            in_range = XC7_VCO_HZ[0] <= core_hz * post <= XC7_VCO_HZ[1]
            if in_range and not rest and 2 <= multiply <= XC7_MAX_MULTIPLY:
                return Pll("xc7", pin_hz, core_hz, divide, multiply, post)
    return None


def _zynq7(pin_hz: int, core_hz: int) -> Pll | None:
    post, rest = divmod(ZYNQ7_IO_PLL_HZ, core_hz)
    first = [n for n in range(1, ZYNQ7_MAX_DIVISOR + 1) if post % n == 0]
    if rest or ZYNQ7_IO_PLL_HZ % pin_hz or post // first[-1] > ZYNQ7_MAX_DIVISOR:
        return None
    return Pll("zynq7", pin_hz, core_hz, 1, ZYNQ7_IO_PLL_HZ // pin_hz, post)


def pll_verilog(pll: Pll, cell: str) -> str:
    """The instance of a cell of CELLS, from wire clk_i to wires `clk` and `locked`.

    That of a Zynq stands in its block design and not in Verilog.
    """
    if pll.family == "xc7":
        return _xc7_verilog(pll)
    return _ecp5_verilog(pll) if pll.family == "ecp5" else _ice40_verilog(pll, cell)


def _xc7_verilog(pll: Pll) -> str:
    return f"""\
    wire pll_clk, feedback;
    PLLE2_BASE #(
        .CLKIN1_PERIOD({1e9 / pll.pin_hz:.3f}), .DIVCLK_DIVIDE({pll.divide}),
        .CLKFBOUT_MULT({pll.multiply}), .CLKOUT0_DIVIDE({pll.post})
    ) u_pll (
        .CLKIN1(clk_i), .CLKFBIN(feedback), .CLKFBOUT(feedback), .CLKOUT0(pll_clk),
        .CLKOUT1(), .CLKOUT2(), .CLKOUT3(), .CLKOUT4(), .CLKOUT5(),
        .LOCKED(locked), .PWRDWN(1'b0), .RST(1'b0)
    );
    BUFG u_clk (.I(pll_clk), .O(clk));
"""


def _ecp5_verilog(pll: Pll) -> str:
    mhz = f'"{pll.pin_hz / 1e6:g}"', f'"{pll.core_hz / 1e6:g}"'
    return f"""\
    (* FREQUENCY_PIN_CLKI={mhz[0]}, FREQUENCY_PIN_CLKOP={mhz[1]} *)
    (* ICP_CURRENT="12", LPF_RESISTOR="8", MFG_ENABLE_FILTEROPAMP="1", MFG_GMCREF_SEL="2" *)
    EHXPLLL #(
        .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"),
        .DPHASE_SOURCE("DISABLED"), .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"),
        .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"), .FEEDBK_PATH("CLKOP"),
        .CLKI_DIV({pll.divide}), .CLKFB_DIV({pll.multiply}), .CLKOP_ENABLE("ENABLED"),
        .CLKOP_DIV({pll.post}), .CLKOP_CPHASE({max(pll.post // 2 - 1, 0)}), .CLKOP_FPHASE(0)
    ) u_pll (
        .CLKI(clk_i), .CLKFB(clk), .CLKOP(clk), .LOCK(locked), .CLKINTFB(),
        .RST(1'b0), .STDBY(1'b0), .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1),
        .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );
"""


def _ice40_verilog(pll: Pll, cell: str) -> str:
    # Source of the ranges: icepll of Project IceStorm.
    pfd_mhz = pll.pin_hz / pll.divide / 1e6
    filter_range = 1 + sum(pfd_mhz >= limit for limit in (17, 26, 44, 66, 101))
    port = {"SB_PLL40_PAD": "PACKAGEPIN", "SB_PLL40_CORE": "REFERENCECLK"}[cell]
    return f"""\
    {cell} #(
        .FEEDBACK_PATH("SIMPLE"), .DIVR(4'd{pll.divide - 1}), .DIVF(7'd{pll.multiply - 1}),
        .DIVQ(3'd{pll.post.bit_length() - 1}), .FILTER_RANGE(3'd{filter_range})
    ) u_pll (
        .{port}(clk_i), .PLLOUTGLOBAL(clk), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0)
    );
"""
