// SPDX-License-Identifier: Apache-2.0
// prove_scores : stoic_scores hands on every score, and answers once an image, under any stall
//
// class_valid_o is 1 in the third cycle after the last score of an image was taken in, and in no
// other; what class_o and margin_o hold is proved for all inputs apart from this.
module prove_scores #(
    parameter VALUE_W = 3,
    parameter N       = 5
) (
    input wire               clk_i,
    input wire               rst_i,
    input wire               watch_i,
    input wire [VALUE_W-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               s_axis_tlast,
    input wire               m_axis_tready
);
    wire s_axis_tready;
    wire [31:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tlast;
    wire class_valid;
    stoic_scores #(
        .N(N),
        .M(4),
        .BITS(1),
        .VALUE_W(VALUE_W)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(s_axis_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .class_valid_o(class_valid),
        .class_o(),
        .margin_o()
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    wire tvalid = m_axis_tvalid && started_q;
    wire [31:0] score = 2 * s_axis_tdata - N;
    stream_rules #(
        .WIDTH(33)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({m_axis_tlast, m_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );
    identity_rules #(
        .WIDTH(33),
        .CAPACITY(2),
        .LATENCY(1),
        .REFILL(1)
    ) same (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .watch_i(watch_i),
        .s_tdata({s_axis_tlast, score}),
        .s_tvalid(s_axis_tvalid),
        .s_tready(s_axis_tready && started_q),
        .m_tdata({m_axis_tlast, m_axis_tdata}),
        .m_tvalid(tvalid),
        .m_tready(m_axis_tready)
    );

    reg ended_q = 1'b0;
    reg ended_q2 = 1'b0;
    reg ended_q3 = 1'b0;
    always @(posedge clk_i) begin
        ended_q <= s_axis_tvalid && s_axis_tready && s_axis_tlast && started_q && !rst_i;
        ended_q2 <= ended_q && !rst_i;
        ended_q3 <= ended_q2 && !rst_i;
    end
    always @* if (started_q) begin
        assert (class_valid == ended_q3);
        cover (class_valid);
    end
endmodule
