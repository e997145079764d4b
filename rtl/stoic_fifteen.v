// SPDX-License-Identifier: Apache-2.0
// stoic_fifteen : how many of fifteen lanes are 1
//
// In LUTs of four inputs: two lanes are a half adder, which has room for the XNOR in front of it, so
// seven lanes take 13 LUTs with their XNOR, fifteen 33: seven, seven and a carry. With FULL_ADDERS each
// lane is stored first, so that its LUT has room for more than an XNOR; then fifteen take 37.
//
// Latency:    3 cycles
// Throughput: one word a cycle
// Encoding:   unsigned
// Handshake:  none; never stalls
// Golden:     the sum inside stoic.sim.golden.xnor_popcount
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_fifteen #(
    parameter FULL_ADDERS = 0,  // 1: a register for each lane
    parameter COUNT_W     = 4   // bits of the count, 4 or more
) (
    input  wire               clk_i,
    input  wire [14:0]        lane_i,
    output wire [COUNT_W-1:0] count_o
);
    generate
        if (COUNT_W < 4) begin : g_illegal
            stoic_illegal_parameter ERROR_fifteen_needs_COUNT_W_4_or_more ();
        end
    endgenerate

    wire [5:0] seven;  // two counts
    genvar g;
    generate
        for (g = 0; g < 2; g = g + 1) begin : g_seven
            wire [6:0] lane = lane_i[7*g+6:7*g];
            reg [2:0] count_q;
            assign seven[3*g+2:3*g] = count_q;
            if (FULL_ADDERS != 0) begin : g_lanes
                reg [6:0] lane_q;
                wire [1:0] low = {1'b0, lane_q[0]} + {1'b0, lane_q[1]} + {1'b0, lane_q[2]};
                wire [1:0] high = {1'b0, lane_q[3]} + {1'b0, lane_q[4]} + {1'b0, lane_q[5]};
                wire [3:0] twice = {1'b0, low, 1'b1} + {1'b0, high, lane_q[6]};  // carry in
                always @(posedge clk_i) begin
                    lane_q <= lane;
                    count_q <= twice[3:1];
                end
            end else begin : g_pairs
                reg [3:0] one_q;  // one lane of a pair, or the lane that is in none
                reg [2:0] two_q;  // both lanes of a pair
                wire [2:0] ones = {2'd0, one_q[0]} + {2'd0, one_q[1]} + {2'd0, one_q[2]}
                                + {2'd0, one_q[3]};
                wire [1:0] twos = {1'b0, two_q[0]} + {1'b0, two_q[1]} + {1'b0, two_q[2]}
                                + {1'b0, ones[1]};  // 3 at most
                always @(posedge clk_i) begin
                    one_q <= {lane[6], lane[5] ^ lane[4], lane[3] ^ lane[2], lane[1] ^ lane[0]};
                    two_q <= {lane[5] & lane[4], lane[3] & lane[2], lane[1] & lane[0]};
                    count_q <= {twos[1] || ones[2], twos[0], ones[0]};  // 7 at most
                end
            end
        end
    endgenerate

    reg [1:0] last_q;
    reg [3:0] count_q;
    wire [4:0] twice = {1'b0, seven[5:3], 1'b1} + {1'b0, seven[2:0], last_q[1]};  // carry in
    always @(posedge clk_i) begin
        last_q <= {last_q[0], lane_i[14]};
        count_q <= twice[4:1];
    end
    assign count_o = {{(COUNT_W - 4){1'b0}}, count_q};
endmodule

`resetall
