// SPDX-License-Identifier: Apache-2.0
// stoic_scores : sums of the last layer to int32 scores, class and margin
//
//   score = 2 P - N (BITS 1)  or  score = s (BITS 0);   class = argmax, lowest index wins
//   margin = highest score - second highest, 0 at a tie and where there is but one class
//
// Latency:    1 cycle to the score; class and margin 3 cycles after the last score was taken in
// Throughput: one score a cycle
// Encoding:   P unsigned, s and scores two's complement, class 0 first
// Handshake:  AXI4-Stream, s_axis_tready is a register; tlast ends an image on both sides;
//             class_o and margin_o are new in the one cycle in which class_valid_o is 1, and hold
// Golden:     stoic.sim.golden.raw_scores, classify, margin
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_scores #(
    parameter N       = 256,  // fan-in of the layer
    parameter M       = 10,   // classes, 1..65536
    parameter BITS    = 1,    // 1: sums are popcounts P; 0: they are s
    parameter VALUE_W = 9,    // bits of a sum, 1..30
    parameter CLASS_W = (M > 1) ? $clog2(M) : 1  // derived: do not override
) (
    input  wire               clk_i,
    input  wire               rst_i,
    /* sums in */
    input  wire [VALUE_W-1:0] s_axis_tdata,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    input  wire               s_axis_tlast,
    /* scores out */
    output wire [31:0]        m_axis_tdata,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire               m_axis_tlast,
    /* the answer, beside the stream */
    output wire               class_valid_o,
    output wire [CLASS_W-1:0] class_o,
    output wire [31:0]        margin_o
);
    localparam SCORE_W = VALUE_W + 2;
    localparam [31:0] FAN_IN = N;
    localparam [CLASS_W-1:0] CLASS_1 = 1;

    generate
        if (M < 1 || M > 65536 || VALUE_W < 1 || VALUE_W > 30) begin : g_illegal
            stoic_illegal_parameter ERROR_scores_needs_M_1_65536_VALUE_W_1_30 ();
        end
    endgenerate

    wire [SCORE_W-1:0] score;
    generate
        if (BITS) begin : g_bits
            assign score = {1'b0, s_axis_tdata, 1'b0} - FAN_IN[SCORE_W-1:0];
        end else begin : g_signed
            assign score = {{2{s_axis_tdata[VALUE_W-1]}}, s_axis_tdata};
        end
    endgenerate

    /* scores */
    wire [SCORE_W-1:0] out;
    stoic_skid #(
        .WIDTH(SCORE_W + 1)
    ) slice (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata({s_axis_tlast, score}),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .m_axis_tdata({m_axis_tlast, out}),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );
    assign m_axis_tdata = {{(32 - SCORE_W){out[SCORE_W-1]}}, out};

    /* class and margin: a score is compared in one cycle and ranked in the next, so what it was
       compared with may have changed: to the score before it, or from the best to the second.
       Numbers here have their highest bit inverted: to compare them unsigned is one carry chain */
    reg [SCORE_W-1:0] next_q;  // is compared
    reg [SCORE_W-1:0] score_q;
    reg [SCORE_W-1:0] best_q;
    reg [SCORE_W-1:0] second_q;
    reg [CLASS_W-1:0] index_q;
    reg [CLASS_W-1:0] class_q;
    reg over_best_q;   // score_q was, before the last change
    reg over_second_q;
    reg over_score_q;  // ... the score ranked then
    reg won_q;         // that one became the best
    reg placed_q;      // ... the second
    reg next_valid_q;
    reg next_last_q;
    reg valid_q;
    reg last_q;
    reg fresh_q;   // no score of this image was ranked
    reg single_q;  // one was
    reg done_q;

    wire over_best = won_q ? over_score_q : over_best_q;
    wire over_second = won_q ? over_best_q : placed_q ? over_score_q : over_second_q;
    wire wins = fresh_q || over_best;
    wire places = single_q || over_second;
    wire [SCORE_W-1:0] lead = best_q - second_q;

    always @(posedge clk_i) begin
        next_q <= {!score[SCORE_W-1], score[SCORE_W-2:0]};
        next_last_q <= s_axis_tlast;
        score_q <= next_q;
        last_q <= next_last_q;
        over_best_q <= next_q > best_q;
        over_second_q <= next_q > second_q;
        over_score_q <= next_q > score_q;
        if (valid_q) begin
            if (wins) begin
                best_q <= score_q;
                second_q <= fresh_q ? score_q : best_q;
                class_q <= fresh_q ? {CLASS_W{1'b0}} : index_q;
            end else if (places) begin
                second_q <= score_q;
            end
            index_q <= fresh_q ? CLASS_1 : index_q + 1'b1;
        end
        if (rst_i) begin
            next_valid_q <= 1'b0;
            valid_q <= 1'b0;
            won_q <= 1'b0;
            placed_q <= 1'b0;
            fresh_q <= 1'b1;
            single_q <= 1'b0;
            done_q <= 1'b0;
        end else begin
            next_valid_q <= s_axis_tvalid && s_axis_tready;
            valid_q <= next_valid_q;
            won_q <= valid_q && wins;
            placed_q <= valid_q && places;
            done_q <= valid_q && last_q;
            if (valid_q) begin
                fresh_q <= last_q;
                single_q <= fresh_q && !last_q;
            end
        end
    end

    assign class_valid_o = done_q;
    assign class_o = class_q;
    assign margin_o = {{(32 - SCORE_W){1'b0}}, lead};  // 0 or more
endmodule

`resetall
