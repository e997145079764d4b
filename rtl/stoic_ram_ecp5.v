// SPDX-License-Identifier: Apache-2.0
// stoic_ram_ecp5 : memory of ECP5 block RAM, 512 x 36 blocks tiled to DEPTH x WIDTH
//
//   rdata_o(t + 2) = clear_i(t + 1) ? 0 : mem[raddr_i(t)]
//
// Yosys infers block RAM without its output register, which costs a third of the clock rate, so the
// primitive is instantiated.
//
// Latency:    2 cycles, block and its output register
// Throughput: one write and one read a cycle
// Encoding:   none
// Handshake:  none; never stalls
// Golden:     the memory itself; checked as part of the netlist
//
//   address bits [8:0] inside a block, higher bits choose the row of blocks
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_ram_ecp5 #(
    parameter DEPTH  = 512,  // words, 33..65536
    parameter WIDTH  = 36,   // bits of a word, 1..64
    parameter ADDR_W = $clog2(DEPTH)  // derived: do not override
) (
    input  wire              clk_i,
    /* write port */
    input  wire              we_i,
    input  wire [ADDR_W-1:0] waddr_i,
    input  wire [WIDTH-1:0]  wdata_i,
    /* read port */
    input  wire [ADDR_W-1:0] raddr_i,
    input  wire              clear_i,
    output wire [WIDTH-1:0]  rdata_o
);
    localparam ROWS = (DEPTH + 511) / 512;
    localparam COLS = (WIDTH + 35) / 36;
    localparam FULL_W = 36 * COLS;
    localparam ROW_W = (ADDR_W > 9) ? ADDR_W - 9 : 1;

    wire [FULL_W-1:0] wdata = {{(FULL_W - WIDTH){1'b0}}, wdata_i};
    wire [8:0] waddr;
    wire [8:0] raddr;
    wire [ROW_W-1:0] wrow;
    wire [ROW_W-1:0] rrow;

    generate
        if (ADDR_W > 9) begin : g_tall
            assign waddr = waddr_i[8:0];
            assign raddr = raddr_i[8:0];
            assign wrow = waddr_i[ADDR_W-1:9];
            assign rrow = raddr_i[ADDR_W-1:9];
        end else begin : g_flat
            assign waddr = {{(9 - ADDR_W){1'b0}}, waddr_i};
            assign raddr = {{(9 - ADDR_W){1'b0}}, raddr_i};
            assign wrow = 1'b0;
            assign rrow = 1'b0;
        end
    endgenerate

    reg [ROW_W-1:0] rrow_q;
    reg [ROW_W-1:0] rrow_q2;
    always @(posedge clk_i) begin
        rrow_q <= rrow;
        rrow_q2 <= rrow_q;
    end

    genvar r;
    genvar c;
    generate
        for (r = 0; r < ROWS; r = r + 1) begin : g_link
            wire [FULL_W-1:0] above;  // what rows 0..r read, the chosen one alone
        end
    endgenerate

    generate
        for (r = 0; r < ROWS; r = r + 1) begin : g_row
            wire [FULL_W-1:0] q;
            for (c = 0; c < COLS; c = c + 1) begin : g_col
                wire [35:0] d = wdata[36*c+35:36*c];
                wire [35:0] o;
                assign q[36*c+35:36*c] = o;
                PDPW16KD #(
                    .DATA_WIDTH_W(36),
                    .DATA_WIDTH_R(36),
                    .REGMODE("OUTREG"),
                    .CLKWMUX("CLKW"),
                    .CLKRMUX("CLKR"),
                    .RESETMODE("SYNC"),
                    .GSR("DISABLED")
                ) block (
                    .CLKW(clk_i), .CEW(we_i && wrow == r),
                    .CSW2(1'b0), .CSW1(1'b0), .CSW0(1'b0),
                    .BE3(1'b1), .BE2(1'b1), .BE1(1'b1), .BE0(1'b1),
                    .DI0(d[0]), .DI1(d[1]), .DI2(d[2]), .DI3(d[3]),
                    .DI4(d[4]), .DI5(d[5]), .DI6(d[6]), .DI7(d[7]),
                    .DI8(d[8]), .DI9(d[9]), .DI10(d[10]), .DI11(d[11]),
                    .DI12(d[12]), .DI13(d[13]), .DI14(d[14]), .DI15(d[15]),
                    .DI16(d[16]), .DI17(d[17]), .DI18(d[18]), .DI19(d[19]),
                    .DI20(d[20]), .DI21(d[21]), .DI22(d[22]), .DI23(d[23]),
                    .DI24(d[24]), .DI25(d[25]), .DI26(d[26]), .DI27(d[27]),
                    .DI28(d[28]), .DI29(d[29]), .DI30(d[30]), .DI31(d[31]),
                    .DI32(d[32]), .DI33(d[33]), .DI34(d[34]), .DI35(d[35]),
                    .ADW0(waddr[0]), .ADW1(waddr[1]), .ADW2(waddr[2]), .ADW3(waddr[3]),
                    .ADW4(waddr[4]), .ADW5(waddr[5]), .ADW6(waddr[6]), .ADW7(waddr[7]),
                    .ADW8(waddr[8]),
                    .CLKR(clk_i), .CER(1'b1), .OCER(1'b1), .RST(clear_i),
                    .CSR2(1'b0), .CSR1(1'b0), .CSR0(1'b0),
                    .ADR4(1'b0), .ADR3(1'b0), .ADR2(1'b0), .ADR1(1'b0), .ADR0(1'b0),
                    .ADR5(raddr[0]), .ADR6(raddr[1]), .ADR7(raddr[2]), .ADR8(raddr[3]),
                    .ADR9(raddr[4]), .ADR10(raddr[5]), .ADR11(raddr[6]), .ADR12(raddr[7]),
                    .ADR13(raddr[8]),
                    // the block reads the halves of a word exchanged (see tests/cells/pdpw16kd.v)
                    .DO0(o[18]), .DO1(o[19]), .DO2(o[20]), .DO3(o[21]),
                    .DO4(o[22]), .DO5(o[23]), .DO6(o[24]), .DO7(o[25]),
                    .DO8(o[26]), .DO9(o[27]), .DO10(o[28]), .DO11(o[29]),
                    .DO12(o[30]), .DO13(o[31]), .DO14(o[32]), .DO15(o[33]),
                    .DO16(o[34]), .DO17(o[35]), .DO18(o[0]), .DO19(o[1]),
                    .DO20(o[2]), .DO21(o[3]), .DO22(o[4]), .DO23(o[5]),
                    .DO24(o[6]), .DO25(o[7]), .DO26(o[8]), .DO27(o[9]),
                    .DO28(o[10]), .DO29(o[11]), .DO30(o[12]), .DO31(o[13]),
                    .DO32(o[14]), .DO33(o[15]), .DO34(o[16]), .DO35(o[17])
                );
            end
            wire [FULL_W-1:0] mine = (ROWS == 1 || rrow_q2 == r) ? q : {FULL_W{1'b0}};
            if (r == 0) begin : g_first
                assign g_link[r].above = mine;
            end else begin : g_more
                assign g_link[r].above = g_link[r-1].above | mine;
            end
        end
    endgenerate

    assign rdata_o = g_link[ROWS-1].above[WIDTH-1:0];
endmodule

`resetall
