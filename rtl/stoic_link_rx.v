// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_rx : takes frames off the line, stores them and says how they ended
//
//   frame = A5, length (2, LE), sequence number, command, payload, CRC-32 (4, LE) of all after A5
//
// Length, sequence number, command and payload are written to the current page as they come; the
// page is committed with a status when the frame is over. After a frame that went wrong the line is
// out of step, so everything is thrown away until it has been silent for 2^TIMEOUT_W cycles: bytes
// inside a damaged frame are never taken for a frame.
//
// Latency    2 cycles from the last byte to commit_o.
// Throughput one byte a cycle, one cycle of pause after a frame.
// Encoding   status 0 good, 1 wrong CRC, 2 length over 2^PAGE_W - 4, 3 silence inside the frame.
// Handshake  ready while there is a page to write to.
// Golden     stoic.hw.link.decode
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_rx #(
    parameter PAGE_W    = 10,  // log2 of the bytes of a page, 5..16
    parameter TIMEOUT_W = 20   // log2 of the cycles of silence that end a frame, 1..31
) (
    input  wire              clk_i,
    input  wire              rst_i,
    /* bytes from the line */
    input  wire [7:0]        s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    /* current page */
    input  wire              full_i,
    output reg               we_o,
    output reg  [PAGE_W-1:0] waddr_o,
    output reg  [7:0]        wdata_o,
    output reg               commit_o,
    output reg  [1:0]        status_o,
    /* nothing of a frame has come, nothing is thrown away */
    output wire              idle_o
);

    localparam [7:0]  SOF       = 8'hA5;
    localparam [31:0] RESIDUE   = 32'hDEBB20E3;
    localparam [1:0]  GOOD = 2'd0, BAD_CRC = 2'd1, BAD_LENGTH = 2'd2, CUT = 2'd3;
    localparam [2:0]  HUNT = 3'd0, HEAD = 3'd1, BODY = 3'd2, TAIL = 3'd3, CHECK = 3'd4,
                      DRAIN = 3'd5;

    reg  [2:0]         state_q;
    reg  [PAGE_W-1:0]  offset_q;
    reg  [1:0]         index_q;   // byte of the head or of the CRC
    reg  [15:0]        left_q;    // the length, then payload bytes to come
    reg  [TIMEOUT_W:0] silence_q;
    wire [31:0]        crc;

    assign s_axis_tready = !full_i && state_q != CHECK;
    assign idle_o        = state_q == HUNT && !commit_o;
    wire   beat          = s_axis_tvalid && s_axis_tready;
    wire   silent        = silence_q[TIMEOUT_W];
    // over 2^PAGE_W - 4: does not fit a page beside its head
    wire   too_long      = left_q >> PAGE_W != 16'd0
                        || (&left_q[PAGE_W-1:2] && left_q[1:0] != 2'd0);

    stoic_crc32 u_crc (
        .clk_i   (clk_i),
        .clear_i (state_q == HUNT),
        .valid_i (beat),
        .data_i  (s_axis_tdata),
        .crc_o   (crc)
    );

    always @(posedge clk_i) begin
        we_o    <= beat && (state_q == HEAD || state_q == BODY);
        waddr_o <= offset_q;
        wdata_o <= s_axis_tdata;
        if (state_q == HUNT)
            offset_q <= {PAGE_W{1'b0}};
        else if (beat)
            offset_q <= offset_q + 1'b1;
        if (state_q == HUNT || state_q == BODY)
            index_q <= 2'd0;
        else if (beat)
            index_q <= index_q + 2'd1;
        if (beat && state_q == HEAD && index_q == 2'd0)
            left_q[7:0] <= s_axis_tdata;
        if (beat && state_q == HEAD && index_q == 2'd1)
            left_q[15:8] <= s_axis_tdata;
        if (beat && state_q == BODY)
            left_q[PAGE_W-1:0] <= left_q[PAGE_W-1:0] - 1'b1;
        if (beat || full_i || state_q == HUNT || rst_i)
            silence_q <= {(TIMEOUT_W + 1){1'b0}};
        else
            silence_q <= silence_q + 1'b1;
    end

    always @(posedge clk_i) begin
        commit_o <= 1'b0;
        status_o <= GOOD;
        case (state_q)
            HUNT:
                if (beat && s_axis_tdata == SOF)
                    state_q <= HEAD;
            HEAD:
                if (beat && index_q == 2'd3) begin
                    if (too_long) begin
                        commit_o <= 1'b1;
                        status_o <= BAD_LENGTH;
                        state_q  <= DRAIN;
                    end else
                        state_q <= (left_q[PAGE_W-1:0] == {PAGE_W{1'b0}}) ? TAIL : BODY;
                end else if (silent)
                    state_q <= HUNT;  // without a sequence number there is nobody to answer
            BODY, TAIL:
                if (beat) begin
                    if (state_q == BODY && left_q[PAGE_W-1:0] == {{(PAGE_W-1){1'b0}}, 1'b1})
                        state_q <= TAIL;
                    if (state_q == TAIL && index_q == 2'd3)
                        state_q <= CHECK;
                end else if (silent) begin
                    commit_o <= 1'b1;
                    status_o <= CUT;
                    state_q  <= HUNT;
                end
            CHECK: begin
                commit_o <= 1'b1;
                status_o <= (crc == RESIDUE) ? GOOD : BAD_CRC;
                state_q  <= (crc == RESIDUE) ? HUNT : DRAIN;
            end
            default:
                if (silent)
                    state_q <= HUNT;
        endcase
        if (rst_i) begin
            commit_o <= 1'b0;
            state_q  <= HUNT;
        end
    end

endmodule
`resetall
