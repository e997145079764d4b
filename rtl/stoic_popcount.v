// SPDX-License-Identifier: Apache-2.0
// stoic_popcount : lanes on which weight and input agree, or on which both are 1
//
//   count_o = popcount(~(x_i ^ w_i) & mask)   XNOR = 1
//   count_o = popcount( (x_i & w_i) & mask)   XNOR = 0
//   mask    = all ones, or all but the top PAD lanes while pad_i is 1
//
// Lanes are counted by fifteens, and these are added in a tree, a level a register. With FULL_ADDERS a
// lane has a LUT of its own, with room for the faults of stoic_ram. The sums are word-level and of full
// width, so that a solver proves the tree at any width; synthesis trims them.
//
// Latency:    3 + $clog2(ceil(LANES / 15)) cycles
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
    parameter FULL_ADDERS = 0,  // 1: for weights that pass faults
    parameter COUNT_W = $clog2(LANES + 1)  // derived: do not override
) (
    input  wire               clk_i,
    input  wire [LANES-1:0]   x_i,
    input  wire [LANES-1:0]   w_i,
    input  wire               pad_i,
    output wire [COUNT_W-1:0] count_o
);
    localparam LEVELS = 3 + $clog2((LANES + 14) / 15);
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
    always @(posedge clk_i) line_q <= {line_q[COUNT_W*(LEVELS-1)-1:0], ones};
    assign count_o = line_q[COUNT_W*LEVELS-1:COUNT_W*(LEVELS-1)];
`else
    localparam LEAVES = 1 << (LEVELS - 3);
    localparam SUM_W = (COUNT_W > 4) ? COUNT_W : 4;
    wire [15*LEAVES-1:0] filled = {{(15 * LEAVES - LANES){1'b0}}, lanes};
    wire [SUM_W*LEAVES-1:0] leaf;
    genvar g;
    generate
        for (g = 0; g < LEAVES; g = g + 1) begin : g_leaf
            stoic_fifteen #(
                .FULL_ADDERS(FULL_ADDERS),
                .COUNT_W(SUM_W)
            ) fifteen (
                .clk_i(clk_i),
                .lane_i(filled[15*g+14:15*g]),
                .count_o(leaf[SUM_W*g+SUM_W-1:SUM_W*g])
            );
        end
    endgenerate

    // node i adds nodes 2i and 2i + 1, the last ones leaves; node 1 is the root
    wire [SUM_W-1:0] sum;
    generate
        if (LEAVES > 1) begin : g_tree
            (* mem2reg *) reg [SUM_W-1:0] node_q [1:LEAVES-1];
            integer i;
            always @(posedge clk_i) begin
                for (i = LEAVES / 2; i < LEAVES; i = i + 1)
                    node_q[i] <= leaf[SUM_W*(2*i-LEAVES) +: SUM_W]
                               + leaf[SUM_W*(2*i+1-LEAVES) +: SUM_W];
                for (i = 1; i < LEAVES / 2; i = i + 1)
                    node_q[i] <= node_q[2*i] + node_q[2*i+1];
            end
            assign sum = node_q[1];
        end else begin : g_one
            assign sum = leaf;
        end
    endgenerate
    assign count_o = sum[COUNT_W-1:0];
`endif
endmodule

`resetall
