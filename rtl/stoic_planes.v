// SPDX-License-Identifier: Apache-2.0
// stoic_planes : uint8 elements to bit planes, and their sum
//
//   word 8 w + b of an image: bit i is bit b of element SIMD w + i;     U = sum of the elements
//
// With A = sum_b 2^b pop(w & x_b) the layer computes s = 2 A - U, so U must travel along.
//
// Latency:    2 cycles from the last byte of a group of SIMD to its plane 0
// Throughput: a byte a cycle, SIMD bytes in at least 9 cycles
// Encoding:   element 0 is the LSB; lanes past the last element are 0
// Handshake:  AXI4-Stream, s_axis_tready is an OR of registers; tlast ends an image on both sides;
//             m_axis_tuser holds U while m_axis_tlast is 1
// Golden:     the planes inside stoic.sim.golden.plane_sum
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_planes #(
    parameter SIMD  = 36,  // lanes of a word, 1..64
    parameter SUM_W = 18   // bits of U, $clog2(255 * elements + 1)
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* bytes in */
    input  wire [7:0]       s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    input  wire             s_axis_tlast,
    /* plane words out */
    output wire [SIMD-1:0]  m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast,
    output wire [SUM_W-1:0] m_axis_tuser
);
    generate
        if (SIMD < 1 || SIMD > 64 || SUM_W < 8) begin : g_illegal
            stoic_illegal_parameter ERROR_planes_needs_SIMD_1_64_SUM_W_8_or_more ();
        end
    endgenerate

    localparam [SIMD-1:0] LANE_0 = 1;

    /* collect SIMD bytes */
    reg [SIMD-1:0] place_q;  // one-hot lane of the next byte
    reg first_q;             // that lane is lane 0
    reg full_q;
    reg copy_q;              // what was collected goes out; a register, as it enables 8 SIMD others
    reg last_q;
    reg fresh_q;             // the next byte is the first of an image
    reg [SUM_W-1:0] sum_q;

    assign s_axis_tready = !full_q || copy_q;
    wire take = s_axis_tvalid && s_axis_tready;
    wire full = place_q[SIMD-1] || s_axis_tlast;

    /* emit 8 planes */
    reg [7:0] left_q;  // planes still to send, one bit each
    reg out_last_q;
    reg [SUM_W-1:0] out_sum_q;
    wire [7:0] left_d = copy_q ? 8'hff : m_axis_tready ? left_q >> 1 : left_q;
    wire full_d = (take && full) || (full_q && !copy_q);

    always @(posedge clk_i) begin
        if (take) begin
            last_q <= s_axis_tlast;
            sum_q <= (fresh_q ? {SUM_W{1'b0}} : sum_q) + {{(SUM_W - 8){1'b0}}, s_axis_tdata};
        end
        if (copy_q) begin
            out_last_q <= last_q;
            out_sum_q <= sum_q;
        end
        if (rst_i) begin
            place_q <= LANE_0;
            first_q <= 1'b1;
            full_q <= 1'b0;
            fresh_q <= 1'b1;
            left_q <= 8'd0;
            copy_q <= 1'b0;
        end else begin
            if (take) begin
                place_q <= full ? LANE_0 : place_q << 1;
                first_q <= full;
                fresh_q <= s_axis_tlast;
            end
            full_q <= full_d;
            copy_q <= full_d && left_d == 8'd0;
            left_q <= left_d;
        end
    end

    genvar b;
    generate
        for (b = 7; b >= 0; b = b - 1) begin : g_plane
            reg [SIMD-1:0] word_q;
            reg [SIMD-1:0] out_q;
            wire [SIMD-1:0] next;  // the plane that leaves after this one
            if (b == 7) begin : g_top
                assign next = {SIMD{1'b0}};
            end else begin : g_chain
                assign next = g_plane[b+1].out_q;
            end
            always @(posedge clk_i) begin
                if (take)
                    word_q <= (first_q ? {SIMD{1'b0}} : word_q)
                            | (place_q & {SIMD{s_axis_tdata[b]}});
                if (copy_q) out_q <= word_q;
                else if (m_axis_tready) out_q <= next;
            end
        end
    endgenerate

    assign m_axis_tdata = g_plane[0].out_q;
    assign m_axis_tvalid = left_q[0];
    assign m_axis_tlast = out_last_q && left_q == 8'd1;
    assign m_axis_tuser = out_sum_q;
endmodule

`resetall
