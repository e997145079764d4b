# PYNQ-Z2, AMD Zynq-7000 XC7Z020: from Verilog to tiny.bit; made by stoic.hw.flows.vivado
# Run it in this folder: vivado -mode batch -nojournal -nolog -source build.tcl
create_project -force -part xc7z020clg400-1 stoic vivado
add_files -norecurse [list \
    src/stoic_add.v \
    src/stoic_axil.v \
    src/stoic_core.v \
    src/stoic_fifo.v \
    src/stoic_fifteen.v \
    src/stoic_fork.v \
    src/stoic_gate.v \
    src/stoic_injector.v \
    src/stoic_injector_mask.v \
    src/stoic_injector_port.v \
    src/stoic_mvu.v \
    src/stoic_mvu_chain.v \
    src/stoic_mvu_control.v \
    src/stoic_mvu_drain.v \
    src/stoic_mvu_feed.v \
    src/stoic_mvu_host.v \
    src/stoic_mvu_stage.v \
    src/stoic_mvu_sums.v \
    src/stoic_mvu_words.v \
    src/stoic_pe.v \
    src/stoic_planes.v \
    src/stoic_pool.v \
    src/stoic_popcount.v \
    src/stoic_ram.v \
    src/stoic_ram_ecp5.v \
    src/stoic_ram_lut.v \
    src/stoic_registers.v \
    src/stoic_scores.v \
    src/stoic_secded.v \
    src/stoic_secded_checks.v \
    src/stoic_skid.v \
    src/stoic_soc.v \
    src/stoic_sum.v \
    src/stoic_thermometer.v \
    src/stoic_threshold.v \
    src/stoic_unbatch.v \
    src/stoic_width.v \
    src/stoic_window.v \
    src/stoic_zynq.v \
]
add_files -fileset constrs_1 -norecurse pins.xdc
update_compile_order -fileset sources_1
create_bd_design overlay

create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7:5.5 ps
set_property -dict [list \
    CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50 \
    CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 100 \
    CONFIG.PCW_USE_M_AXI_GP0 1 \
    CONFIG.PCW_USE_S_AXI_HP0 1 \
    CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64 \
] [get_bd_cells ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
    -config {make_external "FIXED_IO, DDR" Master Disable Slave Disable} [get_bd_cells ps]

create_bd_cell -type module -reference stoic_zynq stoic
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma:7.1 dma
set_property -dict [list \
    CONFIG.c_include_sg 0 \
    CONFIG.c_sg_include_stscntrl_strm 0 \
    CONFIG.c_sg_length_width 26 \
    CONFIG.c_m_axi_mm2s_data_width 64 \
    CONFIG.c_m_axis_mm2s_tdata_width 8 \
    CONFIG.c_mm2s_burst_size 16 \
    CONFIG.c_s2mm_burst_size 16 \
] [get_bd_cells dma]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 control
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 2] [get_bd_cells control]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 memory
set_property -dict [list CONFIG.NUM_SI 2 CONFIG.NUM_MI 1] [get_bd_cells memory]

foreach {from to} {
    ps/M_AXI_GP0 control/S00_AXI
    control/M00_AXI stoic/s_axil
    control/M01_AXI dma/S_AXI_LITE
    dma/M_AXI_MM2S memory/S00_AXI
    dma/M_AXI_S2MM memory/S01_AXI
    memory/M00_AXI ps/S_AXI_HP0
    dma/M_AXIS_MM2S stoic/s_axis
    stoic/m_axis dma/S_AXIS_S2MM
} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}
foreach pin {
    ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK stoic/aclk dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk
    dma/m_axi_s2mm_aclk reset/slowest_sync_clk control/aclk memory/aclk
} {
    connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins reset/ext_reset_in]
foreach pin {stoic/aresetn dma/axi_resetn control/aresetn memory/aresetn} {
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}
create_bd_port -dir O -from 2 -to 0 led_o
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
report_utilization -file utilisation.rpt
report_timing_summary -max_paths 1 -file timing.rpt
report_drc -file drc.rpt
foreach kind {setup hold} {
    set slack [get_property SLACK [get_timing_paths -$kind]]
    if {$slack < 0} {
        puts "ERROR: $kind times are not met by [expr {-$slack}] ns; see timing.rpt"
        exit 1
    }
}
file copy -force vivado/stoic.runs/impl_1/overlay_wrapper.bit tiny.bit
set handoff [glob vivado/stoic.{gen,srcs}/sources_1/bd/overlay/hw_handoff/overlay.hwh]
file copy -force [lindex $handoff 0] tiny.hwh
