// SPDX-License-Identifier: Apache-2.0
// stoic_skid : register slice that cuts tready as well as tdata
//
//   m_axis is s_axis, word for word
//
// Latency:    1 cycle
// Throughput: one word a cycle
// Encoding:   none
// Handshake:  AXI4-Stream; s_axis_tready is a register
// Golden:     the identity
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_skid #(
    parameter WIDTH = 8  // bits of a word, 1 or more; put tlast among them
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* words in */
    input  wire [WIDTH-1:0] s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    /* words out */
    output wire [WIDTH-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready
);
    reg [WIDTH-1:0] out_q;
    reg [WIDTH-1:0] spare_q;
    reg valid_q;
    reg ready_q;

    assign s_axis_tready = ready_q;
    assign m_axis_tdata = out_q;
    assign m_axis_tvalid = valid_q;

    wire take = s_axis_tvalid && ready_q;
    wire held = !ready_q;  // spare_q holds a word
    wire move = m_axis_tready || !valid_q;

    always @(posedge clk_i) begin
        if (ready_q) spare_q <= s_axis_tdata;
        if (move) out_q <= held ? spare_q : s_axis_tdata;
        if (rst_i) begin
            valid_q <= 1'b0;
            ready_q <= 1'b1;
        end else begin
            if (move) begin
                valid_q <= held || take;
                ready_q <= 1'b1;
            end else if (take) begin
                ready_q <= 1'b0;
            end
        end
    end
endmodule

`resetall
