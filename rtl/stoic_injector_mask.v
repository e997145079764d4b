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
// Latency:    2 cycles
// Throughput: one word a cycle
// Encoding:   draw_i = {salt 41, pick 11, lanes WIDTH, valid, carry01, carry10, T01[15:11],
//             T10[15:11], care 6}
// Handshake:  none; never stalls. All misses while valid is 0
// Golden:     stoic.sim.injector.word_errors
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
    localparam ROWS = (WIDTH < 8) ? WIDTH : 8;  // lane i stands in row i mod 8, column i div 8
    localparam COLUMNS = (WIDTH + 7) / 8;

    wire [5:0] care = draw_i[5:0];
    wire [4:0] most10 = draw_i[10:6];
    wire [4:0] most01 = draw_i[15:11];
    wire [WIDTH-1:0] lanes = draw_i[WIDTH+18:19];
    wire [10:0] own;
    wire [5:0] fits0 = ~care | ~own[10:5];  // of the numbers of lanes: what is 0 fits the place
    wire [5:0] fits1 = ~care | own[10:5];  // ... what is 1

    reg [WIDTH-1:0] lanes_q;
    reg flip_q;
    reg [3:0] v_q;
    reg [ROWS-1:0] row_q;
    reg [COLUMNS-1:0] column_q;
    reg valid_q;
    reg carry01_q;
    reg carry10_q;
    reg miss01_q;
    reg miss10_q;
    reg [WIDTH-1:0] pattern_q;

    always @(posedge clk_i) begin
        v_q <= own[3:0];
        flip_q <= own[4];
        valid_q <= draw_i[18];
        carry01_q <= draw_i[17];
        carry10_q <= draw_i[16];
        miss01_q <= !valid_q || !hits(v_q, most01, carry01_q);
        miss10_q <= !valid_q || !hits(v_q, most10, carry10_q);
    end

    // {v, 0} < {most, carry}, in LUTs: a carry chain of so few bits takes more cells
    function hits;
        input [3:0] v;
        input [4:0] most;
        input carry;
        integer k;
        begin
            hits = carry;
            for (k = 0; k < 4; k = k + 1) hits = (v[k] == most[k]) ? hits : most[k];
            hits = hits || most[4];
        end
    endfunction

    genvar i;
    generate
        if (INDEX < 0 || INDEX >= SALT_W) begin : g_illegal
            stoic_illegal_parameter ERROR_injector_mask_needs_INDEX_0_40 ();
        end
        for (i = 0; i < 11; i = i + 1) begin : g_own
            assign own[i] = draw_i[WIDTH+19+i] ^ draw_i[WIDTH+30+(i+INDEX)%SALT_W];
        end
        for (i = 0; i < ROWS; i = i + 1) begin : g_row
            localparam [31:0] ROW = i;
            always @(posedge clk_i)
                row_q[i] <= &((ROW[2:0] & fits1[2:0]) | (~ROW[2:0] & fits0[2:0]));
        end
        for (i = 0; i < COLUMNS; i = i + 1) begin : g_column
            localparam [31:0] COLUMN = i;
            always @(posedge clk_i)
                column_q[i] <= &((COLUMN[2:0] & fits1[5:3]) | (~COLUMN[2:0] & fits0[5:3]));
        end
        for (i = 0; i < WIDTH; i = i + 1) begin : g_lane
            always @(posedge clk_i) begin
                lanes_q[i] <= lanes[(i+INDEX)%WIDTH];
                pattern_q[i] <= (lanes_q[i] ^ flip_q) & row_q[i%8] & column_q[i/8];
            end
        end
    endgenerate

    assign pattern_o = pattern_q;
    assign miss01_o = miss01_q;
    assign miss10_o = miss10_q;
endmodule

`resetall
