# TUL PYNQ-Z2, the pins that the block design uses beside those of the processor
# Source: TUL, master file of the PYNQ-Z2, pynq-z2_v1.0.xdc (names there: led[0] to led[2]).
set_property -dict { PACKAGE_PIN R14 IOSTANDARD LVCMOS33 } [get_ports { led_o[0] }]
set_property -dict { PACKAGE_PIN P14 IOSTANDARD LVCMOS33 } [get_ports { led_o[1] }]
set_property -dict { PACKAGE_PIN N16 IOSTANDARD LVCMOS33 } [get_ports { led_o[2] }]
set_false_path -to [get_ports { led_o[*] }]
