// SPDX-License-Identifier: Apache-2.0
// stoic_fifteen as one sum, which a solver adds up with others; the proofs fifteen-* show that it is
// what rtl/stoic_fifteen.v computes, and all other proofs read this instead.
module stoic_fifteen #(
    parameter FULL_ADDERS = 0,
    parameter COUNT_W     = 4
) (
    input  wire               clk_i,
    input  wire [14:0]        lane_i,
    output reg  [COUNT_W-1:0] count_o
);
    reg [14:0] lane_q;
    reg [14:0] lane_q2;
    integer i;
    reg [COUNT_W-1:0] count;
    always @* begin
        count = {COUNT_W{1'b0}};
        for (i = 0; i < 15; i = i + 1) count = count + lane_q2[i];
    end
    always @(posedge clk_i) begin
        lane_q <= lane_i;
        lane_q2 <= lane_q;
        count_o <= count;
    end
endmodule
