// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_feed : two pages of input words, one that is filled and one that is worked on
//
//   every word of an image leaves once in each of N_FOLDS folds, in the order of stoic_mvu_control
//
// A page holds B images, which leave side by side. They come side by side too, or, with SERIAL, one
// after another.
//
// Latency:    6 cycles from the last word of a page to x_o, on an idle unit; x_o belongs to the
//             address and flags of 3 cycles ago
// Throughput: one word a cycle in and out
// Encoding:   words pass as they are; lane 0 is the LSB, image 0 is lowest
// Handshake:  AXI4-Stream in, tlast ends an image, s_axis_tready is a register; out never stalls
// Golden:     the identity
//
//   page memory               word of the image
//   p * 2 ** PAGE_W + i       i of the image in page p; i = PLANES * step + plane
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_feed #(
    parameter SIMD    = 36,         // lanes of a word, 1..64
    parameter N_STEPS = 22,         // words of a neuron, 1 or more
    parameter N_FOLDS = 8,          // as in stoic_mvu_control
    parameter PLANES  = 8,          // words of an image for one of a neuron, 1 or 8
    parameter GAP     = 0,          // as in stoic_mvu_control
    parameter ADDR_W  = 8,          // as in stoic_mvu_control
    parameter SUM_W   = 18,         // bits of U
    parameter B       = 1,          // images of a page
    parameter ROOM    = 2,          // as in stoic_mvu_control
    parameter SERIAL  = 0,          // 1: they come one after another
    parameter TARGET  = "generic",  // as in stoic_ram
    parameter IN_B    = (SERIAL != 0) ? 1 : B  // derived: do not override
) (
    input  wire                   clk_i,
    input  wire                   rst_i,
    /* images in */
    input  wire [IN_B*SIMD-1:0]   s_axis_tdata,
    input  wire                   s_axis_tvalid,
    output wire                   s_axis_tready,
    input  wire                   s_axis_tlast,
    input  wire [IN_B*SUM_W-1:0]  s_axis_tuser,  // U at tlast, on 8 planes
    /* images that leave and start */
    input  wire                   left_i,        // an image left the output FIFO
    output wire                   start_o,       // an image starts
    output wire [B*SUM_W-1:0]     sum_o,         // its U, 0 on bits
    /* to the chain; meaning as in stoic_mvu_control */
    output wire [ADDR_W-1:0]      addr_o,
    output wire                   word_o,
    output wire                   pad_o,
    output wire                   keep_o,
    output wire                   double_o,
    output wire                   last_o,
    output wire [B*SIMD-1:0]      x_o            // 3 cycles later
);
    localparam STEP_W = (N_STEPS + GAP > 1) ? $clog2(N_STEPS + GAP) : 1;
    localparam PAGE_W = $clog2(N_STEPS * PLANES);
    localparam PAGES = 2 << PAGE_W;
    localparam PLANE_W = (PLANES == 8) ? 3 : 0;

    localparam [B-1:0] IMAGE_0 = 1;

    reg [15:0] word_q;   // word of the page that is filled
    reg fill_q;          // that page
    reg [B-1:0] turn_q;  // one-hot image whose word comes next
    reg [15:0] read_q;
    wire page;
    wire [STEP_W-1:0] step;
    wire [2:0] plane;
    wire [15:0] word = ({{(16 - STEP_W){1'b0}}, step} << PLANE_W)
                     | ((PLANES == 8) ? {13'd0, plane} : 16'd0);
    wire [15:0] write = ({15'd0, fill_q} << PAGE_W) | word_q;
    wire take = s_axis_tvalid && s_axis_tready;
    wire ends = take && s_axis_tlast;
    wire filled = ends && (SERIAL == 0 || turn_q[B-1]);

    always @(posedge clk_i) begin
        read_q <= ({15'd0, page} << PAGE_W) | word;
        if (rst_i) begin
            word_q <= 16'd0;
            fill_q <= 1'b0;
            turn_q <= IMAGE_0;
        end else begin
            if (take) word_q <= s_axis_tlast ? 16'd0 : word_q + 16'd1;
            if (filled) fill_q <= !fill_q;
            if (ends) turn_q <= turn_q[B-1] ? IMAGE_0 : turn_q << 1;
        end
    end

    stoic_mvu_control #(
        .N_STEPS(N_STEPS),
        .N_FOLDS(N_FOLDS),
        .PLANES(PLANES),
        .GAP(GAP),
        .ROOM(ROOM),
        .ADDR_W(ADDR_W)
    ) control (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .filled_i(filled),
        .free_o(s_axis_tready),
        .left_i(left_i),
        .start_o(start_o),
        .page_o(page),
        .step_o(step),
        .plane_o(plane),
        .addr_o(addr_o),
        .word_o(word_o),
        .pad_o(pad_o),
        .keep_o(keep_o),
        .double_o(double_o),
        .last_o(last_o)
    );

    genvar b;
    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            localparam FROM = (SERIAL != 0) ? 0 : b;  // its place among those that come together
            wire mine = take && (SERIAL == 0 || turn_q[b]);
            stoic_ram #(
                .DEPTH(PAGES),
                .WIDTH(SIMD),
                .TARGET(TARGET)
            ) pages (
                .clk_i(clk_i),
                .we_i(mine),
                .waddr_i(write[PAGE_W:0]),
                .wdata_i(s_axis_tdata[SIMD*(FROM+1)-1:SIMD*FROM]),
                .raddr_i(read_q[PAGE_W:0]),
                .flip_i({SIMD{1'b0}}),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(x_o[SIMD*(b+1)-1:SIMD*b])
            );
            if (PLANES == 8) begin : g_sum
                reg [SUM_W-1:0] sum0_q;
                reg [SUM_W-1:0] sum1_q;
                wire [SUM_W-1:0] sum = s_axis_tuser[SUM_W*(FROM+1)-1:SUM_W*FROM];
                always @(posedge clk_i) begin
                    if (mine && s_axis_tlast && !fill_q) sum0_q <= sum;
                    if (mine && s_axis_tlast && fill_q) sum1_q <= sum;
                end
                assign sum_o[SUM_W*(b+1)-1:SUM_W*b] = page ? sum1_q : sum0_q;
            end else begin : g_no_sum
                assign sum_o[SUM_W*(b+1)-1:SUM_W*b] = {SUM_W{1'b0}};
            end
        end
    endgenerate
endmodule

`resetall
