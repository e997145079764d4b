// SPDX-License-Identifier: Apache-2.0
// stoic_threshold : neurons fire where their sum reaches their threshold
//
//   fires_o[g] = value[g] >= theta(stage, fold, g)
//
// Latency:    3 cycles from stage_i and fold_i to fires_o, 2 from value_i; 2 from re_i to read_o
// Throughput: GROUP neurons a cycle
// Encoding:   bit 1 is +1, bit 0 is -1; values and thresholds are two's complement if SIGNED, else
//             unsigned
// Handshake:  none; never stalls. The host reads in place of the neurons
// Golden:     stoic.sim.golden.fire, after the sums
//
//   table of lane g: address stage * 2 ** $clog2(N_FOLDS) + fold holds theta of neuron
//   fold * PE + stage * GROUP + g; the host asks for it as word `fold` of bank stage * GROUP + g
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_threshold #(
    parameter STAGES      = 32,         // stages of the chain, 1 or more
    parameter N_FOLDS     = 8,          // folds of an image, 1 or more
    parameter GROUP       = 1,          // neurons of a stage
    parameter SIGNED      = 1,          // 1: two's complement; 0: unsigned
    parameter VALUE_W     = 19,         // bits of a sum
    parameter THRESHOLD_W = 19,         // bits of a threshold, 1..64
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter STAGE_W     = (STAGES > 1) ? $clog2(STAGES) : 1,   // derived: do not override
    parameter FOLD_W      = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1  // derived: do not override
) (
    input  wire                     clk_i,
    input  wire                     rst_i,
    /* neurons */
    input  wire [STAGE_W-1:0]       stage_i,
    input  wire [FOLD_W-1:0]        fold_i,
    input  wire [GROUP*VALUE_W-1:0] value_i,  // a cycle later
    output wire [GROUP-1:0]         fires_o,  // 3 cycles later
    /* host access, while no neuron is on its way */
    input  wire                     we_i,
    input  wire                     re_i,
    input  wire [15:0]              sel_i,    // bank
    input  wire [15:0]              addr_i,   // word
    input  wire [THRESHOLD_W-1:0]   data_i,
    output wire [THRESHOLD_W-1:0]   read_o,
    output wire                     read_valid_o
);
    localparam DEPTH = (STAGES > 1) ? STAGES << FOLD_W : N_FOLDS;
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam COMPARE_W = ((THRESHOLD_W > VALUE_W) ? THRESHOLD_W : VALUE_W) + 1;
    localparam [31:0] N_LANES = GROUP;

    wire [15:0] place = ({{(16 - STAGE_W){1'b0}}, stage_i} << FOLD_W)
                      | {{(16 - FOLD_W){1'b0}}, fold_i};
    wire [15:0] host_place = ((sel_i / N_LANES[15:0]) << FOLD_W) | addr_i;
    wire [15:0] host_lane = sel_i % N_LANES[15:0];
    wire [15:0] read_place = re_i ? host_place : place;

    genvar g;
    generate
        for (g = 0; g <= GROUP; g = g + 1) begin : g_found
            wire [THRESHOLD_W-1:0] read;  // what lanes 0..g-1 answer
            wire valid;
        end
    endgenerate
    assign g_found[0].read = {THRESHOLD_W{1'b0}};
    assign g_found[0].valid = 1'b0;
    assign read_o = g_found[GROUP].read;
    assign read_valid_o = g_found[GROUP].valid;

    generate
        for (g = 0; g < GROUP; g = g + 1) begin : g_lane
            localparam [31:0] LANE = g;
            wire mine = host_lane == LANE[15:0];
            wire [THRESHOLD_W-1:0] theta;
            reg [VALUE_W-1:0] value_q;
            reg re_q;
            reg re_q2;
            reg fires_q;
            wire [COMPARE_W-1:0] a;
            wire [COMPARE_W-1:0] b;
            wire [COMPARE_W-1:0] difference = a - b;
            stoic_ram #(
                .DEPTH(DEPTH),
                .WIDTH(THRESHOLD_W),
                .TARGET(TARGET)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_i && mine),
                .waddr_i(host_place[ADDR_W-1:0]),
                .wdata_i(data_i),
                .raddr_i(read_place[ADDR_W-1:0]),
                .flip_i({THRESHOLD_W{1'b0}}),
                .rdata_o(theta)
            );
            if (SIGNED) begin : g_signed
                assign a = {{(COMPARE_W - VALUE_W){value_q[VALUE_W-1]}}, value_q};
                assign b = {{(COMPARE_W - THRESHOLD_W){theta[THRESHOLD_W-1]}}, theta};
            end else begin : g_unsigned
                assign a = {{(COMPARE_W - VALUE_W){1'b0}}, value_q};
                assign b = {{(COMPARE_W - THRESHOLD_W){1'b0}}, theta};
            end
            always @(posedge clk_i) begin
                value_q <= value_i[VALUE_W*(g+1)-1:VALUE_W*g];
                fires_q <= !difference[COMPARE_W-1];
                re_q <= re_i && mine && !rst_i;
                re_q2 <= re_q && !rst_i;
            end
            assign fires_o[g] = fires_q;
            assign g_found[g+1].read = g_found[g].read | (theta & {THRESHOLD_W{re_q2}});
            assign g_found[g+1].valid = g_found[g].valid || re_q2;
        end
    endgenerate
endmodule

`resetall
