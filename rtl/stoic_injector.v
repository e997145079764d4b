// SPDX-License-Identifier: Apache-2.0
// stoic_injector : transient read errors of the weight memories of one layer: the random numbers
//
//   state' = {state[94:0], state[63:32] ^ state[126:95]}    32 steps of x^127 + x^63 + 1, a cycle of
//                                                           an image each
//   lanes = state[63:0]   u = state[74:64]   pick = state[85:75]   salt = state[126:86]
//   carry01 = u < T01[10:0], found a word ahead             p01 = T01 / 2 ** (16 + ones of care)
//   carry10 = u < T10[10:0]                                 p10 = T10 / 2 ** (16 + ones of care)
//
// stoic_injector_mask makes the errors of a word of them: FORM 1, once for the layer; FORM 2, in every
// processing element (stoic_injector_port). The state moves with the words of images alone, so what
// a word meets does not depend on when it comes.
//
// Latency:    from step_i of a word to its draw_o: FORM 1, 2 cycles; FORM 2, none
// Throughput: one word a cycle
// Encoding:   draw_o: FORM 1, {errors of stored 1s, of stored 0s, whether the word is hit}, 0 while idle;
//             FORM 2, as in stoic_injector_mask
// Handshake:  none; never stalls. After reset all rates are 0 until the host sets them
// Golden:     stoic.sim.injector
//
//   address   content
//   1         [15:0] T01, [31:16] T10, each 0..2 ** 15; [37:32] care, the bits of a lane's number
//             that have to be those of the place drawn. To be written before the state
//   2 .. 5    [31:0] the state, its oldest word first; every write moves it on by a word
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_injector #(
    parameter WIDTH  = 36,  // bits of a weight word, 1..64
    parameter FORM   = 1,   // 1: one mask for all processing elements; 2: one for each
    parameter DRAW_W = (FORM == 1) ? 2 * WIDTH + 1 : WIDTH + 71  // derived: do not override
) (
    input  wire              clk_i,
    input  wire              rst_i,
    input  wire              step_i,  // a word of an image is read
    /* host, while no image is inside */
    input  wire              we_i,
    input  wire [2:0]        addr_i,
    input  wire [63:0]       data_i,
    /* to the chain */
    output wire [DRAW_W-1:0] draw_o
);
    reg [126:0] state_q;
    reg carry01_q;
    reg carry10_q;
    reg [15:0] t01_q;
    reg [15:0] t10_q;
    reg [5:0] care_q;
    wire load = we_i && addr_i[2:1] != 2'd0;
    wire [31:0] fresh = load ? data_i[31:0] : state_q[63:32] ^ state_q[126:95];

    always @(posedge clk_i) begin
        if (rst_i) begin
            state_q <= 127'd0;
            carry01_q <= 1'b0;
            carry10_q <= 1'b0;
            t01_q <= 16'd0;
            t10_q <= 16'd0;
            care_q <= 6'd0;
        end else begin
            if (load || step_i) begin
                state_q <= {state_q[94:0], fresh};
                carry01_q <= state_q[42:32] < t01_q[10:0];
                carry10_q <= state_q[42:32] < t10_q[10:0];
            end
            if (we_i && addr_i == 3'd1) begin
                t01_q <= data_i[15:0];
                t10_q <= data_i[31:16];
                care_q <= data_i[37:32];
            end
        end
    end

    // {v, 0} < {most, carry} as a function of salt, v = pick ^ salt
    function [7:0] rule;
        input [3:0] pick;
        input [4:0] most;
        input carry;
        integer k;
        begin
            for (k = 1; k < 4; k = k + 1) begin
                rule[2*k+1] = most[k] | most[4];
                rule[2*k] = pick[k] ^ rule[2*k+1];
            end
            rule[0] = most[4] | ((pick[0] == most[0]) ? carry : most[0]);
            rule[1] = most[4] | ((pick[0] == most[0]) ? most[0] : carry);
        end
    endfunction
    wire [WIDTH+70:0] numbers = {state_q[126:79], state_q[WIDTH-1:0], !step_i,
                                rule(state_q[78:75], t01_q[15:11], carry01_q),
                                rule(state_q[78:75], t10_q[15:11], carry10_q), care_q};

    generate
        if (FORM < 1 || FORM > 2 || WIDTH < 1 || WIDTH > 64) begin : g_illegal
            stoic_illegal_parameter ERROR_injector_needs_FORM_1_2_SIMD_1_64 ();
        end
        if (FORM == 1) begin : g_layer
            wire [WIDTH-1:0] pattern;
            wire miss01;
            wire miss10;
            stoic_injector_mask #(
                .WIDTH(WIDTH)
            ) mask (
                .clk_i(clk_i),
                .draw_i(numbers),
                .pattern_o(pattern),
                .miss01_o(miss01),
                .miss10_o(miss10)
            );
            // the resets of the flip-flops that these go to: the stages above have none
            wire [WIDTH-1:0] flip01 = miss01 ? {WIDTH{1'b0}} : pattern;
            wire [WIDTH-1:0] flip10 = miss10 ? {WIDTH{1'b0}} : pattern;
            assign draw_o = {flip10, flip01, !(miss01 && miss10)};
        end else begin : g_element
            assign draw_o = numbers;
        end
    endgenerate
endmodule

`resetall
