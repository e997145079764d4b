// SPDX-License-Identifier: Apache-2.0
// prove_fifo : stoic_fifo hands on every word, under any source, sink and reset
module prove_fifo #(
    parameter DEPTH = 4,
    parameter WIDTH = 2,
    parameter LATENCY = 2  // of the header
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire             watch_i,
    input wire [WIDTH-1:0] s_axis_tdata,
    input wire             s_axis_tvalid,
    input wire             m_axis_tready
);
    wire s_axis_tready;
    wire [WIDTH-1:0] m_axis_tdata;
    wire m_axis_tvalid;
    stoic_fifo #(
        .DEPTH(DEPTH),
        .WIDTH(WIDTH)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    wire tvalid = m_axis_tvalid && started_q;
    stream_rules #(
        .WIDTH(WIDTH)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i(m_axis_tdata),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );
    identity_rules #(
        .WIDTH(WIDTH),
        .CAPACITY(DEPTH),
        .LATENCY(LATENCY),
        .REFILL(1)
    ) same (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .watch_i(watch_i),
        .s_tdata(s_axis_tdata),
        .s_tvalid(s_axis_tvalid),
        .s_tready(s_axis_tready && started_q),
        .m_tdata(m_axis_tdata),
        .m_tvalid(tvalid),
        .m_tready(m_axis_tready)
    );
endmodule
