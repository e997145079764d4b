// SPDX-License-Identifier: Apache-2.0
// prove_gate : stoic_gate lets whole images pass, under any source, sink, switch and reset
//
// The source keeps the rules of a stream. What leaves is what comes, in the same cycle. Within an
// image the gate is a wire. Between images it is shut if hold_i was 1 in the cycle before, unless a
// beat was offered then, and a wire if it was 0; and closed_o says just that it is shut.
module prove_gate #(
    parameter WIDTH = 2
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire             hold_i,
    input wire [WIDTH-1:0] s_axis_tdata,
    input wire             s_axis_tvalid,
    input wire             s_axis_tlast,
    input wire             m_axis_tready
);
    wire closed;
    wire s_axis_tready;
    wire m_axis_tvalid;
    stoic_gate dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .hold_i(hold_i),
        .closed_o(closed),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(s_axis_tlast),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    wire tvalid = m_axis_tvalid && started_q;
    wire come = s_axis_tvalid && s_axis_tready && started_q;
    wire leave = tvalid && m_axis_tready;
    stream_rules #(
        .WIDTH(WIDTH + 1)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({s_axis_tlast, s_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );

    reg waits_q = 1'b0;    // the source offered a beat, and it was not taken
    reg [WIDTH:0] payload_q;
    reg inside_q = 1'b0;   // an image has begun and not ended
    reg reset_q = 1'b0;    // the cycle before was one of reset
    reg hold_q;            // hold_i of it
    reg stalled_q = 1'b0;  // a beat was offered to the sink in it, and not taken
    reg closed_q = 1'b0;   // the gate was closed in it, and to stay so
    always @(posedge clk_i) begin
        waits_q <= s_axis_tvalid && !come && !rst_i;
        payload_q <= {s_axis_tlast, s_axis_tdata};
        reset_q <= rst_i;
        hold_q <= hold_i;
        stalled_q <= tvalid && !m_axis_tready && !rst_i;
        closed_q <= closed && hold_i && started_q && !rst_i;
        if (rst_i) inside_q <= 1'b0;
        else if (leave) inside_q <= !s_axis_tlast;
    end
    always @* if (waits_q) assume (s_axis_tvalid && {s_axis_tlast, s_axis_tdata} == payload_q);

    wire shut = !inside_q && hold_q && !reset_q && !stalled_q;
    always @* if (started_q) begin
        assert (come == leave);
        assert (tvalid == (s_axis_tvalid && !shut));
        assert (s_axis_tready == (m_axis_tready && !shut));
        assert (closed == shut);
        if (closed_q) assert (closed);
        cover (shut && s_axis_tvalid && m_axis_tready);
        cover (inside_q && hold_q && leave && s_axis_tlast);
        cover (stalled_q && hold_q && !inside_q && leave);
    end
endmodule
