// SPDX-License-Identifier: Apache-2.0
// stoic_injector_mask : the read errors of one word from the random numbers of stoic_injector
//
//   own[k] = pick[k] ^ salt[(k + INDEX) mod 41], k < 11         {place, flip, v} = own
//   pattern[i] = (lanes[(i + INDEX) mod WIDTH] ^ flip) & (i and place are equal in the bits of care)
//   miss01 = {v, 0} >= {T01[15:11], carry01}        else a stored 0 reads 1 where pattern is 1
//   miss10 = {v, 0} >= {T10[15:11], carry10}        else a stored 1 reads 0 where pattern is 1
//
// So a lane is in the pattern with the chance 2 ** -(1 + ones of care), and a word is hit with
// T / 2 ** 15. Own numbers of two INDEX are independent, numbers of one word are shared by its lanes.
//
// FORM 2 has one in every processing element, so it is small: the layer's part of {v, 0} < {T, carry}
// comes as a rule for salt; a row of lanes takes one bit of their numbers as data, one as reset.
//
// Latency:    2 cycles
// Throughput: one word a cycle
// Encoding:   draw_i = {salt 41, pick[10:4] 7, lanes WIDTH, idle, rule01 8, rule10 8, care 6}
// Handshake:  none; never stalls. All misses while idle
// Golden:     stoic.sim.injector.word_errors
//
//   rule        of salt as INDEX turns it
//   [2k+1:2k]   {hit, equal}, k = 3 .. 1: the first k whose salt[k] is not equal decides
//   [1:0]       hit by salt[0], where all are equal
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_injector_mask #(
    parameter WIDTH = 36,  // bits of a weight word, 1..64
    parameter INDEX = 0    // of the processing element, 0..40
) (
    input  wire             clk_i,
    input  wire [WIDTH+70:0] draw_i,
    output wire [WIDTH-1:0]  pattern_o,
    output wire             miss01_o,
    output wire             miss10_o
);
    localparam SALT_W = 41;
    localparam ROWS = (WIDTH < 4) ? WIDTH : 4;  // number of a lane: {block, column 2, row 2}
    localparam COLUMNS = (WIDTH < 16) ? (WIDTH + 3) / 4 : 4;
    localparam BLOCKS = (WIDTH + 15) / 16;

    wire [5:0] care = draw_i[5:0];
    wire [7:0] rule10 = draw_i[13:6];
    wire [7:0] rule01 = draw_i[21:14];
    wire [WIDTH-1:0] lanes = draw_i[WIDTH+22:23];
    wire [6:0] pick = draw_i[WIDTH+29:WIDTH+23];
    wire [10:0] turned;  // salt, by INDEX
    wire [5:0] place = pick[6:1] ^ turned[10:5];
    wire [5:0] off0 = care & place;  // of the numbers of lanes: what is 0 is off the place
    wire [5:0] off1 = care & ~place;  // ... what is 1

    reg [WIDTH-1:0] lanes_q;
    reg flip_q;
    reg [ROWS-1:0] row_q;
    reg [COLUMNS-1:0] column_q;
    reg [BLOCKS-1:0] off_q;  // the block is
    reg idle_q;
    reg [1:0] salt_q;
    reg [3:0] rule01_q;
    reg [3:0] rule10_q;
    reg hit01_q;  // if v[3:2] is equal to T
    reg hit10_q;
    reg miss01_q;
    reg miss10_q;
    reg [WIDTH-1:0] pattern_q;

    // by two bits of v; below: if both are equal to T
    function hit;
        input [1:0] salt;
        input [3:0] rule;
        input below;
        hit = (salt[1] != rule[2]) ? rule[3] : (salt[0] != rule[0]) ? rule[1] : below;
    endfunction

    always @(posedge clk_i) begin
        flip_q <= pick[0] ^ turned[4];
        idle_q <= draw_i[22];
        salt_q <= turned[3:2];
        rule01_q <= rule01[7:4];
        rule10_q <= rule10[7:4];
        hit01_q <= (turned[1] != rule01[2]) ? rule01[3] : turned[0] ? rule01[1] : rule01[0];
        hit10_q <= (turned[1] != rule10[2]) ? rule10[3] : turned[0] ? rule10[1] : rule10[0];
        if (idle_q) begin
            miss01_q <= 1'b1;
            miss10_q <= 1'b1;
        end else begin
            miss01_q <= !hit(salt_q, rule01_q, hit01_q);
            miss10_q <= !hit(salt_q, rule10_q, hit10_q);
        end
    end

    genvar i;
    generate
        if (INDEX < 0 || INDEX >= SALT_W) begin : g_illegal
            stoic_illegal_parameter ERROR_injector_mask_needs_INDEX_0_40 ();
        end
        for (i = 0; i < 11; i = i + 1) begin : g_salt
            assign turned[i] = draw_i[WIDTH+30+(i+INDEX)%SALT_W];
        end
        for (i = 0; i < ROWS; i = i + 1) begin : g_row
            always @(posedge clk_i)
                if ((i / 2 == 1) ? off1[1] : off0[1]) row_q[i] <= 1'b0;
                else row_q[i] <= !((i % 2 == 1) ? off1[0] : off0[0]);
        end
        for (i = 0; i < COLUMNS; i = i + 1) begin : g_column
            always @(posedge clk_i)
                if ((i / 2 == 1) ? off1[3] : off0[3]) column_q[i] <= 1'b0;
                else column_q[i] <= !((i % 2 == 1) ? off1[2] : off0[2]);
        end
        for (i = 0; i < BLOCKS; i = i + 1) begin : g_block
            always @(posedge clk_i)
                if ((i % 2 == 1) ? off1[4] : off0[4]) off_q[i] <= 1'b1;
                else off_q[i] <= (i / 2 == 1) ? off1[5] : off0[5];
        end
        for (i = 0; i < WIDTH; i = i + 1) begin : g_lane
            always @(posedge clk_i) begin
                lanes_q[i] <= lanes[(i+INDEX)%WIDTH];
                if (off_q[i/16]) pattern_q[i] <= 1'b0;
                else pattern_q[i] <= (lanes_q[i] ^ flip_q) & row_q[i%4] & column_q[i/4%4];
            end
        end
    endgenerate

    assign pattern_o = pattern_q;
    assign miss01_o = miss01_q;
    assign miss10_o = miss10_q;
endmodule

`resetall
