// SPDX-License-Identifier: Apache-2.0
// prove_add : stoic_add gives a + b for every pair of beats, under any sources, sink and reset
//
// A beat of a is taken just when one of b is. Their sum, as signed numbers, is a word that leaves
// as those of a register slice do. error_o is 1 once the ends of a pair differed, until reset.
module prove_add #(
    parameter WIDTH = 12
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire             watch_i,
    input wire [WIDTH-1:0] a_axis_tdata,
    input wire             a_axis_tvalid,
    input wire             a_axis_tlast,
    input wire [WIDTH-1:0] b_axis_tdata,
    input wire             b_axis_tvalid,
    input wire             b_axis_tlast,
    input wire             m_axis_tready
);
    wire a_axis_tready;
    wire b_axis_tready;
    wire [WIDTH-1:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tlast;
    wire error;
    stoic_add #(
        .WIDTH(WIDTH)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .a_axis_tdata(a_axis_tdata),
        .a_axis_tvalid(a_axis_tvalid),
        .a_axis_tready(a_axis_tready),
        .a_axis_tlast(a_axis_tlast),
        .b_axis_tdata(b_axis_tdata),
        .b_axis_tvalid(b_axis_tvalid),
        .b_axis_tready(b_axis_tready),
        .b_axis_tlast(b_axis_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .error_o(error)
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    wire tvalid = m_axis_tvalid && started_q;
    wire both = a_axis_tvalid && b_axis_tvalid;
    wire a_comes = a_axis_tvalid && a_axis_tready && started_q;
    wire b_comes = b_axis_tvalid && b_axis_tready && started_q;
    wire [WIDTH:0] sum = $signed(a_axis_tdata) + $signed(b_axis_tdata);
    stream_rules #(
        .WIDTH(WIDTH + 1)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({m_axis_tlast, m_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );
    identity_rules #(
        .WIDTH(WIDTH + 1),
        .CAPACITY(2),
        .LATENCY(1),
        .REFILL(0)
    ) same (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .watch_i(watch_i),
        .s_tdata({a_axis_tlast, sum[WIDTH-1:0]}),
        .s_tvalid(both),
        .s_tready((a_axis_tready || !both) && started_q),  // alone, a beat waits for the other one
        .m_tdata({m_axis_tlast, m_axis_tdata}),
        .m_tvalid(tvalid),
        .m_tready(m_axis_tready)
    );

    reg error_q = 1'b0;
    always @(posedge clk_i)
        error_q <= !rst_i && (error_q || (started_q && both && a_axis_tlast != b_axis_tlast));
    always @* if (started_q) begin
        assert (a_comes == b_comes);
        assert (error == error_q);
        cover (error && !both);
    end
endmodule
