"""The generated top for a system on chip: AXI4-Lite and AXI4-Stream around the core of a network.

    images  -> stoic_gate -> stoic_core -> scores             AXI4-Stream
    host   <-> stoic_axil <-> banks of the core, identity     AXI4-Lite, map in rtl/stoic_axil.v

Beside `stoic_top`, which has the same core behind the byte link. docs/axil.md tells how to use it.
"""

from pathlib import Path

from .. import rtl
from ..sim.core import Core, image_bytes
from ..sim.rtl_core import core_sources
from .top import ID_BYTES, Target, bank_depths, core_text, gates_id, has_registers


def soc_sources() -> list[Path]:
    """Verilog files that `stoic_soc` needs, those of its core among them."""
    return [*core_sources(), rtl.ROOT / "stoic_axil.v"]


def soc_verilog(core: Core, *, clock_hz: int, target: Target = "generic") -> str:
    """Module `stoic_soc`, above `top.core_text(core, target)` and `soc_sources()`.

    Args:
        clock_hz: of clk_i; told to the host.
        target: whose memories to use.
    """
    return _soc(core, clock_hz, target, soc_id(core, clock_hz=clock_hz, target=target))


def soc_id(core: Core, *, clock_hz: int, target: Target) -> bytes:
    """First 16 bytes of the SHA-256 over all Verilog under a `stoic_soc` whose own id is zero."""
    blank = _soc(core, clock_hz, target, bytes(ID_BYTES))
    return gates_id(soc_sources(), core_text(core, target), blank)


def _soc(core: Core, clock_hz: int, target: Target, build: bytes) -> str:
    layout = core.layout
    registers = has_registers(core, target)
    n_banks = len(layout.banks) + registers
    return f"""\
// SPDX-License-Identifier: Apache-2.0
// stoic_soc : core {core.sha256[:12]} behind AXI4-Lite and AXI4-Stream; made by stoic.hw.soc
// Clock: {clock_hz} Hz. Registers: rtl/stoic_axil.v, docs/axil.md.
`resetall
`timescale 1ns / 1ps
`default_nettype none
module stoic_soc #(
    parameter TARGET = "{target}"  // memories: "generic", "ecp5" or "ice40"
) (
    input  wire        clk_i,
    input  wire        rst_i,
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
    /* images in: a uint8 element, or 8 bits with the LSB first, a beat */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* scores out: one signed score a beat, class 0 first */
    output wire [31:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast
);

    wire        cfg_valid, cfg_write, cfg_rvalid, busy, hold, closed, image_tvalid, image_tready;
    wire [15:0] cfg_bank, cfg_addr;
    wire [63:0] cfg_data, cfg_rdata;

    /* depth of every bank */
    reg  [15:0] bank_words_q;
    always @(posedge clk_i)
        bank_words_q <=
{bank_depths(core, target)};

    stoic_axil #(
        .N_BANKS     ({n_banks}),
        .REGISTERS   ({int(registers)}),
        .IMAGE_BYTES ({image_bytes(core)}),
        .N_CLASSES   ({layout.shapes[-1].n_outputs}),
        .CLOCK_HZ    ({clock_hz}),
        .BUILD       (128'h{build[::-1].hex()}),
        .CORE        (128'h{bytes.fromhex(core.sha256)[:ID_BYTES][::-1].hex()})
    ) u_axil (
        .clk_i          (clk_i),
        .rst_i          (rst_i),
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
        .cfg_valid_o    (cfg_valid),
        .cfg_write_o    (cfg_write),
        .cfg_bank_o     (cfg_bank),
        .cfg_addr_o     (cfg_addr),
        .cfg_data_o     (cfg_data),
        .cfg_rvalid_i   (cfg_rvalid),
        .cfg_rdata_i    (cfg_rdata),
        .bank_words_i   (bank_words_q),
        .hold_o         (hold),
        .closed_i       (closed),
        .busy_i         (busy)
    );

    stoic_gate u_gate (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .hold_i        (hold),
        .closed_o      (closed),
        .s_axis_tvalid (s_axis_tvalid),
        .s_axis_tready (s_axis_tready),
        .s_axis_tlast  (s_axis_tlast),
        .m_axis_tvalid (image_tvalid),
        .m_axis_tready (image_tready)
    );

    stoic_core #(
        .TARGET (TARGET)
    ) u_core (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .s_axis_tdata  (s_axis_tdata),
        .s_axis_tvalid (image_tvalid),
        .s_axis_tready (image_tready),
        .s_axis_tlast  (s_axis_tlast),
        .m_axis_tdata  (m_axis_tdata),
        .m_axis_tvalid (m_axis_tvalid),
        .m_axis_tready (m_axis_tready),
        .m_axis_tlast  (m_axis_tlast),
        .cfg_valid_i   (cfg_valid),
        .cfg_write_i   (cfg_write),
        .cfg_bank_i    (cfg_bank),
        .cfg_addr_i    (cfg_addr),
        .cfg_data_i    (cfg_data),
        .cfg_rvalid_o  (cfg_rvalid),
        .cfg_rdata_o   (cfg_rdata),
        .busy_o        (busy)
    );

endmodule
`resetall
"""
