// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_stage : one stage of stoic_mvu_chain: GROUP processing elements between registers
//
//   up:    what comes in goes to the processing elements and, a register later, to the next stage
//   down:  total_o = the totals of this stage two cycles after it got last_i, else total_i
//
// With CHECKS the words that its decoders corrected, and those whose errors they only detected, are
// added to the numbers that come up; word_i belongs to the code words that are decoded then. With an
// injector corrected_o counts the words that processing element 0 reads with errors. What was on its
// way when a reset came is not counted.
//
// Latency:    1 cycle up, 1 cycle down; 3 cycles from last_i to total_o; 5 from re_i to read_o
// Throughput: one word up and one result of each processing element down a cycle
// Encoding:   as in stoic_pe; the memories that the host does not mean read 0 then, so that answers are
//             ORed; where nothing is asked they are 0
// Handshake:  none; never stalls. Results of two stages must not meet: folds last long enough
// Golden:     popcounts inside stoic.sim.golden.accumulate, before "2 A - U"
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_stage #(
    parameter FIRST   = 0,          // number of its first processing element
    parameter GROUP   = 1,          // processing elements, 1 or more
    parameter SEL_W   = 5,          // bits of the number of a processing element
    parameter SIMD    = 36,         // as in stoic_pe, and those that follow
    parameter DEPTH   = 176,
    parameter PAD     = 0,
    parameter PLANES  = 1,
    parameter TOTAL_W = 10,
    parameter B       = 1,
    parameter TARGET  = "generic",
    parameter CHECKS  = 0,
    parameter [CHECKS*SIMD:0] COLUMNS = 0,
    parameter COUNT_W = 6,          // bits of a number of processing elements
    parameter FORM    = 0,          // as in stoic_mvu
    parameter ADDR_W  = (DEPTH > 1) ? $clog2(DEPTH) : 1,  // derived: do not override
    parameter WORD_W  = SIMD + CHECKS,                    // derived: do not override
    parameter X_W     = B * SIMD + CHECKS,                // derived: do not override
    parameter TOTALS_W = B * GROUP * TOTAL_W,             // derived: do not override
    parameter DRAW_W   = (FORM == 2) ? WORD_W + 71 : (FORM == 1) ? 2 * WORD_W + 1 : 1  // as above
) (
    input  wire                     clk_i,
    input  wire                     rst_i,
    /* from the stage below */
    input  wire [ADDR_W-1:0]        addr_i,
    input  wire [X_W-1:0]           x_i,
    input  wire                     word_i,
    input  wire                     pad_i,
    input  wire                     keep_i,
    input  wire                     double_i,
    input  wire                     last_i,        // after these flags the sums are whole
    input  wire [DRAW_W-1:0]        draw_i,        // to stoic_injector_port
    input  wire [SEL_W-1:0]         sel_i,         // processing element that the host means
    input  wire                     we_i,          // write x_i there
    input  wire                     re_i,          // read there
    input  wire                     ie_i,          // bit 0 of x_i enables its read errors
    input  wire [WORD_W-1:0]        read_i,        // an answer from further below
    input  wire [COUNT_W-1:0]       corrected_i,   // words further below
    input  wire [COUNT_W-1:0]       detected_i,
    /* the same to the stage above */
    output wire [ADDR_W-1:0]        addr_o,
    output wire [X_W-1:0]           x_o,
    output wire                     word_o,
    output wire                     pad_o,
    output wire                     keep_o,
    output wire                     double_o,
    output wire                     last_o,
    output wire [DRAW_W-1:0]        draw_o,
    output wire [SEL_W-1:0]         sel_o,
    output wire                     we_o,
    output wire                     re_o,
    output wire                     ie_o,
    output wire [WORD_W-1:0]        read_o,
    output wire [COUNT_W-1:0]       corrected_o,
    output wire [COUNT_W-1:0]       detected_o,
    /* results from the stage above, and to the one below */
    input  wire [TOTALS_W-1:0]      total_i,
    input  wire                     total_valid_i,
    output wire [TOTALS_W-1:0]      total_o,
    output wire                     total_valid_o
);
    localparam [COUNT_W-1:0] ONE = 1;
    localparam FAULT_EN = (FORM != 0) ? 2 : 0;
    localparam FLIP_W = (FORM != 0) ? 2 * WORD_W : WORD_W;

    reg [ADDR_W-1:0] addr_q;
    reg [X_W-1:0] x_q;
    reg pad_q;
    reg keep_q;
    reg double_q;
    reg last_q;
    reg last_q2;
    reg [SEL_W-1:0] sel_q;
    reg we_q;
    reg re_q;
    reg ie_q;
    reg [DRAW_W-1:0] draw_q;
    reg [2:0] re_q2;           // re_q 1 .. 3 cycles ago
    reg [WORD_W-1:0] read_q;
    reg [TOTALS_W-1:0] total_q;
    reg total_valid_q;
    wire [TOTALS_W-1:0] totals;
    wire word_q;

    always @(posedge clk_i) begin
        addr_q <= addr_i;
        x_q <= x_i;
        pad_q <= pad_i;
        keep_q <= keep_i;
        double_q <= double_i;
        sel_q <= sel_i;
        we_q <= we_i;
        ie_q <= ie_i;
        draw_q <= draw_i;
        re_q <= re_i && !rst_i;
        last_q <= last_i && !rst_i;
        last_q2 <= last_q && !rst_i;
        re_q2 <= {re_q2[1:0], re_q} & {3{!rst_i}};
        read_q <= read_i | (g_found[GROUP].read & {WORD_W{re_q2[2]}});
        total_q <= last_q2 ? totals : total_i;
        total_valid_q <= (last_q2 || total_valid_i) && !rst_i;
    end

    assign addr_o = addr_q;
    assign x_o = x_q;
    assign pad_o = pad_q;
    assign keep_o = keep_q;
    assign double_o = double_q;
    assign last_o = last_q;
    assign sel_o = sel_q;
    assign we_o = we_q;
    assign re_o = re_q;
    assign ie_o = ie_q;
    assign draw_o = draw_q;
    assign read_o = read_q;
    assign total_o = total_q;
    assign total_valid_o = total_valid_q;

    generate
        if (CHECKS > 0) begin : g_count
            reg word_in_q;
            reg [COUNT_W-1:0] corrected_q;
            reg [COUNT_W-1:0] detected_q;
            always @(posedge clk_i) begin
                word_in_q <= word_i && !rst_i;
                corrected_q <= g_found[GROUP].corrected & {COUNT_W{!rst_i}};
                detected_q <= g_found[GROUP].detected & {COUNT_W{!rst_i}};
            end
            assign word_q = word_in_q;
            assign corrected_o = corrected_q;
            assign detected_o = detected_q;
        end else if (FORM != 0) begin : g_count_errors
            reg [COUNT_W-1:0] met_q;
            always @(posedge clk_i) met_q <= g_found[GROUP].corrected & {COUNT_W{!rst_i}};
            if (FIRST == 0) begin : g_counts
                reg [3:0] clean_q;  // what the injector drew before a reset has gone by
                always @(posedge clk_i) clean_q <= {clean_q[2:0], 1'b1} & {4{!rst_i}};
                assign word_q = clean_q[3];
            end else begin : g_hands_on
                assign word_q = 1'b1;
            end
            assign corrected_o = met_q;
            assign detected_o = {COUNT_W{1'b0}};
        end else begin : g_no_count
            assign word_q = 1'b0;
            assign corrected_o = {COUNT_W{1'b0}};
            assign detected_o = {COUNT_W{1'b0}};
        end
    endgenerate
    assign word_o = word_q;

    genvar g;
    genvar b;
    generate
        for (g = 0; g <= GROUP; g = g + 1) begin : g_found
            wire [WORD_W-1:0] weight;  // of processing element g - 1, ORed with those that stand
                                       // before it in its four
            wire [WORD_W-1:0] read;    // of the fours before it, a cycle later
            wire [COUNT_W-1:0] corrected;  // words that they decode now, and those below them
            wire [COUNT_W-1:0] detected;
        end
    endgenerate
    assign g_found[0].weight = {WORD_W{1'b0}};
    assign g_found[0].read = {WORD_W{1'b0}};
    assign g_found[0].corrected = corrected_i;
    assign g_found[0].detected = detected_i;

    // a register behind every four memories, whose outputs come late in a cycle
    generate
        for (g = 0; g < GROUP; g = g + 1) begin : g_answer
            if (g % 4 == 3 || g == GROUP - 1) begin : g_four
                reg [WORD_W-1:0] weight_q;
                always @(posedge clk_i) weight_q <= g_found[g+1].weight;
                assign g_found[g+1].read = g_found[g].read | weight_q;
            end else begin : g_more
                assign g_found[g+1].read = g_found[g].read;
            end
        end
    endgenerate

    generate
        for (g = 0; g < GROUP; g = g + 1) begin : g_pe
            localparam [31:0] INDEX = FIRST + g;
            wire hit = sel_q == INDEX[SEL_W-1:0];
            reg we_hit_q;  // found out a cycle ahead: the memory may be far away
            wire [WORD_W-1:0] weight;
            wire [B*TOTAL_W-1:0] pe_total;
            wire corrected;
            wire detected;
            reg other_q;  // the host reads, but elsewhere
            always @(posedge clk_i) begin
                we_hit_q <= we_i && sel_i == INDEX[SEL_W-1:0];
                other_q <= re_q && !hit;
            end
            if (g % 4 == 0) begin : g_first_of_four
                assign g_found[g+1].weight = weight;
            end else begin : g_next_of_four
                assign g_found[g+1].weight = g_found[g].weight | weight;
            end
            assign g_found[g+1].corrected = g_found[g].corrected
                                          + (ONE & {COUNT_W{corrected && word_q}});
            assign g_found[g+1].detected = g_found[g].detected
                                         + (ONE & {COUNT_W{detected && word_q}});
            wire decoded;  // corrected by the decoder
            wire met;      // read with errors
            wire [FLIP_W-1:0] flip;
            assign corrected = (FORM == 0) ? decoded : met && INDEX == 32'd0;
            if (FORM != 0) begin : g_injector
                stoic_injector_port #(
                    .WIDTH(WORD_W),
                    .FORM(FORM),
                    .INDEX(INDEX)
                ) port (
                    .clk_i(clk_i),
                    .rst_i(rst_i),
                    .draw_i(draw_q),
                    .we_i(ie_q && hit),
                    .enable_i(x_q[0]),
                    .flip_o(flip),
                    .met_o(met)
                );
            end else begin : g_no_injector
                assign met = 1'b0;
                assign flip = {FLIP_W{1'b0}};
            end
            stoic_pe #(
                .SIMD(SIMD),
                .DEPTH(DEPTH),
                .PAD(PAD),
                .PLANES(PLANES),
                .TOTAL_W(TOTAL_W),
                .B(B),
                .TARGET(TARGET),
                .FAULT_EN(FAULT_EN),
                .CHECKS(CHECKS),
                .COLUMNS(COLUMNS)
            ) pe (
                .clk_i(clk_i),
                .addr_i(addr_q),
                .we_i(we_hit_q),
                .flip_i(flip),
                .clear_i(other_q),
                .weight_o(weight),
                .corrected_o(decoded),
                .detected_o(detected),
                .x_i(x_q),
                .pad_i(pad_q),
                .keep_i(keep_q),
                .double_i(double_q),
                .total_o(pe_total)
            );
            for (b = 0; b < B; b = b + 1) begin : g_image
                assign totals[TOTAL_W*(b*GROUP+g+1)-1:TOTAL_W*(b*GROUP+g)] =
                    pe_total[TOTAL_W*(b+1)-1:TOTAL_W*b];
            end
        end
    endgenerate
endmodule

`resetall
