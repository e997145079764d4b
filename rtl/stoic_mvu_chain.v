// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_chain : systolic chain of PE / GROUP stages of GROUP processing elements
//
//   total_o = the totals of stage 0, 1, ... of a fold; processing element s * GROUP + g in lane g
//
// Address, input word and flags go up the chain, results come back down it, so every net is local.
// The host's words ride on the path of the input words.
//
// Latency:    2 s + max(1, $clog2(SIMD)) + 6 cycles from last_i to the totals of stage s;
//             STAGES + 4 cycles from re_i to the answer
// Throughput: one word a cycle; results one stage every second cycle, so a fold takes 2 STAGES - 1
//             cycles or more
// Encoding:   as in stoic_pe
// Handshake:  none; never stalls
// Golden:     popcounts inside stoic.sim.golden.accumulate, before "2 A - U"
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_chain #(
    parameter PE      = 32,         // processing elements, 1 or more
    parameter GROUP   = 1,          // of a stage; divides PE
    parameter SIMD    = 36,         // as in stoic_pe, and those that follow
    parameter DEPTH   = 176,
    parameter PAD     = 0,
    parameter PLANES  = 1,
    parameter TOTAL_W = 10,
    parameter TARGET  = "generic",
    parameter ADDR_W  = (DEPTH > 1) ? $clog2(DEPTH) : 1,  // derived: do not override
    parameter SEL_W   = (PE > 1) ? $clog2(PE) : 1         // derived: do not override
) (
    input  wire                     clk_i,
    input  wire                     rst_i,
    /* words, as stoic_mvu_feed sends them */
    input  wire [ADDR_W-1:0]        addr_i,
    input  wire                     pad_i,
    input  wire                     keep_i,
    input  wire                     double_i,
    input  wire                     last_i,
    input  wire [SIMD-1:0]          x_i,           // 3 cycles later
    /* host access to the weights, while no image is inside */
    input  wire                     we_i,
    input  wire                     re_i,
    input  wire [SEL_W-1:0]         sel_i,         // processing element
    input  wire [ADDR_W-1:0]        host_addr_i,
    input  wire [SIMD-1:0]          data_i,
    output wire [SIMD-1:0]          read_o,
    output wire                     read_valid_o,
    /* results */
    output wire [GROUP*TOTAL_W-1:0] total_o,
    output wire                     total_valid_o
);
    localparam STAGES = PE / GROUP;
    localparam COUNTING = (SIMD > 1) ? $clog2(SIMD) : 1;  // latency of the popcount

    /* flags, delayed to where the processing elements need them */
    reg [2:0] pad_q;
    reg [COUNTING+2:0] keep_q;
    reg [COUNTING+2:0] double_q;
    reg [COUNTING+2:0] last_q;
    always @(posedge clk_i) begin
        pad_q <= {pad_q[1:0], pad_i};
        keep_q <= {keep_q[COUNTING+1:0], keep_i};
        double_q <= {double_q[COUNTING+1:0], double_i};
        if (rst_i) last_q <= {(COUNTING + 3){1'b0}};
        else last_q <= {last_q[COUNTING+1:0], last_i};
    end

    reg [ADDR_W-1:0] addr_q;
    reg [SIMD-1:0] data_q;
    reg [SEL_W-1:0] sel_q;
    reg we_q;
    reg re_q;
    always @(posedge clk_i) begin
        addr_q <= (we_i || re_i) ? host_addr_i : addr_i;
        data_q <= data_i;
        sel_q <= sel_i;
        we_q <= we_i && !rst_i;
        re_q <= re_i && !rst_i;
    end

    genvar s;
    generate
        for (s = 0; s <= STAGES; s = s + 1) begin : g_link
            /* up the chain */
            wire [ADDR_W-1:0] addr;
            wire [SIMD-1:0] x;
            wire pad;
            wire keep;
            wire twice;
            wire last;
            wire [SEL_W-1:0] sel;
            wire we;
            wire re;
            wire [SIMD-1:0] read;
            wire read_valid;
            /* down the chain */
            wire [GROUP*TOTAL_W-1:0] total;
            wire total_valid;
        end
    endgenerate

    assign g_link[0].addr = addr_q;
    assign g_link[0].x = we_q ? data_q : x_i;
    assign g_link[0].pad = pad_q[2];
    assign g_link[0].keep = keep_q[COUNTING+2];
    assign g_link[0].twice = double_q[COUNTING+2];
    assign g_link[0].last = last_q[COUNTING+2];
    assign g_link[0].sel = sel_q;
    assign g_link[0].we = we_q;
    assign g_link[0].re = re_q;
    assign g_link[0].read = {SIMD{1'b0}};
    assign g_link[0].read_valid = 1'b0;
    assign g_link[STAGES].total = {(GROUP * TOTAL_W){1'b0}};
    assign g_link[STAGES].total_valid = 1'b0;

    assign read_o = g_link[STAGES].read;
    assign read_valid_o = g_link[STAGES].read_valid;
    assign total_o = g_link[0].total;
    assign total_valid_o = g_link[0].total_valid;

    generate
        for (s = 0; s < STAGES; s = s + 1) begin : g_stage
            stoic_mvu_stage #(
                .FIRST(s * GROUP),
                .GROUP(GROUP),
                .SEL_W(SEL_W),
                .SIMD(SIMD),
                .DEPTH(DEPTH),
                .PAD(PAD),
                .PLANES(PLANES),
                .TOTAL_W(TOTAL_W),
                .TARGET(TARGET)
            ) stage (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .addr_i(g_link[s].addr),
                .x_i(g_link[s].x),
                .pad_i(g_link[s].pad),
                .keep_i(g_link[s].keep),
                .double_i(g_link[s].twice),
                .last_i(g_link[s].last),
                .sel_i(g_link[s].sel),
                .we_i(g_link[s].we),
                .re_i(g_link[s].re),
                .read_i(g_link[s].read),
                .read_valid_i(g_link[s].read_valid),
                .addr_o(g_link[s+1].addr),
                .x_o(g_link[s+1].x),
                .pad_o(g_link[s+1].pad),
                .keep_o(g_link[s+1].keep),
                .double_o(g_link[s+1].twice),
                .last_o(g_link[s+1].last),
                .sel_o(g_link[s+1].sel),
                .we_o(g_link[s+1].we),
                .re_o(g_link[s+1].re),
                .read_o(g_link[s+1].read),
                .read_valid_o(g_link[s+1].read_valid),
                .total_i(g_link[s+1].total),
                .total_valid_i(g_link[s+1].total_valid),
                .total_o(g_link[s].total),
                .total_valid_o(g_link[s].total_valid)
            );
        end
    endgenerate
endmodule

`resetall
