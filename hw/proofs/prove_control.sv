// SPDX-License-Identifier: Apache-2.0
// prove_control : stoic_mvu_control walks through every image in order, and never starts too many
//
// Pages are filled while free_o says so; images leave the FIFO at any time after they started. Then
// never more than ROOM images are started and not yet left, which is what the FIFO has room for; an
// image starts only if its page is full, and within PATIENCE cycles once it may; it takes CYCLES
// cycles, in each of which the word and its flags are those of the loop in the header.
module prove_control #(
    parameter N_STEPS  = 2,
    parameter N_FOLDS  = 2,
    parameter PLANES   = 1,
    parameter GAP      = 1,
    parameter ADDR_W   = 3,
    parameter ROOM     = 2,
    parameter PATIENCE = 3
) (
    input wire clk_i,
    input wire rst_i,
    input wire filled_i,
    input wire left_i
);
    localparam STEP_W = (N_STEPS + GAP > 1) ? $clog2(N_STEPS + GAP) : 1;
    localparam BUSY = N_STEPS * PLANES;
    localparam FOLD = BUSY + GAP;
    localparam CYCLES = N_FOLDS * FOLD;

    wire free;
    wire start;
    wire page;
    wire [STEP_W-1:0] step;
    wire [2:0] plane;
    wire [ADDR_W-1:0] addr;
    wire is_word;
    wire pad;
    wire keep;
    wire twice;
    wire last;
    stoic_mvu_control #(
        .N_STEPS(N_STEPS),
        .N_FOLDS(N_FOLDS),
        .PLANES(PLANES),
        .GAP(GAP),
        .ADDR_W(ADDR_W),
        .ROOM(ROOM)
    ) dut (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .filled_i(filled_i),
        .free_o(free),
        .left_i(left_i),
        .start_o(start),
        .page_o(page),
        .step_o(step),
        .plane_o(plane),
        .addr_o(addr),
        .word_o(is_word),
        .pad_o(pad),
        .keep_o(keep),
        .double_o(twice),
        .last_o(last)
    );

    reg [2:0] full_q = 3'd0;     // pages filled, their image not started
    reg [2:0] out_q = 3'd0;      // images started, not left
    reg [5:0] next_q = CYCLES;   // cycle of the image, CYCLES if there is none
    reg page_q = 1'b0;           // of the next image that starts
    reg [2:0] waiting_q = 3'd0;  // cycles in which an image might have started
    reg [2:0] alone_q = 3'd7;    // cycles since a page was filled on an idle unit
    wire [5:0] at = start ? 6'd0 : next_q;
    wire runs = at < CYCLES;

    reg started_q = 1'b0;
    always @(posedge clk_i) started_q <= 1'b1;
    always @* begin
        if (!started_q) assume (rst_i);
        if (!free) assume (!filled_i);
        if (out_q == 3'd0) assume (!left_i);
    end

    wire idle = !runs && full_q == 3'd0 && !start && out_q < ROOM;
    always @(posedge clk_i) begin
        if (rst_i) begin
            full_q <= 3'd0;
            out_q <= 3'd0;
            next_q <= CYCLES;
            page_q <= 1'b0;
            waiting_q <= 3'd0;
            alone_q <= 3'd7;
        end else begin
            full_q <= full_q + filled_i - start;
            out_q <= out_q + start - left_i;
            next_q <= runs ? at + 6'd1 : CYCLES;
            if (start) page_q <= !page_q;
            waiting_q <= (full_q != 3'd0 && out_q < ROOM && !runs) ? waiting_q + 3'd1 : 3'd0;
            if (filled_i && idle) alone_q <= 3'd1;
            else if (alone_q != 3'd7) alone_q <= alone_q + 3'd1;
        end
    end

    wire [5:0] in_fold = at % FOLD;
    wire [5:0] in_plane = in_fold % N_STEPS;
    wire [2:0] expected_plane = PLANES - 1 - in_fold / N_STEPS;
    always @* if (started_q) begin
        if (start) assert (full_q != 3'd0 && next_q == CYCLES && out_q < ROOM);
        assert (full_q <= 3'd2 && out_q <= ROOM);
        assert (waiting_q < PATIENCE);
        if (alone_q < 3'd3) assert (!start);
        if (alone_q == 3'd3) assert (start);
        assert (is_word == (runs && in_fold < BUSY));
        assert (last == (is_word && in_plane == N_STEPS - 1 && expected_plane == 0));
        if (runs) assert (page == (start ? page_q : !page_q));
        if (is_word) begin
            assert (step == in_plane);
            assert (plane == expected_plane);
            assert (addr == (at / FOLD) * N_STEPS + in_plane);
            assert (pad == (in_plane == N_STEPS - 1));
            assert (keep == (in_plane != 0));
            assert (twice == (in_plane == 0 && expected_plane != PLANES - 1));
        end
        cover (start && out_q == ROOM - 1 && full_q == 3'd2);
        cover (out_q == ROOM && full_q == 3'd1 && !runs);
    end
endmodule
