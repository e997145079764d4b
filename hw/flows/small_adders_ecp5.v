// SPDX-License-Identifier: Apache-2.0
// Adders of few bits in LUTs: a carry chain of the ECP5 takes four cells to enter and to leave, so up to
// six bits (the sums inside a popcount) a ripple of LUTs is smaller.
// Source: nextpnr 0.11, ecp5/pack.cc, carry chains: a cell before and one behind each; the widths measured.
(* techmap_celltype = "$add" *)
module _small_adder (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire _TECHMAP_FAIL_ = A_SIGNED || B_SIGNED || Y_WIDTH > 6;
    wire [Y_WIDTH-1:0] a = A;
    wire [Y_WIDTH-1:0] b = B;
    wire [Y_WIDTH:0] carry;
    assign carry[0] = 1'b0;
    assign carry[Y_WIDTH:1] = (a & b) | (carry[Y_WIDTH-1:0] & (a | b));
    assign Y = a ^ b ^ carry[Y_WIDTH-1:0];
endmodule
