// SPDX-License-Identifier: Apache-2.0
// prove_width : stoic_width puts every element of every image where it belongs
//
// The source ends each image after BEATS beats. One element is watched, and which one of which
// image is arbitrary. It must leave as bit k % OUT_W of word k / OUT_W of its image, behind the
// images before it; tlast comes with the last word of an image, whose spare bits are 0.
module prove_width #(
    parameter IN_W  = 2,
    parameter OUT_W = 3,
    parameter N     = 7,
    parameter PATIENCE = 4  // cycles without a transfer while source and sink are ready
) (
    input wire            clk_i,
    input wire            rst_i,
    input wire            watch_i,  // free: watch an element of the beat that comes in now
    input wire [2:0]      lane_i,   // free: which of its elements
    input wire [IN_W-1:0] s_axis_tdata,
    input wire            s_axis_tvalid,
    input wire            m_axis_tready
);
    localparam BEATS = (N + IN_W - 1) / IN_W;
    localparam WORDS = (N + OUT_W - 1) / OUT_W;
    localparam SPARE = WORDS * OUT_W - N;

    reg [3:0] beat_q = 4'd0;    // of the image that comes in
    reg [3:0] word_q = 4'd0;    // of the image that leaves
    reg [2:0] inside_q = 3'd0;  // images that came in whole and did not leave whole
    wire s_axis_tlast = beat_q == BEATS - 1;
    wire s_axis_tready;
    wire [OUT_W-1:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tlast;
    stoic_width #(
        .IN_W(IN_W),
        .OUT_W(OUT_W),
        .N(N)
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
        .m_axis_tlast(m_axis_tlast)
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    wire tvalid = m_axis_tvalid && started_q;
    stream_rules #(
        .WIDTH(OUT_W + 1)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({m_axis_tlast, m_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );

    wire come = s_axis_tvalid && s_axis_tready && started_q;
    wire leave = tvalid && m_axis_tready;
    wire ends = leave && word_q == WORDS - 1;
    wire [5:0] element = beat_q * IN_W + lane_i;

    reg watched_q = 1'b0;
    reg bit_q;
    reg [5:0] element_q;
    reg [2:0] ahead_q;           // images that end before the one of the watched element
    reg [3:0] idle_q = 4'd0;
    always @(posedge clk_i) begin
        if (rst_i) begin
            beat_q <= 4'd0;
            word_q <= 4'd0;
            inside_q <= 3'd0;
            watched_q <= 1'b0;
            idle_q <= 4'd0;
        end else begin
            if (come) beat_q <= s_axis_tlast ? 4'd0 : beat_q + 4'd1;
            if (leave) word_q <= ends ? 4'd0 : word_q + 4'd1;
            inside_q <= inside_q + (come && s_axis_tlast) - ends;
            if (!watched_q && watch_i && come && lane_i < IN_W && element < N) begin
                watched_q <= 1'b1;
                bit_q <= s_axis_tdata >> lane_i;
                element_q <= element;
                ahead_q <= inside_q - ends;
            end else if (watched_q && ends) begin
                if (ahead_q == 3'd0) watched_q <= 1'b0;
                else ahead_q <= ahead_q - 3'd1;
            end
            idle_q <= (s_axis_tvalid && m_axis_tready && !come && !leave) ? idle_q + 4'd1 : 4'd0;
        end
    end

    wire found = watched_q && ahead_q == 3'd0 && tvalid && word_q == element_q / OUT_W;
    wire [OUT_W-1:0] shifted = m_axis_tdata >> (element_q % OUT_W);
    always @* begin
        if (found) assert (shifted[0] == bit_q);
        if (tvalid) assert (m_axis_tlast == (word_q == WORDS - 1));
        if (tvalid && m_axis_tlast && SPARE > 0) assert (m_axis_tdata >> (OUT_W - SPARE) == 0);
        assert (idle_q < PATIENCE);
        cover (found && element_q == N - 1);
        cover (ends && come);
    end
endmodule
