"""The folding planner beside the tools: `python -m stoic.hw.fold_signoff --json FILE`.

Every design is planned for a board, synthesised and packed (not placed), and its core Verilated.
Counts are the packer's, nothing is from silicon. Keys of the JSON object:

    rows      one a design: {"name", "board", "network", "input",
              "folds": [[SIMD, PE] of each layer],
              "cells_predicted", "cells_packed", "cells_error": predicted / packed - 1,
              "block_rams_predicted", "block_rams_packed",
              "cycles_predicted", "cycles_simulated", "images_compared", "mismatches",
              "synth_wall_s"}
    worst_cells_error, block_rams_wrong, cycles_wrong, mismatches
    label, tools, command, kit_version
"""

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core
from ..sim.entry import exit_with
from ..sim.memory import Fold, Layout, Shape
from . import boards, synth
from .flows import nextpnr
from .fold import predict
from .hw_table import simulated
from .reports import packed
from .steps import step

LABEL = "packer's count"
TFC = (784, 64, 64, 10)
SFC = (784, 256, 256, 256, 10)


@dataclass(frozen=True)
class Planned:
    """A network folded for a board; `folds` are (SIMD, PE) of each layer."""

    board: str
    sizes: tuple[int, ...]
    folds: tuple[tuple[int, int], ...]
    first: str = "bits"

    @property
    def name(self) -> str:
        """Board and folding, as a folder is named."""
        kind = "" if self.first == "bits" else f"-{self.first}"
        return "-".join([self.board + kind, *(f"{simd}x{pe}" for simd, pe in self.folds)])

    @property
    def core(self) -> Core:
        """Its core."""
        n = len(self.sizes) - 1
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        shapes = tuple(
            Shape(n_in, n_out, self.first if i == 0 else "bits", i < n - 1)  # type: ignore[arg-type]
            for i, (n_in, n_out) in enumerate(pairs)
        )
        return Core(Layout(shapes, tuple(Fold(pe, simd) for simd, pe in self.folds)))


PLANNED = (
    Planned("icebreaker", TFC, ((16, 1), (16, 1), (16, 1))),
    Planned("icebreaker", TFC, ((16, 4), (16, 1), (16, 1))),
    Planned("icebreaker", TFC, ((16, 1), (16, 1), (16, 1)), "uint8"),
    Planned("icebreaker", TFC, ((28, 2), (16, 1), (16, 1)), "uint8"),
    Planned("upduino", (48, 32, 10), ((16, 2), (16, 1))),
    Planned("ice40-hx8k", TFC, ((16, 16), (16, 1), (16, 1))),
    Planned("ice40-hx8k", TFC, ((16, 16), (16, 1), (16, 1)), "uint8"),
    Planned("ulx3s-25f", SFC, ((36, 8), (32, 1), (32, 1), (32, 1))),
    Planned("ulx3s-25f", SFC, ((64, 8), (64, 1), (64, 1), (32, 1))),
    Planned("ulx3s-25f", SFC, ((36, 16), (32, 2), (32, 2), (32, 1))),
    Planned("ulx3s-25f", SFC, ((36, 37), (64, 1), (64, 1), (32, 1))),
    Planned("orangecrab-25f", TFC, ((36, 4), (16, 1), (16, 1)), "uint8"),
    Planned("colorlight-i5", TFC, ((36, 16), (64, 1), (32, 1)), "uint8"),
    Planned("ulx3s-85f", SFC, ((36, 32), (32, 12), (32, 12), (16, 1)), "uint8"),
    Planned("colorlight-i5", SFC, ((56, 16), (32, 10), (32, 10), (32, 1))),
    Planned("orangecrab-85f", SFC, ((56, 32), (52, 12), (52, 12), (32, 1))),
)


def row(planned: Planned, out_dir: Path) -> dict[str, Any]:
    """Figures of one design."""
    core, board = planned.core, boards.load(planned.board)
    design = synth.Design("planned", core, board, synth.design_sources(core, board))
    synth.synthesise(design, out_dir)
    command = nextpnr.pack_only(board, synth.NETLIST, "pins")
    inputs = [out_dir / synth.NETLIST, out_dir / "pins"]
    step(out_dir, "packed", command, inputs, [], synth.tool_versions(board))
    cells, block_rams = packed(out_dir / "packed.log", board)
    predicted = predict(core, board)
    found = simulated(core, out_dir.parent / "rtl")
    return {
        "name": planned.name,
        "board": board.name,
        "network": "-".join(map(str, planned.sizes)),
        "input": planned.first,
        "folds": [list(fold) for fold in planned.folds],
        "cells_predicted": predicted.cells_predicted,
        "cells_packed": cells,
        "cells_error": round(predicted.cells_predicted / cells - 1, 4),
        "block_rams_predicted": predicted.block_rams_predicted,
        "block_rams_packed": block_rams,
        "cycles_predicted": predicted.cycles_per_image,
        "cycles_simulated": found["cycles_per_image_simulated"],
        "images_compared": found["images_compared"],
        "mismatches": found["mismatches"],
        "synth_wall_s": json.loads((out_dir / "synth.step.json").read_text())["wall_s"],
    }


def main() -> int:
    """Measure, print a table and write the JSON file; 1 if the planner is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[], choices=[p.name for p in PLANNED])
    parser.add_argument("--out", type=Path, default=Path("build/planner"))
    args = parser.parse_args()
    writable(args.json)
    rows = []
    for planned in PLANNED:
        if args.only and planned.name not in args.only:
            continue
        rows.append(found := row(planned, args.out / planned.name))
        print(
            f"{found['name']:48} cells {found['cells_predicted']:6,} / {found['cells_packed']:6,} "
            f"({found['cells_error']:+.1%}), block memories {found['block_rams_predicted']} / "
            f"{found['block_rams_packed']}, cycles {found['cycles_predicted']} / "
            f"{found['cycles_simulated']:g}, {found['mismatches']} scores differ",
            flush=True,
        )
    values = {
        "rows": rows,
        "worst_cells_error": max(abs(r["cells_error"]) for r in rows),
        "block_rams_wrong": sum(r["block_rams_predicted"] != r["block_rams_packed"] for r in rows),
        "cycles_wrong": sum(r["cycles_predicted"] != r["cycles_simulated"] for r in rows),
        "mismatches": sum(r["mismatches"] for r in rows),
        "label": LABEL,
        "tools": {
            name: version
            for planned in PLANNED
            for name, version in synth.tool_versions(boards.load(planned.board)).items()
        },
        "command": shlex.join(["python", "-m", "stoic.hw.fold_signoff", *sys.argv[1:]]),
        "kit_version": kit_version(),
    }
    write_whole(args.json, f"{json.dumps(values, indent=1)}\n".encode())
    return int(
        bool(values["block_rams_wrong"] or values["cycles_wrong"] or values["mismatches"])
        or values["worst_cells_error"] > 0.15
    )


if __name__ == "__main__":
    exit_with(main)
