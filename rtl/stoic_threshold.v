// SPDX-License-Identifier: Apache-2.0
// stoic_threshold : neurons fire where their sum reaches their threshold
//
//   fires_o[b, g] = value[b, g] >= theta(table, stage, fold, g)
//
// Latency:    4 cycles from stage_i and fold_i to fires_o, 3 from value_i; 4 from re_i to read_o
// Throughput: GROUP neurons of B images a cycle
// Encoding:   bit 1 is +1, bit 0 is -1; values and thresholds are two's complement if SIGNED, else
//             unsigned; image 0 lowest, in it lane 0
// Handshake:  none; never stalls. The host reads in place of the neurons. table_i counts 2 cycles
//             later, and changes while no neuron is on its way
// Golden:     stoic.sim.golden.fire, after the sums
//
//   memory of lane g: address stage * 2 ** $clog2(TABLES * N_FOLDS) + table * N_FOLDS + fold holds
//   theta of neuron fold * PE + stage * GROUP + g in that table; the host asks for it as word
//   table * N_FOLDS + fold of bank stage * GROUP + g
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
    parameter B           = 1,          // images side by side
    parameter TABLES      = 1,          // threshold tables, 1..255
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter STAGE_W     = (STAGES > 1) ? $clog2(STAGES) : 1,   // derived: do not override
    parameter FOLD_W      = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1,  // derived: do not override
    parameter TABLE_W     = (TABLES > 1) ? $clog2(TABLES) : 1     // derived: do not override
) (
    input  wire                       clk_i,
    input  wire                       rst_i,
    /* neurons */
    input  wire [STAGE_W-1:0]         stage_i,
    input  wire [FOLD_W-1:0]          fold_i,
    input  wire [TABLE_W-1:0]         table_i,
    input  wire [B*GROUP*VALUE_W-1:0] value_i,  // a cycle later
    output wire [B*GROUP-1:0]         fires_o,  // 4 cycles later
    /* host access, while no neuron is on its way */
    input  wire                       we_i,
    input  wire                       re_i,
    input  wire [15:0]                sel_i,    // bank
    input  wire [15:0]                addr_i,   // word
    input  wire [THRESHOLD_W-1:0]     data_i,
    output wire [THRESHOLD_W-1:0]     read_o,
    output wire                       read_valid_o
);
    localparam WORDS = TABLES * N_FOLDS;  // of a bank
    localparam PLACE_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    localparam DEPTH = (STAGES > 1) ? STAGES << PLACE_W : WORDS;
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam COMPARE_W = ((THRESHOLD_W > VALUE_W) ? THRESHOLD_W : VALUE_W) + 1;
    localparam [31:0] N_LANES = GROUP;

    /* the host's word, divided into place and lane in a cycle of its own; then who reads */
    reg [15:0] place_q;
    reg [15:0] host_place_q;
    reg [15:0] host_lane_q;
    reg [THRESHOLD_W-1:0] data_q;
    reg we_q;
    reg re_q;
    wire [15:0] first;  // word of the table
    wire [15:0] word = first + {{(16 - FOLD_W){1'b0}}, fold_i};
    wire [15:0] place = ({{(16 - STAGE_W){1'b0}}, stage_i} << PLACE_W) | word;
    generate
        if (TABLES > 1) begin : g_tables
            localparam [31:0] STRIDE = N_FOLDS;
            reg [15:0] first_q;
            always @(posedge clk_i) first_q <= {{(16 - TABLE_W){1'b0}}, table_i} * STRIDE[15:0];
            assign first = first_q;
        end else begin : g_one_table
            assign first = 16'd0;
        end
    endgenerate
    always @(posedge clk_i) begin
        host_place_q <= ((sel_i / N_LANES[15:0]) << PLACE_W) | addr_i;
        host_lane_q <= sel_i % N_LANES[15:0];
        data_q <= data_i;
        we_q <= we_i && !rst_i;
        re_q <= re_i && !rst_i;
        place_q <= re_q ? host_place_q : place;
    end

    genvar g;
    genvar b;
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
            wire mine = host_lane_q == LANE[15:0];
            wire [THRESHOLD_W-1:0] theta;
            reg [2:0] mine_q;  // what is read is the host's
            stoic_ram #(
                .DEPTH(DEPTH),
                .WIDTH(THRESHOLD_W),
                .TARGET(TARGET)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_q && mine),
                .waddr_i(host_place_q[ADDR_W-1:0]),
                .wdata_i(data_q),
                .raddr_i(place_q[ADDR_W-1:0]),
                .flip_i({THRESHOLD_W{1'b0}}),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(theta)
            );
            always @(posedge clk_i) begin
                if (rst_i) mine_q <= 3'd0;
                else mine_q <= {mine_q[1:0], re_q && mine};
            end
            assign g_found[g+1].read = g_found[g].read | (theta & {THRESHOLD_W{mine_q[2]}});
            assign g_found[g+1].valid = g_found[g].valid || mine_q[2];
            for (b = 0; b < B; b = b + 1) begin : g_image
                localparam FROM = VALUE_W * (b * GROUP + g);
                reg [VALUE_W-1:0] value_q;
                reg [VALUE_W-1:0] value_q2;
                reg fires_q;
                wire [COMPARE_W-1:0] value;
                wire [COMPARE_W-1:0] least;
                wire [COMPARE_W-1:0] difference = value - least;
                if (SIGNED) begin : g_signed
                    assign value = {{(COMPARE_W - VALUE_W){value_q2[VALUE_W-1]}}, value_q2};
                    assign least = {{(COMPARE_W - THRESHOLD_W){theta[THRESHOLD_W-1]}}, theta};
                end else begin : g_unsigned
                    assign value = {{(COMPARE_W - VALUE_W){1'b0}}, value_q2};
                    assign least = {{(COMPARE_W - THRESHOLD_W){1'b0}}, theta};
                end
                always @(posedge clk_i) begin
                    value_q <= value_i[FROM+VALUE_W-1:FROM];
                    value_q2 <= value_q;
                    fires_q <= !difference[COMPARE_W-1];
                end
                assign fires_o[b*GROUP+g] = fires_q;
            end
        end
    endgenerate
endmodule

`resetall
