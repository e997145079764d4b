// SPDX-License-Identifier: Apache-2.0
// stoic_mvu : folded matrix-vector unit, one binary dense layer
//
//   bits  (PLANES 1): P = popcount(XNOR(w, x)),                 y = (P >= theta)
//   uint8 (PLANES 8): s = 2 sum_b 2^b popcount(w & x_b) - U,    y = (s >= theta)
//   without thresholds (THRESHOLD_W 0) P or s itself leaves
//
// B images are worked on side by side: they share every weight word that is read. They come and leave
// side by side, B words a beat, image 0 lowest; with SERIAL they come one after another.
//
// PE processing elements of SIMD lanes stand in a chain of STAGES = PE / GROUP registered stages:
//
//   s_axis -> feed -> chain -> drain -> m_axis         host: requests to chain and drain, answers
//
// A result of stage k arrives 2 k cycles after that of stage 0: GROUP at a time, in the order of
// the neurons, as long as a fold takes 2 STAGES - 1 cycles; a shorter one is stretched to that.
//
// With CHECKS every weight word carries check bits; the datapath works on what stoic_secded makes of
// it, and the host reads what the memory holds.
//
// Latency:    from the last word of an image to its last output word, on an idle unit:
//             N_FOLDS * FOLD + 2 LAST + $clog2(ceil(SIMD / 15)) + 16 cycles, less the last stretch;
//             12 instead of 16 without thresholds, with CHECKS 2 more; LAST = stages that have
//             neurons in the last fold
// Throughput: B images in N_FOLDS * FOLD cycles, FOLD = max(N_STEPS * PLANES, 2 STAGES - 1),
//             N_STEPS = ceil(N / SIMD), N_FOLDS = ceil(M / PE); the next ones load meanwhile
// Encoding:   bit 1 is +1, bit 0 is -1, lane 0 is the LSB; lanes past N never count
// Handshake:  AXI4-Stream both sides, tlast ends an image. The pipeline never stalls: images start
//             only when the output FIFO has room for all of them. overflow_o is sticky: a word was
//             lost
// Golden:     stoic.sim.golden.fire, without thresholds stoic.sim.golden.accumulate
//
//   in:  PLANES 1: word w of the image                 (stoic_width, another stoic_mvu)
//        PLANES 8: word 8 w + b = plane b of word w, tuser = U at tlast          (stoic_planes)
//   out: THRESHOLD_W > 0: words of OUT_W neurons, the last filled up with zeros
//        THRESHOLD_W = 0: one P (unsigned) or s (two's complement) a beat
//
//   banks (cfg_bank_i)        word (cfg_addr_i)      content
//   W_BANK + p, p < PE        f * N_STEPS + w        lanes of word w of neuron f * PE + p, and
//                                                    above them the check bits
//   T_BANK + p, p < PE        t * N_FOLDS + f        theta of neuron f * PE + p in table t
//
//   2 ** 15 + W_BANK + p      0                      bit 0 enables the read errors of its element
//                             1 ..                   of the layer, as in stoic_injector; only with
//                                                    FORM, and a read gives word 0 .. of W_BANK + p
//
//   A read passes the port and injection point of the datapath. A weight word answers after
//   STAGES + 8 cycles, a threshold after 8; other banks do not answer. One request a cycle.
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu #(
    parameter N           = 784,        // fan-in, 1 or more
    parameter M           = 256,        // neurons, 1 or more
    parameter PE          = 32,         // processing elements
    parameter SIMD        = 36,         // lanes, 1..64
    parameter GROUP       = 1,          // processing elements a stage; divides PE, and OUT_W
    parameter PLANES      = 8,          // 1: bits, 8: uint8
    parameter THRESHOLD_W = 19,         // bits of a threshold; 0: no thresholds, sums leave
    parameter OUT_W       = 32,         // with thresholds: bits of an image's output word, 1..64
    parameter B           = 1,          // images side by side, 1..64
    parameter SERIAL      = 0,          // 1: they come one after another
    parameter ROOM        = 2,          // images in the output FIFO, a power of two, 2 or more
    parameter W_BANK      = 0,          // number of the first weight bank
    parameter T_BANK      = 32,         // number of the first threshold bank
    parameter TABLES      = 1,          // threshold tables, 1..255
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter CHECKS      = 0,          // check bits of a weight word; 0: no protection
    parameter [CHECKS*SIMD:0] COLUMNS = 0,  // with CHECKS: as in stoic_secded
    parameter FORM        = 0,          // 1, 2: with stoic_injector of that form; 0: without. Not
                                        // with CHECKS or B above 1
    parameter TOTAL_W     = $clog2(((PLANES == 8) ? 255 : 1) * N + 1),  // derived: do not override
    parameter SUM_W       = (PLANES == 8) ? TOTAL_W : 1,                // derived: do not override
    parameter VALUE_W     = (PLANES == 8) ? TOTAL_W + 1 : TOTAL_W,      // derived: do not override
    parameter DATA_W      = (THRESHOLD_W > 0) ? OUT_W : VALUE_W,        // derived: do not override
    parameter IN_B        = (SERIAL != 0) ? 1 : B,                      // derived: do not override
    parameter WORD_W      = SIMD + CHECKS,                              // derived: do not override
    parameter COUNT_W     = $clog2(PE + 1),                             // derived: do not override
    parameter TABLE_W     = (TABLES > 1) ? $clog2(TABLES) : 1           // derived: do not override
) (
    input  wire                   clk_i,
    input  wire                   rst_i,
    /* images in */
    input  wire [IN_B*SIMD-1:0]   s_axis_tdata,
    input  wire                   s_axis_tvalid,
    output wire                   s_axis_tready,
    input  wire                   s_axis_tlast,
    input  wire [IN_B*SUM_W-1:0]  s_axis_tuser,
    /* neurons out */
    output wire [B*DATA_W-1:0]    m_axis_tdata,
    output wire                   m_axis_tvalid,
    input  wire                   m_axis_tready,
    output wire                   m_axis_tlast,
    /* threshold table; it changes while no image is inside */
    input  wire [TABLE_W-1:0]     table_i,
    /* host access to the memories, while no image is inside */
    input  wire                   cfg_valid_i,
    input  wire                   cfg_write_i,
    input  wire [15:0]            cfg_bank_i,
    input  wire [15:0]            cfg_addr_i,
    input  wire [63:0]            cfg_data_i,
    /* the same for the next layer, a cycle later */
    output wire                   cfg_valid_o,
    output wire                   cfg_write_o,
    output wire [15:0]            cfg_bank_o,
    output wire [15:0]            cfg_addr_o,
    output wire [63:0]            cfg_data_o,
    /* answers of the layers before, and those of this one */
    input  wire                   cfg_rvalid_i,
    input  wire [63:0]            cfg_rdata_i,
    output wire                   cfg_rvalid_o,
    output wire [63:0]            cfg_rdata_o,
    output wire                   overflow_o,
    /* weight words that were corrected in this cycle, and those whose errors were only detected */
    output wire [COUNT_W-1:0]     corrected_o,
    output wire [COUNT_W-1:0]     detected_o
);
    localparam STAGES = PE / GROUP;
    localparam N_STEPS = (N + SIMD - 1) / SIMD;
    localparam N_FOLDS = (M + PE - 1) / PE;
    localparam BUSY = N_STEPS * PLANES;
    localparam GAP = (2 * STAGES - 1 > BUSY) ? 2 * STAGES - 1 - BUSY : 0;
    localparam DEPTH = N_FOLDS * N_STEPS;
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam SEL_W = (PE > 1) ? $clog2(PE) : 1;

    generate
        if (N < 1 || M < 1 || PE < 1 || SIMD < 1 || WORD_W > 64) begin : g_illegal_shape
            stoic_illegal_parameter ERROR_mvu_needs_N_M_PE_SIMD_positive_SIMD_plus_CHECKS_to_64 ();
        end
        if (PLANES != 1 && PLANES != 8) begin : g_illegal_planes
            stoic_illegal_parameter ERROR_mvu_needs_PLANES_1_or_8 ();
        end
        if (GROUP < 1 || PE % GROUP != 0 || (THRESHOLD_W > 0 && OUT_W % GROUP != 0)
            || (THRESHOLD_W == 0 && GROUP != 1)) begin : g_illegal_group
            stoic_illegal_parameter ERROR_mvu_needs_GROUP_to_divide_PE_and_OUT_W ();
        end
        if (B < 1 || B > 64) begin : g_illegal_images
            stoic_illegal_parameter ERROR_mvu_needs_B_1_64 ();
        end
        if (FORM < 0 || FORM > 2 || (FORM != 0 && (B > 1 || CHECKS > 0))) begin : g_illegal_form
            stoic_illegal_parameter ERROR_mvu_needs_FORM_0_1_2_and_0_with_B_above_1_or_CHECKS ();
        end
        if (BUSY > 16384 || DEPTH > 65536 || TABLES * N_FOLDS * STAGES > 32768)
        begin : g_illegal_size
            stoic_illegal_parameter ERROR_mvu_page_or_memory_is_too_large ();
        end
    endgenerate

    wire left;
    wire start;
    wire [B*SUM_W-1:0] sum;
    wire [ADDR_W-1:0] addr;
    wire is_word;
    wire pad;
    wire keep;
    wire twice;
    wire last;
    wire [B*SIMD-1:0] x;
    stoic_mvu_feed #(
        .SIMD(SIMD),
        .N_STEPS(N_STEPS),
        .N_FOLDS(N_FOLDS),
        .PLANES(PLANES),
        .GAP(GAP),
        .ADDR_W(ADDR_W),
        .SUM_W(SUM_W),
        .B(B),
        .ROOM(ROOM),
        .SERIAL(SERIAL),
        .TARGET(TARGET)
    ) feed (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(s_axis_tlast),
        .s_axis_tuser(s_axis_tuser),
        .left_i(left),
        .start_o(start),
        .sum_o(sum),
        .addr_o(addr),
        .word_o(is_word),
        .pad_o(pad),
        .keep_o(keep),
        .double_o(twice),
        .last_o(last),
        .x_o(x)
    );

    wire w_we;
    wire w_re;
    wire i_we;
    wire [15:0] w_sel;
    wire [WORD_W-1:0] w_read;
    wire w_read_valid;
    wire t_we;
    wire t_re;
    wire [15:0] t_sel;
    wire [63:0] t_read;
    wire t_read_valid;
    wire [15:0] host_addr;
    wire [63:0] host_data;
    stoic_mvu_host #(
        .PE(PE),
        .W_BANK(W_BANK),
        .T_BANK(T_BANK),
        .THRESHOLD_EN(THRESHOLD_W > 0),
        .INJECTOR_EN(FORM != 0)
    ) host (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .cfg_valid_i(cfg_valid_i),
        .cfg_write_i(cfg_write_i),
        .cfg_bank_i(cfg_bank_i),
        .cfg_addr_i(cfg_addr_i),
        .cfg_data_i(cfg_data_i),
        .cfg_valid_o(cfg_valid_o),
        .cfg_write_o(cfg_write_o),
        .cfg_bank_o(cfg_bank_o),
        .cfg_addr_o(cfg_addr_o),
        .cfg_data_o(cfg_data_o),
        .w_we_o(w_we),
        .w_re_o(w_re),
        .i_we_o(i_we),
        .w_sel_o(w_sel),
        .t_we_o(t_we),
        .t_re_o(t_re),
        .t_sel_o(t_sel),
        .addr_o(host_addr),
        .data_o(host_data),
        .w_read_valid_i(w_read_valid),
        .w_read_i({{(64 - WORD_W){1'b0}}, w_read}),
        .t_read_valid_i(t_read_valid),
        .t_read_i(t_read),
        .cfg_rvalid_i(cfg_rvalid_i),
        .cfg_rdata_i(cfg_rdata_i),
        .cfg_rvalid_o(cfg_rvalid_o),
        .cfg_rdata_o(cfg_rdata_o)
    );

    localparam DRAW_W = (FORM == 2) ? WORD_W + 71 : (FORM == 1) ? 2 * WORD_W + 1 : 1;
    wire [DRAW_W-1:0] draw;
    generate
        if (FORM != 0) begin : g_injector
            stoic_injector #(
                .WIDTH(WORD_W),
                .FORM(FORM)
            ) injector (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .step_i(is_word),
                .we_i(i_we),
                .addr_i(host_addr[2:0]),
                .data_i(host_data),
                .draw_o(draw)
            );
        end else begin : g_no_injector
            assign draw = 1'b0;
        end
    endgenerate

    wire [B*GROUP*TOTAL_W-1:0] total;
    wire total_valid;
    stoic_mvu_chain #(
        .PE(PE),
        .GROUP(GROUP),
        .SIMD(SIMD),
        .DEPTH(DEPTH),
        .PAD(N_STEPS * SIMD - N),
        .PLANES(PLANES),
        .TOTAL_W(TOTAL_W),
        .B(B),
        .TARGET(TARGET),
        .CHECKS(CHECKS),
        .COLUMNS(COLUMNS),
        .FORM(FORM)
    ) chain (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .addr_i(addr),
        .word_i(is_word),
        .pad_i(pad),
        .keep_i(keep),
        .double_i(twice),
        .last_i(last),
        .x_i(x),
        .draw_i(draw),
        .we_i(w_we),
        .re_i(w_re),
        .ie_i(i_we && host_addr[2:0] == 3'd0),
        .sel_i(w_sel[SEL_W-1:0]),
        .host_addr_i(host_addr[ADDR_W-1:0]),
        .data_i(host_data[WORD_W-1:0]),
        .read_o(w_read),
        .read_valid_o(w_read_valid),
        .total_o(total),
        .total_valid_o(total_valid),
        .corrected_o(corrected_o),
        .detected_o(detected_o)
    );

    stoic_mvu_drain #(
        .M(M),
        .STAGES(STAGES),
        .N_FOLDS(N_FOLDS),
        .GROUP(GROUP),
        .PLANES(PLANES),
        .TOTAL_W(TOTAL_W),
        .THRESHOLD_W(THRESHOLD_W),
        .OUT_W(OUT_W),
        .B(B),
        .ROOM(ROOM),
        .TABLES(TABLES),
        .TARGET(TARGET)
    ) drain (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .start_i(start),
        .sum_i(sum),
        .total_i(total),
        .total_valid_i(total_valid),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .left_o(left),
        .overflow_o(overflow_o),
        .table_i(table_i),
        .we_i(t_we),
        .re_i(t_re),
        .sel_i(t_sel),
        .addr_i(host_addr),
        .data_i(host_data),
        .read_o(t_read),
        .read_valid_o(t_read_valid)
    );
endmodule

`resetall
