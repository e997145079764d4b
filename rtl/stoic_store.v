// SPDX-License-Identifier: Apache-2.0
// stoic_store : images and their labels in block memory, streamed in the place of the host's images
//
//   m_axis = s_axis                                               run_i 0
//   m_axis = image 0, image 1, ... image images_i - 1, in bytes   run_i 1, from send_i on
//
//   A record is the label, a byte, then the image; the rest of its last word is never looked at.
//   Record k stands in words k WORDS .. (k + 1) WORDS - 1 of bank BANK, byte 0 of a word lowest.
//
//   bank   word   access        content
//   BANK   a      read, write   bytes 8 a .. 8 a + 7; writes past the end, or while run_i is 1,
//                               are refused; reads then tell nothing
//
// Latency:    0 from s_axis to m_axis; 5 cycles from send_i to the first byte; 5 to an answer
// Throughput: a byte a cycle, image after image; images under 4 bytes: one in 4 cycles
// Encoding:   label 0..255
// Handshake:  AXI4-Stream, combinational ready. run_i rises only while s_axis offers nothing and falls
//             only when all images were taken. A label is valid only, comes no later than the
//             first byte of its image is offered, and only after a cycle in which label_room_i was 1
// Golden:     stoic.sim.on_chip.records
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_store #(
    parameter IMAGES      = 1,          // that there is room for
    parameter IMAGE_BYTES = 1,          // of an image, 1..65535
    parameter BANK        = 16384,      // number of the bank
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter PART_W      = (TARGET == "ecp5") ? 12 : 16,  // log2 of words of a part, 1..16
    parameter WORDS       = IMAGE_BYTES / 8 + 1,           // of a record; derived: do not override
    parameter DEPTH       = IMAGES * WORDS                 // 1..65535; derived: do not override
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* images from the host */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire        s_axis_tlast,
    /* images to the core */
    output wire [7:0]  m_axis_tdata,
    output wire        m_axis_tvalid,
    input  wire        m_axis_tready,
    output wire        m_axis_tlast,
    /* labels of the images that are kept */
    output wire [7:0]  label_o,
    output wire        label_valid_o,
    input  wire        label_room_i,
    /* what to do */
    input  wire        run_i,     // the host's images wait
    input  wire        send_i,    // 1 only while run_i is
    input  wire [15:0] images_i,  // to send; holds from the cycle before send_i on
    /* requests, and answers behind those of others */
    input  wire        cfg_valid_i,
    input  wire        cfg_write_i,
    input  wire [15:0] cfg_bank_i,
    input  wire [15:0] cfg_addr_i,
    input  wire [63:0] cfg_data_i,
    input  wire        cfg_rvalid_i,
    input  wire [63:0] cfg_rdata_i,
    output wire        cfg_rvalid_o,
    output wire [63:0] cfg_rdata_o
);
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam PARTS = (DEPTH + (1 << PART_W) - 1) >> PART_W;
    localparam [31:0] NUMBER = BANK;
    localparam [31:0] LAST_PLACE = DEPTH - 1;
    localparam [31:0] LAST_WORD = WORDS - 1;
    localparam [31:0] FIRST_BYTES = (WORDS > 1) ? 7 : IMAGE_BYTES;  // of the image, in a first word
    localparam [31:0] LAST_BYTES = IMAGE_BYTES + 1 - 8 * (WORDS - 1);
    localparam [ADDR_W-1:0] ONE = 1;

    generate
        if (IMAGES < 1 || IMAGE_BYTES < 1 || IMAGE_BYTES > 65535 || DEPTH > 65535 || PART_W < 1
            || PART_W > 16) begin : g_illegal
            stoic_illegal_parameter ERROR_store_needs_IMAGES_BYTES_DEPTH_1_65535_PART_W_1_16 ();
        end
    endgenerate

    /* requests, memory, answers */
    reg we_q;
    reg re_q;
    reg re_q2;
    reg re_q3;
    reg re_q4;
    reg [ADDR_W-1:0] waddr_q;
    reg [63:0] data_q;
    reg rvalid_q;
    reg [63:0] rdata_q;
    reg [ADDR_W-1:0] raddr_q;  // of a request; in a run, of the word to fetch
    wire [63:0] read;
    wire fetch;
    wire [16:0] wpart = {{(17 - ADDR_W){1'b0}}, waddr_q} >> PART_W;
    wire [16:0] rpart = {{(17 - ADDR_W){1'b0}}, raddr_q} >> PART_W;
    wire mine = cfg_valid_i && cfg_bank_i == NUMBER[15:0] && !rst_i;
    always @(posedge clk_i) begin
        we_q <= mine && cfg_write_i && !run_i && cfg_addr_i <= LAST_PLACE[15:0];
        re_q <= mine && !cfg_write_i;
        re_q2 <= re_q && !rst_i;
        re_q3 <= re_q2 && !rst_i;
        re_q4 <= re_q3 && !rst_i;
        waddr_q <= cfg_addr_i[ADDR_W-1:0];
        data_q <= cfg_data_i;
        if (!run_i) raddr_q <= cfg_addr_i[ADDR_W-1:0];
        else if (!send_i) raddr_q <= {ADDR_W{1'b0}};
        else if (fetch) raddr_q <= raddr_q + ONE;
        rvalid_q <= (cfg_rvalid_i || re_q4) && !rst_i;
        rdata_q <= cfg_rdata_i | (read & {64{re_q4}});
    end
    assign cfg_rvalid_o = rvalid_q;
    assign cfg_rdata_o = rdata_q;

    // Choosing among many blocks takes long: among those of a part, then, a cycle later, among parts.
    genvar r;
    generate
        for (r = 0; r < PARTS; r = r + 1) begin : g_link
            wire [63:0] above;  // what parts 0..r read, the chosen one alone
        end
    endgenerate

    generate
        for (r = 0; r < PARTS; r = r + 1) begin : g_part
            localparam N = (r < PARTS - 1) ? 1 << PART_W : DEPTH - (r << PART_W);
            localparam N_W = (N > 1) ? $clog2(N) : 1;
            wire [63:0] part;
            reg [63:0] part_q;
            reg chosen_q;
            reg chosen_q2;
            reg chosen_q3;
            always @(posedge clk_i) begin
                part_q <= part;
                chosen_q <= rpart == r;
                chosen_q2 <= chosen_q;
                chosen_q3 <= chosen_q2;
            end
            stoic_ram #(
                .DEPTH(N),
                .WIDTH(64),
                .LATENCY(2),
                .TARGET(TARGET)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_q && wpart == r),
                .waddr_i(waddr_q[N_W-1:0]),
                .wdata_i(data_q),
                .raddr_i(raddr_q[N_W-1:0]),
                .flip_i(64'd0),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(part)
            );
            wire [63:0] chosen = part_q & {64{chosen_q3}};
            if (r == 0) begin : g_first
                assign g_link[r].above = chosen;
            end else begin : g_more
                assign g_link[r].above = g_link[r-1].above | chosen;
            end
        end
    endgenerate
    assign read = g_link[PARTS-1].above;

    /* words, fetched one ahead */
    reg [1:0] age_q;     // cycles since raddr_q moved; after 3 read is of that word
    reg [63:0] next_q;
    reg next_valid_q;
    reg [15:0] index_q;  // of the word in next_q, in its record
    reg first_q;         // it is 0
    reg last_q;          // it is the last one
    reg [15:0] left_q;   // images that were not begun
    reg none_left_q;

    /* bytes */
    reg [63:0] word_q;
    reg [3:0] bytes_q;   // left in it
    reg ends_q;          // the last of them is the last of the image
    reg label_valid_q;
    reg [7:0] label_q;

    wire empties = bytes_q == 4'd0 || (bytes_q == 4'd1 && m_axis_tready);
    wire load = next_valid_q && empties && (!first_q || (label_room_i && !none_left_q));
    assign fetch = age_q == 2'd3 && (!next_valid_q || load);
    wire begins = load && first_q;
    wire wraps = index_q == LAST_WORD[15:0];

    always @(posedge clk_i) begin
        if (fetch) next_q <= read;
        if (load) word_q <= first_q ? {8'd0, next_q[63:8]} : next_q;
        else if (m_axis_tready) word_q <= {8'd0, word_q[63:8]};
        if (load) ends_q <= last_q;
        label_q <= next_q[7:0];
        if (rst_i || !send_i) begin
            age_q <= 2'd0;
            next_valid_q <= 1'b0;
            index_q <= 16'd0;
            first_q <= 1'b1;
            last_q <= WORDS == 1;
            left_q <= images_i;
            none_left_q <= 1'b0;
            bytes_q <= 4'd0;
            label_valid_q <= 1'b0;
        end else begin
            if (fetch) begin
                age_q <= 2'd0;
            end else if (age_q != 2'd3) begin
                age_q <= age_q + 2'd1;
            end
            next_valid_q <= fetch || (next_valid_q && !load);
            if (load) begin
                index_q <= wraps ? 16'd0 : index_q + 16'd1;
                first_q <= wraps;
                last_q <= (wraps ? 16'd0 : index_q + 16'd1) == LAST_WORD[15:0];
            end
            if (begins) begin
                left_q <= left_q - 16'd1;
                none_left_q <= left_q == 16'd1;
            end
            label_valid_q <= begins;
            if (load) bytes_q <= first_q ? FIRST_BYTES[3:0] : last_q ? LAST_BYTES[3:0] : 4'd8;
            else if (bytes_q != 4'd0 && m_axis_tready) bytes_q <= bytes_q - 4'd1;
        end
    end

    assign label_o = label_q;
    assign label_valid_o = label_valid_q;
    assign s_axis_tready = m_axis_tready && !run_i;
    assign m_axis_tvalid = run_i ? bytes_q != 4'd0 : s_axis_tvalid;
    assign m_axis_tdata = run_i ? word_q[7:0] : s_axis_tdata;
    assign m_axis_tlast = run_i ? ends_q && bytes_q == 4'd1 : s_axis_tlast;
endmodule

`resetall
