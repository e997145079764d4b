// SPDX-License-Identifier: Apache-2.0
//
// stoic_uart_rx : bytes from a serial line, 8 data bits, no parity, 1 stop bit
//
//   every bit is sampled once, in its middle, counted from the falling edge of the start bit
//
// Latency    9.5 bits and 4 cycles.
// Throughput one byte in 10 bits.
// Encoding   least significant bit first, line idle at 1.
// Handshake  a byte stays until it is taken or the next has come; a byte without a stop bit is
//            dropped. Losing one makes the CRC of its frame wrong: that is answered and counted.
// Golden     tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_uart_rx #(
    parameter CLOCKS_PER_BIT = 100  // clock / baud rate, 4..65535
) (
    input  wire       clk_i,
    input  wire       rst_i,
    input  wire       rx_i,  // pin, asynchronous
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
);

    localparam [15:0] BIT  = CLOCKS_PER_BIT - 1;
    localparam [15:0] HALF = CLOCKS_PER_BIT / 2 - 1;

    initial
        if (CLOCKS_PER_BIT < 4 || CLOCKS_PER_BIT > 65535)
            $display("ERROR %m: CLOCKS_PER_BIT=%0d, must be 4..65535", CLOCKS_PER_BIT);

    reg  [2:0]  line_q;     // synchroniser; bit 2 is the line
    reg  [15:0] clocks_q;   // until the next sample
    reg  [3:0]  bits_q;     // samples to come, 0 when idle
    reg  [7:0]  shift_q, data_q;
    reg         valid_q, start_q;

    wire line   = line_q[2];
    wire sample = clocks_q == 16'd0;

    always @(posedge clk_i) begin
        line_q <= {line_q[1:0], rx_i};
        if (bits_q != 4'd0 && sample)
            shift_q <= {line, shift_q[7:1]};
        if (bits_q == 4'd1 && sample && line)
            data_q <= shift_q;
    end

    always @(posedge clk_i) begin
        if (m_axis_tready)
            valid_q <= 1'b0;
        if (bits_q == 4'd0) begin
            clocks_q <= HALF;
            start_q  <= 1'b1;
            if (!line)
                bits_q <= 4'd10;
        end else if (!sample)
            clocks_q <= clocks_q - 16'd1;
        else begin
            clocks_q <= BIT;
            start_q  <= 1'b0;
            bits_q   <= (start_q && line) ? 4'd0 : bits_q - 4'd1;  // a spike is no start bit
            if (bits_q == 4'd1 && line)
                valid_q <= 1'b1;
        end
        if (rst_i) begin
            bits_q  <= 4'd0;
            valid_q <= 1'b0;
        end
    end

    assign m_axis_tdata  = data_q;
    assign m_axis_tvalid = valid_q;

endmodule
`resetall
