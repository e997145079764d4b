// SPDX-License-Identifier: Apache-2.0
// stoic_gate : lets whole images pass, and none while it is held
//
//   an image that has begun passes; the next one waits while hold_i is 1
//
// Latency:    0; hold_i counts a cycle later, and not for a beat that is offered already
// Throughput: one beat a cycle
// Encoding:   payload passes beside this unit
// Handshake:  AXI4-Stream, tlast ends an image; combinational ready. closed_o: no image is on its way
//             through the gate, and none can enter
// Golden:     the identity
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_gate (
    input  wire clk_i,
    input  wire rst_i,
    /* switch */
    input  wire hold_i,
    output wire closed_o,
    /* images in */
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    /* images out */
    output wire m_axis_tvalid,
    input  wire m_axis_tready
);
    reg fresh_q;  // the next beat is the first of an image
    reg held_q;
    wire open = !fresh_q || !held_q;
    wire offered = s_axis_tvalid && open;

    always @(posedge clk_i) begin
        if (rst_i) begin
            fresh_q <= 1'b1;
            held_q <= 1'b0;
        end else begin
            if (offered && m_axis_tready) fresh_q <= s_axis_tlast;
            if (!offered || m_axis_tready) held_q <= hold_i;
        end
    end

    assign closed_o = !open;
    assign s_axis_tready = m_axis_tready && open;
    assign m_axis_tvalid = offered;
endmodule

`resetall
