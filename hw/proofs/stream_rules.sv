// SPDX-License-Identifier: Apache-2.0
// stream_rules : what every AXI4-Stream output owes its sink
//
// Once tvalid is 1 it stays, and the payload stays as it is, until the word is taken; only reset
// breaks in.
module stream_rules #(
    parameter WIDTH = 1
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire [WIDTH-1:0] payload_i,
    input wire             tvalid_i,
    input wire             tready_i
);
    reg             stalled_q = 1'b0;
    reg [WIDTH-1:0] payload_q;
    always @(posedge clk_i) begin
        stalled_q <= tvalid_i && !tready_i && !rst_i;
        payload_q <= payload_i;
    end
    always @* if (stalled_q) begin
        assert (tvalid_i);
        assert (payload_i == payload_q);
    end
endmodule
