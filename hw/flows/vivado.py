"""Vivado: the Tcl that makes a bitstream of a design, and the command that runs it.

A board with a UART needs no project: its top is Verilog. On a Zynq the shell of `hw/zynq.py` stands
in a block design with processor, DMA and interconnect, so there is a project in `vivado/`. Either
Tcl ends with status 1, and without a bitstream, when setup or hold times are not met.

The processor is configured as far as the overlay's own side goes: clock, reset and ports. DDR and
pins of the processor are those of the image that boots the board, so this makes no boot image.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence

from ...sim.exceptions import ToolError
from ..boards import Board

SCRIPT, PINS = "build.tcl", "pins.xdc"
UTILISATION, TIMING = "utilisation.rpt", "timing.rpt"
COMMAND = ("vivado", "-mode", "batch", "-nojournal", "-nolog", "-source", SCRIPT)
_TIMEOUT_S = 60

_REPORTS = f"""\
report_utilization -file {UTILISATION}
report_timing_summary -max_paths 1 -file {TIMING}
report_drc -file drc.rpt
foreach kind {{setup hold}} {{
    set slack [get_property SLACK [get_timing_paths -$kind]]
    if {{$slack < 0}} {{
        puts "ERROR: $kind times are not met by [expr {{-$slack}}] ns; see {TIMING}"
        exit 1
    }}
}}
"""


def find_vivado() -> str | None:
    """Path of Vivado, None where it is not on PATH."""
    return shutil.which(COMMAND[0])


def vivado_version(path: str) -> str:
    """Its version, e.g. "2023.2".

    Raises:
        ToolError: it does not run, or does not say.
    """
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{path} does not run ({error})") from error
    found = re.search(r"\bv(\d{4}\.\d\S*)", done.stdout)
    if not found:
        raise ToolError(f"{path} -version does not name its version")
    return found[1]


def build_tcl(board: Board, sources: Sequence[str], bitstream: str) -> str:
    """The Tcl that runs in the folder of the design.

    Args:
        sources: paths of the Verilog files.
        bitstream: path of `*.bit`; on a Zynq `*.hwh` comes beside it.
    """
    head = f"""\
# {board.title}: from Verilog to {bitstream}; made by stoic.hw.flows.vivado
# Run it in this folder: {" ".join(COMMAND)}
"""
    files = " \\\n".join(f"    {source}" for source in sorted(sources))
    listed = f"[list \\\n{files} \\\n]"
    if board.has_uart:
        return head + _plain(board, listed, bitstream)
    return head + _block_design(board, listed, bitstream)


def _plain(board: Board, sources: str, bitstream: str) -> str:
    return f"""\
read_verilog {sources}
read_xdc {PINS}
synth_design -top {board.top} -part {board.part}
opt_design
place_design
phys_opt_design
route_design
{_REPORTS}write_bitstream -force {bitstream}
"""


def _block_design(board: Board, sources: str, bitstream: str) -> str:
    pll = board.pll
    return f"""\
create_project -force -part {board.part} stoic vivado
add_files -norecurse {sources}
add_files -fileset constrs_1 -norecurse {PINS}
update_compile_order -fileset sources_1
create_bd_design overlay

create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7:5.5 ps
set_property -dict [list \\
    CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ {pll.pin_hz / 1e6:g} \\
    CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ {pll.core_hz / 1e6:g} \\
    CONFIG.PCW_USE_M_AXI_GP0 1 \\
    CONFIG.PCW_USE_S_AXI_HP0 1 \\
    CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 \\
] [get_bd_cells ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \\
    -config {{make_external "FIXED_IO, DDR" Master Disable Slave Disable}} [get_bd_cells ps]

create_bd_cell -type module -reference stoic_zynq stoic
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma:7.1 dma
set_property -dict [list \\
    CONFIG.c_include_sg 0 \\
    CONFIG.c_sg_include_stscntrl_strm 0 \\
    CONFIG.c_sg_length_width 26 \\
    CONFIG.c_m_axi_mm2s_data_width 64 \\
    CONFIG.c_m_axis_mm2s_tdata_width 8 \\
    CONFIG.c_mm2s_burst_size 16 \\
    CONFIG.c_s2mm_burst_size 16 \\
] [get_bd_cells dma]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 control
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 2] [get_bd_cells control]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 memory
set_property -dict [list CONFIG.NUM_SI 2 CONFIG.NUM_MI 1] [get_bd_cells memory]

foreach {{from to}} {{
    ps/M_AXI_GP0 control/S00_AXI
    control/M00_AXI stoic/s_axil
    control/M01_AXI dma/S_AXI_LITE
    dma/M_AXI_MM2S memory/S00_AXI
    dma/M_AXI_S2MM memory/S01_AXI
    memory/M00_AXI ps/S_AXI_HP0
    dma/M_AXIS_MM2S stoic/s_axis
    stoic/m_axis dma/S_AXIS_S2MM
}} {{
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}}
foreach pin {{
    ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK stoic/aclk dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk
    dma/m_axi_s2mm_aclk reset/slowest_sync_clk control/aclk memory/aclk
}} {{
    connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins $pin]
}}
connect_bd_net [get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins reset/ext_reset_in]
foreach pin {{stoic/aresetn dma/axi_resetn control/aresetn memory/aresetn}} {{
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}}
create_bd_port -dir O -from {board.n_leds - 1} -to 0 led_o
connect_bd_net [get_bd_pins stoic/led_o] [get_bd_ports led_o]
assign_bd_address
validate_bd_design
save_bd_design

make_wrapper -files [get_files overlay.bd] -top -import
set_property top overlay_wrapper [current_fileset]
update_compile_order -fileset sources_1
launch_runs impl_1 -to_step write_bitstream -jobs 2
wait_on_run impl_1
open_run impl_1
{_REPORTS}file copy -force vivado/stoic.runs/impl_1/overlay_wrapper.bit {bitstream}
set handoff [glob vivado/stoic.{{gen,srcs}}/sources_1/bd/overlay/hw_handoff/overlay.hwh]
file copy -force [lindex $handoff 0] {bitstream.removesuffix(".bit")}.hwh
"""
