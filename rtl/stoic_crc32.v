// SPDX-License-Identifier: Apache-2.0
//
// stoic_crc32 : the CRC-32 of zlib, Ethernet and PNG, one byte a cycle
//
//   crc <- (crc ^ byte), then 8 times: crc <- crc[0] ? (crc >> 1) ^ 32'hEDB88320 : crc >> 1
//
// Latency    1 cycle.
// Throughput one byte a cycle.
// Encoding   crc_o is the raw register, 32'hFFFFFFFF when cleared; zlib.crc32 is ~crc_o. Once the
//            four bytes of a right CRC have passed too (low byte first), crc_o is the residue
//            32'hDEBB20E3.
// Handshake  none: valid_i takes a byte, clear_i wins over it.
// Golden     zlib.crc32
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_crc32 (
    input  wire        clk_i,
    input  wire        clear_i,
    input  wire        valid_i,
    input  wire [7:0]  data_i,
    output wire [31:0] crc_o
);

    reg [31:0] crc_q;

    function [31:0] step;
        input [31:0] crc;
        input [7:0]  data;
        integer      i;
        begin
            step = crc ^ {24'd0, data};
            for (i = 0; i < 8; i = i + 1)
                step = step[0] ? ((step >> 1) ^ 32'hEDB88320) : (step >> 1);
        end
    endfunction

    always @(posedge clk_i) begin
        if (clear_i)
            crc_q <= 32'hFFFFFFFF;
        else if (valid_i)
            crc_q <= step(crc_q, data_i);
    end

    assign crc_o = crc_q;

endmodule
`resetall
