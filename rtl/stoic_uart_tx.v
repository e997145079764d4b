// SPDX-License-Identifier: Apache-2.0
//
// stoic_uart_tx : bytes to a serial line, 8 data bits, no parity, 1 stop bit
//
//   start bit 0, data bits 0..7, stop bit 1, each CLOCKS_PER_BIT cycles
//
// Latency    1 cycle to the start bit.
// Throughput one byte in 10 bits.
// Encoding   least significant bit first, line idle at 1.
// Handshake  ready once the stop bit of the byte before is over.
// Golden     tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_uart_tx #(
    parameter CLOCKS_PER_BIT = 100  // clock / baud rate, 4..65535
) (
    input  wire       clk_i,
    input  wire       rst_i,
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready,
    output wire       tx_o
);

    localparam [15:0] BIT = CLOCKS_PER_BIT - 1;

    initial
        if (CLOCKS_PER_BIT < 4 || CLOCKS_PER_BIT > 65535)
            $display("ERROR %m: CLOCKS_PER_BIT=%0d, must be 4..65535", CLOCKS_PER_BIT);

    reg  [15:0] clocks_q;  // until the next bit
    reg  [3:0]  bits_q;    // bits to come, 0 when idle
    reg  [8:0]  shift_q;

    always @(posedge clk_i) begin
        if (bits_q == 4'd0) begin
            clocks_q <= BIT;
            if (s_axis_tvalid) begin
                shift_q <= {s_axis_tdata, 1'b0};
                bits_q  <= 4'd10;
            end
        end else if (clocks_q != 16'd0)
            clocks_q <= clocks_q - 16'd1;
        else begin
            clocks_q <= BIT;
            shift_q  <= {1'b1, shift_q[8:1]};
            bits_q   <= bits_q - 4'd1;
        end
        if (rst_i) begin
            shift_q <= 9'h1FF;
            bits_q  <= 4'd0;
        end
    end

    assign s_axis_tready = bits_q == 4'd0;
    assign tx_o          = shift_q[0];

endmodule
`resetall
