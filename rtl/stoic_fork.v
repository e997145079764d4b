// SPDX-License-Identifier: Apache-2.0
// stoic_fork : one stream to several sinks; every sink gets every beat
//
// Latency:    0
// Throughput: one beat a cycle, as the slowest sink takes them
// Encoding:   payload passes beside this unit; it holds until the last sink took it
// Handshake:  AXI4-Stream; combinational ready. A beat is offered to each sink at once, and no longer
//             to one that took it
// Golden:     the identity
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_fork #(
    parameter SINKS = 2  // 1 or more
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* in */
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    /* out, a bit for each sink */
    output wire [SINKS-1:0] m_axis_tvalid,
    input  wire [SINKS-1:0] m_axis_tready
);
    reg [SINKS-1:0] done_q;  // sinks that took the beat that others did not take yet
    wire [SINKS-1:0] done = done_q | m_axis_tready;

    generate
        if (SINKS < 1) begin : g_illegal
            stoic_illegal_parameter ERROR_fork_needs_SINKS_positive ();
        end
    endgenerate

    always @(posedge clk_i) begin
        if (rst_i || !s_axis_tvalid || s_axis_tready) done_q <= {SINKS{1'b0}};
        else done_q <= done;
    end

    assign s_axis_tready = &done;
    assign m_axis_tvalid = {SINKS{s_axis_tvalid}} & ~done_q;
endmodule

`resetall
