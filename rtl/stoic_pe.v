// SPDX-License-Identifier: Apache-2.0
// stoic_pe : processing element: one weight memory, one neuron at a time
//
//   total_o = sum over the words of a neuron of popcount(w, x)                      PLANES = 1
//   total_o = sum_p 2^p popcount(w & x_p), planes fed from the top one down         PLANES = 8
//
// B images share the weight word of a cycle; each has its own popcount and sum.
// With CHECKS, which FAULT_EN 2 excludes, the memory holds code words, and w is what stoic_secded makes of them.
//
// Latency:    x_i, pad_i belong to the address of 2 cycles ago, with CHECKS of 4, as do corrected_o
//             and detected_o; keep_i, double_i to the x_i of a popcount ago;
//             total_o holds a word 1 cycle after its flags
// Throughput: one word of SIMD lanes of B images a cycle
// Encoding:   bit 1 is +1, bit 0 is -1; total_o is unsigned; image 0 is lowest
// Handshake:  none; never stalls
// Golden:     popcounts inside stoic.sim.golden.accumulate, before "2 A - U"
//
//   weight memory: address f * n_steps + w holds lanes SIMD w .. SIMD w + SIMD - 1 of the neuron of
//   fold f (stoic.sim.memory), and above them the check bits
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_pe #(
    parameter SIMD     = 36,         // lanes, 1..64
    parameter DEPTH    = 176,        // words of the weight memory
    parameter PAD      = 0,          // top lanes that pad_i masks
    parameter PLANES   = 1,          // 1: bits, XNOR; 8: bit planes, AND
    parameter TOTAL_W  = 10,         // bits of the sum
    parameter B        = 1,          // images side by side
    parameter TARGET   = "generic",  // as in stoic_ram
    parameter FAULT_EN = 0,          // as in stoic_ram; at 2 the popcount is of FULL_ADDERS
    parameter CHECKS   = 0,          // check bits of a weight word; 0: no protection
    parameter [CHECKS*SIMD:0] COLUMNS = 0,  // with CHECKS: as in stoic_secded
    parameter ADDR_W   = (DEPTH > 1) ? $clog2(DEPTH) : 1,  // derived: do not override
    parameter WORD_W   = SIMD + CHECKS,                    // derived: do not override
    parameter X_W      = B * SIMD + CHECKS,                // derived: do not override
    parameter FLIP_W   = (FAULT_EN == 2) ? 2 * WORD_W : WORD_W  // derived: do not override
) (
    input  wire                 clk_i,
    /* weight memory */
    input  wire [ADDR_W-1:0]    addr_i,    // to read and to write
    input  wire                 we_i,      // write to this cycle's address
    input  wire [FLIP_W-1:0]    flip_i,    // as in stoic_ram
    input  wire                 clear_i,   // as in stoic_ram
    output wire [WORD_W-1:0]    weight_o,  // what is stored, 2 cycles after the address
    output wire                 corrected_o,
    output wire                 detected_o,
    /* data and flags */
    input  wire [X_W-1:0]       x_i,       // lanes of the images; a word to write
    input  wire                 pad_i,     // x_i is the last word of the neuron
    input  wire                 keep_i,    // add to the sum
    input  wire                 double_i,  // add to twice the sum, a new plane; neither: start anew
    output wire [B*TOTAL_W-1:0] total_o
);
    localparam COUNT_W = $clog2(SIMD + 1);

    wire [WORD_W-1:0] word;
    wire [WORD_W-1:0] read;  // by the datapath
    generate
        if (CHECKS > 0) begin : g_code_word
            assign word = {x_i[X_W-1:B*SIMD], x_i[SIMD-1:0]};
        end else begin : g_word
            assign word = x_i[SIMD-1:0];
        end
    endgenerate

    stoic_ram #(
        .DEPTH(DEPTH),
        .WIDTH(WORD_W),
        .TARGET(TARGET),
        .FAULT_EN(FAULT_EN)
    ) ram (
        .clk_i(clk_i),
        .we_i(we_i),
        .waddr_i(addr_i),
        .wdata_i(word),
        .raddr_i(addr_i),
        .flip_i(flip_i),
        .clear_i(clear_i),
        .hold_i(1'b0),
        .rdata_o(read),
        .clean_o(weight_o)
    );

    wire [SIMD-1:0] weight;
    generate
        if (CHECKS > 0) begin : g_secded
            stoic_secded #(
                .K(SIMD),
                .R(CHECKS),
                .COLUMNS(COLUMNS[CHECKS*SIMD-1:0])
            ) secded (
                .clk_i(clk_i),
                .word_i(read),
                .data_o(weight),
                .corrected_o(corrected_o),
                .detected_o(detected_o)
            );
        end else begin : g_plain
            assign weight = read;
            assign corrected_o = 1'b0;
            assign detected_o = 1'b0;
        end
    endgenerate

    genvar b;
    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            wire [COUNT_W-1:0] count;
            stoic_popcount #(
                .LANES(SIMD),
                .XNOR(PLANES == 1),
                .PAD(PAD),
                .FULL_ADDERS(FAULT_EN == 2)
            ) popcount (
                .clk_i(clk_i),
                .x_i(x_i[SIMD*(b+1)-1:SIMD*b]),
                .w_i(weight),
                .pad_i(pad_i),
                .count_o(count)
            );
            if (PLANES == 1) begin : g_bits
                stoic_sum #(
                    .TOTAL_W(TOTAL_W),
                    .COUNT_W(COUNT_W),
                    .TARGET(TARGET)
                ) sum (
                    .clk_i(clk_i),
                    .count_i(count),
                    .keep_i(keep_i),
                    .total_o(total_o[TOTAL_W*(b+1)-1:TOTAL_W*b])
                );
            end else begin : g_planes
                // a sum of 255 n never needs more than TOTAL_W bits
                reg [TOTAL_W-1:0] total_q;
                wire [TOTAL_W-1:0] base = (total_q & {TOTAL_W{keep_i}})
                                        | ({total_q[TOTAL_W-2:0], 1'b0} & {TOTAL_W{double_i}});
                always @(posedge clk_i)
                    total_q <= base + {{(TOTAL_W - COUNT_W){1'b0}}, count};
                assign total_o[TOTAL_W*(b+1)-1:TOTAL_W*b] = total_q;
            end
        end
    endgenerate
endmodule

`resetall
