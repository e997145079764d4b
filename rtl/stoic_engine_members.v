// SPDX-License-Identifier: Apache-2.0
// stoic_engine_members : adds what the members of an ensemble say of a class, one after the other
//
//   sum = scores of MEMBERS cycles with valid_i
//
// Latency:    1 cycle after the last member
// Throughput: one score a cycle
// Encoding:   unsigned
// Handshake:  none; never stalls. The first score after reset is of member 0
// Golden:     the sum over members in stoic.sim.golden.scores
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_engine_members #(
    parameter MEMBERS = 2,   // 2..32
    parameter VALUE_W = 10,  // bits of a score
    parameter SUM_W   = 12   // bits of a sum, above VALUE_W
) (
    input  wire               clk_i,
    input  wire               rst_i,
    input  wire               valid_i,
    input  wire [VALUE_W-1:0] score_i,
    input  wire               last_i,   // of an image
    output wire               valid_o,
    output wire [SUM_W-1:0]   sum_o,
    output wire               last_o
);
    localparam [MEMBERS-1:0] MEMBER_0 = 1;

    generate
        if (MEMBERS < 2 || MEMBERS > 32 || SUM_W <= VALUE_W) begin : g_illegal
            stoic_illegal_parameter ERROR_engine_members_needs_MEMBERS_2_32_SUM_W_VALUE_W ();
        end
    endgenerate

    reg [MEMBERS-1:0] turn_q;  // one-hot member
    reg valid_q;
    reg last_q;
    reg [SUM_W-1:0] sum_q;
    always @(posedge clk_i) begin
        last_q <= last_i;
        if (valid_i)
            sum_q <= (sum_q & {SUM_W{!turn_q[0]}}) + {{(SUM_W - VALUE_W){1'b0}}, score_i};
        if (rst_i) begin
            turn_q <= MEMBER_0;
            valid_q <= 1'b0;
        end else begin
            valid_q <= valid_i && turn_q[MEMBERS-1];
            if (valid_i) turn_q <= {turn_q[MEMBERS-2:0], turn_q[MEMBERS-1]};
        end
    end
    assign valid_o = valid_q;
    assign sum_o = sum_q;
    assign last_o = last_q;
endmodule

`resetall
