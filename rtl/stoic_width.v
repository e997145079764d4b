// SPDX-License-Identifier: Apache-2.0
// stoic_width : elements in beats of IN_W to elements in words of OUT_W
//
//   element k of an image leaves as bit k % OUT_W of word k / OUT_W, for k < N
//
// Elements move in groups of gcd(IN_W, OUT_W). Those past element N are dropped, the last word is
// filled up with zeros. A short image ends its word early.
//
// Latency:    1 cycle from the last group of a word to the word
// Throughput: one group a cycle; a beat of one group (gcd = IN_W) is never stalled by this unit
// Encoding:   element 0 is the LSB of the first beat and of the first word
// Handshake:  AXI4-Stream, combinational ready; tlast ends an image on both sides
// Golden:     stoic.sim.bits.pack, with words of OUT_W bits
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_width #(
    parameter IN_W  = 8,   // bits of a beat, 1..64
    parameter OUT_W = 32,  // bits of a word, 1..64
    parameter N     = 784  // elements of an image, 1 or more
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* beats in */
    input  wire [IN_W-1:0]  s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    input  wire             s_axis_tlast,
    /* words out */
    output wire [OUT_W-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast
);
    function [31:0] gcd;
        input [31:0] a;
        input [31:0] b;
        reg [31:0] x;
        reg [31:0] y;
        reg [31:0] t;
        begin
            x = a;
            y = b;
            while (y != 0) begin
                t = x % y;
                x = y;
                y = t;
            end
            gcd = x;
        end
    endfunction

    localparam G = gcd(IN_W, OUT_W);
    localparam BEAT = IN_W / G;              // groups of a beat
    localparam LAST_AT = OUT_W - G;          // place of the last group of a word
    localparam GROUPS = (N + G - 1) / G;     // groups of an image
    localparam FILL = GROUPS * G - N;        // elements of the last group that are not there
    localparam PLACE_W = (OUT_W > 1) ? $clog2(OUT_W) : 1;
    localparam COUNT_W = $clog2(GROUPS + 1);
    localparam [G-1:0] LAST_MASK = {G{1'b1}} >> FILL;
    localparam [31:0] LAST_GROUP = GROUPS - 1;
    localparam [31:0] STEP = G;

    generate
        if (IN_W < 1 || IN_W > 64 || OUT_W < 1 || OUT_W > 64 || N < 1) begin : g_illegal
            stoic_illegal_parameter ERROR_width_needs_IN_W_OUT_W_1_64_N_positive ();
        end
    endgenerate

    /* one group a cycle */
    wire [G-1:0] group;
    wire group_valid;
    wire group_last;  // last of the image as it comes in
    wire group_take;

    generate
        if (BEAT == 1) begin : g_direct
            assign group = s_axis_tdata;
            assign group_valid = s_axis_tvalid;
            assign group_last = s_axis_tlast;
            assign s_axis_tready = group_take;
        end else begin : g_split
            localparam LEFT_W = $clog2(BEAT + 1);
            localparam [31:0] BEATS = BEAT;
            localparam [LEFT_W-1:0] ONE = 1;
            reg [IN_W-1:0] beat_q;
            reg [LEFT_W-1:0] left_q;
            reg last_q;
            assign group = beat_q[G-1:0];
            assign group_valid = left_q != 0;
            assign group_last = last_q && left_q == ONE;
            assign s_axis_tready = left_q == 0 || (left_q == ONE && group_take);
            always @(posedge clk_i) begin
                if (s_axis_tready) begin
                    beat_q <= s_axis_tdata;
                    last_q <= s_axis_tlast;
                end else if (group_take) begin
                    beat_q <= beat_q >> G;
                end
                if (rst_i) left_q <= {LEFT_W{1'b0}};
                else if (s_axis_tready)
                    left_q <= s_axis_tvalid ? BEATS[LEFT_W-1:0] : {LEFT_W{1'b0}};
                else if (group_take) left_q <= left_q - ONE;
            end
        end
    endgenerate

    /* groups to words */
    reg [OUT_W-1:0] word_q;
    reg [PLACE_W-1:0] place_q;    // where the next group goes
    reg [COUNT_W-1:0] count_q;    // groups seen of this image; stays at GROUPS past the end
    reg valid_q;
    reg last_q;

    wire past = count_q == LAST_GROUP[COUNT_W-1:0] + 1'b1;
    wire ends = count_q == LAST_GROUP[COUNT_W-1:0] || (group_last && !past);
    wire full = place_q == LAST_AT[PLACE_W-1:0] || ends;
    wire [G-1:0] kept = (count_q == LAST_GROUP[COUNT_W-1:0]) ? group & LAST_MASK : group;
    wire [OUT_W-1:0] base = (place_q == 0) ? {OUT_W{1'b0}} : word_q;
    wire [OUT_W-1:0] moved;

    generate
        if (OUT_W == G) begin : g_whole
            assign moved = kept;
        end else begin : g_part
            assign moved = {{(OUT_W - G){1'b0}}, kept} << place_q;
        end
    endgenerate

    assign group_take = group_valid && (!valid_q || m_axis_tready);
    assign m_axis_tdata = word_q;
    assign m_axis_tvalid = valid_q;
    assign m_axis_tlast = last_q;

    always @(posedge clk_i) begin
        if (group_take && !past) begin
            word_q <= base | moved;
            last_q <= ends;
        end
        if (rst_i) begin
            place_q <= {PLACE_W{1'b0}};
            count_q <= {COUNT_W{1'b0}};
            valid_q <= 1'b0;
        end else begin
            if (group_take) begin
                valid_q <= full && !past;
                if (!past) place_q <= full ? {PLACE_W{1'b0}} : place_q + STEP[PLACE_W-1:0];
                if (group_last) count_q <= {COUNT_W{1'b0}};
                else if (!past) count_q <= count_q + 1'b1;
            end else if (m_axis_tready) begin
                valid_q <= 1'b0;
            end
        end
    end
endmodule

`resetall
