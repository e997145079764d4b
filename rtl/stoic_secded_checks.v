// SPDX-License-Identifier: Apache-2.0
// stoic_secded_checks : encoder of SECDED: check bits of a word
//
//   checks_o[m] = parity of the data bits whose column has bit m
//
// Latency:    0, combinational
// Throughput: one word a cycle
// Encoding:   data bit i owns bits R i .. R i + R - 1 of COLUMNS, an odd-weight integer
// Handshake:  none
// Golden:     stoic.sim.protection.hsiao.Code.checks
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_secded_checks #(
    parameter K = 8,  // data bits, 1..64
    parameter R = 5,  // check bits, 3..8
    parameter [R*K-1:0] COLUMNS = 40'hb557c9bb27  // columns of stoic.sim.protection.hsiao.code(K)
) (
    input  wire [K-1:0] data_i,
    output wire [R-1:0] checks_o
);
    genvar m;
    genvar i;
    generate
        if (K < 1 || K > 64 || R < 3 || R > 8) begin : g_illegal
            stoic_illegal_parameter ERROR_secded_needs_K_1_64_R_3_8 ();
        end
    endgenerate

    generate
        for (m = 0; m < R; m = m + 1) begin : g_check
            wire [K-1:0] mine;
            for (i = 0; i < K; i = i + 1) begin : g_bit
                assign mine[i] = data_i[i] && COLUMNS[R*i+m];
            end
            assign checks_o[m] = ^mine;
        end
    endgenerate
endmodule

`resetall
