// SPDX-License-Identifier: Apache-2.0
// stoic_tally : runs the images of stoic_store and counts what a core says of them
//
//   confusion[t][c] = images of label t that were given class c;   correct = sum of confusion[t][t]
//
//   bank       word           access        content                                           bits
//   BANK       0              read, write   images counted; written: run so many images         16
//   BANK       1              read          those whose class is their label                    16
//   BANK + 1   t 2^ROW_W + r  read          confusion[t][4 r + k] in bits 16 k + 15 .. 16 k     64
//
// A run begins with all counts at 0. It is refused, and nothing changes, while another one goes on or
// an image is inside the core, and for no image or more than there is room for. Scores of a run are
// taken and dropped. Counts are of no meaning before the first run.
//
// Latency:    DEPTH + 2 cycles from the request of a run to send_o; 3 to an answer
// Throughput: an image in 2 cycles, no fewer than a core of 2 classes takes
// Encoding:   unsigned; labels 0..M-1
// Handshake:  scores AXI4-Stream, combinational ready. Classes and labels are valid only; a label comes
//             5 cycles or more before the class of its image, and only if label_room_o was 1.
//             Words of a bank are read while run_o is 0, word 0 and 1 at any time
// Golden:     stoic.sim.on_chip.unpack_confusion, stoic.sim.campaign.trial.confusion_matrix
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_tally #(
    parameter IMAGES  = 1,          // that there is room for, 1..65535
    parameter M       = 10,         // classes, 2..255
    parameter BANK    = 16385,      // number of its first bank
    parameter TARGET  = "generic",  // as in stoic_ram
    parameter CLASS_W = (M > 1) ? $clog2(M) : 1,          // derived: do not override
    parameter ROW_W   = (CLASS_W > 2) ? CLASS_W - 2 : 0,  // derived: do not override
    parameter DEPTH   = M << ROW_W                        // derived: do not override
) (
    input  wire               clk_i,
    input  wire               rst_i,
    /* labels */
    input  wire [7:0]         label_i,
    input  wire               label_valid_i,
    output wire               label_room_o,
    /* classes, as stoic_scores tells them, and whether an image is inside the core */
    input  wire [CLASS_W-1:0] class_i,
    input  wire               class_valid_i,
    input  wire               busy_i,
    /* a run */
    output wire               run_o,     // from its request to its last score
    output wire               send_o,    // images may come
    output wire [15:0]        images_o,  // so many
    /* scores, whose data pass by */
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    /* requests, and answers behind those of others */
    input  wire               cfg_valid_i,
    input  wire               cfg_write_i,
    input  wire [15:0]        cfg_bank_i,
    input  wire [15:0]        cfg_addr_i,
    input  wire [63:0]        cfg_data_i,
    input  wire               cfg_rvalid_i,
    input  wire [63:0]        cfg_rdata_i,
    output wire               cfg_rvalid_o,
    output wire [63:0]        cfg_rdata_o
);
    localparam LABELS = 64;  // more than there are images inside a core
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam [31:0] NUMBER = BANK;
    localparam [31:0] CONFUSION = BANK + 1;
    localparam [31:0] MOST = IMAGES;
    localparam [31:0] LAST = DEPTH - 1;
    localparam [ADDR_W-1:0] ONE = 1;

    generate
        if (IMAGES < 1 || IMAGES > 65535 || M < 2 || M > 255) begin : g_illegal
            stoic_illegal_parameter ERROR_tally_needs_IMAGES_1_65535_M_2_255 ();
        end
    endgenerate

    /* requests */
    reg counts_q;     // of the first bank
    reg confusion_q;  // of the second one
    reg confusion_q2;
    reg write_q;
    reg [15:0] addr_q;
    reg [15:0] data_q;
    reg legal_q;  // so many images may run
    reg rvalid_q;
    reg [63:0] rdata_q;
    reg counts_q2;
    reg [15:0] count_q;  // that is asked for
    wire [63:0] row;     // of the confusion

    /* a run */
    reg run_q;
    reg clear_q;
    reg send_q;
    reg [15:0] wanted_q;
    reg [15:0] images_q;
    reg [15:0] correct_q;
    reg [ADDR_W-1:0] place_q;  // of the next word to clear
    wire start = counts_q && write_q && addr_q == 16'd0 && legal_q && !run_q && !busy_i;
    wire is_cleared = place_q == LAST[ADDR_W-1:0];

    /* an image that was classified: its label and class, its word, what that word becomes */
    wire [7:0] label;
    wire label_valid;
    wire counted = class_valid_i && label_valid;
    reg counted_q;
    reg counted_q2;
    reg counted_q3;
    reg [7:0] label_q;
    reg [15:0] given_q;
    reg [1:0] lane_q2;
    reg [1:0] lane_q3;
    reg [ADDR_W-1:0] at_q2;
    reg [ADDR_W-1:0] at_q3;
    wire [ADDR_W-1:0] at;
    reg [63:0] more;

    generate
        if (CLASS_W > 2) begin : g_row
            assign at = {label_q[CLASS_W-1:0], given_q[CLASS_W-1:2]};
        end else begin : g_word
            assign at = label_q[ADDR_W-1:0];
        end
    endgenerate

    always @* begin
        more = row;
        case (lane_q3)
            2'd0: more[15:0] = row[15:0] + 16'd1;
            2'd1: more[31:16] = row[31:16] + 16'd1;
            2'd2: more[47:32] = row[47:32] + 16'd1;
            default: more[63:48] = row[63:48] + 16'd1;
        endcase
    end

    stoic_fifo #(
        .DEPTH(LABELS),
        .WIDTH(8),
        .TARGET(TARGET)
    ) labels (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(label_i),
        .s_axis_tvalid(label_valid_i),
        .s_axis_tready(label_room_o),
        .m_axis_tdata(label),
        .m_axis_tvalid(label_valid),
        .m_axis_tready(counted)
    );

    stoic_ram #(
        .DEPTH(DEPTH),
        .WIDTH(64),
        .LATENCY(1),
        .TARGET(TARGET)
    ) confusion (
        .clk_i(clk_i),
        .we_i(clear_q || counted_q3),
        .waddr_i(clear_q ? place_q : at_q3),
        .wdata_i(clear_q ? 64'd0 : more),
        .raddr_i(run_q ? at_q2 : addr_q[ADDR_W-1:0]),
        .flip_i(64'd0),
        .clear_i(1'b0),
        .hold_i(1'b0),
        .rdata_o(row)
    );

    always @(posedge clk_i) begin
        counts_q <= cfg_valid_i && cfg_bank_i == NUMBER[15:0] && !rst_i;
        confusion_q <= cfg_valid_i && !cfg_write_i && cfg_bank_i == CONFUSION[15:0] && !rst_i;
        write_q <= cfg_write_i;
        addr_q <= cfg_addr_i;
        data_q <= cfg_data_i[15:0];
        legal_q <= cfg_data_i != 64'd0 && cfg_data_i <= {32'd0, MOST};
        counts_q2 <= counts_q && !write_q && !rst_i;
        confusion_q2 <= confusion_q && !rst_i;
        count_q <= addr_q == 16'd0 ? images_q : addr_q == 16'd1 ? correct_q : 16'd0;
        rvalid_q <= (cfg_rvalid_i || counts_q2 || confusion_q2) && !rst_i;
        rdata_q <= cfg_rdata_i | {48'd0, count_q & {16{counts_q2}}} | (row & {64{confusion_q2}});

        label_q <= label;
        given_q <= {{(16 - CLASS_W){1'b0}}, class_i};
        lane_q2 <= given_q[1:0];
        lane_q3 <= lane_q2;
        at_q2 <= at;
        at_q3 <= at_q2;

        if (start) begin
            wanted_q <= data_q;
            images_q <= 16'd0;
            correct_q <= 16'd0;
            place_q <= {ADDR_W{1'b0}};
        end else begin
            if (clear_q) place_q <= place_q + ONE;
            if (counted_q) begin
                images_q <= images_q + 16'd1;
                correct_q <= correct_q + {15'd0, {8'd0, label_q} == given_q};
            end
        end

        if (rst_i) begin
            run_q <= 1'b0;
            clear_q <= 1'b0;
            send_q <= 1'b0;
            counted_q <= 1'b0;
            counted_q2 <= 1'b0;
            counted_q3 <= 1'b0;
        end else begin
            counted_q <= counted;
            counted_q2 <= counted_q;
            counted_q3 <= counted_q2;
            if (start) begin
                run_q <= 1'b1;
                clear_q <= 1'b1;
            end else if (clear_q && is_cleared) begin
                clear_q <= 1'b0;
                send_q <= 1'b1;
            end else if (send_q && images_q == wanted_q && !busy_i) begin
                run_q <= 1'b0;
                send_q <= 1'b0;
            end
        end
    end

    assign run_o = run_q;
    assign send_o = send_q;
    assign images_o = wanted_q;
    assign s_axis_tready = m_axis_tready || run_q;
    assign m_axis_tvalid = s_axis_tvalid && !run_q;
    assign cfg_rvalid_o = rvalid_q;
    assign cfg_rdata_o = rdata_q;
endmodule

`resetall
