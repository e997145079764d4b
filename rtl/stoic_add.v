// SPDX-License-Identifier: Apache-2.0
// stoic_add : adds two streams, beat by beat: the scores of the members of an ensemble
//
//   m = a + b
//
// Latency:    1 cycle
// Throughput: one sum a cycle
// Encoding:   two's complement
// Handshake:  AXI4-Stream, tlast ends an image in all; a_axis_tready waits for b_axis_tvalid and the
//             other way round. The images of both have as many beats; error_o: they had not
// Golden:     the sum over members in stoic.sim.golden.scores
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_add #(
    parameter WIDTH = 12  // bits of a score and of a sum, 1..32
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* scores in */
    input  wire [WIDTH-1:0] a_axis_tdata,
    input  wire             a_axis_tvalid,
    output wire             a_axis_tready,
    input  wire             a_axis_tlast,
    input  wire [WIDTH-1:0] b_axis_tdata,
    input  wire             b_axis_tvalid,
    output wire             b_axis_tready,
    input  wire             b_axis_tlast,
    /* sums out */
    output wire [WIDTH-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast,
    output wire             error_o
);
    wire both = a_axis_tvalid && b_axis_tvalid;
    wire room;
    reg error_q;

    generate
        if (WIDTH < 1 || WIDTH > 32) begin : g_illegal
            stoic_illegal_parameter ERROR_add_needs_WIDTH_1_32 ();
        end
    endgenerate

    wire [WIDTH-1:0] sum = a_axis_tdata + b_axis_tdata;
    stoic_skid #(
        .WIDTH(WIDTH + 1)
    ) slice (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata({a_axis_tlast, sum}),
        .s_axis_tvalid(both),
        .s_axis_tready(room),
        .m_axis_tdata({m_axis_tlast, m_axis_tdata}),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );

    always @(posedge clk_i)
        error_q <= (error_q || (both && a_axis_tlast != b_axis_tlast)) && !rst_i;
    assign a_axis_tready = room && b_axis_tvalid;
    assign b_axis_tready = room && a_axis_tvalid;
    assign error_o = error_q;
endmodule

`resetall
