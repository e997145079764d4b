// SPDX-License-Identifier: Apache-2.0
// stoic_engine_bytes : bytes of images to the beats of stoic_engine, whole words of 64 lanes
//
//   beat k of an image = bytes 2 k and 2 k + 1;  after tlast come EXTRA beats of no meaning
//
// Latency:    1 cycle
// Throughput: 2 bytes in 3 cycles, a beat past the last byte a cycle
// Encoding:   bit 0 of the first byte is lane 0
// Handshake:  AXI4-Stream, s_axis_tready is low while a beat waits; tlast ends an image on both sides
// Golden:     stoic.sim.rtl.image_beats
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_engine_bytes #(
    parameter EXTRA = 3  // beats past those of the bytes, 0..3
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* bytes in */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* beats out */
    output wire [15:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast
);
    localparam [2:0] BEATS_PAST = EXTRA;

    generate
        if (EXTRA < 0 || EXTRA > 3) begin : g_illegal
            stoic_illegal_parameter ERROR_engine_bytes_needs_EXTRA_0_3 ();
        end
    endgenerate

    reg [7:0] low_q;
    reg [7:0] high_q;
    reg half_q;        // low_q is the first byte of a beat
    reg valid_q;
    reg last_q;
    reg [2:0] past_q;  // beats that follow this one without bytes
    wire take = s_axis_tvalid && s_axis_tready;
    wire whole = take && (half_q || s_axis_tlast);
    wire leave = m_axis_tvalid && m_axis_tready;
    always @(posedge clk_i) begin
        if (take && !half_q) low_q <= s_axis_tdata;
        if (take) high_q <= s_axis_tdata;
        if (whole) begin
            past_q <= s_axis_tlast ? BEATS_PAST : 3'd0;
            last_q <= s_axis_tlast && EXTRA == 0;
        end else if (leave) begin
            past_q <= past_q - 3'd1;
            last_q <= past_q == 3'd1;
        end
        if (rst_i) begin
            half_q <= 1'b0;
            valid_q <= 1'b0;
        end else begin
            if (take) half_q <= !whole;
            valid_q <= whole || (valid_q && !(leave && past_q == 3'd0));
        end
    end
    assign s_axis_tready = !valid_q;
    assign m_axis_tdata = {high_q, low_q};
    assign m_axis_tvalid = valid_q;
    assign m_axis_tlast = last_q;
endmodule

`resetall
