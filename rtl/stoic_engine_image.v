// SPDX-License-Identifier: Apache-2.0
// stoic_engine_image : what stoic_engine has once for every image: activations, popcount, sum, neuron
//
//   sum = popcounts of the words of a neuron;  fires = sum >= theta
//   word <= fires shifted in from above (score_i 0), or sum (score_i 1), where shift_i is 1
//
// Latency:    word 9 cycles after the last word of weights of a neuron, weights 1 after raddr_i
// Throughput: one word of weights a cycle
// Encoding:   bit 1 is +1, bit 0 is -1, lane 0 is the LSB
// Handshake:  none; never stalls
// Golden:     stoic.sim.golden.xnor_popcount and fire
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_engine_image #(
    parameter DEPTH   = 256,        // words of activations
    parameter VALUE_W = 10,         // bits of a sum and of a threshold
    parameter TARGET  = "generic",  // as in stoic_ram
    parameter ADDR_W  = $clog2(DEPTH)  // derived: do not override
) (
    input  wire               clk_i,
    /* activations */
    input  wire [3:0]         we_i,        // quarters of the word, those that are written
    input  wire [ADDR_W-1:0]  waddr_i,     // a cycle later
    input  wire               load_i,      // write load_data_i, else the word of neurons
    input  wire [15:0]        load_data_i,
    input  wire [ADDR_W-1:0]  raddr_i,
    output wire [VALUE_W-1:0] score_o,     // the lowest bits of what is read
    /* weights, 1 cycle after the address of their activations */
    input  wire [63:0]        weights_i,
    input  wire               keep_i,      // 6 cycles later: add to the sum, else start anew
    input  wire [VALUE_W-1:0] theta_i,     // with the whole sum
    input  wire               shift_i,     // 2 cycles after the whole sum
    input  wire               score_i
);
    wire [63:0] x;
    reg [15:0] word_q;
    reg [3:0] we_q;
    reg [15:0] wdata_q;
    always @(posedge clk_i) begin
        we_q <= we_i;
        wdata_q <= load_i ? load_data_i : word_q;
    end
    genvar k;
    generate
        for (k = 0; k < 4; k = k + 1) begin : g_quarter
            stoic_ram #(
                .DEPTH(DEPTH),
                .WIDTH(16),
                .LATENCY(1),
                .TARGET(TARGET)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_q[k]),
                .waddr_i(waddr_i),
                .wdata_i(wdata_q),
                .raddr_i(raddr_i),
                .flip_i(16'd0),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(x[16*k+15:16*k])
            );
        end
    endgenerate
    assign score_o = x[VALUE_W-1:0];

    wire [6:0] count;
    stoic_popcount #(
        .LANES(64)
    ) popcount (
        .clk_i(clk_i),
        .x_i(x),
        .w_i(weights_i),
        .pad_i(1'b0),
        .count_o(count)
    );
    wire [VALUE_W-1:0] total;
    stoic_sum #(
        .TOTAL_W(VALUE_W),
        .COUNT_W(7),
        .TARGET(TARGET)
    ) sum (
        .clk_i(clk_i),
        .count_i(count),
        .keep_i(keep_i),
        .total_o(total)
    );

    reg [VALUE_W-1:0] total_q;
    reg fires_q;
    wire [VALUE_W:0] difference = {1'b0, total} - {1'b0, theta_i};
    wire [15:0] value = {{(16 - VALUE_W){1'b0}}, total_q};
    always @(posedge clk_i) begin
        total_q <= total;
        fires_q <= !difference[VALUE_W];
        if (shift_i) word_q <= score_i ? value : {fires_q, word_q[15:1]};
    end
endmodule

`resetall
