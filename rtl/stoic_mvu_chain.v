// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_chain : systolic chain of PE / GROUP stages of GROUP processing elements
//
//   total_o = the totals of stage 0, 1, ... of a fold; image b of processing element s * GROUP + g in
//             lane b * GROUP + g
//
// Address, input word and flags go up the chain, results come back down it, so every net is local.
// The host's words ride on the path of the input words of image 0.
//
// Latency:    2 s + $clog2(ceil(SIMD / 15)) + 9 cycles from last_i to the totals of stage s, with
//             CHECKS 2 more; the numbers of words corrected and detected STAGES + 6 cycles after their word;
//             STAGES + 5 cycles from re_i to the answer
// Throughput: one word a cycle; results one stage every second cycle, so a fold takes 2 STAGES - 1
//             cycles or more
// Encoding:   as in stoic_pe
// Handshake:  none; never stalls
// Golden:     popcounts inside stoic.sim.golden.accumulate, before "2 A - U"
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_chain #(
    parameter PE      = 32,         // processing elements, 1 or more
    parameter GROUP   = 1,          // of a stage; divides PE
    parameter SIMD    = 36,         // as in stoic_pe, and those that follow
    parameter DEPTH   = 176,
    parameter PAD     = 0,
    parameter PLANES  = 1,
    parameter TOTAL_W = 10,
    parameter B       = 1,
    parameter TARGET  = "generic",
    parameter CHECKS  = 0,
    parameter [CHECKS*SIMD:0] COLUMNS = 0,
    parameter FORM    = 0,          // as in stoic_mvu
    parameter ADDR_W  = (DEPTH > 1) ? $clog2(DEPTH) : 1,  // derived: do not override
    parameter SEL_W   = (PE > 1) ? $clog2(PE) : 1,        // derived: do not override
    parameter WORD_W  = SIMD + CHECKS,                    // derived: do not override
    parameter COUNT_W = $clog2(PE + 1),                   // derived: do not override
    parameter TOTALS_W = B * GROUP * TOTAL_W,             // derived: do not override
    parameter DRAW_W   = (FORM == 2) ? WORD_W + 71 : (FORM == 1) ? 2 * WORD_W + 1 : 1  // as above
) (
    input  wire                     clk_i,
    input  wire                     rst_i,
    /* words, as stoic_mvu_feed sends them */
    input  wire [ADDR_W-1:0]        addr_i,
    input  wire                     word_i,
    input  wire                     pad_i,
    input  wire                     keep_i,
    input  wire                     double_i,
    input  wire                     last_i,
    input  wire [B*SIMD-1:0]        x_i,           // 3 cycles later
    input  wire [DRAW_W-1:0]        draw_i,        // of stoic_injector
    /* host access to the weights, while no image is inside */
    input  wire                     we_i,
    input  wire                     re_i,
    input  wire                     ie_i,          // bit 0 of data_i enables its read errors
    input  wire [SEL_W-1:0]         sel_i,         // processing element
    input  wire [ADDR_W-1:0]        host_addr_i,
    input  wire [WORD_W-1:0]        data_i,
    output wire [WORD_W-1:0]        read_o,
    output wire                     read_valid_o,
    /* results */
    output wire [TOTALS_W-1:0] total_o,
    output wire                     total_valid_o,
    /* words that were corrected in this cycle, and those whose errors were only detected */
    output wire [COUNT_W-1:0]       corrected_o,
    output wire [COUNT_W-1:0]       detected_o
);
    localparam STAGES = PE / GROUP;
    localparam X_W = B * SIMD + CHECKS;                   // lanes of the images, check bits above
    localparam DECODING = (CHECKS > 0) ? 2 : 0;           // latency of the decoder
    localparam PADDING = 3 + DECODING;                    // of the lanes at the first stage
    localparam COUNTING = PADDING + 3 + $clog2((SIMD + 14) / 15);  // latency of their count

    /* flags, delayed to where the processing elements need them */
    reg [PADDING-1:0] pad_q;
    reg [COUNTING-1:0] keep_q;
    reg [COUNTING-1:0] double_q;
    reg [COUNTING-1:0] last_q;
    always @(posedge clk_i) begin
        pad_q <= {pad_q[PADDING-2:0], pad_i};
        keep_q <= {keep_q[COUNTING-2:0], keep_i};
        double_q <= {double_q[COUNTING-2:0], double_i};
        if (rst_i) last_q <= {COUNTING{1'b0}};
        else last_q <= {last_q[COUNTING-2:0], last_i};
    end

    /* words wait for their decoded weights */
    wire [B*SIMD-1:0] x_late;
    wire word_late;
    generate
        if (CHECKS > 0) begin : g_wait
            reg [B*SIMD-1:0] x_q;
            reg [B*SIMD-1:0] x_q2;
            reg [4:0] word_q;
            always @(posedge clk_i) begin
                x_q <= x_i;
                x_q2 <= x_q;
                word_q <= {word_q[3:0], word_i} & {5{!rst_i}};
            end
            assign x_late = x_q2;
            assign word_late = word_q[4];
        end else begin : g_no_wait
            assign x_late = x_i;
            assign word_late = 1'b0;
        end
    endgenerate

    reg [ADDR_W-1:0] addr_q;
    reg [WORD_W-1:0] data_q;
    reg [SEL_W-1:0] sel_q;
    reg we_q;
    reg re_q;
    reg [3:0] asked_q;  // of the last stage
    reg ie_q;
    always @(posedge clk_i) begin
        addr_q <= (we_i || re_i) ? host_addr_i : addr_i;
        data_q <= data_i;
        sel_q <= sel_i;
        we_q <= we_i && !rst_i;
        re_q <= re_i && !rst_i;
        asked_q <= {asked_q[2:0], g_link[STAGES].re} & {4{!rst_i}};
        ie_q <= ie_i && !rst_i;
    end

    genvar s;
    generate
        for (s = 0; s <= STAGES; s = s + 1) begin : g_link
            /* up the chain */
            wire [ADDR_W-1:0] addr;
            wire [X_W-1:0] x;
            wire word;
            wire pad;
            wire keep;
            wire twice;
            wire last;
            wire [SEL_W-1:0] sel;
            wire we;
            wire re;
            wire ie;
            wire [DRAW_W-1:0] draw;
            wire [WORD_W-1:0] read;
            wire [COUNT_W-1:0] corrected;
            wire [COUNT_W-1:0] detected;
            /* down the chain */
            wire [TOTALS_W-1:0] total;
            wire total_valid;
        end
    endgenerate

    assign g_link[0].addr = addr_q;
    assign g_link[0].x[SIMD-1:0] = (we_q || ie_q) ? data_q[SIMD-1:0] : x_late[SIMD-1:0];
    generate
        if (B > 1) begin : g_images
            assign g_link[0].x[B*SIMD-1:SIMD] = x_late[B*SIMD-1:SIMD];
        end
        if (CHECKS > 0) begin : g_checks
            assign g_link[0].x[X_W-1:B*SIMD] = data_q[WORD_W-1:SIMD];
        end
    endgenerate
    assign g_link[0].word = word_late;
    assign g_link[0].pad = pad_q[PADDING-1];
    assign g_link[0].keep = keep_q[COUNTING-1];
    assign g_link[0].twice = double_q[COUNTING-1];
    assign g_link[0].last = last_q[COUNTING-1];
    assign g_link[0].sel = sel_q;
    assign g_link[0].we = we_q;
    assign g_link[0].re = re_q;
    assign g_link[0].ie = ie_q;
    assign g_link[0].draw = draw_i;
    assign g_link[0].read = {WORD_W{1'b0}};
    assign g_link[0].corrected = {COUNT_W{1'b0}};
    assign g_link[0].detected = {COUNT_W{1'b0}};
    assign g_link[STAGES].total = {TOTALS_W{1'b0}};
    assign g_link[STAGES].total_valid = 1'b0;

    assign read_o = g_link[STAGES].read;
    assign read_valid_o = asked_q[3];
    assign corrected_o = g_link[STAGES].corrected;
    assign detected_o = g_link[STAGES].detected;
    assign total_o = g_link[0].total;
    assign total_valid_o = g_link[0].total_valid;

    generate
        for (s = 0; s < STAGES; s = s + 1) begin : g_stage
            stoic_mvu_stage #(
                .FIRST(s * GROUP),
                .GROUP(GROUP),
                .SEL_W(SEL_W),
                .SIMD(SIMD),
                .DEPTH(DEPTH),
                .PAD(PAD),
                .PLANES(PLANES),
                .TOTAL_W(TOTAL_W),
                .B(B),
                .TARGET(TARGET),
                .CHECKS(CHECKS),
                .COLUMNS(COLUMNS),
                .COUNT_W(COUNT_W),
                .FORM(FORM)
            ) stage (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .addr_i(g_link[s].addr),
                .x_i(g_link[s].x),
                .word_i(g_link[s].word),
                .pad_i(g_link[s].pad),
                .keep_i(g_link[s].keep),
                .double_i(g_link[s].twice),
                .last_i(g_link[s].last),
                .draw_i(g_link[s].draw),
                .sel_i(g_link[s].sel),
                .we_i(g_link[s].we),
                .re_i(g_link[s].re),
                .ie_i(g_link[s].ie),
                .read_i(g_link[s].read),
                .corrected_i(g_link[s].corrected),
                .detected_i(g_link[s].detected),
                .addr_o(g_link[s+1].addr),
                .x_o(g_link[s+1].x),
                .word_o(g_link[s+1].word),
                .pad_o(g_link[s+1].pad),
                .keep_o(g_link[s+1].keep),
                .double_o(g_link[s+1].twice),
                .last_o(g_link[s+1].last),
                .draw_o(g_link[s+1].draw),
                .sel_o(g_link[s+1].sel),
                .we_o(g_link[s+1].we),
                .re_o(g_link[s+1].re),
                .ie_o(g_link[s+1].ie),
                .read_o(g_link[s+1].read),
                .corrected_o(g_link[s+1].corrected),
                .detected_o(g_link[s+1].detected),
                .total_i(g_link[s+1].total),
                .total_valid_i(g_link[s+1].total_valid),
                .total_o(g_link[s].total),
                .total_valid_o(g_link[s].total_valid)
            );
        end
    endgenerate
endmodule

`resetall
