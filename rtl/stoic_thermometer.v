// SPDX-License-Identifier: Apache-2.0
// stoic_thermometer : uint8 elements to thermometer codes of given levels
//
//   bit j of the code of element u  =  (u >= level_j),  j = 0 .. K - 1
//
// Levels are given, evenly spaced or not; rising ones make a thermometer.
//
// Latency:    1 cycle
// Throughput: an element in K / OUT_W cycles
// Encoding:   bit 0 of a code is the LSB of its first word
// Handshake:  AXI4-Stream, combinational ready; tlast ends an image on both sides
// Golden:     stoic.sim.golden.encode
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_thermometer #(
    parameter         K      = 4,             // levels, 1..255
    parameter [8*K-1:0] LEVELS = 32'hc0804001,  // level j in bits 8 j to 8 j + 7
    parameter         OUT_W  = 4              // bits of a word, 1..64; divides K
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* elements in */
    input  wire [7:0]       s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    input  wire             s_axis_tlast,
    /* words of codes out */
    output wire [OUT_W-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast
);
    localparam BEATS = K / OUT_W;
    localparam LEFT_W = $clog2(BEATS + 1);
    localparam [31:0] ALL = BEATS;
    localparam [LEFT_W-1:0] ONE = 1;

    generate
        if (K < 1 || K > 255 || OUT_W < 1 || OUT_W > 64 || K % OUT_W != 0) begin : g_illegal
            stoic_illegal_parameter ERROR_thermometer_needs_K_1_255_OUT_W_1_64_a_divisor ();
        end
    endgenerate

    wire [K-1:0] code;
    reg [K-1:0] code_q;
    reg [LEFT_W-1:0] left_q;  // words of it that have not left
    reg last_q;

    genvar j;
    generate
        for (j = 0; j < K; j = j + 1) begin : g_level
            assign code[j] = s_axis_tdata >= LEVELS[8*j+7:8*j];
        end
    endgenerate

    assign s_axis_tready = left_q == 0 || (left_q == ONE && m_axis_tready);
    assign m_axis_tdata = code_q[OUT_W-1:0];
    assign m_axis_tvalid = left_q != 0;
    assign m_axis_tlast = last_q && left_q == ONE;

    always @(posedge clk_i) begin
        if (s_axis_tready) begin
            code_q <= code;
            last_q <= s_axis_tlast;
        end else if (m_axis_tready) begin
            code_q <= code_q >> OUT_W;
        end
        if (rst_i) left_q <= {LEFT_W{1'b0}};
        else if (s_axis_tready) left_q <= s_axis_tvalid ? ALL[LEFT_W-1:0] : {LEFT_W{1'b0}};
        else if (m_axis_tready) left_q <= left_q - ONE;
    end
endmodule

`resetall
