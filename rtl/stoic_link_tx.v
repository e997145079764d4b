// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_tx : puts one answer on the line
//
//   A5, length (2, LE), sequence number, command | 80, status, payload up to tlast, CRC-32 (4, LE)
//
// Latency    2 cycles from start_i to the first byte.
// Throughput one byte a cycle.
// Encoding   CRC-32 of zlib over all after A5.
// Handshake  length (of status and payload), sequence number, command, status and has_payload_i
//            hold from start_i to done_o; start_i only while busy_o is 0; done_o is one cycle, when
//            the last byte has been put out.
// Golden     stoic.hw.link.encode
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_tx (
    input  wire        clk_i,
    input  wire        rst_i,
    /* the answer */
    input  wire        start_i,
    input  wire [15:0] length_i,
    input  wire [7:0]  sequence_i,
    input  wire [6:0]  command_i,
    input  wire [3:0]  status_i,
    input  wire        has_payload_i,  // anything after the status
    output wire        busy_o,
    output reg         done_o,
    /* payload after the status */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* bytes to the line */
    output wire [7:0]  m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready
);

    localparam [2:0] IDLE = 3'd0, HEAD = 3'd1, BODY = 3'd2, GAP = 3'd3, TAIL = 3'd4;

    reg  [2:0]  state_q;
    reg  [2:0]  index_q;   // byte of the head or of the CRC
    reg  [7:0]  data_q, data_d;
    reg         valid_q;
    reg         counts_q;  // data_q is new and goes into the CRC
    wire [31:0] crc;

    wire room = !valid_q || m_axis_tready;
    wire put  = room && (state_q == HEAD || state_q == TAIL || (state_q == BODY && s_axis_tvalid));

    stoic_crc32 u_crc (
        .clk_i   (clk_i),
        .clear_i (state_q == IDLE),
        .valid_i (counts_q),
        .data_i  (data_q),
        .crc_o   (crc)
    );

    always @* begin
        data_d = s_axis_tdata;
        if (state_q == HEAD)
            case (index_q)
                3'd0:    data_d = 8'hA5;
                3'd1:    data_d = length_i[7:0];
                3'd2:    data_d = length_i[15:8];
                3'd3:    data_d = sequence_i;
                3'd4:    data_d = {1'b1, command_i};
                default: data_d = {4'd0, status_i};
            endcase
        if (state_q == TAIL)
            case (index_q[1:0])
                2'd0:    data_d = ~crc[7:0];
                2'd1:    data_d = ~crc[15:8];
                2'd2:    data_d = ~crc[23:16];
                default: data_d = ~crc[31:24];
            endcase
    end

    always @(posedge clk_i) begin
        if (put)
            data_q <= data_d;
        counts_q <= put && (state_q == BODY || (state_q == HEAD && index_q != 3'd0));
    end

    always @(posedge clk_i) begin
        done_o <= 1'b0;
        if (room)
            valid_q <= put;
        case (state_q)
            IDLE: begin
                index_q <= 3'd0;
                if (start_i)
                    state_q <= HEAD;
            end
            HEAD:
                if (put) begin
                    index_q <= (index_q == 3'd5) ? 3'd0 : index_q + 3'd1;
                    if (index_q == 3'd5)
                        state_q <= has_payload_i ? BODY : GAP;
                end
            BODY:
                if (put && s_axis_tlast)
                    state_q <= GAP;
            GAP:  // the CRC takes the last byte
                state_q <= TAIL;
            default:
                if (put) begin
                    index_q <= index_q + 3'd1;
                    if (index_q == 3'd3) begin
                        done_o  <= 1'b1;
                        state_q <= IDLE;
                    end
                end
        endcase
        if (rst_i) begin
            done_o  <= 1'b0;
            valid_q <= 1'b0;
            state_q <= IDLE;
        end
    end

    assign busy_o        = state_q != IDLE || valid_q;
    assign s_axis_tready = room && state_q == BODY;
    assign m_axis_tdata  = data_q;
    assign m_axis_tvalid = valid_q;

endmodule
`resetall
