// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_sums : foot of stoic_mvu_chain: which neurons a total is of, and their sums
//
//   value = A                                                      PLANES = 1
//   value = 2 A - U, of the image that the neurons belong to       PLANES = 8
//
// B images stand side by side. U of those on their way wait in a FIFO: at most ROOM times B, as many
// as the output FIFO has room for.
//
// Latency:    1 cycle from a total to its value; stage_o, fold_o, last_o are those of the total
// Throughput: GROUP neurons of B images a cycle
// Encoding:   value unsigned for PLANES 1, two's complement for PLANES 8; image 0 lowest, in it lane 0
// Handshake:  valid only; never stalls. start_i before the first total of the image
// Golden:     stoic.sim.golden.accumulate
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_sums #(
    parameter STAGES  = 32,  // stages of the chain, 1 or more
    parameter N_FOLDS = 8,   // folds of an image, 1 or more
    parameter GROUP   = 1,   // totals of a stage
    parameter PLANES  = 8,   // 1 or 8
    parameter TOTAL_W = 18,  // bits of A
    parameter B       = 1,   // images side by side
    parameter ROOM    = 2,   // as in stoic_mvu_drain
    parameter TARGET  = "generic",  // as in stoic_ram
    parameter STAGE_W = (STAGES > 1) ? $clog2(STAGES) : 1,    // derived: do not override
    parameter FOLD_W  = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1,  // derived: do not override
    parameter SUM_W   = (PLANES == 8) ? TOTAL_W : 1,          // derived: do not override
    parameter VALUE_W = (PLANES == 8) ? TOTAL_W + 1 : TOTAL_W  // derived: do not override
) (
    input  wire                       clk_i,
    input  wire                       rst_i,
    /* images that start */
    input  wire                       start_i,
    input  wire [B*SUM_W-1:0]         sum_i,    // U
    /* totals, as stoic_mvu_chain sends them */
    input  wire [B*GROUP*TOTAL_W-1:0] total_i,
    input  wire                       valid_i,
    /* what they are of: lane g of neuron fold_o * PE + stage_o * GROUP + g */
    output wire [STAGE_W-1:0]         stage_o,
    output wire [FOLD_W-1:0]          fold_o,
    output wire                       last_o,   // of the image
    output wire [B*GROUP*VALUE_W-1:0] value_o   // a cycle later
);
    localparam [31:0] BEFORE_STAGE_END = STAGES - 2;
    localparam [31:0] BEFORE_FOLD_END = N_FOLDS - 2;
    localparam [0:0] ONE_STAGE = STAGES == 1;
    localparam [0:0] ONE_FOLD = N_FOLDS == 1;

    reg [STAGE_W-1:0] stage_q;
    reg [FOLD_W-1:0] fold_q;
    reg stage_end_q;  // this is the last stage
    reg fold_end_q;   // this is the last fold
    always @(posedge clk_i) begin
        if (rst_i) begin
            stage_q <= {STAGE_W{1'b0}};
            fold_q <= {FOLD_W{1'b0}};
            stage_end_q <= ONE_STAGE;
            fold_end_q <= ONE_FOLD;
        end else if (valid_i) begin
            stage_q <= stage_end_q ? {STAGE_W{1'b0}} : stage_q + 1'b1;
            stage_end_q <= ONE_STAGE || (!stage_end_q && stage_q == BEFORE_STAGE_END[STAGE_W-1:0]);
            if (stage_end_q) begin
                fold_q <= fold_end_q ? {FOLD_W{1'b0}} : fold_q + 1'b1;
                fold_end_q <= ONE_FOLD || (!fold_end_q && fold_q == BEFORE_FOLD_END[FOLD_W-1:0]);
            end
        end
    end
    assign stage_o = stage_q;
    assign fold_o = fold_q;
    assign last_o = stage_end_q && fold_end_q;

    wire [B*SUM_W-1:0] sum;
    genvar b;
    generate
        if (PLANES == 8) begin : g_sum
            for (b = 0; b < B; b = b + 1) begin : g_image
                stoic_fifo #(
                    .DEPTH(ROOM),
                    .WIDTH(SUM_W),
                    .TARGET(TARGET)
                ) fifo (
                    .clk_i(clk_i),
                    .rst_i(rst_i),
                    .s_axis_tdata(sum_i[SUM_W*(b+1)-1:SUM_W*b]),
                    .s_axis_tvalid(start_i),
                    .s_axis_tready(),
                    .m_axis_tdata(sum[SUM_W*(b+1)-1:SUM_W*b]),
                    .m_axis_tvalid(),
                    .m_axis_tready(valid_i && last_o)
                );
            end
        end else begin : g_no_sum
            assign sum = {B{1'b0}};
        end
    endgenerate

    genvar g;
    generate
        for (g = 0; g < B * GROUP; g = g + 1) begin : g_value
            wire [TOTAL_W-1:0] total = total_i[TOTAL_W*(g+1)-1:TOTAL_W*g];
            wire [VALUE_W-1:0] value;
            reg [VALUE_W-1:0] value_q;
            if (PLANES == 8) begin : g_signed
                assign value = {total, 1'b0} - {1'b0, sum[SUM_W*(g/GROUP+1)-1:SUM_W*(g/GROUP)]};
            end else begin : g_unsigned
                assign value = total;
            end
            always @(posedge clk_i) value_q <= value;
            assign value_o[VALUE_W*(g+1)-1:VALUE_W*g] = value_q;
        end
    endgenerate
endmodule

`resetall
