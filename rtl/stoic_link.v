// SPDX-License-Identifier: Apache-2.0
//
// stoic_link : the host link: frames on a byte stream in, images and memory words to the core
//
//   rx -> stoic_link_rx -> stoic_link_pages -> stoic_link_exec -> core
//   tx <- stoic_link_tx <- scores (stoic_link_scores) | words (exec) | stoic_link_info
//
// Latency    a frame is executed once its CRC was found right.
// Throughput one byte a cycle; the next frames arrive while one is executed.
// Encoding   docs/link.md
// Handshake  AXI4-Stream on all streams. The host must not have more frames on their way than there
//            are pages when the line itself cannot hold bytes back (UART).
// Golden     stoic.hw.link, tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link #(
    parameter PAGES_W     = 1,   // log2 of the frames that can wait, 1..6
    parameter PAGE_W      = 10,  // log2 of the bytes of a page, 5..16; payload up to 2^PAGE_W - 4
    parameter TIMEOUT_W   = 20,  // log2 of the cycles of silence that end a frame, 1..31
    parameter INFLIGHT_W  = 3,   // log2 of the images that may be inside the core, 1..7
    parameter IMAGE_BYTES = 1,   // bytes of one image, 1..2^PAGE_W - 4
    parameter N_CLASSES   = 1,   // scores of one image, 1..255
    parameter SCORE_W     = 32,  // bits that tell scores apart, 2..32
    parameter INFO_BYTES  = 1,   // bytes of the identity, 1..64
    parameter [8*INFO_BYTES-1:0] INFO = 0  // the identity, byte 0 lowest
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* bytes from the host */
    input  wire [7:0]  rx_tdata,
    input  wire        rx_tvalid,
    output wire        rx_tready,
    /* bytes to the host */
    output wire [7:0]  tx_tdata,
    output wire        tx_tvalid,
    input  wire        tx_tready,
    /* images to the core */
    output wire [7:0]  m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast,
    /* scores from the core */
    input  wire [31:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* memories of the core */
    output wire        cfg_valid_o,
    output wire        cfg_write_o,
    output wire [15:0] cfg_bank_o,
    output wire [15:0] cfg_addr_o,
    output wire [63:0] cfg_data_o,
    input  wire        cfg_rvalid_i,
    input  wire [63:0] cfg_rdata_i,
    input  wire [15:0] bank_words_i,  // depth of bank cfg_bank_o, one cycle later; 0: no such bank
    input  wire        busy_i,        // an image is inside the core
    /* nothing to do and nothing on its way */
    output wire        idle_o
);

    localparam [15:0] SCORES_LENGTH = 4 * N_CLASSES + 2;
    localparam        COUNT_BYTES   = 15;

    initial begin
        if (IMAGE_BYTES < 1 || IMAGE_BYTES > (1 << PAGE_W) - 4)
            $display("ERROR %m: IMAGE_BYTES=%0d, must be 1..%0d", IMAGE_BYTES, (1 << PAGE_W) - 4);
        if (N_CLASSES < 1 || N_CLASSES > 255)
            $display("ERROR %m: N_CLASSES=%0d, must be 1..255", N_CLASSES);
    end

    wire              we, commit, full, empty, page_free, rx_idle, exec_idle;
    wire [PAGE_W-1:0] waddr;
    wire [7:0]        wdata, page_tdata;
    wire [1:0]        rx_status, page_status;
    wire              page_tvalid, page_tready;
    wire              image_start, image_room, no_image, quiet;
    wire              answer_start, answer_done, answer_busy, is_info, is_counters;
    wire [15:0]       answer_length;
    wire [3:0]        status;
    wire [7:0]        exec_sequence, scores_sequence;
    wire [6:0]        command;
    wire              scores_start;
    wire [7:0]        word_tdata, scores_tdata, info_tdata, payload_tdata;
    wire              word_tvalid, scores_tvalid, info_tvalid, payload_tvalid, payload_tready;
    wire              word_tlast, scores_tlast, info_tlast, payload_tlast, has_payload;

    /* answers: scores while an image is inside, the executor's otherwise; never both */
    wire of_scores = !no_image;

    assign quiet          = no_image && !busy_i && !answer_busy;
    assign payload_tdata  = of_scores ? scores_tdata : is_info ? info_tdata : word_tdata;
    assign payload_tvalid = of_scores ? scores_tvalid : is_info ? info_tvalid : word_tvalid;
    assign payload_tlast  = of_scores ? scores_tlast : is_info ? info_tlast : word_tlast;
    assign idle_o         = rx_idle && empty && exec_idle && quiet;

    stoic_link_rx #(
        .PAGE_W    (PAGE_W),
        .TIMEOUT_W (TIMEOUT_W)
    ) u_rx (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .s_axis_tdata  (rx_tdata),
        .s_axis_tvalid (rx_tvalid),
        .s_axis_tready (rx_tready),
        .full_i        (full),
        .we_o          (we),
        .waddr_o       (waddr),
        .wdata_o       (wdata),
        .commit_o      (commit),
        .status_o      (rx_status),
        .idle_o        (rx_idle)
    );

    stoic_link_pages #(
        .PAGES_W (PAGES_W),
        .PAGE_W  (PAGE_W)
    ) u_pages (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .we_i          (we),
        .waddr_i       (waddr),
        .wdata_i       (wdata),
        .commit_i      (commit),
        .status_i      (rx_status),
        .full_o        (full),
        .m_axis_tdata  (page_tdata),
        .m_axis_tvalid (page_tvalid),
        .m_axis_tready (page_tready),
        .status_o      (page_status),
        .empty_o       (empty),
        .free_i        (page_free)
    );

    stoic_link_exec #(
        .PAGE_W      (PAGE_W),
        .IMAGE_BYTES (IMAGE_BYTES),
        .INFO_BYTES  (INFO_BYTES),
        .COUNT_BYTES (COUNT_BYTES)
    ) u_exec (
        .clk_i           (clk_i),
        .rst_i           (rst_i),
        .s_axis_tdata    (page_tdata),
        .s_axis_tvalid   (page_tvalid),
        .s_axis_tready   (page_tready),
        .page_status_i   (page_status),
        .page_free_o     (page_free),
        .image_tdata     (m_axis_tdata),
        .image_tvalid    (m_axis_tvalid),
        .image_tready    (m_axis_tready),
        .image_tlast     (m_axis_tlast),
        .image_start_o   (image_start),
        .image_room_i    (image_room),
        .quiet_i         (quiet),
        .cfg_valid_o     (cfg_valid_o),
        .cfg_write_o     (cfg_write_o),
        .cfg_bank_o      (cfg_bank_o),
        .cfg_addr_o      (cfg_addr_o),
        .cfg_data_o      (cfg_data_o),
        .cfg_rvalid_i    (cfg_rvalid_i),
        .cfg_rdata_i     (cfg_rdata_i),
        .bank_words_i    (bank_words_i),
        .answer_start_o  (answer_start),
        .answer_length_o (answer_length),
        .status_o        (status),
        .sequence_o      (exec_sequence),
        .command_o       (command),
        .answer_done_i   (answer_done && !of_scores),
        .has_payload_o   (has_payload),
        .is_info_o       (is_info),
        .is_counters_o   (is_counters),
        .word_tdata      (word_tdata),
        .word_tvalid     (word_tvalid),
        .word_tready     (payload_tready && !of_scores),
        .word_tlast      (word_tlast),
        .idle_o          (exec_idle)
    );

    stoic_link_scores #(
        .INFLIGHT_W (INFLIGHT_W),
        .SCORE_W    (SCORE_W)
    ) u_scores (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .push_i        (image_start),
        .sequence_i    (exec_sequence),
        .room_o        (image_room),
        .empty_o       (no_image),
        .s_axis_tdata  (s_axis_tdata),
        .s_axis_tvalid (s_axis_tvalid),
        .s_axis_tready (s_axis_tready),
        .s_axis_tlast  (s_axis_tlast),
        .busy_i        (answer_busy),
        .start_o       (scores_start),
        .sequence_o    (scores_sequence),
        .done_i        (answer_done),
        .m_axis_tdata  (scores_tdata),
        .m_axis_tvalid (scores_tvalid),
        .m_axis_tready (payload_tready && of_scores),
        .m_axis_tlast  (scores_tlast)
    );

    stoic_link_info #(
        .INFO_BYTES (INFO_BYTES),
        .INFO       (INFO)
    ) u_info (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .image_i       (image_start),
        .good_i        (image_start || (answer_done && !of_scores && status == 4'd0)),
        .bad_i         (answer_done && !of_scores && status != 4'd0),
        .busy_i        (busy_i),
        .start_i       (answer_start),
        .counters_i    (is_counters),
        .m_axis_tdata  (info_tdata),
        .m_axis_tvalid (info_tvalid),
        .m_axis_tready (payload_tready && !of_scores && is_info),
        .m_axis_tlast  (info_tlast)
    );

    stoic_link_tx u_tx (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .start_i       (answer_start || scores_start),
        .length_i      (of_scores ? SCORES_LENGTH : answer_length),
        .sequence_i    (of_scores ? scores_sequence : exec_sequence),
        .command_i     (of_scores ? 7'h04 : command),
        .status_i      (of_scores ? 4'd0 : status),
        .has_payload_i (of_scores || has_payload),
        .busy_o        (answer_busy),
        .done_o        (answer_done),
        .s_axis_tdata  (payload_tdata),
        .s_axis_tvalid (payload_tvalid),
        .s_axis_tready (payload_tready),
        .s_axis_tlast  (payload_tlast),
        .m_axis_tdata  (tx_tdata),
        .m_axis_tvalid (tx_tvalid),
        .m_axis_tready (tx_tready)
    );

endmodule
`resetall
