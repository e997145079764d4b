// SPDX-License-Identifier: Apache-2.0
// stoic_sum : running sum of counts
//
//   total_o(t + 1) = (keep_i ? total_o : 0) + count_i
//
// On ECP5 the choice of "keep" stands in the tables of the carry chain itself, one cell less for every
// bit than synthesis finds.
//
// Latency:    1 cycle
// Throughput: one count a cycle
// Encoding:   unsigned; the sum fits by the choice of TOTAL_W, whatever bits a count has to spare
// Handshake:  none; never stalls
// Golden:     the sum inside stoic.sim.golden.xnor_popcount
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_sum #(
    parameter TOTAL_W = 10,        // bits of the sum
    parameter COUNT_W = 6,         // bits of a count
    parameter TARGET  = "generic"  // "ecp5": carry cells are instantiated
) (
    input  wire               clk_i,
    input  wire [COUNT_W-1:0] count_i,
    input  wire               keep_i,
    output wire [TOTAL_W-1:0] total_o
);
    localparam SUM_W = (TOTAL_W > COUNT_W) ? TOTAL_W : COUNT_W;

    reg [TOTAL_W-1:0] total_q;
    wire [SUM_W-1:0] next;
    wire [SUM_W-1:0] count = {{(SUM_W - COUNT_W){1'b0}}, count_i};
    always @(posedge clk_i) total_q <= next[TOTAL_W-1:0];
    assign total_o = total_q;

    generate
        if (TARGET == "ecp5" && TOTAL_W >= COUNT_W) begin : g_ecp5
            localparam CELLS = (TOTAL_W + 1) / 2;
            wire [2*CELLS-1:0] a = {{(2 * CELLS - TOTAL_W){1'b0}}, total_q};
            wire [2*CELLS-1:0] b = {{(2 * CELLS - TOTAL_W){1'b0}}, count};
            wire [2*CELLS-1:0] s;
            wire [CELLS:0] carry;
            assign carry[0] = 1'b0;
            assign next = s[TOTAL_W-1:0];
            genvar i;
            for (i = 0; i < CELLS; i = i + 1) begin : g_cell
                // table: C (keep) ? A ^ B : B; where that is 0, B is the carry
                CCU2C #(
                    .INIT0(16'h6c6c),
                    .INIT1(16'h6c6c),
                    .INJECT1_0("NO"),
                    .INJECT1_1("NO")
                ) add (
                    .CIN(carry[i]),
                    .A0(a[2*i]), .B0(b[2*i]), .C0(keep_i), .D0(1'b0),
                    .A1(a[2*i+1]), .B1(b[2*i+1]), .C1(keep_i), .D1(1'b0),
                    .S0(s[2*i]), .S1(s[2*i+1]),
                    .COUT(carry[i+1])
                );
            end
        end else begin : g_generic
            wire [SUM_W-1:0] total = {{(SUM_W - TOTAL_W){1'b0}}, total_q};
            assign next = (total & {SUM_W{keep_i}}) + count;
        end
    endgenerate
endmodule

`resetall
