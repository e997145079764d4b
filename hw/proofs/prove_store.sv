// SPDX-License-Identifier: Apache-2.0
// prove_store : stoic_store is a wire or sends whole images, as many as it is asked for
//
// Under any host, run, sink and reset: the streams keep their rules, an image has IMAGE_BYTES bytes,
// none is sent that was not asked for, and each has its label, no later than its first byte. What
// the bytes are the benches check.
module prove_store #(
    parameter IMAGES      = 3,
    parameter IMAGE_BYTES = 8
) (
    input wire        clk_i,
    input wire        rst_i,
    input wire [7:0]  s_axis_tdata,
    input wire        s_axis_tvalid,
    input wire        s_axis_tlast,
    input wire        m_axis_tready,
    input wire        label_room_i,
    input wire        run_i,
    input wire        send_i,
    input wire [1:0]  images_i,
    input wire        cfg_valid_i,
    input wire        cfg_write_i,
    input wire        cfg_mine_i,
    input wire        cfg_addr_i,
    input wire        cfg_data_i
);
    wire s_axis_tready;
    wire [7:0] m_axis_tdata;
    wire m_axis_tvalid;
    wire m_axis_tlast;
    wire label_valid;
    stoic_store #(
        .IMAGES(IMAGES),
        .IMAGE_BYTES(IMAGE_BYTES),
        .BANK(1)
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
        .label_o(),
        .label_valid_o(label_valid),
        .label_room_i(label_room_i),
        .run_i(run_i),
        .send_i(send_i),
        .images_i({14'd0, images_i}),
        .cfg_valid_i(cfg_valid_i),
        .cfg_write_i(cfg_write_i),
        .cfg_bank_i({15'd0, cfg_mine_i}),
        .cfg_addr_i({15'd0, cfg_addr_i}),
        .cfg_data_i({63'd0, cfg_data_i}),
        .cfg_rvalid_i(1'b0),
        .cfg_rdata_i(64'd0),
        .cfg_rvalid_o(),
        .cfg_rdata_o()
    );

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* if (!started_q) assume (rst_i);

    /* what was sent in this run */
    reg [3:0] byte_q;
    reg [1:0] images_q;
    reg [1:0] labels_q;
    reg room_q;
    wire tvalid = m_axis_tvalid && started_q;
    wire sent = tvalid && m_axis_tready && run_i;
    wire ends = byte_q == IMAGE_BYTES - 1;
    always @(posedge clk_i) begin
        room_q <= label_room_i;
        if (rst_i || !send_i) begin
            byte_q <= 4'd0;
            images_q <= 2'd0;
            labels_q <= 2'd0;
        end else begin
            if (sent) byte_q <= ends ? 4'd0 : byte_q + 4'd1;
            if (sent && ends) images_q <= images_q + 2'd1;
            if (label_valid) labels_q <= labels_q + 2'd1;
        end
    end

    /* who asks: as stoic_tally does, and a host that keeps the rules of its stream */
    reg run_q = 1'b0;
    reg send_q = 1'b0;
    reg offered_q = 1'b0;
    reg [1:0] asked_q;
    reg [8:0] payload_q;
    always @(posedge clk_i) begin
        run_q <= run_i && !rst_i;
        send_q <= send_i && !rst_i;
        asked_q <= images_i;
        offered_q <= s_axis_tvalid && !s_axis_tready && !rst_i;
        payload_q <= {s_axis_tlast, s_axis_tdata};
    end
    always @* begin
        assume (!send_i || run_i);
        assume (images_i != 2'd0);
        if (send_i && !send_q) assume (run_q);
        if (run_i && !run_q) assume (!offered_q);
        if (run_q && !run_i) assume (send_q && images_q == asked_q);
        if (send_q) assume (send_i == run_i);
        if (send_i) assume (images_i == asked_q);
        if (offered_q) assume (s_axis_tvalid && {s_axis_tlast, s_axis_tdata} == payload_q);
    end

    stream_rules #(
        .WIDTH(9)
    ) rules (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .payload_i({m_axis_tlast, m_axis_tdata}),
        .tvalid_i(tvalid),
        .tready_i(m_axis_tready)
    );
    always @* if (started_q) begin
        if (!run_i) begin
            assert (s_axis_tready == m_axis_tready && tvalid == s_axis_tvalid);
            assert ({m_axis_tlast, m_axis_tdata} == {s_axis_tlast, s_axis_tdata});
        end
        if (run_i) assert (!s_axis_tready);
        if (run_i && tvalid) begin
            assert (send_i && images_q < images_i);
            assert (m_axis_tlast == ends);
            assert (labels_q + {1'b0, label_valid} > images_q);
        end
        if (label_valid) assert (room_q && (labels_q < asked_q));
        cover (sent && ends && images_q == IMAGES - 1);
    end
endmodule
