"""The core alone on a bare chip: what the datapath reaches when no link holds it back.

Beats of images and the host's requests come over pins into shift registers, scores leave over pins,
answers out of a shift register, so that every memory can be written and read and none folds into
constants. No UART and no link is in it: none feeds a million images a second.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..sim.core import Core, beat_bits, score_bits
from ..sim.rtl import core_files
from .boards import Board
from .flows import nextpnr
from .flows.yosys import FIRST, synth_command
from .netlist import check_core
from .reports import Route, route, utilisation
from .steps import step

_REQUEST = 97  # bits: write, bank, address, data


@dataclass(frozen=True)
class Vehicle:
    """A core and the chip it is measured on.

    Attributes:
        name: of the row, and of its folder.
        chip: resources and package of a board; its clock is what place and route is asked for.
        has_registers: also the bank of registers, which a core with injectors always has.
    """

    name: str
    core: Core
    chip: Board
    has_registers: bool = False


def bare(board: Board, clock_mhz: int) -> Board:
    """The chip of a board by itself, asked for a clock."""
    return replace(board, name=f"bare-{board.name}", core_hz=clock_mhz * 1_000_000)


@dataclass(frozen=True)
class _Registers:
    """Verilog of what stands between pins and core: said of it, its pins, itself, what it gives."""

    said: str
    image_pin: str
    declared: str
    clocked: str
    image: str
    request: str


def _separate(core: Core) -> _Registers:
    """One shift register for images, one for requests, one for answers."""
    beat = beat_bits(core)
    return _Registers(
        """\
//   a request (write, bank, address, data) is shifted in, highest bit first, while host_shift_i
//   is 1 and asked in the cycle after host_go_i; an answer is shifted out from bit 0 on. A beat
//   of an image is the last bits that came over one pin: pins of whole beats would lie all around
//   the chip, and the way from them would be what is timed""",
        "image_i, ",
        f"""\
    reg [{_REQUEST - 1}:0] request_q;
    reg go_q;
    reg rst_q;
    reg [63:0] answer_q;
    reg [{beat - 1}:0] image_q;""",
        f"""\
    always @(posedge clk_i) begin
        rst_q <= rst_i;
        image_q <= {{image_q[{beat - 2}:0], image_i}};
        image_valid_q <= image_valid_i;
        image_last_q <= image_last_i;
        go_q <= host_go_i;
        if (host_shift_i) request_q <= {{request_q[{_REQUEST - 2}:0], host_i}};
        answer_q <= answers ? answer : answer_q >> 1;
    end
    assign host_o = answer_q[0];""",
        "image_q",
        """\
        .cfg_write_i(request_q[96]),
        .cfg_bank_i(request_q[95:80]),
        .cfg_addr_i(request_q[79:64]),
        .cfg_data_i(request_q[63:0]),""",
    )


def _shared(core: Core) -> _Registers:
    """One shift register for all three, of the bits that count: an iCE40 has few cells."""
    banks = core.layout.banks
    bank = max(1, (len(banks) - 1).bit_length())
    addr = max(1, (max(b.n_words for b in banks) - 1).bit_length())
    top = 64 + addr + bank
    return _Registers(
        """\
//   one shift register: a request (write, bank, address, data) or a beat of an image is shifted
//   in, highest bit first, while host_shift_i is 1; a request is asked in the cycle after
//   host_go_i; an answer takes the place of its data, and is shifted out highest bit first""",
        "",
        f"""\
    reg [{top}:0] shared_q;
    reg go_q;
    reg rst_q;""",
        f"""\
    always @(posedge clk_i) begin
        rst_q <= rst_i;
        image_valid_q <= image_valid_i;
        image_last_q <= image_last_i;
        go_q <= host_go_i;
        if (answers) shared_q[63:0] <= answer;
        else if (host_shift_i) shared_q <= {{shared_q[{top - 1}:0], host_i}};
    end
    assign host_o = shared_q[{top}];""",
        f"shared_q[{beat_bits(core) - 1}:0]",
        f"""\
        .cfg_write_i(shared_q[{top}]),
        .cfg_bank_i({{{16 - bank}'d0, shared_q[{top - 1}:{top - bank}]}}),
        .cfg_addr_i({{{16 - addr}'d0, shared_q[{63 + addr}:64]}}),
        .cfg_data_i(shared_q[63:0]),""",
    )


def vehicle_verilog(core: Core, chip: Board) -> str:
    """The module between pins and `stoic_core`."""
    registers = _shared(core) if chip.family == "ice40" else _separate(core)
    return f"""\
// SPDX-License-Identifier: Apache-2.0
// {chip.top} : `stoic_core` between pins, for figures of place and route; made by stoic.hw.vehicle
//
{registers.said}
`resetall
`timescale 1ns / 1ps
`default_nettype none
module {chip.top} (
    input  wire clk_i, rst_i,
    input  wire {registers.image_pin}image_valid_i, image_last_i,
    output wire image_ready_o,
    output wire [{score_bits(core) - 1}:0] score_o,
    output wire score_valid_o, score_last_o,
    input  wire score_ready_i,
    input  wire host_i, host_shift_i, host_go_i,
    output wire host_o, busy_o
);
{registers.declared}
    reg image_valid_q;
    reg image_last_q;
    wire [31:0] score;
    assign score_o = score[{score_bits(core) - 1}:0];
    wire answers;
    wire [63:0] answer;
{registers.clocked}
    stoic_core #(
        .TARGET("{chip.family}")
    ) core (
        .clk_i(clk_i),
        .rst_i(rst_q),
        .s_axis_tdata({registers.image}),
        .s_axis_tvalid(image_valid_q),
        .s_axis_tready(image_ready_o),
        .s_axis_tlast(image_last_q),
        .m_axis_tdata(score),
        .m_axis_tvalid(score_valid_o),
        .m_axis_tready(score_ready_i),
        .m_axis_tlast(score_last_o),
        .cfg_valid_i(go_q),
{registers.request}
        .cfg_rvalid_o(answers),
        .cfg_rdata_o(answer),
        .busy_o(busy_o)
    );
endmodule
`resetall
"""


def synthesise(vehicle: Vehicle, out_dir: Path, tools: Mapping[str, str]) -> float:
    """Netlist of a vehicle, refused unless all of the layout's memories are in it; seconds it took.

    Raises:
        ToolError: synthesis failed, the netlist does not fit, or a memory is not in it.
    """
    core, chip = vehicle.core, vehicle.chip
    folder = out_dir / "src"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text, files = core_files(core, has_registers=vehicle.has_registers)
    sources = {path.name: path.read_text() for path in files}
    sources["stoic_core.v"] = text
    sources[f"{chip.top}.v"] = vehicle_verilog(core, chip)
    for name, text in sources.items():
        (folder / name).write_text(text)
    job = {
        "sources": [f"src/{name}" for name in sorted(sources)],
        "top": chip.top,
        "synth": synth_command(chip.family, chip.device),
        "netlist": "synth.netlist.json",
        "stat": "synth.stat.json",
    }
    (out_dir / "synth.job.json").write_text(json.dumps(job, indent=2))
    command = [sys.executable, "-m", "stoic.hw.flows.yosys", "synth.job.json"]
    inputs = [out_dir / "synth.job.json", *(folder / name for name in sorted(sources))]
    inputs += [FIRST[job["synth"]]] if job["synth"] in FIRST else []
    outputs = [out_dir / "synth.netlist.json", out_dir / "synth.stat.json"]
    wall_s = step(out_dir, "synth", command, inputs, outputs, tools)
    check_core(vehicle.name, core, chip, out_dir)
    return wall_s


def place_and_route(
    vehicle: Vehicle, out_dir: Path, seed: int, tools: Mapping[str, str]
) -> tuple[Route, dict[str, Any]]:
    """Timing of one seed, pins wherever the tool puts them, and what is used of the chip."""
    name = f"seed{seed}"
    report = out_dir / f"{name}.report.json"
    command = nextpnr.place_and_route(
        vehicle.core,
        vehicle.chip,
        "synth.netlist.json",
        "",
        f"{name}.routed",
        report.name,
        seed,
    )
    inputs, outputs = [out_dir / "synth.netlist.json"], [out_dir / f"{name}.routed", report]
    wall_s = step(out_dir, name, command, inputs, outputs, tools)
    used = utilisation(out_dir / "synth.stat.json", report, vehicle.chip)
    return route(report, seed, wall_s), asdict(used)
