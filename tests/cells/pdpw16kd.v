// SPDX-License-Identifier: Apache-2.0
// PDPW16KD : behaviour of the ECP5 block RAM 512 x 36 as stoic_ram_ecp5 uses it, for simulation
//
// Output register on, its reset in step with the clock, both clocks the same, no byte enables, no
// chip select.
//
// Source: Lattice FPGA-TN-02204 (pseudo dual port RAM) and nextpnr ecp5/pack.cc: DI[17:0] and DI[35:18]
//         go to the data of ports A and B, DO[35:18] and DO[17:0] come from them. So the halves of a
//         word leave exchanged: what was written to DI[17:0] is read at DO[35:18]. RST goes to the
//         output registers of both ports.
`resetall
`timescale 1ns / 1ps
`default_nettype none

module PDPW16KD #(
    parameter DATA_WIDTH_W = 36,
    parameter DATA_WIDTH_R = 36,
    parameter REGMODE      = "NOREG",
    parameter RESETMODE    = "SYNC",
    parameter CLKWMUX      = "CLKW",
    parameter CLKRMUX      = "CLKR",
    parameter GSR          = "ENABLED"
) (
    input  wire CLKW, CEW, CSW2, CSW1, CSW0, BE3, BE2, BE1, BE0,
    input  wire DI0, DI1, DI2, DI3, DI4, DI5, DI6, DI7, DI8, DI9, DI10, DI11,
    input  wire DI12, DI13, DI14, DI15, DI16, DI17, DI18, DI19, DI20, DI21, DI22, DI23,
    input  wire DI24, DI25, DI26, DI27, DI28, DI29, DI30, DI31, DI32, DI33, DI34, DI35,
    input  wire ADW0, ADW1, ADW2, ADW3, ADW4, ADW5, ADW6, ADW7, ADW8,
    input  wire CLKR, CER, OCER, RST, CSR2, CSR1, CSR0,
    input  wire ADR0, ADR1, ADR2, ADR3, ADR4, ADR5, ADR6, ADR7, ADR8, ADR9, ADR10, ADR11, ADR12, ADR13,
    output wire DO0, DO1, DO2, DO3, DO4, DO5, DO6, DO7, DO8, DO9, DO10, DO11,
    output wire DO12, DO13, DO14, DO15, DO16, DO17, DO18, DO19, DO20, DO21, DO22, DO23,
    output wire DO24, DO25, DO26, DO27, DO28, DO29, DO30, DO31, DO32, DO33, DO34, DO35
);
    generate
        if (DATA_WIDTH_W != 36 || DATA_WIDTH_R != 36 || REGMODE != "OUTREG"
            || RESETMODE != "SYNC") begin : g_illegal
            stoic_illegal_parameter ERROR_this_use_of_PDPW16KD_is_not_modelled ();
        end
    endgenerate

    reg [35:0] mem [0:511];
    reg [35:0] read_q;
    reg [35:0] out_q;
    wire [8:0] waddr = {ADW8, ADW7, ADW6, ADW5, ADW4, ADW3, ADW2, ADW1, ADW0};
    wire [8:0] raddr = {ADR13, ADR12, ADR11, ADR10, ADR9, ADR8, ADR7, ADR6, ADR5};
    wire [35:0] di = {DI35, DI34, DI33, DI32, DI31, DI30, DI29, DI28, DI27, DI26, DI25, DI24,
                      DI23, DI22, DI21, DI20, DI19, DI18, DI17, DI16, DI15, DI14, DI13, DI12,
                      DI11, DI10, DI9, DI8, DI7, DI6, DI5, DI4, DI3, DI2, DI1, DI0};
    assign {DO17, DO16, DO15, DO14, DO13, DO12, DO11, DO10, DO9, DO8, DO7, DO6,
            DO5, DO4, DO3, DO2, DO1, DO0,
            DO35, DO34, DO33, DO32, DO31, DO30, DO29, DO28, DO27, DO26, DO25, DO24,
            DO23, DO22, DO21, DO20, DO19, DO18} = out_q;
    always @(posedge CLKW)
        if (CEW && {CSW2, CSW1, CSW0} == 3'd0 && {BE3, BE2, BE1, BE0} == 4'hf) mem[waddr] <= di;
    always @(posedge CLKR) begin
        if (CER && {CSR2, CSR1, CSR0} == 3'd0) read_q <= mem[raddr];
        if (RST) out_q <= 36'd0;
        else if (OCER) out_q <= read_q;
    end
endmodule

`resetall
