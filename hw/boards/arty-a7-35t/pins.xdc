# Digilent Arty A7-35T, the pins that board_arty_a7_35t uses
# Source: Digilent, digilent-xdc, Arty-A7-35-Master.xdc (revisions D and E; names there in the comments).
set_property CFGBVS VCCO [current_design]
set_property CONFIG_VOLTAGE 3.3 [current_design]
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]

# CLK100MHZ
set_property -dict { PACKAGE_PIN E3 IOSTANDARD LVCMOS33 } [get_ports { clk_i }]
create_clock -name clk_i -period 10.000 [get_ports { clk_i }]

# ck_rst, the red button RESET: low while pressed
set_property -dict { PACKAGE_PIN C2 IOSTANDARD LVCMOS33 } [get_ports { button_i }]

# uart_txd_in is our input, uart_rxd_out our output
set_property -dict { PACKAGE_PIN A9 IOSTANDARD LVCMOS33 } [get_ports { uart_rx_i }]
set_property -dict { PACKAGE_PIN D10 IOSTANDARD LVCMOS33 } [get_ports { uart_tx_o }]

# led[0] to led[2], LD4 to LD6 on the board
set_property -dict { PACKAGE_PIN H5 IOSTANDARD LVCMOS33 } [get_ports { led_o[0] }]
set_property -dict { PACKAGE_PIN J5 IOSTANDARD LVCMOS33 } [get_ports { led_o[1] }]
set_property -dict { PACKAGE_PIN T9 IOSTANDARD LVCMOS33 } [get_ports { led_o[2] }]

# all of them are slow and come and go without a clock
set_false_path -from [get_ports { button_i uart_rx_i }]
set_false_path -to [get_ports { uart_tx_o led_o[*] }]
