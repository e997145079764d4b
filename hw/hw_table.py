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
                [of each seed], "images_compared", "mismatches", "injected_flips",
                "simulated_images_per_cpu_s": of the Verilated core under the map, "seeds",
                "command": that measured it}
    units       what each module takes, in the first of SHOWN_IN in which it stands
                (`hw_units.py`): {"unit", "inside", "instances", "lut4", "carry_cells", "flops",
                "distributed_ram_cells", "block_rams"}
    tools, command, kit_version
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..sim import golden
from ..sim.container import kit_version, writable, write_whole
from ..sim.core import Core, image_cycles, n_windows, planes
from ..sim.entry import exit_with
from ..sim.errors import Iid
from ..sim.faults import apply
from ..sim.memory import MAX_WIDTH
from ..sim.rtl import RtlDevice
from . import vehicle
from .hw_page import as_page
from .hw_units import SHOWN_IN, designs, first_units, synthesised, units
from .measured import SEED, random_of, topology, vehicles
from .reports import read_json
from .synth import LABEL, tool_versions
from .vehicle import Vehicle

N_IMAGES = 60
N_CYCLES = 1_000_000  # simulated to tell the speed of the simulation


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
    """Scores beside golden's, cycles, and speed, of the Verilated core."""
    rng = np.random.default_rng(SEED)
    network = random_of(core, rng)
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
    many = np.resize(images, (max(N_IMAGES, N_CYCLES // image_cycles(core)), network.n_inputs))
    before_s = time.process_time()
    again = device.infer(many)
    cpu_s = time.process_time() - before_s
    mismatches += int((again != np.resize(faulty, again.shape)).sum())
    device.close()
    between = (cycles[2] - cycles[1]) / (N_IMAGES - N_IMAGES // 2)
    return {
        "cycles_per_image_simulated": round(between, 2),
        "latency_cycles": cycles[0],
        "images_compared": core.side_by_side + N_IMAGES // 2 + 2 * N_IMAGES + len(many),
        "mismatches": mismatches,
        "injected_flips": faults.n_faults,
        "simulated_images_per_cpu_s": round(len(many) / cpu_s, 1),
    }


def row(made: Vehicle, out_dir: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """All figures of a vehicle."""
    core, chip = made.core, made.chip
    layout, b = core.layout, core.side_by_side
    cycles = image_cycles(core)
    bits_read = [
        n_windows(core, i) * planes(s) * s.n_inputs * s.n_outputs
        for i, s in enumerate(layout.shapes)
    ]
    # cycles of each layer if no lane ever idled
    each = [bits / (f.pe * f.simd) / b for bits, f in zip(bits_read, layout.folds, strict=True)]
    own = sum(each) if core.engine else max(each)
    bound = sum(bits_read) / (MAX_WIDTH if core.engine else chip.ram_bits)
    values = {
        "name": made.name,
        "network": topology(core),
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


def measure(
    before: dict[str, Any],
    names: Sequence[str],
    seeds: Sequence[int],
    out_dir: Path,
    command: str,
) -> dict[str, Any]:
    """Rows and units of these names, all without any; the others as they were before."""
    made = {vehicle.name: vehicle for vehicle in vehicles()}
    rows = {found["name"]: found for found in before.get("rows", []) if found["name"] in made}
    tools, cells = dict(before.get("tools", {})), before.get("units", [])
    for name in names or (*made, *designs()):
        if name in made:
            rows[name] = {**row(made[name], out_dir / name, seeds), "command": command}
            tools |= tool_versions(made[name].chip)
            new = units(out_dir / name, made[name].chip.top)
        else:
            new = synthesised(name, out_dir / name)
        cells = [unit for unit in cells if unit.get("inside") not in (None, name)]
        cells += [{"inside": name, **unit} for unit in new if name in SHOWN_IN]
    ordered = [rows[name] for name in made if name in rows]
    return {"rows": ordered, "units": first_units(cells), "tools": tools}


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
        choices=[*(v.name for v in vehicles()), *designs()],
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
        command = shlex.join(["python", "-m", "stoic.hw.hw_table", *sys.argv[1:]])
        values = measure(before, args.only, range(1, args.seeds + 1), args.out, command)
        values["command"] = command
        values["kit_version"] = kit_version()
        write_whole(args.json, f"{json.dumps(values, indent=1)}\n".encode())
    if args.page:
        write_whole(args.page, as_page(values, args.json).encode())
    return 0


if __name__ == "__main__":
    exit_with(main)
