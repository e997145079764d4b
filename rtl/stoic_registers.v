// SPDX-License-Identifier: Apache-2.0
// stoic_registers : what a core counts, and what its host sets, as words of one more bank
//
//   word   access      content                                                               bits
//   0      read, clear images                                                                  32
//   1      read        sum of their margins                                                    48
//   2      read        least margin; all ones before the first image                     MARGIN_W
//   3      read        greatest margin                                                   MARGIN_W
//   4      read        images whose margin was less than the bound                             32
//   5      read, write bound                                                             MARGIN_W
//   6      read, write threshold table; reads the one in use, see below                         8
//   7      read        number of threshold tables                                               8
//   8 + 2l read        weight words that SECDED corrected in layer l, each time they were read  32
//                      with injectors: those that its first processing element read with errors
//   9 + 2l read        ... and words whose errors SECDED only detected                          32
//
// A write to word 0 sets all counters to their beginning; counters wrap. Words that are not there read
// 0. Another table is used once no image is inside: hold_o keeps images from entering until then. A
// table that is not there is not chosen.
//
// Latency:    3 cycles from a request to its answer, 3 from an event to its count
// Throughput: one request and one event of each kind a cycle
// Encoding:   unsigned
// Handshake:  valid only; may be asked at any time; answers of the layers pass through
// Golden:     stoic.sim.registers.unpack, stoic.sim.golden.margin
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_registers #(
    parameter BANK      = 1,   // number of this bank
    parameter MARGIN_W  = 12,  // bits of a margin, 1..32
    parameter TABLES    = 1,   // threshold tables, 1..255
    parameter LAYERS    = 1,   // layers, 1 or more
    parameter COUNT_W   = 16,  // bits of the words that a layer counts in a cycle
    parameter SECDED_EN = 0,   // 1: there are such words
    parameter TABLE_W   = (TABLES > 1) ? $clog2(TABLES) : 1  // derived: do not override
) (
    input  wire                      clk_i,
    input  wire                      rst_i,
    /* requests, as the last layer hands them on, and answers */
    input  wire                      cfg_valid_i,
    input  wire                      cfg_write_i,
    input  wire [15:0]               cfg_bank_i,
    input  wire [15:0]               cfg_addr_i,
    input  wire [63:0]               cfg_data_i,
    input  wire                      cfg_rvalid_i,
    input  wire [63:0]               cfg_rdata_i,
    output wire                      cfg_rvalid_o,
    output wire [63:0]               cfg_rdata_o,
    /* events */
    input  wire                      image_i,      // an image was classified
    input  wire [MARGIN_W-1:0]       margin_i,     // with this margin
    input  wire [LAYERS*COUNT_W-1:0] corrected_i,  // layer 0 lowest
    input  wire [LAYERS*COUNT_W-1:0] detected_i,
    /* threshold table */
    output wire [TABLE_W-1:0]        table_o,
    output wire                      hold_o,       // no image may enter
    input  wire                      empty_i       // none can, and none is inside
);
    localparam [31:0] NUMBER = BANK;
    localparam [31:0] N_TABLES = TABLES;

    generate
        if (MARGIN_W < 1 || MARGIN_W > 32 || TABLES < 1 || TABLES > 255 || LAYERS < 1)
        begin : g_illegal
            stoic_illegal_parameter ERROR_registers_need_MARGIN_W_1_32_TABLES_1_255_LAYERS ();
        end
    endgenerate

    /* requests */
    reg mine_q;
    reg write_q;
    reg [2:0] addr_q;
    reg head_q;  // of words 0 to 7
    reg [31:0] data_q;
    reg rvalid_q;
    reg [63:0] rdata_q;
    wire store = mine_q && write_q && head_q;
    wire clear = store && addr_q == 3'd0;
    wire [31:0] words_read;  // words 8 and up; 0 for others
    reg [63:0] word;         // words 0 to 7; 0 for others
    reg told_q;
    reg [63:0] word_q;
    reg [31:0] words_read_q;
    always @(posedge clk_i) begin
        mine_q <= cfg_valid_i && cfg_bank_i == NUMBER[15:0] && !rst_i;
        write_q <= cfg_write_i;
        addr_q <= cfg_addr_i[2:0];
        head_q <= cfg_addr_i[15:3] == 13'd0;
        data_q <= cfg_data_i[31:0];
        told_q <= mine_q && !write_q && !rst_i;
        word_q <= word;
        words_read_q <= words_read;
        rvalid_q <= (cfg_rvalid_i || told_q) && !rst_i;
        rdata_q <= cfg_rdata_i | ((word_q | {32'd0, words_read_q}) & {64{told_q}});
    end
    assign cfg_rvalid_o = rvalid_q;
    assign cfg_rdata_o = rdata_q;

    /* margins */
    reg image_q;
    reg image_q2;
    reg low_q2;
    reg less_q2;
    reg more_q2;
    reg [MARGIN_W-1:0] margin_q;
    reg [MARGIN_W-1:0] margin_q2;
    reg [MARGIN_W-1:0] bound_q;
    reg [MARGIN_W-1:0] least_q;
    reg [MARGIN_W-1:0] most_q;
    reg [31:0] images_q;
    reg [31:0] low_q;
    reg [47:0] sum_q;
    // an image takes 2 cycles or more, except where it has one class, and then margins are all 0
    always @(posedge clk_i) begin
        image_q <= image_i && !rst_i;
        margin_q <= margin_i;
        image_q2 <= image_q && !rst_i;
        margin_q2 <= margin_q;
        low_q2 <= margin_q < bound_q;
        less_q2 <= clear || margin_q < least_q;
        more_q2 <= clear || margin_q > most_q;
        if (rst_i || clear) begin
            images_q <= 32'd0;
            low_q <= 32'd0;
            sum_q <= 48'd0;
            least_q <= {MARGIN_W{1'b1}};
            most_q <= {MARGIN_W{1'b0}};
        end else if (image_q2) begin
            images_q <= images_q + 32'd1;
            low_q <= low_q + {31'd0, low_q2};
            sum_q <= sum_q + {{(48 - MARGIN_W){1'b0}}, margin_q2};
            if (less_q2) least_q <= margin_q2;
            if (more_q2) most_q <= margin_q2;
        end
        if (rst_i) bound_q <= {MARGIN_W{1'b0}};
        else if (store && addr_q == 3'd5) bound_q <= data_q[MARGIN_W-1:0];
    end

    /* threshold table */
    wire [7:0] used;
    generate
        if (TABLES > 1) begin : g_tables
            reg [TABLE_W-1:0] wanted_q;
            reg [TABLE_W-1:0] table_q;
            reg hold_q;
            always @(posedge clk_i) begin
                if (rst_i) begin
                    wanted_q <= {TABLE_W{1'b0}};
                    table_q <= {TABLE_W{1'b0}};
                    hold_q <= 1'b0;
                end else begin
                    if (store && addr_q == 3'd6 && data_q < N_TABLES)
                        wanted_q <= data_q[TABLE_W-1:0];
                    hold_q <= wanted_q != table_q;
                    if (hold_q && empty_i) table_q <= wanted_q;
                end
            end
            assign table_o = table_q;
            assign hold_o = hold_q;
            assign used = {{(8 - TABLE_W){1'b0}}, table_q};
        end else begin : g_one_table
            assign table_o = {TABLE_W{1'b0}};
            assign hold_o = 1'b0;
            assign used = 8'd0;
        end
    endgenerate

    /* words that SECDED corrected or found wrong */
    genvar l;
    generate
        for (l = 0; l <= 2 * LAYERS; l = l + 1) begin : g_found
            wire [31:0] count;  // what the counters before l answer
        end
    endgenerate
    assign g_found[0].count = 32'd0;
    assign words_read = g_found[2*LAYERS].count;
    generate
        for (l = 0; l < 2 * LAYERS; l = l + 1) begin : g_words
            localparam LAYER = l / 2;
            localparam [31:0] ADDRESS = 8 + l;
            if (SECDED_EN) begin : g_count
                wire [COUNT_W-1:0] more = (l % 2 == 1)
                                        ? detected_i[COUNT_W*(LAYER+1)-1:COUNT_W*LAYER]
                                        : corrected_i[COUNT_W*(LAYER+1)-1:COUNT_W*LAYER];
                reg [COUNT_W-1:0] more_q;
                reg [31:0] words_q;
                reg here_q;  // this word is asked
                always @(posedge clk_i) begin
                    here_q <= cfg_addr_i == ADDRESS[15:0];
                    more_q <= more & {COUNT_W{!rst_i}};
                    if (rst_i || clear) words_q <= 32'd0;
                    else words_q <= words_q + {{(32 - COUNT_W){1'b0}}, more_q};
                end
                assign g_found[l+1].count = g_found[l].count
                                         | (words_q & {32{here_q}});
            end else begin : g_none
                assign g_found[l+1].count = g_found[l].count;
            end
        end
    endgenerate

    always @* begin
        case (addr_q)
            3'd0: word = {32'd0, images_q};
            3'd1: word = {16'd0, sum_q};
            3'd2: word = {{(64 - MARGIN_W){1'b0}}, least_q};
            3'd3: word = {{(64 - MARGIN_W){1'b0}}, most_q};
            3'd4: word = {32'd0, low_q};
            3'd5: word = {{(64 - MARGIN_W){1'b0}}, bound_q};
            3'd6: word = {56'd0, used};
            default: word = {56'd0, N_TABLES[7:0]};
        endcase
        if (!head_q) word = 64'd0;
    end
endmodule

`resetall
