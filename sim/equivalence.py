"""Proof that a mutant is no mistake at all: it behaves as the original whatever comes in.

Yosys compares the module with the mutated one at every parametrisation that the benches have of it,
in the first of three ways that proves it. IDENTICAL: both elaborate to the same cells, wired alike,
which settles what is truncated or constant at these parameters. FLAT: flattened, memories as
registers, its inputs free: registers of the same name pair up, and `equiv_induct` proves by
induction over N_STEPS cycles that outputs and next states stay equal, unknown values included
(`-undef`). REACHED: both start with all registers at 0, as on an FPGA, and `dprove` of ABC proves
that their outputs never differ: what no sequence of inputs leads to does not count. The values
that registers are given at the start, and clocks, are not compared. Cells of a vendor stay outside:
they must be the same with the same parameters, what goes into them counts as outputs, and what
comes out is free; their attributes are not compared. Where the original is unknown, the mutant may
do anything. Icarus says which parametrisations there are.

`python -m stoic.sim.equivalence JOB.json` works on one job, in a process of its own since Yosys
ends its process on an error; "proven N" is a line for each parametrisation that it proves.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pyverilog.vparser import ast

from .bench.runner import BUILD_ARGS, Bench, literal
from .syntax import load, walk
from .verilate import find_iverilog

N_STEPS = 4
CPU_S = 25  # processor seconds without a proof after which a way is given up
WAYS = IDENTICAL, FLAT, REACHED = "identical", "flat", "reached"
_CLEAN = ("proc", "opt_expr -keepdc", "wreduce -keepdc", "opt_expr -keepdc", "opt_clean")
_CELLS = ("+/ecp5/cells_sim.v", "+/ecp5/cells_bb.v", "+/ice40/cells_sim.v")  # their ports alone
_PREPARE = (
    "hierarchy -check",  # stops at cells that are not known: equiv_make takes what they drive for x
    "proc", "flatten", "opt_expr -keepdc", "opt_clean", "memory -nomap", "memory_map",
)  # fmt: skip
_PROVE = (
    "equiv_make gold gate equiv", "hierarchy -top equiv", "opt_clean", "equiv_struct",
    "equiv_simple -undef", f"equiv_induct -undef -seq {N_STEPS}",
)  # fmt: skip
_MITER = (
    "miter -equiv -flatten gold gate miter", "hierarchy -top miter", "setundef -undriven -zero",
    "opt", "techmap", "opt", "dffunmap", "setundef -zero", "aigmap", "zinit -all", "aigmap",
    "opt_clean",
)  # fmt: skip
# of a compiled design: a module starts; its parameter (0: no localparam) and value
_SCOPE = re.compile(r'^S_\w+ \.scope (\w+), "[^"]*" "([^"]*)"')
_PARAMETER = re.compile(r'^P_\w+ \.param/(?:str|l) "(\w+)" 0 \d+ \d+, (?:"(.*)"|\+?C4<([01]+)>);')

Parameters = tuple[tuple[str, str], ...]  # name, value as Verilog writes it


@cache
def instances(path: Path) -> set[str]:
    """Modules that a file instantiates."""
    tree = load(path)
    return {node.module for node, _ in walk(tree.root) if isinstance(node, ast.Instance)}


def below(module: str, sources: Sequence[Path]) -> dict[str, Path]:
    """A module and those under it, with their files."""
    files = {path.stem: path for path in sources}
    todo, found = [module], dict[str, Path]()
    while todo:
        name = todo.pop()
        if name in files and name not in found:
            found[name] = files[name]
            todo += instances(files[name])
    return found


def parametrisations(bench: Bench) -> Mapping[str, set[Parameters]]:
    """The parameters of every instance, by module."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sim.vvp"
        values = [f"-P{bench.unit}.{k}={literal(v)}" for k, v in bench.parameters.items()]
        command = [find_iverilog(), "-o", str(out), "-s", bench.unit, "-g2012", *values]
        subprocess.run(
            [*command, *BUILD_ARGS["icarus"], *map(str, bench.sources)],
            check=True, capture_output=True,
        )  # fmt: skip
        return _scopes(out.read_text(encoding="utf-8"))


def _scopes(text: str) -> Mapping[str, set[Parameters]]:
    rows: list[tuple[str, list[tuple[str, str]]]] = []
    for line in text.splitlines():
        if scope := _SCOPE.match(line):
            rows.append((scope[2] if scope[1] == "module" else "", []))
        elif found := _PARAMETER.match(line):
            name, string, bits = found.groups()
            if bits is None:  # Yosys takes no string here
                bits = "".join(f"{byte:08b}" for byte in string.encode()) or "0" * 8
            rows[-1][1].append((name, f"{len(bits)}'b{bits}"))
    by_module: dict[str, set[Parameters]] = {}
    for module, values in rows:
        by_module.setdefault(module, set()).add(tuple(values))
    return by_module


def is_equivalent(
    module: str, gold: Sequence[Path], gate: Sequence[Path], parameters: Sequence[Parameters]
) -> bool:
    """Whether a mutated module is proven equal to the original.

    Args:
        gold: the original's file and those of the modules under it.
        gate: the same with the mutated file in place of the original.
        parameters: at which it has to be.
    """
    files = {"gold": [str(path) for path in gold], "gate": [str(path) for path in gate]}
    rest = list(parameters)
    for way in WAYS:
        job = {"module": module, "way": way, **files}
        while rest and (proven := proven_of({**job, "parameters": rest})):
            rest = [values for i, values in enumerate(rest) if i not in proven]
    return not rest


def proven_of(job: Mapping[str, object]) -> set[int]:
    """Which parametrisations of a job a process proves before CPU_S are over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps({**job, "folder": folder}))
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (CPU_S, CPU_S))
        return {int(n) for n in re.findall(r"^proven (\d+)$", process.communicate()[0], re.M)}


def main() -> None:
    """Prove the job whose file is the argument."""
    from pyosys import libyosys  # type: ignore[attr-defined]

    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    module, report = job["module"], Path(job["folder"]) / "report"
    design = libyosys.Design()

    def run(*commands: str) -> None:
        for command in commands:
            libyosys.run_pass(command, design)

    for which in ("gold", "gate"):
        run("design -reset", *(f"read_verilog -lib {path}" for path in _CELLS))
        run(*(f'read_verilog -defer "{path}"' for path in job[which]))
        run(f"design -save {which}_text")
    for i, parameters in enumerate(job["parameters"]):
        values = " ".join(f"-chparam {name} {value}" for name, value in parameters)
        cells: list[Any] = []
        for which in ("gold", "gate"):
            run(f"design -load {which}_text", f"hierarchy -top {module} {values}")
            if job["way"] == IDENTICAL:
                run(f"rename -top {which}", f"select {which}", *_CLEAN)
                run("rename -enumerate", f"write_json -selected {report}")  # sorts by name
                cells.append(_cells(json.loads(report.read_text())["modules"][which]))
            else:
                run(*_PREPARE, f"rename -top {which}", f"select {which}")
                run(f"write_json -selected {report}", "select -clear")
                cells.append(_vendor_cells(json.loads(report.read_text())["modules"][which]))
                types = sorted({cell[0] for cell in cells[-1].values()})
                run(*(f"expose -evert {which}/t:{kind}" for kind in types))
                run(f"design -save {which}")
        has_inout = '"inout"' in json.dumps(cells)  # neither an output to compare nor a free input
        is_proven = cells[0] == cells[1] and (job["way"] == IDENTICAL or not has_inout)
        if is_proven and job["way"] != IDENTICAL:
            run("design -reset")
            for which in ("gold", "gate"):
                run(f"design -copy-from {which} -as {which} {which}")
            if job["way"] == FLAT:
                run(*_PROVE, f"tee -q -o {report} equiv_status")
                is_proven = "Equivalence successfully proven!" in report.read_text()
            else:
                run(*_MITER, f"write_aiger {report}")
                is_proven = "are equivalent" in _abc(f"read_aiger {report}; dprove", report.parent)
        if is_proven:
            print(f"\nproven {i}", flush=True)


def _abc(script: str, folder: Path) -> str:
    """What ABC says in a folder, where it leaves files of its own."""
    import pyosys

    abc = Path(pyosys.__file__).parent / "yosys-abc"
    return subprocess.run([abc, "-c", script], capture_output=True, text=True, cwd=folder).stdout


def _vendor_cells(module: Mapping[str, Any]) -> dict[str, list[object]]:
    """Cells that Yosys has no model of, by name: type, parameters and, by port, the direction and
    which bits are not driven, since an open input is not 0 to every cell."""
    return {
        name: [
            cell["type"],
            cell["parameters"],
            {
                port: (cell["port_directions"][port], [bit in ("x", "z") for bit in bits])
                for port, bits in cell["connections"].items()
            },
        ]
        for name, cell in module["cells"].items()
        if not cell["type"].startswith("$")
    }


def _cells(module: Mapping[str, Any]) -> list[object]:
    """What a module is made of, without the names of cells, which a counter gives, and of lines."""

    def rows(kind: str, *keys: str) -> list[object]:
        return [[row.get(key) for key in keys] for row in module.get(kind, {}).values()]

    nets = module["netnames"].values()
    return [
        module["ports"],
        rows("memories", "width", "start_offset", "size"),
        rows("cells", "type", "parameters", "port_directions", "connections"),
        [[net["bits"], net["attributes"]["init"]] for net in nets if "init" in net["attributes"]],
    ]


if __name__ == "__main__":
    main()
