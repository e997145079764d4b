// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_drain : totals of the chain to words of neurons or sums, in a FIFO of ROOM images
//
//   THRESHOLD_W > 0:  words of OUT_W neurons that fire or not, the last filled up with zeros
//   THRESHOLD_W = 0:  one sum a word, those of neurons past M dropped
//
// A word is of B images side by side: B times the bits, image 0 lowest.
//
// Latency:    from the last total of a word to the word: with thresholds 7 cycles, without 3
// Throughput: GROUP neurons of B images a cycle
// Encoding:   bit 1 is +1, bit 0 is -1; a sum as in stoic_mvu_sums
// Handshake:  AXI4-Stream out, tlast ends an image; totals are never stalled: left_o gives leave to
//             start an image. overflow_o is sticky: a word was lost
// Golden:     stoic.sim.golden.fire, without thresholds stoic.sim.golden.accumulate
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_drain #(
    parameter M           = 256,        // neurons, 1 or more
    parameter STAGES      = 32,         // stages of the chain, 1 or more
    parameter N_FOLDS     = 8,          // folds of an image, 1 or more
    parameter GROUP       = 1,          // totals of a stage; 1 without thresholds
    parameter PLANES      = 8,          // 1 or 8
    parameter TOTAL_W     = 18,         // bits of a total
    parameter THRESHOLD_W = 19,         // bits of a threshold; 0: no thresholds
    parameter OUT_W       = 32,         // with thresholds: bits of an output word of an image
    parameter B           = 1,          // images side by side
    parameter ROOM        = 2,          // images that the FIFO holds, a power of two, 2 or more
    parameter TABLES      = 1,          // threshold tables
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter SUM_W       = (PLANES == 8) ? TOTAL_W : 1,            // derived: do not override
    parameter VALUE_W     = (PLANES == 8) ? TOTAL_W + 1 : TOTAL_W,  // derived: do not override
    parameter DATA_W      = (THRESHOLD_W > 0) ? OUT_W : VALUE_W,    // derived: do not override
    parameter TABLE_W     = (TABLES > 1) ? $clog2(TABLES) : 1       // derived: do not override
) (
    input  wire                         clk_i,
    input  wire                         rst_i,
    /* images that start, and their U */
    input  wire                         start_i,
    input  wire [B*SUM_W-1:0]           sum_i,
    /* totals */
    input  wire [B*GROUP*TOTAL_W-1:0]   total_i,
    input  wire                         total_valid_i,
    /* neurons out */
    output wire [B*DATA_W-1:0]          m_axis_tdata,
    output wire                         m_axis_tvalid,
    input  wire                         m_axis_tready,
    output wire                         m_axis_tlast,
    output wire                         left_o,        // the last word of an image left a cycle ago
    output wire                         overflow_o,
    /* host access to the thresholds, and their table, as in stoic_threshold */
    input  wire [TABLE_W-1:0]           table_i,
    input  wire                         we_i,
    input  wire                         re_i,
    input  wire [15:0]                  sel_i,
    input  wire [15:0]                  addr_i,
    input  wire [63:0]                  data_i,
    output wire [63:0]                  read_o,
    output wire                         read_valid_o
);
    localparam STAGE_W = (STAGES > 1) ? $clog2(STAGES) : 1;
    localparam FOLD_W = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1;
    localparam WORDS = (THRESHOLD_W > 0) ? (M + OUT_W - 1) / OUT_W : M;  // of an image
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    localparam FIFO_DEPTH = ROOM << $clog2(WORDS);
    localparam [31:0] BEFORE_WORD_END = WORDS - 2;
    localparam [0:0] ONE_WORD = WORDS == 1;

    wire [STAGE_W-1:0] stage;
    wire [FOLD_W-1:0] fold;
    wire last;
    wire [B*GROUP*VALUE_W-1:0] value;
    wire [B*DATA_W-1:0] word;
    wire word_valid;
    wire word_ready;
    wire lost = word_valid && !word_ready;
    reg lost_q;
    reg overflow_q;
    reg [WORD_W-1:0] word_q;
    reg word_end_q;  // the next word is the last of an image
    reg left_q;
    wire leaves = m_axis_tvalid && m_axis_tready;

    stoic_mvu_sums #(
        .STAGES(STAGES),
        .N_FOLDS(N_FOLDS),
        .GROUP(GROUP),
        .PLANES(PLANES),
        .TOTAL_W(TOTAL_W),
        .B(B),
        .ROOM(ROOM),
        .TARGET(TARGET)
    ) sums (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .start_i(start_i),
        .sum_i(sum_i),
        .total_i(total_i),
        .valid_i(total_valid_i),
        .stage_o(stage),
        .fold_o(fold),
        .last_o(last),
        .value_o(value)
    );

    generate
        if (THRESHOLD_W > 0) begin : g_thresholds
            reg [3:0] valid_q;
            reg [3:0] last_q;
            wire [B*GROUP-1:0] fires;
            wire [THRESHOLD_W-1:0] read;
            always @(posedge clk_i) begin
                last_q <= {last_q[2:0], last};
                if (rst_i) valid_q <= 4'd0;
                else valid_q <= {valid_q[2:0], total_valid_i};
            end
            stoic_threshold #(
                .STAGES(STAGES),
                .N_FOLDS(N_FOLDS),
                .GROUP(GROUP),
                .SIGNED(PLANES == 8),
                .VALUE_W(VALUE_W),
                .THRESHOLD_W(THRESHOLD_W),
                .B(B),
                .TABLES(TABLES),
                .TARGET(TARGET)
            ) threshold (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .stage_i(stage),
                .fold_i(fold),
                .table_i(table_i),
                .value_i(value),
                .fires_o(fires),
                .we_i(we_i),
                .re_i(re_i),
                .sel_i(sel_i),
                .addr_i(addr_i),
                .data_i(data_i[THRESHOLD_W-1:0]),
                .read_o(read),
                .read_valid_o(read_valid_o)
            );
            stoic_mvu_words #(
                .M(M),
                .GROUP(GROUP),
                .OUT_W(OUT_W),
                .B(B)
            ) words (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .fires_i(fires),
                .valid_i(valid_q[3]),
                .last_i(last_q[3]),
                .word_o(word),
                .valid_o(word_valid)
            );
            assign read_o = {{(64 - THRESHOLD_W){1'b0}}, read};
        end else begin : g_sums
            localparam [31:0] LAST_FOLD = N_FOLDS - 1;
            localparam [31:0] LAST_STAGE = (M - 1) % STAGES;  // of the last fold
            reg valid_q;
            reg real_q;
            always @(posedge clk_i) begin
                valid_q <= total_valid_i && !rst_i;
                real_q <= fold != LAST_FOLD[FOLD_W-1:0] || stage <= LAST_STAGE[STAGE_W-1:0];
            end
            assign word = value;
            assign word_valid = valid_q && real_q;
            assign read_o = 64'd0;
            assign read_valid_o = 1'b0;
        end
    endgenerate

    /* one FIFO for each image; they fill and empty together, so the first one speaks for all */
    wire [B-1:0] readies;
    wire [B-1:0] valids;
    assign word_ready = readies[0];
    assign m_axis_tvalid = valids[0];
    genvar b;
    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            stoic_fifo #(
                .DEPTH(FIFO_DEPTH),
                .WIDTH(DATA_W),
                .TARGET(TARGET)
            ) fifo (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .s_axis_tdata(word[DATA_W*(b+1)-1:DATA_W*b]),
                .s_axis_tvalid(word_valid),
                .s_axis_tready(readies[b]),
                .m_axis_tdata(m_axis_tdata[DATA_W*(b+1)-1:DATA_W*b]),
                .m_axis_tvalid(valids[b]),
                .m_axis_tready(m_axis_tready)
            );
        end
    endgenerate

    always @(posedge clk_i) begin
        lost_q <= lost && !rst_i;
        left_q <= leaves && word_end_q && !rst_i;
        overflow_q <= (overflow_q || lost_q) && !rst_i;
        if (rst_i) begin
            word_q <= {WORD_W{1'b0}};
            word_end_q <= ONE_WORD;
        end else if (leaves) begin
            word_q <= word_end_q ? {WORD_W{1'b0}} : word_q + 1'b1;
            word_end_q <= ONE_WORD || (!word_end_q && word_q == BEFORE_WORD_END[WORD_W-1:0]);
        end
    end
    assign m_axis_tlast = word_end_q;
    assign left_o = left_q;
    assign overflow_o = overflow_q;
endmodule

`resetall
