"""The generated shell of a Zynq: `stoic_soc` between its processor's bus and an AXI DMA.

    processor -> AXI4-Lite  -> stoic_soc
    DMA       -> bytes of a batch of images -> stoic_soc -> scores of the batch -> DMA

A DMA moves packets and knows no images: `stoic_zynq` ends an image after so many bytes, and the
packet of scores with those of the image in whose last byte the packet of images ended. The next
batch waits until the scores of this one have left. A packet that is no whole number of images never
ends.
"""

import math

from ..sim.core import Core, image_bytes
from .boards import Board
from .soc import soc_sources, soc_verilog
from .top import core_text

SHELL = "stoic_zynq"
_IMAGES_W = 16  # more images than fit between input and output of any core


def zynq_verilog(core: Core, board: Board) -> str:
    """Module `stoic_zynq`, above `soc.soc_verilog`.

    LED 0 blinks once in 2**26 clocks, LED 1 is on while images are inside, LED 2 while it is asked.
    """
    leds = ["beat_q[25]", "inside_q != 0", "s_axil_arvalid | s_axil_awvalid"][: board.n_leds]
    leds += ["1'b0"] * (board.n_leds - len(leds))
    on = "~" if board.led_active_low else ""
    n_bytes = image_bytes(core)
    clock = "ASSOCIATED_BUSIF s_axil:s_axis:m_axis, ASSOCIATED_RESET aresetn"  # for Vivado
    bytes_w = max(1, math.ceil(math.log2(n_bytes)))
    return f"""\
// SPDX-License-Identifier: Apache-2.0
// {SHELL} : core {core.sha256[:12]} between processor and DMA; made by stoic.hw.zynq
// Board: {board.title}.
// Clock: {board.core_hz} Hz. Registers: rtl/stoic_axil.v, docs/axil.md.
//
//   image of the last byte of the packet in -> scores with the tlast of the packet out
`resetall
`timescale 1ns / 1ps
`default_nettype none
module {SHELL} (
    (* X_INTERFACE_PARAMETER = "{clock}" *)
    input  wire        aclk,
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input  wire        aresetn,
    /* AXI4-Lite */
    input  wire [7:0]  s_axil_awaddr,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [31:0] s_axil_wdata,
    input  wire [3:0]  s_axil_wstrb,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    output wire [1:0]  s_axil_bresp,
    output wire        s_axil_bvalid,
    input  wire        s_axil_bready,
    input  wire [7:0]  s_axil_araddr,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    output wire [31:0] s_axil_rdata,
    output wire [1:0]  s_axil_rresp,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    /* packet of images */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* packet of their scores */
    output wire [31:0] m_axis_tdata,
    output wire [3:0]  m_axis_tkeep,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast,
    /* board */
    output wire [{board.n_leds - 1}:0]  led_o
);
    localparam [{bytes_w - 1}:0] LAST = {n_bytes - 1};

    reg rst_q;
    reg [{bytes_w - 1}:0] byte_q;  // of the image that comes
    reg [{_IMAGES_W - 1}:0] inside_q;  // images that are in and whose scores are not out
    reg ended_q;  // the last image of the packet is in
    reg [25:0] beat_q;
    wire ready, tlast;
    wire is_last = byte_q == LAST;
    wire enters = s_axis_tvalid && s_axis_tready;
    wire image_in = enters && is_last;
    wire image_out = m_axis_tvalid && m_axis_tready && tlast;

    always @(posedge aclk) begin
        rst_q <= !aresetn;
        beat_q <= beat_q + 26'd1;
        if (enters) byte_q <= is_last ? {bytes_w}'d0 : byte_q + {bytes_w}'d1;
        if (image_in != image_out) inside_q <= image_in ? inside_q + 1'b1 : inside_q - 1'b1;
        if (image_in && s_axis_tlast) ended_q <= 1'b1;
        else if (image_out && m_axis_tlast) ended_q <= 1'b0;
        if (rst_q) begin
            byte_q <= {bytes_w}'d0;
            inside_q <= {_IMAGES_W}'d0;
            ended_q <= 1'b0;
            beat_q <= 26'd0;
        end
    end
    assign s_axis_tready = ready && !ended_q;
    assign m_axis_tlast = tlast && ended_q && inside_q == {_IMAGES_W}'d1;
    assign m_axis_tkeep = 4'hf;
    assign led_o = {on}{{{", ".join(reversed(leds))}}};

    stoic_soc u_soc (
        .clk_i          (aclk),
        .rst_i          (rst_q),
        .s_axil_awaddr  (s_axil_awaddr),
        .s_axil_awvalid (s_axil_awvalid),
        .s_axil_awready (s_axil_awready),
        .s_axil_wdata   (s_axil_wdata),
        .s_axil_wstrb   (s_axil_wstrb),
        .s_axil_wvalid  (s_axil_wvalid),
        .s_axil_wready  (s_axil_wready),
        .s_axil_bresp   (s_axil_bresp),
        .s_axil_bvalid  (s_axil_bvalid),
        .s_axil_bready  (s_axil_bready),
        .s_axil_araddr  (s_axil_araddr),
        .s_axil_arvalid (s_axil_arvalid),
        .s_axil_arready (s_axil_arready),
        .s_axil_rdata   (s_axil_rdata),
        .s_axil_rresp   (s_axil_rresp),
        .s_axil_rvalid  (s_axil_rvalid),
        .s_axil_rready  (s_axil_rready),
        .s_axis_tdata   (s_axis_tdata),
        .s_axis_tvalid  (s_axis_tvalid && !ended_q),
        .s_axis_tready  (ready),
        .s_axis_tlast   (is_last),
        .m_axis_tdata   (m_axis_tdata),
        .m_axis_tvalid  (m_axis_tvalid),
        .m_axis_tready  (m_axis_tready),
        .m_axis_tlast   (tlast)
    );

endmodule
`resetall
"""


def zynq_sources(core: Core, board: Board) -> dict[str, str]:
    """All Verilog of the shell and what is below it: file name -> text."""
    return {
        **{path.name: path.read_text() for path in soc_sources()},
        "stoic_core.v": core_text(core, board.target),
        "stoic_soc.v": soc_verilog(core, clock_hz=board.core_hz, target=board.target),
        f"{SHELL}.v": zynq_verilog(core, board),
    }
