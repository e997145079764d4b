// SPDX-License-Identifier: Apache-2.0
// stoic_injector_port : the read errors that one processing element meets, and whether it does
//
//   flip_o[WIDTH-1:0]      = 0 where the word is miss01, else pattern       (stored 0 reads 1)
//   flip_o[2*WIDTH-1:WIDTH] = 0 where the word is miss10, else pattern       (stored 1 reads 0)
//   FORM 1: pattern[i] = that of the layer, [(i + INDEX) mod WIDTH];  FORM 2: its own
//   met_o = the element is enabled, and the word is not both
//
// Latency:    from draw_i: FORM 1, 1 cycle; FORM 2, 3 cycles
// Throughput: one word a cycle
// Encoding:   draw_i as stoic_injector sends it; flip_o as stoic_ram takes it with FAULT_EN 2
// Handshake:  none; never stalls. After reset the element is enabled; the host changes that while no
//             image is inside
// Golden:     stoic.sim.injector.word_errors
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_injector_port #(
    parameter WIDTH  = 36,  // bits of a weight word, 1..64
    parameter FORM   = 1,   // as in stoic_injector
    parameter INDEX  = 0,   // of the processing element
    parameter DRAW_W = (FORM == 1) ? 2 * WIDTH + 1 : WIDTH + 71  // derived: do not override
) (
    input  wire              clk_i,
    input  wire              rst_i,
    input  wire [DRAW_W-1:0] draw_i,
    input  wire              we_i,      // of the enable
    input  wire              enable_i,
    output wire [2*WIDTH-1:0] flip_o,
    output wire               met_o      // with flip_o
);
    wire [WIDTH-1:0] flip01;
    wire [WIDTH-1:0] flip10;
    wire is_hit;
    reg enable_q;
    reg met_q;
    reg [WIDTH-1:0] flip01_q;
    reg [WIDTH-1:0] flip10_q;

    genvar i;
    generate
        if (FORM == 1) begin : g_layer
            for (i = 0; i < WIDTH; i = i + 1) begin : g_lane
                assign flip01[i] = draw_i[1+(i+INDEX)%WIDTH];
                assign flip10[i] = draw_i[1+WIDTH+(i+INDEX)%WIDTH];
            end
            assign is_hit = draw_i[0];
        end else begin : g_element
            wire [WIDTH-1:0] pattern;
            wire miss01;
            wire miss10;
            stoic_injector_mask #(
                .WIDTH(WIDTH),
                .INDEX(INDEX)
            ) mask (
                .clk_i(clk_i),
                .draw_i(draw_i),
                .pattern_o(pattern),
                .miss01_o(miss01),
                .miss10_o(miss10)
            );
            assign flip01 = miss01 ? {WIDTH{1'b0}} : pattern;
            assign flip10 = miss10 ? {WIDTH{1'b0}} : pattern;
            assign is_hit = !(miss01 && miss10);
        end
    endgenerate

    // reset (FORM 2) and clock enable of the flip-flops, no logic: what is not enabled stays 0, since
    // nothing is hit while the host changes that
    always @(posedge clk_i) begin
        if (rst_i) enable_q <= 1'b1;
        else if (we_i) enable_q <= enable_i;
        met_q <= enable_q && is_hit;
        if (enable_q) begin
            flip01_q <= flip01;
            flip10_q <= flip10;
        end
    end

    assign flip_o = {flip10_q, flip01_q};
    assign met_o = met_q;
endmodule

`resetall
