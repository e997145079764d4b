// SPDX-License-Identifier: Apache-2.0
// stoic_secded : decoder of SECDED: single errors are corrected, double errors detected
//
//   syndrome  = check bits read ^ check bits of the data read
//   data_o    = the data read, the bit inverted whose column the syndrome is, if there is one
//   corrected = syndrome is the column of a data bit, or 1 << m, that of check bit m
//   detected  = syndrome is anything else but 0; the data pass as they were read
//
// A triple error may look like a single one; then a fourth bit turns, as in the golden function.
//
// Latency:    2 cycles: parities, correction
// Throughput: one word a cycle
// Encoding:   word_i = {check bits, data bits}; COLUMNS as in stoic_secded_checks
// Handshake:  none; never stalls
// Golden:     stoic.sim.protection.hsiao.Code.decode
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_secded #(
    parameter K = 8,  // data bits, 1..64
    parameter R = 5,  // check bits, 3..8
    parameter [R*K-1:0] COLUMNS = 40'hb557c9bb27  // columns of stoic.sim.protection.hsiao.code(K)
) (
    input  wire           clk_i,
    input  wire [K+R-1:0] word_i,
    output wire [K-1:0]   data_o,
    output wire           corrected_o,
    output wire           detected_o
);
    wire [R-1:0] checks;
    stoic_secded_checks #(
        .K(K),
        .R(R),
        .COLUMNS(COLUMNS)
    ) encoder (
        .data_i(word_i[K-1:0]),
        .checks_o(checks)
    );

    reg [K-1:0] data_q;
    reg [R-1:0] syndrome_q;
    reg [K-1:0] data_q2;
    reg corrected_q;
    reg detected_q;
    wire [K-1:0] data_hit;
    wire [R-1:0] check_hit;

    genvar i;
    generate
        for (i = 0; i < K; i = i + 1) begin : g_data
            assign data_hit[i] = syndrome_q == COLUMNS[R*(i+1)-1:R*i];
        end
        for (i = 0; i < R; i = i + 1) begin : g_check
            localparam [R-1:0] COLUMN = 1 << i;
            assign check_hit[i] = syndrome_q == COLUMN;
        end
    endgenerate

    wire found = (|data_hit) || (|check_hit);
    always @(posedge clk_i) begin
        syndrome_q <= checks ^ word_i[K+R-1:K];
        data_q <= word_i[K-1:0];
        data_q2 <= data_q ^ data_hit;
        corrected_q <= found;
        detected_q <= (|syndrome_q) && !found;
    end

    assign data_o = data_q2;
    assign corrected_o = corrected_q;
    assign detected_o = detected_q;
endmodule

`resetall
