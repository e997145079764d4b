// SPDX-License-Identifier: Apache-2.0
// prove_fork : stoic_fork gives every sink every beat once, under any source, sinks and reset
//
// The source keeps the rules of a stream. A beat is offered to a sink from the cycle in which it
// comes until that sink took it, and the source is rid of it in the cycle in which the last sink
// takes it: so each sink takes it once, in order, and none waits for another.
module prove_fork #(
    parameter SINKS = 2,
    parameter WIDTH = 2
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire [WIDTH-1:0] s_axis_tdata,
    input wire             s_axis_tvalid,
    input wire [SINKS-1:0] m_axis_tready
);
    wire s_axis_tready;
    wire [SINKS-1:0] m_axis_tvalid;
    stoic_fork #(
        .SINKS(SINKS)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    reg offered_q = 1'b0;
    reg [WIDTH-1:0] tdata_q;
    wire come = s_axis_tvalid && s_axis_tready && started_q;
    always @(posedge clk_i) begin
        offered_q <= s_axis_tvalid && !come && !rst_i;
        tdata_q <= s_axis_tdata;
    end
    always @* if (offered_q) assume (s_axis_tvalid && s_axis_tdata == tdata_q);

    wire [SINKS-1:0] tvalid = m_axis_tvalid & {SINKS{started_q}};
    wire [SINKS-1:0] leave = tvalid & m_axis_tready;
    wire [SINKS-1:0] has;  // sinks that took the beat, before or now
    genvar i;
    generate
        for (i = 0; i < SINKS; i = i + 1) begin : g_sink
            stream_rules #(
                .WIDTH(WIDTH)
            ) rules (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .payload_i(s_axis_tdata),
                .tvalid_i(tvalid[i]),
                .tready_i(m_axis_tready[i])
            );
            reg [1:0] times_q = 2'd0;  // that this sink took the beat before now
            wire [1:0] times = times_q + leave[i];
            assign has[i] = times != 2'd0;
            always @(posedge clk_i) times_q <= (rst_i || come) ? 2'd0 : times;
            always @* if (started_q) begin
                assert (tvalid[i] == (s_axis_tvalid && times_q == 2'd0));
                assert (times <= 2'd1);
                if (come) assert (times == 2'd1);
                cover (come && times_q == 2'd1 && leave[(i + 1) % SINKS]);
            end
        end
    endgenerate
    always @* if (started_q) begin
        if (s_axis_tvalid && &has) assert (s_axis_tready);
        cover (come && &leave);
        cover (s_axis_tvalid && !come && has == {1'b1, {(SINKS - 1){1'b0}}});
    end
endmodule
