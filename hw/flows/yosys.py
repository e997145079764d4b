"""Synthesis by pyosys: `python -m stoic.hw.flows.yosys JOB.json`, a process of its own.

Yosys prints what it likes and ends the process when it fails; so it gets a process, whose output is
the log. The job names Verilog sources, top module, synthesis command and the two files to write,
netlist and statistics, both JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from .pll import Family

# Wide LUTs (PFUMX) double the LUTs of a popcount on ECP5, and win no speed in a pipelined one.
ECP5 = "synth_ecp5 -nowidelut"

# Of a check before the first `opt`, which in silence takes a constant for a wire's only driver.
EARLY = "synth.early"

# What is mapped before all else, by synthesis command; why, the file says.
FIRST = {ECP5: Path(__file__).parent / "small_adders_ecp5.v"}


def synth_command(family: Family, device: str) -> str:
    """The synthesis of a device, which has the name that nextpnr gives it.

    >>> synth_command("ice40", "up5k"), synth_command("ice40", "hx8k")
    ('synth_ice40 -device u', 'synth_ice40 -device hx')
    """
    if family == "ecp5":
        return ECP5
    return f"synth_ice40 -device {'u' if device.startswith('u') else device[:2]}"


def passes(job: dict[str, Any]) -> list[str]:
    """The Yosys commands of a job, in order."""
    sources = [f'read_verilog -sv "{source}"' for source in job["sources"]]
    first = []
    if job["synth"] in FIRST:
        first = [f"hierarchy -top {job['top']}", "proc", "flatten"]
        first += [f'tee -q -o "{EARLY}" check', "opt", "wreduce"]
        first += [f'techmap -map "{FIRST[job["synth"]]}"', "opt"]
    return [
        *sources,
        *first,
        f"{job['synth']} -top {job['top']}",
        "check -assert",
        f'tee -q -o "{job["stat"]}" stat -json',
        f'write_json "{job["netlist"]}"',
    ]


def main() -> None:
    """Run the job whose file is the argument."""
    from pyosys import libyosys  # type: ignore[attr-defined]

    design = libyosys.Design()
    for command in passes(json.loads(Path(sys.argv[1]).read_text())):
        libyosys.run_pass(command, design)
    if (early := Path(EARLY)).is_file():  # it takes outputs of vendor cells, yet unknown, for open
        print(*(line for line in early.read_text().splitlines() if "conflict" in line), sep="\n")


if __name__ == "__main__":
    main()
