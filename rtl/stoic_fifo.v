// SPDX-License-Identifier: Apache-2.0
// stoic_fifo : first in, first out, in one memory
//
//   m_axis is s_axis, word for word, up to DEPTH words later
//
// Latency:    2 cycles from a write into an empty FIFO to m_axis_tvalid
// Throughput: one word a cycle in and out
// Encoding:   none
// Handshake:  AXI4-Stream; s_axis_tready is a register and learns of a read from a full FIFO a cycle
//             late
// Golden:     the identity
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_fifo #(
    parameter DEPTH  = 16,        // words, a power of two, 2..32768
    parameter WIDTH  = 32,        // bits of a word, 1..64; put tlast among them
    parameter TARGET = "generic"  // as in stoic_ram
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* words in */
    input  wire [WIDTH-1:0] s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    /* words out */
    output wire [WIDTH-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready
);
    localparam ADDR_W = $clog2(DEPTH);
    localparam [ADDR_W:0] ONE = 1;
    localparam [ADDR_W:0] TWO = 2;
    localparam [31:0] ROUND = DEPTH;  // a full FIFO reads and writes so far apart

    // one bit more than an address, so that full differs from empty; the places after these stand in
    // registers too, so that a push or pop only chooses
    reg [ADDR_W:0] write_q;
    reg [ADDR_W:0] write_next_q;
    reg [ADDR_W:0] read_q;
    reg [ADDR_W:0] read_next_q;
    reg valid_q;
    reg full_q;

    wire push = s_axis_tvalid && !full_q;
    wire pop = valid_q && m_axis_tready;
    wire [ADDR_W-1:0] ahead = valid_q ? read_next_q[ADDR_W-1:0] : read_q[ADDR_W-1:0];
    wire [ADDR_W:0] full_at = read_q ^ ROUND[ADDR_W:0];

    assign s_axis_tready = !full_q;
    assign m_axis_tvalid = valid_q;

    generate
        if (DEPTH < 2 || DEPTH != (1 << ADDR_W)) begin : g_illegal
            stoic_illegal_parameter ERROR_fifo_needs_DEPTH_a_power_of_two ();
        end
    endgenerate

    // read ahead, where a pop leads: m_axis_tready, often late, only holds the word. write_q lags the
    // memory by a cycle, so what it admits is there
    stoic_ram #(
        .DEPTH(DEPTH),
        .WIDTH(WIDTH),
        .LATENCY(1),
        .TARGET(TARGET)
    ) ram (
        .clk_i(clk_i),
        .we_i(push),
        .waddr_i(write_q[ADDR_W-1:0]),
        .wdata_i(s_axis_tdata),
        .raddr_i(ahead),
        .flip_i({WIDTH{1'b0}}),
        .clear_i(1'b0),
        .hold_i(valid_q && !m_axis_tready),
        .rdata_o(m_axis_tdata)
    );

    always @(posedge clk_i) begin
        if (rst_i) begin
            write_q <= {(ADDR_W + 1){1'b0}};
            write_next_q <= ONE;
            read_q <= {(ADDR_W + 1){1'b0}};
            read_next_q <= ONE;
            valid_q <= 1'b0;
            full_q <= 1'b0;
        end else begin
            if (push) begin
                write_q <= write_next_q;
                write_next_q <= write_q + TWO;
            end
            if (pop) begin
                read_q <= read_next_q;
                read_next_q <= read_q + TWO;
            end
            full_q <= push ? write_next_q == full_at : write_q == full_at;
            valid_q <= pop ? write_q != read_next_q : write_q != read_q;
        end
    end
endmodule

`resetall
