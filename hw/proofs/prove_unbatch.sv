// SPDX-License-Identifier: Apache-2.0
// prove_unbatch : stoic_unbatch gives the words of B images one image after another, when it can
//
// Beats are numbered, modulo 2 DEPTH, which is more than are ever inside. One word is watched, and
// which one of which image is arbitrary. It must leave, unchanged, as word w of image b of its B
// images, behind those before it; tlast comes with the last word of an image. A word is offered
// just from the second cycle after its beat on, once it is its turn: so latency and throughput are
// those of the header, and a word that is inside waits for nothing but the sink. The source waits
// just while DEPTH beats are inside, or were a cycle before.
module prove_unbatch #(
    parameter B     = 2,
    parameter WORDS = 2,
    parameter WIDTH = 1
) (
    input wire               clk_i,
    input wire               rst_i,
    input wire               watch_i,  // free: watch a word of the beat that comes in now
    input wire [3:0]         image_i,  // free: of which image
    input wire [B*WIDTH-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready
);
    localparam DEPTH = 2 << $clog2(WORDS);
    localparam PLACE_W = $clog2(DEPTH) + 1;
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;

    wire s_axis_tready;
    wire [WIDTH-1:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tlast;
    stoic_unbatch #(
        .B(B),
        .WORDS(WORDS),
        .WIDTH(WIDTH)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(s_axis_tdata),
        .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
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
        .WIDTH(WIDTH + 1)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({m_axis_tlast, m_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );

    wire come = s_axis_tvalid && s_axis_tready && started_q;
    wire leave = tvalid && m_axis_tready;
    reg [PLACE_W-1:0] beat_q = 0;   // that comes next
    reg [PLACE_W-1:0] first_q = 0;  // beat with the first words of the images that leave
    reg [B-1:0] turn_q = 1;         // image that leaves, one-hot
    reg [WORD_W-1:0] word_q = 0;    // of it
    reg came_q = 1'b0;              // a beat came in the cycle before
    reg freed_q = 1'b0;             // a word of the last image left in it
    wire is_last_word = word_q == WORDS - 1;
    wire ends = leave && is_last_word && turn_q[B-1];
    wire [PLACE_W-1:0] now = first_q + word_q;  // beat of the word that leaves next

    reg watched_q = 1'b0;
    reg [WIDTH-1:0] data_q;
    reg [B-1:0] image_q;
    reg [PLACE_W-1:0] place_q;
    wire found = watched_q && turn_q == image_q && now == place_q;
    wire [B*WIDTH-1:0] shifted = s_axis_tdata >> (image_i * WIDTH);
    always @(posedge clk_i) begin
        came_q <= come && !rst_i;
        freed_q <= leave && turn_q[B-1] && !rst_i;
        if (rst_i) begin
            beat_q <= 0;
            first_q <= 0;
            turn_q <= 1;
            word_q <= 0;
            watched_q <= 1'b0;
        end else begin
            if (come) beat_q <= beat_q + 1'b1;
            if (ends) first_q <= first_q + WORDS;
            if (leave) word_q <= is_last_word ? 0 : word_q + 1'b1;
            if (leave && is_last_word) turn_q <= turn_q[B-1] ? 1 : turn_q << 1;
            if (!watched_q && watch_i && come && image_i < B) begin
                watched_q <= 1'b1;
                data_q <= shifted;
                image_q <= 1 << image_i;
                place_q <= beat_q;
            end else if (found && leave) watched_q <= 1'b0;
        end
    end

    /* what is inside of each image; the watched word is, until it leaves */
    genvar i;
    generate
        for (i = 0; i < B; i = i + 1) begin : g_image
            reg [PLACE_W-1:0] left_q = 0;  // beat of its next word
            wire is_earlier = (turn_q >> (i + 1)) != 0;  // all of its words left
            wire [PLACE_W-1:0] due = first_q + (turn_q[i] ? word_q : is_earlier ? WORDS : 0);
            wire [PLACE_W-1:0] inside = beat_q - left_q;
            wire [PLACE_W-1:0] ahead = place_q - left_q;
            always @(posedge clk_i) begin
                if (rst_i) left_q <= 0;
                else if (leave && turn_q[i]) left_q <= left_q + 1'b1;
            end
            always @* if (started_q) begin
                assert (left_q == due);
                assert (inside <= DEPTH);
                if (watched_q && image_q[i]) assert (ahead < inside);
            end
        end
    endgenerate
    wire [PLACE_W-1:0] n_inside = beat_q - g_image[B-1].left_q;
    always @* if (started_q) begin
        assert (s_axis_tready == (n_inside + freed_q != DEPTH));
        assert (tvalid == (now != beat_q && !(now + 1'b1 == beat_q && came_q)));
        if (tvalid) assert (m_axis_tlast == is_last_word);
        if (found && tvalid) assert (m_axis_tdata == data_q);
        cover (found && leave && image_q[B-1] && m_axis_tlast);
        cover (n_inside == DEPTH && leave);
    end
endmodule
