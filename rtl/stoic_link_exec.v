// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_exec : executes the frames of the pages, one after the other
//
//   command | payload                          | answer after the status byte
//   01 IDENTIFY | -                            | identity (stoic_link_info)
//   02 WRITE    | bank (2), address (2), words (8 each) | -
//   03 READ     | bank (2), address (2), count (2)      | words (8 each)
//   04 INFER    | image, IMAGE_BYTES bytes     | by stoic_link_scores
//   05 COUNTERS | -                            | counters (stoic_link_info)
//   06 INJECT   | p01 (4), p10 (4), seed (4)   | status "not built in"
//
// An image goes to the core as soon as there is room for its sequence number; everything else, bad
// frames too, waits until no image is inside, so answers keep the order of the frames. Bank,
// address and word count are checked before the first word is written: a bad frame changes nothing.
//
// Latency    a few cycles a command and 9 cycles a word.
// Throughput images: one byte a cycle.
// Encoding   little endian; status codes as below.
// Handshake  bank_words_i is the depth of bank cfg_bank_o one cycle later, 0 when there is none.
// Golden     tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_exec #(
    parameter PAGE_W      = 10,  // log2 of the bytes of a page, 5..16; answers too fit a page
    parameter IMAGE_BYTES = 1,   // bytes of one image, 1..2^PAGE_W - 4
    parameter INFO_BYTES  = 1,   // bytes of the identity
    parameter COUNT_BYTES = 1    // bytes of the counters
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* oldest page */
    input  wire [7:0]  s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire [1:0]  page_status_i,
    output reg         page_free_o,
    /* images to the core */
    output wire [7:0]  image_tdata,
    output wire        image_tvalid,
    input  wire        image_tready,
    output wire        image_tlast,
    output reg         image_start_o,  // its sequence number is sequence_o
    input  wire        image_room_i,   // one more image may be inside
    input  wire        quiet_i,        // no image is inside, no answer is on its way
    /* memories of the core */
    output wire        cfg_valid_o,
    output wire        cfg_write_o,
    output wire [15:0] cfg_bank_o,
    output wire [15:0] cfg_addr_o,
    output wire [63:0] cfg_data_o,
    input  wire        cfg_rvalid_i,
    input  wire [63:0] cfg_rdata_i,
    input  wire [15:0] bank_words_i,
    /* answer */
    output reg         answer_start_o,
    output reg  [15:0] answer_length_o,
    output reg  [3:0]  status_o,
    output wire [7:0]  sequence_o,
    output wire [6:0]  command_o,
    input  wire        answer_done_i,
    output reg         has_payload_o,
    output reg         is_info_o,      // its payload is identity or counters ...
    output wire        is_counters_o,  // ... the latter
    output wire [7:0]  word_tdata,     // else words read
    output wire        word_tvalid,
    input  wire        word_tready,
    output wire        word_tlast,
    output wire        idle_o
);

    localparam [3:0] OK = 4'd0, UNKNOWN = 4'd4, RANGE = 4'd5, SIZE = 4'd6, NOT_BUILT_IN = 4'd7;
    localparam [7:0] IDENTIFY = 8'h01, WRITE = 8'h02, READ = 8'h03, INFER = 8'h04, COUNTERS = 8'h05,
                     INJECT = 8'h06;
    localparam [3:0] S_HEAD = 4'd0, S_JUDGE = 4'd1, S_WAIT = 4'd2, S_IMAGE = 4'd3, S_ARGS = 4'd4,
                     S_SUM = 4'd5, S_CHECK = 4'd6, S_GATHER = 4'd7, S_WRITE = 4'd8, S_READ = 4'd9,
                     S_FETCH = 4'd10, S_GIVE = 4'd11, S_ANSWER = 4'd12, S_FREE = 4'd13,
                     S_GAP = 4'd14, S_COMPARE = 4'd15;
    localparam [15:0] IMAGE_LENGTH = IMAGE_BYTES;
    localparam [15:0] INFO_LENGTH  = INFO_BYTES + 1;
    localparam [15:0] COUNT_LENGTH = COUNT_BYTES + 1;

    reg  [3:0]  state_q;
    reg  [2:0]  index_q;           // byte of head, arguments or word
    reg  [15:0] length_q, bank_q, addr_q, count_q;
    reg  [16:0] end_q;
    reg  [7:0]  sequence_q, command_q;
    reg  [63:0] word_q;
    reg         last_q;            // one image byte is left
    reg         bad_count_q;       // no word, or more than fit
    reg         bad_range_q;       // that, or no such bank or address

    localparam COUNT_W = PAGE_W - 3;  // status and 2^COUNT_W - 1 words fit

    wire last_word = count_q[COUNT_W-1:0] == {{(COUNT_W-1){1'b0}}, 1'b1};

    wire taken = s_axis_tvalid && s_axis_tready;

    assign s_axis_tready = state_q == S_HEAD || state_q == S_ARGS || state_q == S_GATHER
                        || (state_q == S_IMAGE && image_tready);
    assign image_tdata   = s_axis_tdata;
    assign image_tvalid  = state_q == S_IMAGE && s_axis_tvalid;
    assign image_tlast   = last_q;
    assign cfg_valid_o   = state_q == S_WRITE || state_q == S_READ;
    assign cfg_write_o   = state_q == S_WRITE;
    assign cfg_bank_o    = bank_q;
    assign cfg_addr_o    = addr_q;
    assign cfg_data_o    = word_q;
    assign sequence_o    = sequence_q;
    assign command_o     = command_q[6:0];
    assign is_counters_o = command_q == COUNTERS;
    assign word_tdata    = word_q[7:0];
    assign word_tvalid   = state_q == S_GIVE;
    assign word_tlast    = last_word && index_q == 3'd7;
    assign idle_o        = state_q == S_HEAD && index_q == 3'd0;

    /* head, arguments and words come in through shift registers, low byte first */
    always @(posedge clk_i) begin
        if (taken && state_q == S_HEAD)
            {command_q, sequence_q, length_q} <=
                {s_axis_tdata, command_q, sequence_q, length_q[15:8]};
        if (taken && state_q == S_ARGS) begin
            {addr_q, bank_q} <= {(command_q == READ) ? count_q[7:0] : s_axis_tdata, addr_q,
                                 bank_q[15:8]};
            if (command_q == READ)
                count_q <= {s_axis_tdata, count_q[15:8]};
        end
        if (state_q == S_JUDGE && command_q == WRITE)
            count_q <= {3'd0, length_q[15:3]};
        if (state_q == S_WRITE || (state_q == S_GIVE && word_tready && index_q == 3'd7)) begin
            addr_q  <= addr_q + 16'd1;
            count_q[COUNT_W-1:0] <= count_q[COUNT_W-1:0] - 1'b1;
        end
        if (state_q == S_FETCH)
            word_q <= cfg_rdata_i;
        else if ((taken && state_q == S_GATHER) || (state_q == S_GIVE && word_tready))
            word_q <= {s_axis_tdata, word_q[63:8]};
        has_payload_o <= status_o == OK && command_q != WRITE;
        is_info_o     <= status_o == OK && (command_q == IDENTIFY || command_q == COUNTERS);
        end_q       <= {1'b0, addr_q} + {1'b0, count_q};
        bad_count_q <= count_q == 16'd0 || count_q >> COUNT_W != 16'd0;
        bad_range_q <= bad_count_q || end_q > {1'b0, bank_words_i};
        last_q      <= length_q[PAGE_W-1:1] == {(PAGE_W-1){1'b0}}
                    || (length_q[PAGE_W-1:0] == {{(PAGE_W-2){1'b0}}, 2'd2}
                        && state_q == S_IMAGE && taken);
        if (state_q == S_IMAGE && taken)
            length_q[PAGE_W-1:0] <= length_q[PAGE_W-1:0] - 1'b1;
    end

    always @(posedge clk_i) begin
        image_start_o  <= 1'b0;
        answer_start_o <= 1'b0;
        page_free_o    <= 1'b0;
        case (state_q)
            S_HEAD:
                if (taken) begin
                    index_q <= (index_q == 3'd3) ? 3'd0 : index_q + 3'd1;
                    if (index_q == 3'd3)
                        state_q <= S_JUDGE;
                end
            S_JUDGE: begin
                state_q         <= S_WAIT;
                answer_length_o <= 16'd1;
                status_o        <= OK;
                case (command_q)
                    IDENTIFY, COUNTERS:
                        if (length_q != 16'd0) status_o <= SIZE;
                        else answer_length_o <= is_counters_o ? COUNT_LENGTH : INFO_LENGTH;
                    WRITE:
                        if (length_q[2:0] != 3'd4 || length_q[15:3] == 13'd0) status_o <= SIZE;
                    READ:
                        if (length_q != 16'd6) status_o <= SIZE;
                    INFER:
                        if (length_q != IMAGE_LENGTH) status_o <= SIZE;
                    INJECT:
                        status_o <= (length_q == 16'd12) ? NOT_BUILT_IN : SIZE;
                    default:
                        status_o <= UNKNOWN;
                endcase
                if (page_status_i != 2'd0) begin
                    status_o        <= {2'd0, page_status_i};
                    answer_length_o <= 16'd1;
                end
            end
            S_WAIT:
                if (status_o == OK && command_q == INFER) begin
                    if (image_room_i) begin
                        image_start_o <= 1'b1;
                        state_q       <= S_IMAGE;
                    end
                end else if (quiet_i) begin
                    if (status_o == OK && (command_q == WRITE || command_q == READ))
                        state_q <= S_ARGS;
                    else begin
                        answer_start_o <= 1'b1;
                        state_q        <= S_ANSWER;
                    end
                end
            S_IMAGE:
                if (taken && last_q) begin
                    page_free_o <= 1'b1;
                    state_q     <= S_FREE;
                end
            S_ARGS:
                if (taken) begin
                    index_q <= index_q + 3'd1;
                    if (index_q == ((command_q == READ) ? 3'd5 : 3'd3)) begin
                        index_q <= 3'd0;
                        state_q <= S_SUM;
                    end
                end
            S_SUM:  // end_q and bank_words_i follow one cycle after the last argument
                state_q <= S_COMPARE;
            S_COMPARE:
                state_q <= S_CHECK;
            S_CHECK: begin
                state_q <= (command_q == READ) ? S_READ : S_GATHER;
                if (bad_range_q) begin
                    status_o <= RANGE;
                    state_q  <= S_ANSWER;
                end else if (command_q == READ)
                    answer_length_o <= {count_q[12:0], 3'd1};
                answer_start_o <= command_q == READ || bad_range_q;
            end
            S_GATHER:
                if (taken) begin
                    index_q <= index_q + 3'd1;
                    if (index_q == 3'd7)
                        state_q <= S_WRITE;
                end
            S_WRITE: begin
                answer_start_o <= last_word;
                state_q        <= last_word ? S_ANSWER : S_GATHER;
            end
            S_READ:
                state_q <= S_FETCH;
            S_FETCH:
                if (cfg_rvalid_i)
                    state_q <= S_GIVE;
            S_GIVE:
                if (word_tready) begin
                    index_q <= index_q + 3'd1;
                    if (index_q == 3'd7)
                        state_q <= last_word ? S_ANSWER : S_READ;
                end
            S_ANSWER:
                if (answer_done_i) begin
                    page_free_o <= 1'b1;
                    state_q     <= S_FREE;
                end
            S_FREE:  // page_free_o is up: the bytes still shown are of the old page
                state_q <= S_GAP;
            default: begin
                index_q <= 3'd0;
                state_q <= S_HEAD;
            end
        endcase
        if (rst_i) begin
            image_start_o  <= 1'b0;
            answer_start_o <= 1'b0;
            page_free_o    <= 1'b0;
            index_q        <= 3'd0;
            state_q        <= S_HEAD;
        end
    end

endmodule
`resetall
