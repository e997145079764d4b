"""The top of a board: the Verilog between its pins and `stoic_top`.

All pins files use the same port names: clk_i, button_i, uart_rx_i, uart_tx_o, led_o and the outputs
that the board wants high.
"""

from ..flows.pll import pll_verilog
from .board import Board


def wrapper_verilog(board: Board) -> str:
    """Module `board_<name>`: pins, PLL, reset, UART, `stoic_top` and LEDs.

    LED 0 blinks once in 2**26 clocks, LED 1 follows the line from the host, LED 2 the line to it.
    """
    invert = {True: "~", False: ""}
    on = invert[board.led_active_low]
    leds = ["beat_q[25]", "~uart_rx_i", "~uart_tx_o"][: board.n_leds]
    leds += ["1'b0"] * (board.n_leds - len(leds))
    ports = "".join(f",\n    output wire {port}" for port in board.tie_high)
    ties = "".join(f"    assign {port} = 1'b1;\n" for port in board.tie_high)
    return f"""\
// SPDX-License-Identifier: Apache-2.0
// {board.top} : pins, clock, reset, UART and LEDs of {board.title}; made by stoic.hw.boards
// Clock: {board.core_hz} Hz from {board.pin_hz} Hz. UART: {board.baud} baud, 8N1.
`resetall
`timescale 1ns / 1ps
`default_nettype none
module {board.top} (
    input  wire clk_i, button_i, uart_rx_i,
    output wire uart_tx_o,
    output wire [{board.n_leds - 1}:0] led_o{ports}
);
    wire clk, locked;
{pll_verilog(board.pll, board.pll_cell)}
    // reset: held for 16 clocks after the PLL locks, and while the button is pressed
    reg  [1:0]  ready_q;
    reg  [15:0] hold_q;
    reg         rst_q;
    wire        rst = rst_q;
    initial begin ready_q = 2'd0; hold_q = 16'd0; rst_q = 1'b1; end
    always @(posedge clk) begin
        ready_q <= {{ready_q[0], locked & {invert[not board.button_active_low]}button_i}};
        hold_q  <= {{hold_q[14:0], 1'b1}} & {{16{{ready_q[1]}}}};
        rst_q   <= ~hold_q[15];
    end

    wire [7:0] rx_tdata, tx_tdata;
    wire       rx_tvalid, rx_tready, tx_tvalid, tx_tready;
    stoic_uart #(.CLOCKS_PER_BIT({board.uart_divisor})) u_uart (
        .clk_i(clk), .rst_i(rst), .rx_i(uart_rx_i), .tx_o(uart_tx_o),
        .m_axis_tdata(rx_tdata), .m_axis_tvalid(rx_tvalid), .m_axis_tready(rx_tready),
        .s_axis_tdata(tx_tdata), .s_axis_tvalid(tx_tvalid), .s_axis_tready(tx_tready)
    );
    stoic_top u_top (
        .clk_i(clk), .rst_i(rst),
        .rx_tdata(rx_tdata), .rx_tvalid(rx_tvalid), .rx_tready(rx_tready),
        .tx_tdata(tx_tdata), .tx_tvalid(tx_tvalid), .tx_tready(tx_tready)
    );

    reg [25:0] beat_q;
    always @(posedge clk) beat_q <= rst ? 26'd0 : beat_q + 26'd1;
    assign led_o = {on}{{{", ".join(reversed(leds))}}};
{ties}endmodule
`resetall
"""
