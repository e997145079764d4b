"""Every listed open board with three networks: `python -m stoic.hw.every_board --json FILE`.

What the planner says fits becomes a bitstream, by the steps of `stoic synth`: place and route with
seed 1, 2, ... until one meets the clock, so that a design that misses has missed on all `--seeds`.
No bitstream holds a weight, so a network is its sizes and its input. The row of a pair is written
when it is done; a second run takes the steps that are done as they are. What the planner said must
be what was packed, to 15 % of the logic cells and to the last block memory. Rows of pairs that are
not asked for stay; the status is that of the rows asked for, and what stays of other sources is
said.

The clock *asked* is that of the board file: the PLL makes it, and the bitstream runs at it. *Fmax*
is what place and route says that the routed design would reach, an estimate of the tool at the
slow corner of the chip; none is from silicon. Keys of the JSON object:

    rows        one a pair: {"board", "network", "sizes", "input",
                "verdict": "met", "missed": no seed meets the clock asked, "refused": by the
                planner, or "failed": a tool did,
                "why": what the planner or the tool says, "" when met,
                "clock_mhz_asked"}; unless refused also {"inputs_sha256": of all but the seeds that
                decides the bitstream, not in rows of old files,
                "folds": [[SIMD, PE] of each layer], "engine", "cycles_per_image",
                "images_per_s_at_clock_asked", "cells_predicted", "block_rams_predicted"}; and
                unless failed {"seeds", "fmax_mhz": [of each seed],
                "fmax_mhz_best", "margin_percent": of the best above the clock asked,
                "critical_path", "lut4", "logic_cells", "logic_cells_available", "flops",
                "carry_cells", "distributed_ram_cells", "block_rams", "block_rams_available",
                "cells_error": predicted / packed - 1,
                "synth_wall_s", "synth_cpu_s", "place_route_wall_s", "place_route_cpu_s": [of each
                seed], "place_s", "route_s": [of each seed] of these, by the tool's own log};
                and when met {"pack_wall_s", "pack_cpu_s", "bitstream_sha256",
                "first_bitstream_wall_s", "first_bitstream_cpu_s": of all of these steps, one after
                another}
    pairs, met, missed, refused, failed: counts; "not_measured": [[network, board]]
    slowest_bitstream_wall_s, slowest_bitstream_cpu_s
    worst_cells_error, block_rams_wrong: of the planner
    label, tools, command, kit_version
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core, core_of
from ..sim.entry import exit_with
from ..sim.exceptions import InputError, ToolError
from ..sim.layers import Input
from ..sim.random_network import random_network
from . import boards, synth
from .fold import fold, predict
from .fold_signoff import SFC, TFC
from .reports import Route, placer_and_router_s, read_json, utilisation

SEEDS = 5
MOST_CELLS_ERROR = 0.15  # of the planner
NETWORKS: dict[str, tuple[tuple[int, ...], Input]] = {
    "fashion-tfc": (TFC, "uint8"),
    "fashion-sfc": (SFC, "uint8"),
    "sfc": (SFC, "bits"),
}
VERDICTS = ("met", "missed", "refused", "failed")


def pairs() -> tuple[tuple[str, str], ...]:
    """(network, board), the networks that take least time first."""
    return tuple((net, board) for net in NETWORKS for board in boards.names(needs_vivado=False))


def unfolded(network: str) -> Core:
    """The core of a network, not yet folded; its weights are in no bitstream."""
    sizes, first = NETWORKS[network]
    return core_of(random_network(sizes, first, np.random.default_rng(0)))


def planned(network: str, board: boards.Board) -> tuple[Core | None, dict[str, Any]]:
    """The core as the planner folds it, None if it refuses; and what is known of the row."""
    sizes, first = NETWORKS[network]
    row = {
        "board": board.name,
        "network": network,
        "sizes": list(sizes),
        "input": first,
        "clock_mhz_asked": board.core_hz / 1e6,
    }
    try:
        core = fold(unfolded(network), board)
    except InputError as refusal:
        return None, {**row, "verdict": "refused", "why": str(refusal)}
    told = predict(core, board)
    return core, {
        **row,
        "folds": [[f.simd, f.pe] for f in core.layout.folds],
        "engine": core.engine,
        "cycles_per_image": told.cycles_per_image,
        "images_per_s_at_clock_asked": round(board.core_hz / told.cycles_per_image),
        "cells_predicted": told.cells_predicted,
        "block_rams_predicted": told.block_rams_predicted,
    }


def designed(network: str, core: Core, board: boards.Board) -> synth.Design:
    """A core as Verilog."""
    return synth.Design(network, core, board, synth.design_sources(core, board))


def inputs_sha256(design: synth.Design) -> str:
    """Hash of all but the seeds that decides a bitstream."""
    return synth.inputs_sha256(design, (), synth.tool_versions(design.board))


def is_of_these_sources(row: Mapping[str, Any]) -> bool:
    """Whether a kept row was made of what would be built, or is refused as it would be, now."""
    key, is_refused = row.get("inputs_sha256"), row["verdict"] == "refused"
    if key is None and not is_refused:
        return False
    board = boards.load(row["board"])
    core, now = planned(row["network"], board)
    if core is None or is_refused:
        return row == now
    try:
        return bool(key == inputs_sha256(designed(row["network"], core, board)))
    except ToolError:
        return False  # without its tools it would not be built at all


def measured(network: str, board: boards.Board, out_dir: Path, seeds: int) -> dict[str, Any]:
    """The row of a pair; an error of a tool is one too."""
    core, row = planned(network, board)
    if core is None:
        return row
    design = designed(network, core, board)
    row["inputs_sha256"] = inputs_sha256(design)
    missed: synth.ClockMissedError | None = None
    try:
        for n in range(1, seeds + 1):
            try:
                made = synth.build_design(design, out_dir, range(1, n + 1), jobs=1)
            except synth.ClockMissedError as error:
                missed = error
                continue
            row |= {"verdict": "met", "why": "", **_routed(made.routes, board, out_dir)}
            return {**row, "bitstream_sha256": made.bitstream_sha256, **_first(row, out_dir)}
    except ToolError as error:
        return {**row, "verdict": "failed", "why": str(error)}
    assert missed is not None, "seeds are 1 or more"
    return {
        **row,
        "verdict": "missed",
        "why": str(missed),
        **_routed(missed.routes, board, out_dir),
    }


def _routed(routes: Sequence[Route], board: boards.Board, out_dir: Path) -> dict[str, Any]:
    """Figures of a design that is routed, and the seconds that it took."""
    best = max(routes, key=lambda r: r.fmax_mhz)
    steps = [_step(out_dir, f"seed{r.seed}") for r in routes]
    inside = [placer_and_router_s(out_dir / f"seed{r.seed}.log") for r in routes]
    synthesis = _step(out_dir, "synth")
    report = out_dir / f"seed{best.seed}.report.json"
    return {
        "seeds": [r.seed for r in routes],
        "fmax_mhz": [r.fmax_mhz for r in routes],
        "fmax_mhz_best": best.fmax_mhz,
        "margin_percent": round(100 * (best.fmax_mhz * 1e6 / board.core_hz - 1), 1),
        "critical_path": best.critical_path,
        **asdict(utilisation(out_dir / "synth.stat.json", report, board)),
        "synth_wall_s": synthesis["wall_s"],
        "synth_cpu_s": synthesis["cpu_s"],
        "place_route_wall_s": [s["wall_s"] for s in steps],
        "place_route_cpu_s": [s["cpu_s"] for s in steps],
        "place_s": [place_s for place_s, _ in inside],
        "route_s": [route_s for _, route_s in inside],
    }


def _first(row: Mapping[str, Any], out_dir: Path) -> dict[str, float]:
    """Seconds from Verilog to bitstream, one step after another."""
    pack = _step(out_dir, "pack")
    found = {}
    for kind in ("wall_s", "cpu_s"):
        found[f"pack_{kind}"] = pack[kind]
        total = row[f"synth_{kind}"] + sum(row[f"place_route_{kind}"]) + pack[kind]
        found[f"first_bitstream_{kind}"] = round(total, 1)
    return found


def _step(out_dir: Path, name: str) -> dict[str, Any]:
    return read_json(out_dir / f"{name}.step.json")


def judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the error of the planner's count of cells, if the design was packed."""
    if "logic_cells" not in row:
        return dict(row)
    return {**row, "cells_error": round(row["cells_predicted"] / row["logic_cells"] - 1, 4)}


def planner(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the planner is off in these rows."""
    packed = [row for row in rows if "cells_error" in row]
    return {
        "worst_cells_error": max((abs(row["cells_error"]) for row in packed), default=0.0),
        "block_rams_wrong": sum(r["block_rams_predicted"] != r["block_rams"] for r in packed),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of all rows, and what is not measured yet."""
    done = {(row["network"], row["board"]) for row in rows}
    met = [row for row in rows if row["verdict"] == "met"]
    return {
        "pairs": len(pairs()),
        **{verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS},
        "not_measured": [list(pair) for pair in pairs() if pair not in done],
        **{
            f"slowest_bitstream_{kind}": max((r[f"first_bitstream_{kind}"] for r in met), default=0)
            for kind in ("wall_s", "cpu_s")
        },
        **planner(rows),
    }


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    text = f"{row['network']:12} {row['board']:15} {row['verdict']:8}"
    if "fmax_mhz" not in row:
        return f"{text} {row['why']}"
    return (
        f"{text} {row['fmax_mhz_best']:6.1f} MHz of {row['clock_mhz_asked']:g} asked "
        f"(seed {row['seeds'][-1]}), {row['logic_cells']:,} of {row['logic_cells_available']:,} "
        f"cells, {row['block_rams']} of {row['block_rams_available']} block memories, "
        f"{row['images_per_s_at_clock_asked']:,} images/s"
    )


def earlier(path: Path) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, str]]:
    """Rows of earlier runs by network and board, and their tools; none if there is no file.

    Raises:
        ToolError: the file is another one.
    """
    if not path.is_file():
        return {}, {}
    try:
        values = read_json(path)
        rows = {(row["network"], row["board"]): judged(row) for row in values["rows"]}
        summary(list(rows.values()))
        return rows, dict(values["tools"])
    except (TypeError, ValueError, KeyError) as error:
        raise ToolError(f"{path}: no results of `make boards`; give another file") from error


def main() -> int:
    """Measure, print a line a pair and keep the JSON file whole; 1 unless all are as planned.

    All that fit must meet the clock, and the planner have said what they take.
    Rows of earlier runs stay in the file; they do not decide the status.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    listed = boards.names(needs_vivado=False)
    parser.add_argument("--boards", nargs="+", default=listed, choices=listed)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="tried before a design has missed")
    parser.add_argument("--out", type=Path, default=Path("build/boards"))
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    writable(args.json)
    rows, tools = earlier(args.json)
    verdicts: dict[tuple[str, str], str] = {}
    for network, name in pairs():
        if network not in args.networks or name not in args.boards:
            continue
        board = boards.load(name)
        tools |= synth.tool_versions(board)
        row = judged(measured(network, board, args.out / f"{network}-{name}", args.seeds))
        rows[network, name] = row
        verdicts[network, name] = row["verdict"]
        print(line(row), flush=True)
        kept = [rows[pair] for pair in pairs() if pair in rows]
        values = {
            "rows": kept,
            **summary(kept),
            "label": synth.LABEL,
            "tools": tools,
            "command": shlex.join(["python", "-m", "stoic.hw.every_board", *sys.argv[1:]]),
            "kit_version": kit_version(),
        }
        write_whole(args.json, f"{json.dumps(values, indent=1)}\n".encode())
    off = planner(rows[pair] for pair in verdicts)
    print(
        f"the planner: at worst {off['worst_cells_error']:.1%} of the logic cells, "
        f"{off['block_rams_wrong']} counts of block memories wrong"
    )
    stay = [row for pair, row in rows.items() if pair in pairs() and pair not in verdicts]
    if stay:
        others = sum(not is_of_these_sources(row) for row in stay)
        print(f"rows of earlier runs: {len(stay)}, of other or unknown sources: {others}")
    is_off = off["worst_cells_error"] > MOST_CELLS_ERROR or off["block_rams_wrong"]
    return int(bool(is_off or {"missed", "failed"} & set(verdicts.values())))


if __name__ == "__main__":
    exit_with(main)
