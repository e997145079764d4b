// SPDX-License-Identifier: Apache-2.0
// stoic_mvu_control : which word of which plane of which fold, and when an image may start
//
//   for fold f = 0 .. N_FOLDS - 1:
//       for plane b = PLANES - 1 .. 0:
//           for step w = 0 .. N_STEPS - 1, one a cycle:
//               addr_o = f * N_STEPS + w, step_o = w, plane_o = b
//       GAP idle cycles
//
// An image starts when one of the two pages is full and the output FIFO, of ROOM images, has room.
//
// Latency:    3 cycles from filled_i to the first word, on an idle unit
// Throughput: an image in N_FOLDS * (N_STEPS * PLANES + GAP) cycles
// Encoding:   flags belong to the word of their cycle; of an idle cycle only word_o and last_o count, as 0
// Handshake:  pulses of one cycle; filled_i only while free_o is 1
// Golden:     addresses as stoic.sim.memory.bank_words orders the words
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu_control #(
    parameter N_STEPS = 22,  // words of a neuron, 1 or more
    parameter N_FOLDS = 8,   // neurons of a processing element, 1 or more
    parameter PLANES  = 8,   // bit planes of an input word, 1 or 8
    parameter GAP     = 0,   // idle cycles at the end of a fold, 0 or more
    parameter ADDR_W  = 8,   // bits of a weight address, 1 or more
    parameter ROOM    = 2,   // images that the output FIFO holds, 2 or more
    parameter STEP_W  = (N_STEPS + GAP > 1) ? $clog2(N_STEPS + GAP) : 1  // derived: do not override
) (
    input  wire              clk_i,
    input  wire              rst_i,
    /* images */
    input  wire              filled_i,  // a page was filled
    output wire              free_o,    // a page is free
    input  wire              left_i,    // an image left the output FIFO
    output wire              start_o,   // this is the first word of an image
    /* the word of this cycle */
    output wire              page_o,
    output wire [STEP_W-1:0] step_o,
    output wire [2:0]        plane_o,
    output wire [ADDR_W-1:0] addr_o,    // of its weights
    output wire              word_o,    // this is a word; else the cycle is idle
    output wire              pad_o,     // it is the last of the neuron
    output wire              keep_o,    // it is not the first of the plane
    output wire              double_o,  // it is the first of a plane, other than the top one
    output wire              last_o     // it is the last of the last plane
);
    localparam FOLD_W = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1;
    // is the first step also the last one of a neuron, and the last one before another step 0?
    localparam [0:0] ONE_STEP = N_STEPS == 1;
    localparam [0:0] ONE_CYCLE = N_STEPS + GAP == 1;
    localparam [0:0] ONE_PLANE = PLANES == 1;
    localparam [0:0] ONE_FOLD = N_FOLDS == 1;
    // constants in the widths in which they are compared
    localparam [31:0] TOP_PLANE = PLANES - 1;
    localparam [31:0] BEFORE_PAD = N_STEPS - 2;
    localparam [31:0] BEFORE_END = N_STEPS + GAP - 2;
    localparam [31:0] BEFORE_LAST_FOLD = N_FOLDS - 2;
    localparam [31:0] FULL_ROOM = ROOM;
    localparam ROOM_W = $clog2(ROOM + 1);

    reg run_q;
    reg can_q;                // a page is full and the FIFO has room for an image
    reg go_q;                 // an image started last cycle
    reg done_q;               // an image ended last cycle
    reg [STEP_W-1:0] step_q;
    reg keep_q;               // this is not step 0
    reg pad_q;                // this is step N_STEPS - 1
    reg gap_q;                // this is a later one
    reg end_q;                // the next one is step 0 again
    reg [2:0] plane_q;
    reg top_q;                // this is the first plane
    reg low_q;                // this is plane 0, the last one
    reg [FOLD_W-1:0] fold_q;
    reg last_fold_q;
    reg [ADDR_W-1:0] base_q;  // first weight word of the fold
    reg [ADDR_W-1:0] addr_q;
    reg page_q;
    reg [1:0] ready_q;        // pages filled, image not started
    reg [1:0] used_q;         // pages filled, image not ended
    reg free_q;               // a page is free
    reg [ROOM_W-1:0] room_q;  // images that still fit into the FIFO

    wire image_end = run_q && end_q && low_q && last_fold_q;
    wire go = can_q && (!run_q || image_end);
    wire [ADDR_W-1:0] next_addr = (pad_q && low_q && last_fold_q) ? {ADDR_W{1'b0}} : addr_q + 1'b1;
    wire [1:0] used_d = used_q + {1'b0, filled_i} - {1'b0, done_q};

    always @(posedge clk_i) begin
        if (rst_i) begin
            run_q <= 1'b0;
            can_q <= 1'b0;
            go_q <= 1'b0;
            done_q <= 1'b0;
            step_q <= {STEP_W{1'b0}};
            keep_q <= 1'b0;
            pad_q <= ONE_STEP;
            gap_q <= 1'b0;
            end_q <= ONE_PLANE ? ONE_CYCLE : ONE_STEP;
            plane_q <= TOP_PLANE[2:0];
            top_q <= 1'b1;
            low_q <= ONE_PLANE;
            fold_q <= {FOLD_W{1'b0}};
            last_fold_q <= ONE_FOLD;
            base_q <= {ADDR_W{1'b0}};
            addr_q <= {ADDR_W{1'b0}};
            page_q <= 1'b0;
            ready_q <= 2'd0;
            used_q <= 2'd0;
            free_q <= 1'b1;
            room_q <= FULL_ROOM[ROOM_W-1:0];
        end else begin
            go_q <= go;
            done_q <= image_end;
            // go counts a cycle late, so that the counters are off its path
            can_q <= ready_q != 2'd0 && room_q != 0 && !go && !go_q;
            ready_q <= ready_q + {1'b0, filled_i} - {1'b0, go_q};
            used_q <= used_d;
            free_q <= used_d != 2'd2;
            room_q <= room_q + {{(ROOM_W - 1){1'b0}}, left_i} - {{(ROOM_W - 1){1'b0}}, go_q};
            if (go) run_q <= 1'b1;
            else if (image_end) run_q <= 1'b0;
            // every flag is found out a cycle ahead, so that none stands behind a comparison
            if (run_q) begin
                if (end_q) begin
                    step_q <= {STEP_W{1'b0}};
                    keep_q <= 1'b0;
                    pad_q <= ONE_STEP;
                    gap_q <= 1'b0;
                    end_q <= (ONE_PLANE || plane_q == 3'd1) ? ONE_CYCLE : ONE_STEP;
                    plane_q <= low_q ? TOP_PLANE[2:0] : plane_q - 3'd1;
                    top_q <= low_q;
                    low_q <= ONE_PLANE || plane_q == 3'd1;
                    if (low_q) begin
                        fold_q <= last_fold_q ? {FOLD_W{1'b0}} : fold_q + 1'b1;
                        last_fold_q <= ONE_FOLD
                                    || (!last_fold_q && fold_q == BEFORE_LAST_FOLD[FOLD_W-1:0]);
                    end
                end else begin
                    step_q <= step_q + 1'b1;
                    keep_q <= 1'b1;
                    pad_q <= step_q == BEFORE_PAD[STEP_W-1:0];
                    gap_q <= gap_q || pad_q;
                    end_q <= step_q == (low_q ? BEFORE_END[STEP_W-1:0] : BEFORE_PAD[STEP_W-1:0]);
                end
                if (!gap_q) addr_q <= (pad_q && !low_q) ? base_q : next_addr;
                if (pad_q && low_q) base_q <= next_addr;
            end
            if (image_end) page_q <= !page_q;
        end
    end

    assign free_o = free_q;
    assign start_o = go_q;
    assign page_o = page_q;
    assign step_o = step_q;
    assign plane_o = plane_q;
    assign addr_o = addr_q;
    assign word_o = run_q && !gap_q;
    assign pad_o = pad_q;
    assign keep_o = keep_q;
    assign double_o = !keep_q && !top_q;
    assign last_o = run_q && pad_q && low_q;
endmodule

`resetall
