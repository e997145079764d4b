// SPDX-License-Identifier: Apache-2.0
// DP16KD : behaviour of the ECP5 block RAM as Yosys infers it, for simulation
//
// No output registers, no chip select, no reset, blank. Two ports of 1, 2, 4, 9 or 18 bits; or 36
// bits, then A writes and B reads. A port that writes keeps what it read (NORMAL) or reads what
// stood there (READBEFOREWRITE).
//
// Source: Lattice FPGA-TN-02204 (true dual port RAM); Yosys lattice/brams_map_16kd.v for the pins:
//
//   width      address  data           bytes that a write changes
//   1, 2, 4, 9 [13:LOW] [width-1:0]    all
//   18         [13:4]   [17:0]         9 bits for each of address [1:0]
//   36         [13:5]   B, A: [35:0]   9 bits for each of address [3:0]
`resetall
`timescale 1ns / 1ps
`default_nettype none

module DP16KD #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC",
    parameter ASYNC_RESET_RELEASE = "SYNC",
    parameter CSDECODE_A = "0b000",
    parameter CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL",
    parameter WRITEMODE_B = "NORMAL",
    parameter CLKAMUX = "CLKA",
    parameter CLKBMUX = "CLKB",
    parameter GSR = "ENABLED"
) (
    input  wire CLKA, CEA, OCEA, WEA, RSTA, CSA2, CSA1, CSA0,
    input  wire ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6,
    input  wire ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input  wire DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8,
    input  wire DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16, DIA17,
    output wire DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8,
    output wire DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16, DOA17,
    input  wire CLKB, CEB, OCEB, WEB, RSTB, CSB2, CSB1, CSB0,
    input  wire ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6,
    input  wire ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input  wire DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8,
    input  wire DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16, DIB17,
    output wire DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8,
    output wire DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16, DOB17
);
    localparam WIDTH = DATA_WIDTH_A;
    localparam LOW = (WIDTH == 1) ? 0 : (WIDTH == 2) ? 1 : (WIDTH == 4) ? 2 : (WIDTH == 9) ? 3 :
                     (WIDTH == 18) ? 4 : 5;
    localparam KNOWN = WIDTH == 1 || WIDTH == 2 || WIDTH == 4 || WIDTH == 9 || WIDTH == 18
        || WIDTH == 36;

    generate
        if (!KNOWN || DATA_WIDTH_B != WIDTH || REGMODE_A != "NOREG" || REGMODE_B != "NOREG"
            || WRITEMODE_A == "WRITETHROUGH" || WRITEMODE_B == "WRITETHROUGH"
            || CLKAMUX != "CLKA" || CLKBMUX != "CLKB") begin : g_illegal
            stoic_illegal_parameter ERROR_this_use_of_DP16KD_is_not_modelled ();
        end
    endgenerate

    reg [WIDTH-1:0] mem [0:(1<<(14-LOW))-1];
    reg [WIDTH-1:0] read_a_q;
    reg [WIDTH-1:0] read_b_q;
    wire on_a = CEA && {CSA2, CSA1, CSA0} == 3'd0;
    wire on_b = CEB && {CSB2, CSB1, CSB0} == 3'd0;
    wire [13:0] addr_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7,
                          ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] addr_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7,
                          ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [17:0] di_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
                        DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [17:0] di_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
                        DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    wire [17:0] do_a;
    wire [17:0] do_b;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
            DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = do_a;
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
            DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = do_b;
    wire [35:0] bytes_a = (WIDTH < 18) ? {36{1'b1}} :
        {{9{addr_a[3]}}, {9{addr_a[2]}}, {9{addr_a[1]}}, {9{addr_a[0]}}};
    wire [35:0] bytes_b = (WIDTH < 18) ? {36{1'b1}} : {18'd0, {9{addr_b[1]}}, {9{addr_b[0]}}};
    wire [35:0] word_a = {di_b, di_a};
    wire [35:0] word_b = {18'd0, di_b};

    always @(posedge CLKA)
        if (on_a) begin
            if (WEA)
                mem[addr_a[13:LOW]] <= (mem[addr_a[13:LOW]] & ~bytes_a[WIDTH-1:0])
                                       | (word_a[WIDTH-1:0] & bytes_a[WIDTH-1:0]);
            if (!WEA || WRITEMODE_A == "READBEFOREWRITE") read_a_q <= mem[addr_a[13:LOW]];
        end
    always @(posedge CLKB)
        if (on_b) begin
            if (WEB)
                mem[addr_b[13:LOW]] <= (mem[addr_b[13:LOW]] & ~bytes_b[WIDTH-1:0])
                                       | (word_b[WIDTH-1:0] & bytes_b[WIDTH-1:0]);
            if (!WEB || WRITEMODE_B == "READBEFOREWRITE") read_b_q <= mem[addr_b[13:LOW]];
        end

    generate
        if (WIDTH == 36) begin : g_pseudo
            assign {do_b, do_a} = read_b_q;
        end else begin : g_true
            assign do_a = {{(18 - WIDTH){1'b0}}, read_a_q};
            assign do_b = {{(18 - WIDTH){1'b0}}, read_b_q};
        end
    endgenerate
endmodule

`resetall
