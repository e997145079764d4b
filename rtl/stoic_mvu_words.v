// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_words : neurons in groups to words of OUT_W neurons, of B images side by side
//
//   neuron j of image b leaves as bit b * OUT_W + j % OUT_W of word j / OUT_W, for j < M
//
// Groups past neuron M are dropped, the last word is filled up with zeros. A group is written to its
// place, which a one-hot register holds: nothing is shifted.
//
// Latency:    1 cycle from the last group of a word to the word
// Throughput: one group a cycle
// Encoding:   neuron 0 is the LSB of a group and of a word; image 0 is lowest in both
// Handshake:  valid only; never stalls
// Golden:     stoic.sim.bits.pack, with words of OUT_W bits
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_words #(
    parameter M     = 256,  // neurons of an image, 1 or more
    parameter GROUP = 1,    // neurons of a group
    parameter OUT_W = 32,   // neurons of a word; GROUP divides it
    parameter B     = 1     // images side by side
) (
    input  wire               clk_i,
    input  wire               rst_i,
    /* groups in */
    input  wire [B*GROUP-1:0] fires_i,
    input  wire               valid_i,
    input  wire               last_i,   // the last group that comes of an image
    /* words out */
    output wire [B*OUT_W-1:0] word_o,
    output wire               valid_o
);
    localparam PLACES = OUT_W / GROUP;         // of groups in a word
    localparam GROUPS = (M + GROUP - 1) / GROUP;  // with neurons below M
    localparam FILL = GROUPS * GROUP - M;      // neurons past M in the last one of them
    localparam COUNT_W = $clog2(GROUPS + 1);
    localparam [31:0] BEFORE_LAST = GROUPS - 2;
    localparam [0:0] ONE_GROUP = GROUPS == 1;
    localparam [GROUP-1:0] REAL = {GROUP{1'b1}} >> FILL;
    localparam [PLACES-1:0] PLACE_0 = 1;

    reg [PLACES-1:0] place_q;  // one-hot place of the next group
    reg [COUNT_W-1:0] count_q;  // groups seen of this image
    reg ends_q;                 // the next one is the last with neurons below M
    reg past_q;                 // it was seen
    reg valid_q;
    wire full = place_q[PLACES-1] || ends_q;
    wire [GROUP-1:0] kept = REAL | {GROUP{!ends_q}};
    wire [PLACES-1:0] place_d = (full || past_q) ? PLACE_0 : place_q << 1;

    always @(posedge clk_i) begin
        if (rst_i) begin
            place_q <= PLACE_0;
            count_q <= {COUNT_W{1'b0}};
            ends_q <= ONE_GROUP;
            past_q <= 1'b0;
            valid_q <= 1'b0;
        end else begin
            valid_q <= valid_i && full && !past_q;
            if (valid_i) begin
                place_q <= place_d;
                count_q <= (last_i || past_q) ? {COUNT_W{1'b0}} : count_q + 1'b1;
                ends_q <= last_i ? ONE_GROUP
                        : !ends_q && !past_q && count_q == BEFORE_LAST[COUNT_W-1:0];
                past_q <= !last_i && (past_q || ends_q);
            end
        end
    end
    assign valid_o = valid_q;

    genvar b;
    genvar i;
    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            for (i = 0; i < OUT_W; i = i + 1) begin : g_bit
                reg bit_q;
                wire fires = fires_i[b*GROUP+i%GROUP] && kept[i%GROUP];
                always @(posedge clk_i)
                    if (valid_i && !past_q)
                        bit_q <= place_q[i/GROUP] ? fires : bit_q && !place_q[0];
                assign word_o[b*OUT_W+i] = bit_q;
            end
        end
    endgenerate
endmodule

`resetall
