// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_scores : turns the scores of an image into the payload of its answer
//
//   payload = score of class 0 .. N_CLASSES-1 (4 bytes each, LE), class of the highest (1 byte)
//
// Sequence numbers wait in a ring while their images are inside the core, which keeps their order.
//
// Latency    3 cycles from a score to its first byte.
// Throughput 6 cycles a score.
// Encoding   scores are signed; the lowest class wins a tie.
// Handshake  start_o asks for one answer with sequence_o; done_i ends it.
// Golden     stoic.sim.golden.scores, stoic.sim.golden.classify
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_scores #(
    parameter INFLIGHT_W = 3,  // log2 of the images that may be inside, 1..7
    parameter SCORE_W    = 32  // bits that tell scores apart, 2..32
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* images that enter */
    input  wire        push_i,
    input  wire [7:0]  sequence_i,
    output wire        room_o,
    output reg         empty_o,
    /* scores from the core */
    input  wire [31:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* answer */
    input  wire        busy_i,
    output reg         start_o,
    output wire [7:0]  sequence_o,
    input  wire        done_i,
    output wire [7:0]  m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast
);

    localparam [2:0] IDLE = 3'd0, TAKE = 3'd1, COMPARE = 3'd2, BYTES = 3'd3, CLASS = 3'd4,
                     DONE = 3'd5;

    reg  [7:0]          sequences_q [0:(1 << INFLIGHT_W) - 1];
    reg  [INFLIGHT_W:0] write_q, read_q;
    reg  [2:0]          state_q;
    reg  [1:0]          index_q;
    reg  [31:0]         word_q;
    reg  signed [SCORE_W-1:0] best_q;
    reg  [7:0]          class_q, best_class_q;
    reg                 first_q, last_q;

    wire signed [SCORE_W-1:0] score = word_q[SCORE_W-1:0];
    wire                      pop   = state_q == DONE && done_i;

    always @(posedge clk_i)
        if (push_i)
            sequences_q[write_q[INFLIGHT_W-1:0]] <= sequence_i;

    always @(posedge clk_i) begin
        if (s_axis_tvalid && s_axis_tready) begin
            word_q <= s_axis_tdata;
            last_q <= s_axis_tlast;
        end else if (state_q == BYTES && m_axis_tready)
            word_q <= {8'd0, word_q[31:8]};
        if (state_q == COMPARE) begin
            first_q <= 1'b0;
            class_q <= class_q + 8'd1;
            if (first_q || score > best_q) begin
                best_q       <= score;
                best_class_q <= class_q;
            end
        end
        if (state_q == IDLE) begin
            first_q <= 1'b1;
            class_q <= 8'd0;
        end
    end

    always @(posedge clk_i) begin
        start_o <= 1'b0;
        empty_o <= write_q == read_q && !push_i;
        if (push_i)
            write_q <= write_q + 1'b1;
        if (pop)
            read_q <= read_q + 1'b1;
        case (state_q)
            IDLE:
                if (!empty_o && s_axis_tvalid && !busy_i) begin
                    start_o <= 1'b1;
                    state_q <= TAKE;
                end
            TAKE:
                if (s_axis_tvalid)
                    state_q <= COMPARE;
            COMPARE: begin
                index_q <= 2'd0;
                state_q <= BYTES;
            end
            BYTES:
                if (m_axis_tready) begin
                    index_q <= index_q + 2'd1;
                    if (index_q == 2'd3)
                        state_q <= last_q ? CLASS : TAKE;
                end
            CLASS:
                if (m_axis_tready)
                    state_q <= DONE;
            default:
                if (done_i)
                    state_q <= IDLE;
        endcase
        if (rst_i) begin
            start_o <= 1'b0;
            empty_o <= 1'b1;
            write_q <= {(INFLIGHT_W + 1){1'b0}};
            read_q  <= {(INFLIGHT_W + 1){1'b0}};
            state_q <= IDLE;
        end
    end

    assign room_o        = write_q != {~read_q[INFLIGHT_W], read_q[INFLIGHT_W-1:0]};
    assign sequence_o    = sequences_q[read_q[INFLIGHT_W-1:0]];
    assign s_axis_tready = state_q == TAKE;
    assign m_axis_tdata  = (state_q == CLASS) ? best_class_q : word_q[7:0];
    assign m_axis_tvalid = state_q == CLASS || state_q == BYTES;
    assign m_axis_tlast  = state_q == CLASS;

endmodule
`resetall
