// SPDX-License-Identifier: Apache-2.0
// stoic_unbatch : B images side by side to one image after another
//
//   word w of image b:  bits WIDTH b .. WIDTH b + WIDTH - 1 of beat w in,  beat b * WORDS + w out
//
// Latency:    2 cycles from the first beat of B images to the first of their words
// Throughput: one word a cycle out, so B images in B * WORDS cycles
// Encoding:   words pass as they are; image 0 is lowest
// Handshake:  AXI4-Stream, s_axis_tready is a register; m_axis_tlast ends an image
// Golden:     the transposition of words and images
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_unbatch #(
    parameter B      = 2,         // images, 1..64
    parameter WORDS  = 10,        // of an image, 1..16384
    parameter WIDTH  = 9,         // bits of a word, 1..64
    parameter TARGET = "generic"  // as in stoic_ram
) (
    input  wire               clk_i,
    input  wire               rst_i,
    /* B words of B images in */
    input  wire [B*WIDTH-1:0] s_axis_tdata,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    /* words of an image out */
    output wire [WIDTH-1:0]   m_axis_tdata,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire               m_axis_tlast
);
    localparam DEPTH = 2 << $clog2(WORDS);
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    localparam [31:0] BEFORE_END = WORDS - 2;
    localparam [0:0] ONE_WORD = WORDS == 1;
    localparam [B-1:0] IMAGE_0 = 1;

    generate
        if (B < 1 || B > 64 || WORDS < 1 || WORDS > 16384) begin : g_illegal
            stoic_illegal_parameter ERROR_unbatch_needs_B_1_64_WORDS_1_16384 ();
        end
    endgenerate

    reg [B-1:0] turn_q;  // one-hot image whose words leave
    reg [WORD_W-1:0] word_q;
    reg end_q;           // this is its last one
    wire leaves = m_axis_tvalid && m_axis_tready;

    always @(posedge clk_i) begin
        if (rst_i) begin
            turn_q <= IMAGE_0;
            word_q <= {WORD_W{1'b0}};
            end_q <= ONE_WORD;
        end else if (leaves) begin
            word_q <= end_q ? {WORD_W{1'b0}} : word_q + 1'b1;
            end_q <= ONE_WORD || (!end_q && word_q == BEFORE_END[WORD_W-1:0]);
            if (end_q) turn_q <= turn_q[B-1] ? IMAGE_0 : turn_q << 1;
        end
    end
    assign m_axis_tlast = end_q;

    // the last image leaves last, so its FIFO is the fullest and knows whether there is room
    wire [B-1:0] readies;
    assign s_axis_tready = readies[B-1];
    genvar b;
    generate
        for (b = 0; b <= B; b = b + 1) begin : g_link
            wire [WIDTH-1:0] data;  // of the image whose turn it is, among images 0..b-1
            wire valid;
        end
    endgenerate
    assign g_link[0].data = {WIDTH{1'b0}};
    assign g_link[0].valid = 1'b0;
    assign m_axis_tdata = g_link[B].data;
    assign m_axis_tvalid = g_link[B].valid;

    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            wire [WIDTH-1:0] data;
            wire valid;
            stoic_fifo #(
                .DEPTH(DEPTH),
                .WIDTH(WIDTH),
                .TARGET(TARGET)
            ) fifo (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .s_axis_tdata(s_axis_tdata[WIDTH*(b+1)-1:WIDTH*b]),
                .s_axis_tvalid(s_axis_tvalid && readies[B-1]),
                .s_axis_tready(readies[b]),
                .m_axis_tdata(data),
                .m_axis_tvalid(valid),
                .m_axis_tready(m_axis_tready && turn_q[b])
            );
            assign g_link[b+1].data = g_link[b].data | (data & {WIDTH{turn_q[b]}});
            assign g_link[b+1].valid = g_link[b].valid || (valid && turn_q[b]);
        end
    endgenerate
endmodule

`resetall
