// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_info : who this board is, and what it has counted
//
//   identity (INFO, byte 0 lowest): see docs/link.md
//   counters: +0 images (4) | +4 good frames (4) | +8 bad frames (2) | +10 cycles in which an image
//             was inside (5)
//
// Latency    2 cycles from start_i to the first byte.
// Throughput one byte in 2 cycles.
// Encoding   little endian; counters wrap.
// Handshake  start_i goes back to byte 0.
// Golden     stoic.hw.link.unpack_identity, stoic.hw.link.unpack_counters
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_info #(
    parameter INFO_BYTES = 1,              // bytes of the identity, 1..64
    parameter [8*INFO_BYTES-1:0] INFO = 0  // the identity
) (
    input  wire       clk_i,
    input  wire       rst_i,
    /* events, one cycle each */
    input  wire       image_i,
    input  wire       good_i,
    input  wire       bad_i,
    input  wire       busy_i,      // level: an image is inside
    /* bytes */
    input  wire       start_i,
    input  wire       counters_i,  // counters, else identity
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready,
    output wire       m_axis_tlast
);

    localparam       COUNT_BYTES = 15;
    localparam [5:0] LAST_COUNT  = COUNT_BYTES - 1;
    localparam [5:0] LAST_INFO   = INFO_BYTES - 1;

    reg  [31:0] images_q, good_q;
    reg  [15:0] bad_q;
    reg  [39:0] busy_q;
    reg  [5:0]  index_q;
    reg  [7:0]  data_q;
    reg         valid_q;

    function [7:0] info_byte;
        input [5:0] index;
        integer     i;
        begin
            info_byte = 8'd0;
            for (i = 0; i < 8 * INFO_BYTES; i = i + 1)
                if (index == i[8:3])
                    info_byte[i[2:0]] = INFO[i];
        end
    endfunction

    function [7:0] count_byte;
        input [8*COUNT_BYTES-1:0] counts;
        input [5:0]               index;
        integer                   i;
        begin
            count_byte = 8'd0;
            for (i = 0; i < 8 * COUNT_BYTES; i = i + 1)
                if (index == i[8:3])
                    count_byte[i[2:0]] = counts[i];
        end
    endfunction

    always @(posedge clk_i) begin
        if (!valid_q) begin  // not in every cycle: it costs hardware nothing, but simulators time
            if (counters_i)
                data_q <= count_byte({busy_q, bad_q, good_q, images_q}, index_q);
            else
                data_q <= info_byte(index_q);
        end
        if (start_i) begin
            index_q <= 6'd0;
            valid_q <= 1'b0;
        end else begin
            valid_q <= !(valid_q && m_axis_tready);
            if (valid_q && m_axis_tready)
                index_q <= index_q + 6'd1;
        end
    end

    always @(posedge clk_i) begin
        if (image_i)
            images_q <= images_q + 32'd1;
        if (good_i)
            good_q <= good_q + 32'd1;
        if (bad_i)
            bad_q <= bad_q + 16'd1;
        if (busy_i)
            busy_q <= busy_q + 40'd1;
        if (rst_i) begin
            images_q <= 32'd0;
            good_q   <= 32'd0;
            bad_q    <= 16'd0;
            busy_q   <= 40'd0;
        end
    end

    assign m_axis_tdata  = data_q;
    assign m_axis_tvalid = valid_q;
    assign m_axis_tlast  = index_q == (counters_i ? LAST_COUNT : LAST_INFO);

endmodule
`resetall
