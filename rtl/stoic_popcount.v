// SPDX-License-Identifier: Apache-2.0
// stoic_popcount : lanes on which weight and input agree, or on which both are 1
//
//   count_o = popcount(~(x_i ^ w_i) & mask)   XNOR = 1
//   count_o = popcount( (x_i & w_i) & mask)   XNOR = 0
//   mask    = all ones, or all but the top PAD lanes while pad_i is 1
//
// In LUTs of four inputs, XNOR and half adder of two lanes are two, seven lanes 13, fifteen 33: so
// lanes are counted in pairs, sevens and fifteens, and these in a tree, a level a register. With
// FULL_ADDERS a lane has a LUT of its own instead of a pair, with room for the faults of stoic_ram.
// The sums are word-level, so that a solver proves them at any width; synthesis trims them.
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
    localparam SUM_W = LEVELS + 1;  // of all leaves: 15 LEAVES at most
    wire [15*LEAVES-1:0] filled = {{(15 * LEAVES - LANES){1'b0}}, lanes};
    wire [3*2*LEAVES-1:0] seven;
    wire [SUM_W*LEAVES-1:0] leaf;
    genvar g;
    generate
        for (g = 0; g < 2 * LEAVES; g = g + 1) begin : g_seven
            wire [6:0] lane = filled[15*(g/2)+7*(g%2)+6:15*(g/2)+7*(g%2)];
            reg [2:0] count_q;
            if (FULL_ADDERS != 0) begin : g_lanes
                reg [6:0] lane_q;
                wire [1:0] low = {1'd0, lane_q[0]} + {1'd0, lane_q[1]} + {1'd0, lane_q[2]};
                wire [1:0] high = {1'd0, lane_q[3]} + {1'd0, lane_q[4]} + {1'd0, lane_q[5]};
                wire [3:0] twice = {1'b0, low, 1'b1} + {1'b0, high, lane_q[6]};
                always @(posedge clk_i) begin
                    lane_q <= lane;
                    count_q <= twice[3:1];
                end
            end else begin : g_pairs
                reg [3:0] one_q;  // one lane of a pair, or the lane that is in none
                reg [2:0] two_q;  // both lanes of a pair
                wire [2:0] ones = {2'd0, one_q[0]} + {2'd0, one_q[1]} + {2'd0, one_q[2]}
                                + {2'd0, one_q[3]};
                wire [2:0] twos = {2'd0, two_q[0]} + {2'd0, two_q[1]} + {2'd0, two_q[2]}
                                + {2'd0, ones[1]};
                always @(posedge clk_i) begin
                    one_q <= {lane[6], lane[5] ^ lane[4], lane[3] ^ lane[2], lane[1] ^ lane[0]};
                    two_q <= {lane[5] & lane[4], lane[3] & lane[2], lane[1] & lane[0]};
                    count_q <= {twos[1] || ones[2], twos[0], ones[0]};  // 7 at most
                end
            end
            assign seven[3*g+2:3*g] = count_q;
        end
        for (g = 0; g < LEAVES; g = g + 1) begin : g_fifteen
            reg [1:0] lane_q;
            reg [3:0] count_q;
            wire [4:0] twice = {1'b0, seven[6*g+5:6*g+3], 1'b1}
                             + {1'b0, seven[6*g+2:6*g], lane_q[1]};  // carry in
            always @(posedge clk_i) begin
                lane_q <= {lane_q[0], filled[15*g+14]};
                count_q <= twice[4:1];
            end
            assign leaf[SUM_W*g+SUM_W-1:SUM_W*g] = {{(SUM_W - 4){1'b0}}, count_q};
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
        end else begin : g_leaf
            assign sum = leaf;
        end
    endgenerate
    assign count_o = sum[COUNT_W-1:0];
`endif
endmodule

`resetall
