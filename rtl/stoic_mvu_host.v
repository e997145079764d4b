// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_host : the host's requests to the memories of one layer, and the answers
//
//   W_BANK <= bank < W_BANK + PE: weights,     w_sel_o = bank - W_BANK
//   T_BANK <= bank < T_BANK + PE: thresholds,  t_sel_o = bank - T_BANK, if the layer has any
//   2 ** 15 + a weight bank: its injector,     w_sel_o as there; written only, a read gives the weights
//
// Latency:    1 cycle to the next layer, 3 to the memories, 1 from an answer to cfg_rvalid_o
// Throughput: one request and one answer a cycle
// Encoding:   an answer that is not valid is 0, so that answers can be ORed
// Handshake:  valid only; the host never asks two layers so that their answers meet
// Golden:     bank numbers as in stoic.sim.memory.Layout.banks
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_host #(
    parameter PE           = 32,  // banks of each kind
    parameter W_BANK       = 0,   // number of the first weight bank
    parameter T_BANK       = 32,  // number of the first threshold bank
    parameter THRESHOLD_EN = 1,   // 1: there are thresholds
    parameter INJECTOR_EN  = 0    // 1: there are injectors
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* requests */
    input  wire        cfg_valid_i,
    input  wire        cfg_write_i,
    input  wire [15:0] cfg_bank_i,
    input  wire [15:0] cfg_addr_i,
    input  wire [63:0] cfg_data_i,
    /* the same for the next layer */
    output wire        cfg_valid_o,
    output wire        cfg_write_o,
    output wire [15:0] cfg_bank_o,
    output wire [15:0] cfg_addr_o,
    output wire [63:0] cfg_data_o,
    /* to the memories of this layer */
    output wire        w_we_o,
    output wire        w_re_o,
    output wire        i_we_o,
    output wire [15:0] w_sel_o,
    output wire        t_we_o,
    output wire        t_re_o,
    output wire [15:0] t_sel_o,
    output wire [15:0] addr_o,
    output wire [63:0] data_o,
    /* answers: of this layer, of those before, of both */
    input  wire        w_read_valid_i,
    input  wire [63:0] w_read_i,
    input  wire        t_read_valid_i,
    input  wire [63:0] t_read_i,
    input  wire        cfg_rvalid_i,
    input  wire [63:0] cfg_rdata_i,
    output wire        cfg_rvalid_o,
    output wire [63:0] cfg_rdata_o
);
    localparam [31:0] FIRST_WEIGHTS = W_BANK;
    localparam [31:0] FIRST_THRESHOLDS = T_BANK;
    localparam [31:0] N_PE = PE;
    localparam SEL_W = (PE > 1) ? $clog2(PE) : 1;
    localparam [15:0] BANK_MASK = (INJECTOR_EN != 0) ? 16'h7FFF : 16'hFFFF;

    reg cfg_valid_q;
    reg cfg_write_q;
    reg [15:0] cfg_bank_q;
    reg [15:0] cfg_addr_q;
    reg [63:0] cfg_data_q;
    /* which bank of this layer, then whether it is one */
    reg valid_q2;
    reg write_q2;
    reg inject_q2;
    reg [15:0] w_sel_q;
    reg [15:0] t_sel_q;
    reg [15:0] addr_q2;
    reg [63:0] data_q2;
    // compared in few bits, none if PE is a power of two
    wire w_mine = valid_q2 && w_sel_q >> SEL_W == 16'd0
                && (PE == 1 << SEL_W || w_sel_q[SEL_W-1:0] < N_PE[SEL_W-1:0]);
    wire t_mine = valid_q2 && t_sel_q >> SEL_W == 16'd0 && THRESHOLD_EN
                && (PE == 1 << SEL_W || t_sel_q[SEL_W-1:0] < N_PE[SEL_W-1:0]);
    /* to the memories */
    reg w_we_q;
    reg w_re_q;
    reg i_we_q;
    reg t_we_q;
    reg t_re_q;
    reg [15:0] w_sel_q2;
    reg [15:0] t_sel_q2;
    reg [15:0] addr_q3;
    reg [63:0] data_q3;
    reg rvalid_q;
    reg [63:0] rdata_q;
    always @(posedge clk_i) begin
        cfg_valid_q <= cfg_valid_i && !rst_i;
        cfg_write_q <= cfg_write_i;
        cfg_bank_q <= cfg_bank_i;
        cfg_addr_q <= cfg_addr_i;
        cfg_data_q <= cfg_data_i;
        valid_q2 <= cfg_valid_q && !rst_i;
        write_q2 <= cfg_write_q;
        inject_q2 <= cfg_bank_q[15] && INJECTOR_EN;
        w_sel_q <= (cfg_bank_q & BANK_MASK) - FIRST_WEIGHTS[15:0];
        t_sel_q <= cfg_bank_q - FIRST_THRESHOLDS[15:0];
        addr_q2 <= cfg_addr_q;
        data_q2 <= cfg_data_q;
        w_we_q <= w_mine && write_q2 && !inject_q2 && !rst_i;
        i_we_q <= w_mine && write_q2 && inject_q2 && !rst_i;
        w_re_q <= w_mine && !write_q2 && !rst_i;
        t_we_q <= t_mine && write_q2 && !rst_i;
        t_re_q <= t_mine && !write_q2 && !rst_i;
        w_sel_q2 <= w_sel_q;
        t_sel_q2 <= t_sel_q;
        addr_q3 <= addr_q2;
        data_q3 <= data_q2;
        rvalid_q <= (cfg_rvalid_i || w_read_valid_i || t_read_valid_i) && !rst_i;
        rdata_q <= cfg_rdata_i | w_read_i | t_read_i;
    end

    assign cfg_valid_o = cfg_valid_q;
    assign cfg_write_o = cfg_write_q;
    assign cfg_bank_o = cfg_bank_q;
    assign cfg_addr_o = cfg_addr_q;
    assign cfg_data_o = cfg_data_q;
    assign w_we_o = w_we_q;
    assign w_re_o = w_re_q;
    assign i_we_o = i_we_q;
    assign w_sel_o = w_sel_q2;
    assign t_we_o = t_we_q;
    assign t_re_o = t_re_q;
    assign t_sel_o = t_sel_q2;
    assign addr_o = addr_q3;
    assign data_o = data_q3;
    assign cfg_rvalid_o = rvalid_q;
    assign cfg_rdata_o = rdata_q;
endmodule

`resetall
