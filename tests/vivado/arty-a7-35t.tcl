# Arty A7-35T, AMD Artix-7 XC7A35T: from Verilog to tiny.bit; made by stoic.hw.flows.vivado
# Run it in this folder: vivado -mode batch -nojournal -nolog -source build.tcl
read_verilog [list \
    src/board_arty_a7_35t.v \
    src/stoic_add.v \
    src/stoic_core.v \
    src/stoic_crc32.v \
    src/stoic_fifo.v \
    src/stoic_fifteen.v \
    src/stoic_fork.v \
    src/stoic_gate.v \
    src/stoic_injector.v \
    src/stoic_injector_mask.v \
    src/stoic_injector_port.v \
    src/stoic_link.v \
    src/stoic_link_exec.v \
    src/stoic_link_info.v \
    src/stoic_link_pages.v \
    src/stoic_link_rx.v \
    src/stoic_link_scores.v \
    src/stoic_link_tx.v \
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
    src/stoic_sum.v \
    src/stoic_thermometer.v \
    src/stoic_threshold.v \
    src/stoic_top.v \
    src/stoic_uart.v \
    src/stoic_uart_rx.v \
    src/stoic_uart_tx.v \
    src/stoic_unbatch.v \
    src/stoic_width.v \
    src/stoic_window.v \
]
read_xdc pins.xdc
synth_design -top board_arty_a7_35t -part xc7a35ticsg324-1L
opt_design
place_design
phys_opt_design
route_design
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
write_bitstream -force tiny.bit
