// SPDX-License-Identifier: Apache-2.0
//
// stoic_uart : a serial line as two byte streams
//
//   rx_i -> stoic_uart_rx -> m_axis,   s_axis -> stoic_uart_tx -> tx_o
//
// Latency    see stoic_uart_rx, stoic_uart_tx.
// Throughput one byte in 10 bits, each way.
// Encoding   8 data bits, no parity, 1 stop bit.
// Handshake  AXI4-Stream, but the line itself cannot hold bytes back.
// Golden     tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_uart #(
    parameter CLOCKS_PER_BIT = 100  // clock / baud rate, 4..65535
) (
    input  wire       clk_i,
    input  wire       rst_i,
    /* pins */
    input  wire       rx_i,
    output wire       tx_o,
    /* bytes from the line */
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready,
    /* bytes to the line */
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready
);

    stoic_uart_rx #(
        .CLOCKS_PER_BIT (CLOCKS_PER_BIT)
    ) u_rx (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .rx_i          (rx_i),
        .m_axis_tdata  (m_axis_tdata),
        .m_axis_tvalid (m_axis_tvalid),
        .m_axis_tready (m_axis_tready)
    );

    stoic_uart_tx #(
        .CLOCKS_PER_BIT (CLOCKS_PER_BIT)
    ) u_tx (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .s_axis_tdata  (s_axis_tdata),
        .s_axis_tvalid (s_axis_tvalid),
        .s_axis_tready (s_axis_tready),
        .tx_o          (tx_o)
    );

endmodule
`resetall
