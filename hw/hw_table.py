"""The figures of the datapath: `python -m stoic.hw.hw_table --json FILE [--seeds N] [--only ROW]`.

For every vehicle (a core alone on a bare chip, see `vehicle.py`) synthesis, place and route on
several seeds, and the core Verilated: every score of random images beside golden's, fault-free and
under a fault map, the cycles between images and those of the first one. `--page` writes the table
as Markdown beside published figures; `--read` makes it of a JSON file that is there. All figures of
place and route are estimates of the tool, none is from silicon. Keys of the JSON object:

    rows        one a vehicle: {"name", "network", "input", "folds": [[SIMD, PE] of each layer],
                "b", "engine", "chip", "label", "clock_mhz_asked", "lut4", "logic_cells",
                "logic_cells_available", "flops", "block_rams", "block_rams_available",
                "distributed_ram_cells",
                "fmax_mhz": [of each seed], "fmax_mhz_median", "fmax_mhz_best", "critical_path",
                "cycles_per_image", "cycles_per_image_simulated", "latency_cycles": with the load of
                the first images, "bound_cycles": all block memories of the chip busy,
                "bandwidth_share", "own_bound_share": of the bound of the folding's own words,
                "images_per_s": median Fmax / cycles, "latency_us", "synth_wall_s", "route_wall_s":
                [of each seed], "images_compared", "mismatches", "injected_flips", "seeds"}
    units       what each module takes inside the row "sfc-b1": {"unit", "instances", "lut4",
                "carry_cells", "flops", "distributed_ram_cells", "block_rams"}
    tools, command, kit_version
"""

import argparse
import json
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..sim import golden
from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core, Form, image_cycles, planes
from ..sim.entry import exit_with
from ..sim.errors import Iid
from ..sim.exceptions import ArtefactError
from ..sim.faults import apply
from ..sim.memory import MAX_WIDTH, Fold, Layout, Shape
from ..sim.random_network import random_network
from ..sim.rtl import RtlDevice
from . import boards, vehicle
from .fold import fold
from .reports import FLOPS, read_json
from .synth import LABEL, tool_versions
from .vehicle import Vehicle, bare

SIZES = (784, 256, 256, 256, 10)
N_IMAGES = 60
SEED = 1
UNITS_OF = "sfc-b1"
_SIMD = (36, 32, 32, 16)
_PE = (32, 12, 12, 1)


def _shapes(first: str) -> tuple[Shape, ...]:
    last = len(SIZES) - 2
    return tuple(
        Shape(n, m, "uint8" if i == 0 and first == "uint8" else "bits", i < last)
        for i, (n, m) in enumerate(zip(SIZES, SIZES[1:], strict=False))
    )


def vehicles() -> tuple[Vehicle, ...]:
    """What is measured."""
    board, large = boards.load("ulx3s-25f"), boards.load("ulx3s-85f")

    def side_by_side(b: int) -> Core:
        folds = tuple(Fold(pe, simd, b) for pe, simd in zip(_PE, _SIMD, strict=True))
        return Core(Layout(_shapes("bits"), folds), words=True)

    def injected(form: Form) -> Core:
        return replace(side_by_side(1), injector=form)

    def engine(b: int) -> Core:
        return Core(Layout(_shapes("bits"), (Fold(1, 64, b),) * (len(SIZES) - 1)), engine=True)

    planned = fold(Core(Layout(_shapes("uint8"), (Fold(1, 64),) * (len(SIZES) - 1))), board)
    return (
        Vehicle("sfc-b1", side_by_side(1), bare(board, 190)),
        Vehicle("sfc-b1-registers", side_by_side(1), bare(board, 190), has_registers=True),
        Vehicle("sfc-b1-ring", injected("ring"), bare(board, 190)),
        # its numbers and masks take five sixths of a 25K's flip-flops, and nextpnr does not end
        Vehicle("sfc-b1-independent", injected("independent"), bare(large, 190)),
        Vehicle("sfc-b2", side_by_side(2), bare(board, 170)),
        Vehicle("sfc-uint8", planned, bare(board, 175)),
        Vehicle("sfc-engine-b1", engine(1), bare(boards.load("icebreaker"), 66)),
        Vehicle("sfc-engine-b6", engine(6), bare(boards.load("icebreaker"), 66)),
    )


def routed(made: Vehicle, out_dir: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Figures of synthesis, place and route."""
    tools = tool_versions(made.chip)
    synth_wall_s = vehicle.synthesise(made, out_dir, tools)
    routes = []
    used: dict[str, Any] = {}
    for seed in seeds:
        found, used = vehicle.place_and_route(made, out_dir, seed, tools)
        routes.append(found)
    slowest_first = sorted(routes, key=lambda r: r.fmax_mhz)
    median = statistics.median(r.fmax_mhz for r in routes)
    return {
        "clock_mhz_asked": made.chip.core_hz / 1e6,
        **used,
        "seeds": list(seeds),
        "fmax_mhz": [r.fmax_mhz for r in routes],
        "fmax_mhz_median": round(median, 2),
        "fmax_mhz_best": slowest_first[-1].fmax_mhz,
        "critical_path": slowest_first[len(routes) // 2].critical_path,
        "synth_wall_s": synth_wall_s,
        "route_wall_s": [r.wall_s for r in routes],
    }


def simulated(core: Core, build_dir: Path) -> dict[str, Any]:
    """Scores beside golden's, and cycles, of the Verilated core."""
    shapes = core.layout.shapes
    sizes = (*(s.n_inputs for s in shapes), shapes[-1].n_outputs)
    rng = np.random.default_rng(SEED)
    network = random_network(sizes, shapes[0].input, rng)
    high = network.image_max + 1
    images = rng.integers(0, high, (N_IMAGES, network.n_inputs), dtype=np.uint8)
    faults = Iid(0.02, 0.02).sample(core.layout, 0, where=("weights", "thresholds"))
    device = RtlDevice(
        core.layout, build_dir, words=core.words, engine=core.engine, injector=core.injector
    )
    device.load(network)
    cycles = []
    mismatches = 0
    for n in (core.side_by_side, N_IMAGES // 2, N_IMAGES):
        before = device.counters()["cycles"]
        scores = device.infer(images[:n])
        cycles.append(device.counters()["cycles"] - before)
        mismatches += int((scores != golden.scores(network, images[:n])).sum())
    device.inject(faults)
    faulty = golden.scores(apply(network, faults), images)
    mismatches += int((device.infer(images) != faulty).sum())
    device.close()
    between = (cycles[2] - cycles[1]) / (N_IMAGES - N_IMAGES // 2)
    return {
        "cycles_per_image_simulated": round(between, 2),
        "latency_cycles": cycles[0],
        "images_compared": core.side_by_side + N_IMAGES // 2 + 2 * N_IMAGES,
        "mismatches": mismatches,
        "injected_flips": faults.n_faults,
    }


def row(made: Vehicle, out_dir: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """All figures of a vehicle."""
    core, chip = made.core, made.chip
    layout, b = core.layout, core.side_by_side
    cycles = image_cycles(core)
    bits_read = [planes(s) * s.n_inputs * s.n_outputs for s in layout.shapes]
    # cycles of each layer if no lane ever idled
    each = [bits / (f.pe * f.simd) / b for bits, f in zip(bits_read, layout.folds, strict=True)]
    own = sum(each) if core.engine else max(each)
    bound = sum(bits_read) / (MAX_WIDTH if core.engine else chip.ram_bits)
    values = {
        "name": made.name,
        "network": "-".join(map(str, SIZES)),
        "input": layout.shapes[0].input,
        "folds": [[f.simd, f.pe] for f in layout.folds],
        "b": b,
        "engine": core.engine,
        "chip": f"{chip.device} {chip.package}"
        + (f" speed {chip.speed_grade}" if chip.speed_grade else ""),
        "label": LABEL,
        "cycles_per_image": cycles,
        "bound_cycles": round(bound, 1),
        "bandwidth_share": round(bound / cycles, 4),
        "own_bound_share": round(own / cycles, 4),
        **simulated(core, out_dir.parent / "rtl"),
        **routed(made, out_dir, seeds),
    }
    fmax = values["fmax_mhz_median"]
    values["images_per_s"] = round(fmax * 1e6 / cycles)
    values["latency_us"] = round(values["latency_cycles"] / fmax, 2)
    return values


def units(out_dir: Path, top: str) -> list[dict[str, Any]]:
    """Cells of every module of a netlist, by the innermost module that they stand in."""
    cells: dict[str, Any] = read_json(out_dir / "synth.netlist.json")["modules"][top]["cells"]
    modules = {
        name: cell["attributes"].get("module_hdlname", cell["attributes"].get("module", ""))
        for name, cell in cells.items()
        if cell["type"] == "$scopeinfo" and cell["parameters"]["TYPE"] == "module"
    }
    found: dict[str, Counter[str]] = {module: Counter() for module in modules.values()}
    for name, cell in cells.items():
        path = name
        while path and path not in modules:
            path = path.rpartition(".")[0]
        if path and cell["type"] != "$scopeinfo":
            kind = cell["type"]
            found[modules[path]]["FF" if kind.startswith(FLOPS) else kind] += 1
    instances = Counter(modules.values())
    return [
        {
            "unit": module,
            "instances": instances[module],
            "lut4": counts["LUT4"] + counts["SB_LUT4"],
            "carry_cells": counts["CCU2C"] + counts["SB_CARRY"],
            "flops": counts["FF"],
            "distributed_ram_cells": counts["TRELLIS_DPR16X4"],
            "block_rams": counts["PDPW16KD"] + counts["DP16KD"] + counts["SB_RAM40_4K"],
        }
        for module, counts in sorted(found.items())
        if counts
    ]


def measure(
    before: dict[str, Any], names: Sequence[str], seeds: Sequence[int], out_dir: Path
) -> dict[str, Any]:
    """Rows of the vehicles of these names, all without any; other rows as they were before."""
    order = [made.name for made in vehicles()]
    rows = {found["name"]: found for found in before.get("rows", []) if found["name"] in order}
    tools, cells = dict(before.get("tools", {})), before.get("units", [])
    for made in vehicles():
        if not names or made.name in names:
            rows[made.name] = row(made, out_dir / made.name, seeds)
            tools |= tool_versions(made.chip)
            if made.name == UNITS_OF:
                cells = units(out_dir / made.name, made.chip.top)
    ordered = sorted(rows.values(), key=lambda found: order.index(found["name"]))
    return {"rows": ordered, "units": cells, "tools": tools}


# What others publish, as printed there; of other devices and tools, most of other networks.
PUBLISHED = (
    ("FINN SFC-max, 784-256-256-256-10 binary", "Zynq 7045 (ZC706)", "91,131 LUT6", "200",
     "12,300,000", "0.31", "Umuroglu et al., FPGA 2017 (arXiv 1612.07119)"),
    ("LUTNet, MNIST, unrolled", "Xilinx", "58,192 LUT6", "", "200,000,000", "",
     "README of the authors' repository"),
    ("Lattice sensAI compact CNN, binary", "UP5K", "2,706 LUT4, 11 EBR, 1 SPRAM", "40.7", "", "",
     "Lattice, sheet of the compact CNN accelerator"),
    ("TinBiNN overlay, ten-class CNN", "UP5K", "about 5,000 LUT4", "", "0.76", "1,315,000",
     "Lemieux et al., TinBiNN"),
)  # fmt: skip


def page(values: dict[str, Any]) -> str:
    """The table as Markdown, beside published figures."""
    lines = [
        "# Speed and size of the datapath",
        "",
        f"Made by `make hw-table` ({values['command']}), kit {values['kit_version']}, "
        + ", ".join(f"{k} {v}" for k, v in sorted(values["tools"].items()))
        + ".",
        "",
        "Place-and-route estimates, nothing from silicon. A row is a core alone between pins "
        "(`hw/vehicle.py`): no link and no UART, since no link of these boards feeds it. Pins are "
        "where the tool puts them, and paths to and from pins are not timed. Every score that the "
        "Verilated core gave was compared with golden's, without faults and under a fault map. "
        "Rows with an injector have the registers too, which count the words that meet errors: "
        "sfc-b1-registers is what they are to be compared with.",
        "",
        "| | " + " | ".join(r["name"] for r in values["rows"]) + " |",
        "|---" * (len(values["rows"]) + 1) + "|",
    ]

    def line(title: str, text: Any) -> str:
        return f"| {title} | " + " | ".join(text(r) for r in values["rows"]) + " |"

    lines += [
        line("network, input", lambda r: f"{r['network']}, {r['input']}"),
        line("chip", lambda r: r["chip"]),
        line("SIMD x PE", lambda r: ", ".join(f"{s}x{p}" for s, p in r["folds"])),
        line("images that share a weight word (B)", lambda r: str(r["b"])),
        line("LUT4", lambda r: f"{r['lut4']:,}"),
        line(
            "logic cells packed",
            lambda r: f"{r['logic_cells']:,} of {r['logic_cells_available']:,}",
        ),
        line("flip-flops", lambda r: f"{r['flops']:,}"),
        line("block memories", lambda r: f"{r['block_rams']} of {r['block_rams_available']}"),
        line("clock asked, MHz", lambda r: f"{r['clock_mhz_asked']:g}"),
        line(
            "Fmax, median (each seed), MHz",
            lambda r: (
                f"{r['fmax_mhz_median']:.1f} ({', '.join(f'{f:.1f}' for f in r['fmax_mhz'])})"
            ),
        ),
        line(
            "cycles an image, planned / simulated",
            lambda r: f"{r['cycles_per_image']} / {r['cycles_per_image_simulated']:g}",
        ),
        line("images/s at the median", lambda r: f"{r['images_per_s']:,}"),
        line("first score, load included, us", lambda r: f"{r['latency_us']:g}"),
        line("of the chip's weight-bandwidth bound", lambda r: f"{r['bandwidth_share']:.1%}"),
        line("of the folding's own bound", lambda r: f"{r['own_bound_share']:.1%}"),
        line("synthesis, s", lambda r: f"{r['synth_wall_s']:.0f}"),
        line("place and route, s", lambda r: ", ".join(f"{s:.0f}" for s in r["route_wall_s"])),
        line("images compared, mismatches", lambda r: f"{r['images_compared']}, {r['mismatches']}"),
        "",
        "The weight-bandwidth bound of a chip: all its block memories give their widest word every "
        "cycle, each for one image. With B images to a word it can be passed.",
        "",
        "## Beside what others publish",
        "",
        "| design | device | size | clock, MHz | images/s | latency, us | source |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(cells) + " |" for cells in PUBLISHED),
        "",
        "What differs: FINN's and LUTNet's devices have six-input LUTs in a faster process, built "
        "with Vivado; LUTNet and sensAI are of other networks, TinBiNN of a much larger one; "
        "images/s of FINN SFC-max unrolls what is folded here. Theirs are results of boards or of "
        "closed tools, ours estimates of an open one. Of one network are FINN's line and ours on "
        "bits.",
        "",
        "## Units",
        "",
        f"Cells of each module inside {UNITS_OF}, all its instances together, "
        "after synthesis; a carry cell takes two logic cells, a chain four more, a cell of "
        "distributed memory six.",
        "",
        *unit_table(values),
    ]
    return "\n".join(lines) + "\n"


def unit_table(values: dict[str, Any]) -> list[str]:
    """Lines of the table of units."""
    return [
        "| unit | instances | LUT4 | carry cells | flip-flops | small memory | block memory |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| `{u['unit']}` | {u['instances']} | {u['lut4']:,} | {u['carry_cells']:,} | "
            f"{u['flops']:,} | {u['distributed_ram_cells']} | {u['block_rams']} |"
            for u in values["units"]
        ),
    ]


def as_page(values: dict[str, Any], path: Path) -> str:
    """The page of the values of a file.

    Raises:
        ArtefactError: they are no such table.
    """
    try:
        return page(values)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not of this kit's make hw-table ({error!r}); make it again"
        ) from error


def main() -> int:
    """Measure, or read, and write what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--read", action="store_true", help="take the JSON file as it is")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=[v.name for v in vehicles()],
        help="measure these rows again, keep the others of the JSON file",
    )
    parser.add_argument("--out", type=Path, default=Path("build/hw-table"))
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    for made in (args.page, None if args.read else args.json):
        writable(made)
    if args.read:
        values = read_json(args.json)
    else:
        before = read_json(args.json) if args.only and args.json.exists() else {}
        if before:
            as_page(before, args.json)  # refused now, not after hours
        values = measure(before, args.only, range(1, args.seeds + 1), args.out)
        values["command"] = shlex.join(["python", "-m", "stoic.hw.hw_table", *sys.argv[1:]])
        values["kit_version"] = kit_version()
        write_whole(args.json, f"{json.dumps(values, indent=1)}\n".encode())
    if args.page:
        write_whole(args.page, as_page(values, args.json).encode())
    return 0


if __name__ == "__main__":
    exit_with(main)
