// SPDX-License-Identifier: Apache-2.0
// stoic_popcount : lanes on which weight and input agree, or on which both are 1
//
//   count_o = popcount(~(x_i ^ w_i) & mask)   XNOR = 1
//   count_o = popcount( (x_i & w_i) & mask)   XNOR = 0
//   mask    = all ones, or all but the top PAD lanes while pad_i is 1
//
// One adder level a register. The sums are word-level and of full width, so that a solver proves the
// tree at any width; synthesis trims them.
//
// Latency:    max(1, $clog2(LANES)) cycles
// Throughput: one word a cycle
// Encoding:   bit 1 is +1, bit 0 is -1, lane 0 is the LSB
// Handshake:  none; never stalls
// Golden:     stoic.sim.golden.xnor_popcount (XNOR = 1), one plane of plane_sum (XNOR = 0)
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_popcount #(
    parameter LANES   = 64,  // lanes of a word, 1..64
    parameter XNOR    = 1,   // 1: agreeing lanes; 0: lanes where both are 1
    parameter PAD     = 0,   // top lanes that pad_i masks, 0..LANES-1
    parameter COUNT_W = $clog2(LANES + 1)  // derived: do not override
) (
    input  wire               clk_i,
    input  wire [LANES-1:0]   x_i,
    input  wire [LANES-1:0]   w_i,
    input  wire               pad_i,
    output wire [COUNT_W-1:0] count_o
);
    localparam LEVELS = (LANES > 1) ? $clog2(LANES) : 1;
    localparam [LANES-1:0] REAL = {LANES{1'b1}} >> PAD;

    wire [LANES-1:0] match = (XNOR != 0) ? ~(x_i ^ w_i) : (x_i & w_i);
    wire [LANES-1:0] lanes = match & (REAL | {LANES{!pad_i}});

    generate
        if (LANES < 1 || LANES > 64 || PAD < 0 || PAD >= LANES) begin : g_illegal
            stoic_illegal_parameter ERROR_popcount_needs_LANES_1_64_PAD_below_LANES ();
        end
    endgenerate

`ifdef VERILATOR
    // the same number by the same cycle, without simulating the tree
    wire [COUNT_W-1:0] ones = $countones(lanes);
    reg [COUNT_W*LEVELS-1:0] line_q;
    generate
        if (LEVELS > 1) begin : g_line
            always @(posedge clk_i) line_q <= {line_q[COUNT_W*(LEVELS-1)-1:0], ones};
        end else begin : g_one
            always @(posedge clk_i) line_q <= ones;
        end
    endgenerate
    assign count_o = line_q[COUNT_W*LEVELS-1:COUNT_W*(LEVELS-1)];
`else
    localparam LEAVES = 1 << LEVELS;
    wire [LEAVES-1:0] leaf;
    generate
        if (LEAVES > LANES) begin : g_fill
            assign leaf = {{(LEAVES - LANES){1'b0}}, lanes};
        end else begin : g_exact
            assign leaf = lanes;
        end
    endgenerate

    // node i adds nodes 2i and 2i + 1; node 1 is the root
    (* mem2reg *) reg [COUNT_W-1:0] node_q [1:LEAVES-1];
    integer i;
    always @(posedge clk_i) begin
        for (i = LEAVES / 2; i < LEAVES; i = i + 1)
            node_q[i] <= {{(COUNT_W - 1){1'b0}}, leaf[2*i-LEAVES]}
                       + {{(COUNT_W - 1){1'b0}}, leaf[2*i+1-LEAVES]};
        for (i = 1; i < LEAVES / 2; i = i + 1)
            node_q[i] <= node_q[2*i] + node_q[2*i+1];
    end
    assign count_o = node_q[1];
`endif
endmodule

`resetall
