// SPDX-License-Identifier: Apache-2.0
// stoic_window : the windows of a convolution, cut from a stream of pixels
//
//   window (i, j), pixel (ky, kx), word w  =  map[i STRIDE + ky - PAD][j STRIDE + kx - PAD][w]
//
// and 0 outside the map: -1 where a word holds bits, 0 where it holds a uint8. A pixel is WORDS words
// of WIDTH bits, a map HEIGHT x COLUMNS pixels, row by row. A ring of LINES rows is all the memory:
// while the windows of a row are read, the rows that the next ones need are written, also those of the
// next map. With LINES = max(KERNEL + STRIDE, 2 (KERNEL - PAD)) neither side ever waits for the other
// if both take the same time for a map.
//
// Latency:    9 cycles from the last word that a row of windows needs to its first word
// Throughput: a word a cycle; besides, a row of windows costs 3 cycles and 1 for every row it frees
// Encoding:   words pass as they are
// Handshake:  AXI4-Stream both sides, s_axis_tready is a register; maps are counted, not marked;
//             m_axis_tlast ends a window
// Golden:     stoic.sim.golden.windows
//
//   ring memory               word
//   l * LINE + x * WORDS + w  w of pixel x of the row in place l, LINE = COLUMNS * WORDS
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_window #(
    parameter WIDTH   = 64,         // bits of a word, 1..64
    parameter WORDS   = 1,          // words of a pixel, 1 or more
    parameter HEIGHT  = 14,         // rows of a map, 1 or more
    parameter COLUMNS = 14,         // pixels of a row, 1 or more
    parameter KERNEL  = 3,          // of the square window
    parameter STRIDE  = 1,          // 1 or more
    parameter PAD     = 1,          // pixels around the map, less than KERNEL
    parameter TARGET  = "generic"   // as in stoic_ram
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* pixels in */
    input  wire [WIDTH-1:0] s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    /* windows out */
    output wire [WIDTH-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast
);
    localparam LINES = (KERNEL + STRIDE > 2 * (KERNEL - PAD)) ? KERNEL + STRIDE
                                                              : 2 * (KERNEL - PAD);
    localparam LINE = COLUMNS * WORDS;
    localparam DEPTH = LINES * LINE;
    localparam DOWN = (HEIGHT + 2 * PAD - KERNEL) / STRIDE + 1;     // windows
    localparam ACROSS = (COLUMNS + 2 * PAD - KERNEL) / STRIDE + 1;
    localparam SIZE = KERNEL * KERNEL * WORDS;                      // words of a window
    localparam ROOM = 8;                                            // words on their way out
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam Y_W = $clog2(HEIGHT + 2 * PAD + STRIDE + KERNEL);
    localparam X_W = $clog2(COLUMNS + 2 * PAD + STRIDE + KERNEL);
    localparam K_W = (KERNEL > 1) ? $clog2(KERNEL) : 1;
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    localparam DOWN_W = (DOWN > 1) ? $clog2(DOWN) : 1;
    localparam ACROSS_W = (ACROSS > 1) ? $clog2(ACROSS) : 1;
    localparam LINE_W = (LINE > 1) ? $clog2(LINE) : 1;
    localparam SIZE_W = (SIZE > 1) ? $clog2(SIZE) : 1;
    localparam HAVE_W = $clog2(LINES + 1);
    // constants in the widths in which they are compared and added
    localparam [31:0] K_END = KERNEL - 1;
    localparam [31:0] WORD_END = WORDS - 1;
    localparam [31:0] DOWN_END = DOWN - 1;
    localparam [31:0] ACROSS_END = ACROSS - 1;
    localparam [31:0] LINE_END = LINE - 1;
    localparam [31:0] SIZE_END = SIZE - 1;
    localparam [31:0] RING_END = DEPTH - 1;
    localparam [31:0] FULL = LINES;
    localparam [31:0] ROWS = HEIGHT;
    localparam [31:0] STEP = STRIDE;
    localparam [31:0] BELOW = KERNEL - PAD;  // rows of the map that the first window sees
    localparam [31:0] EDGE = PAD;
    localparam [31:0] X_PAST = COLUMNS + PAD;
    localparam [31:0] Y_PAST = HEIGHT + PAD;
    localparam [31:0] HOP = STRIDE * WORDS;
    localparam [31:0] OUTSIDE = 0 - PAD * WORDS;
    // moves on the ring: past its end (ADDR_W + 1 bits) they come round
    localparam [31:0] RING = DEPTH;
    localparam [31:0] NEXT_LINE = LINE;
    localparam [31:0] NEXT_ROW = STRIDE * LINE;
    localparam [31:0] NEXT_MAP = (HEIGHT % LINES) * LINE;
    localparam [31:0] HOME = (LINES - PAD) % LINES * LINE;

    generate
        if (WIDTH < 1 || WIDTH > 64 || WORDS < 1 || HEIGHT < 1 || COLUMNS < 1 || KERNEL < 1
            || STRIDE < 1 || PAD < 0 || PAD >= KERNEL || KERNEL > HEIGHT + 2 * PAD
            || KERNEL > COLUMNS + 2 * PAD || DEPTH > 65536) begin : g_illegal
            stoic_illegal_parameter ERROR_window_does_not_fit_the_map_or_its_ring_is_too_large ();
        end
    endgenerate

    /* rows in */
    reg [ADDR_W-1:0] write_q;
    reg [LINE_W-1:0] in_q;     // word of the row
    reg [HAVE_W-1:0] have_q;   // whole rows in the ring
    reg ready_q;
    wire frees;
    wire take = s_axis_tvalid && ready_q;
    wire row_in = take && in_q == LINE_END[LINE_W-1:0];
    wire [HAVE_W-1:0] have_d = have_q + {{(HAVE_W - 1){1'b0}}, row_in}
                                      - {{(HAVE_W - 1){1'b0}}, frees};
    assign s_axis_tready = ready_q;

    always @(posedge clk_i) begin
        if (rst_i) begin
            write_q <= {ADDR_W{1'b0}};
            in_q <= {LINE_W{1'b0}};
            have_q <= {HAVE_W{1'b0}};
            ready_q <= 1'b1;
        end else begin
            if (take) begin
                write_q <= (write_q == RING_END[ADDR_W-1:0]) ? {ADDR_W{1'b0}} : write_q + 1'b1;
                in_q <= row_in ? {LINE_W{1'b0}} : in_q + 1'b1;
            end
            have_q <= have_d;
            ready_q <= have_d != FULL[HAVE_W-1:0];
        end
    end

    /* rows of windows: wait for what one needs, send it, free what the next one does not need */
    localparam [1:0] LOOK = 2'd0;
    localparam [1:0] WAIT = 2'd1;
    localparam [1:0] SEND = 2'd2;
    localparam [1:0] FREE = 2'd3;
    reg [1:0] state_q;
    reg [DOWN_W-1:0] down_q;
    reg [Y_W-1:0] top_q;      // PAD + row of the map in which the windows begin
    reg [Y_W-1:0] base_q;     // first row of the map that is not freed
    reg [Y_W-1:0] goal_q;     // ... after this row of windows
    reg [Y_W-1:0] need_q;     // rows from base_q on that it needs
    reg [ADDR_W-1:0] home_q;  // where the line of the first windows begins, of this map
    reg [ADDR_W-1:0] line_q;  // ... of this row of windows
    reg [ADDR_W-1:0] next_home_q;
    reg [ADDR_W-1:0] next_line_q;
    wire row_sent;
    wire last = down_q == DOWN_END[DOWN_W-1:0];
    wire freed = base_q == goal_q;
    wire [Y_W-1:0] bottom = top_q + BELOW[Y_W-1:0];
    wire [Y_W-1:0] after = top_q + STEP[Y_W-1:0];
    wire [ADDR_W:0] home_d = {1'b0, home_q} + NEXT_MAP[ADDR_W:0];
    wire [ADDR_W:0] line_d = {1'b0, line_q} + NEXT_ROW[ADDR_W:0];
    assign frees = state_q == FREE && !freed && have_q != 0;

    always @(posedge clk_i) begin
        need_q <= ((bottom > ROWS[Y_W-1:0]) ? ROWS[Y_W-1:0] : bottom) - base_q;
        goal_q <= last ? ROWS[Y_W-1:0]
                : (after > EDGE[Y_W-1:0]) ? after - EDGE[Y_W-1:0] : {Y_W{1'b0}};
        next_home_q <= (home_d >= RING[ADDR_W:0]) ? home_d[ADDR_W-1:0] - RING[ADDR_W-1:0]
                                                  : home_d[ADDR_W-1:0];
        next_line_q <= (line_d >= RING[ADDR_W:0]) ? line_d[ADDR_W-1:0] - RING[ADDR_W-1:0]
                                                  : line_d[ADDR_W-1:0];
        if (rst_i) begin
            state_q <= LOOK;
            down_q <= {DOWN_W{1'b0}};
            top_q <= {Y_W{1'b0}};
            base_q <= {Y_W{1'b0}};
            home_q <= HOME[ADDR_W-1:0];
            line_q <= HOME[ADDR_W-1:0];
        end else begin
            case (state_q)
                LOOK: state_q <= WAIT;
                WAIT: if ({{Y_W{1'b0}}, have_q} >= {{HAVE_W{1'b0}}, need_q}) state_q <= SEND;
                SEND: if (row_sent) state_q <= FREE;
                default: if (freed) state_q <= LOOK;
            endcase
            if (frees) base_q <= base_q + 1'b1;
            if (state_q == FREE && freed) begin
                down_q <= last ? {DOWN_W{1'b0}} : down_q + 1'b1;
                top_q <= last ? {Y_W{1'b0}} : after;
                line_q <= last ? next_home_q : next_line_q;
                if (last) begin
                    base_q <= {Y_W{1'b0}};
                    home_q <= next_home_q;
                end
            end
        end
    end

    /* words of the windows of a row; x and y count from the corner of the padding */
    reg [ACROSS_W-1:0] across_q;
    reg [K_W-1:0] ky_q;
    reg [K_W-1:0] kx_q;
    reg [WORD_W-1:0] word_q;
    reg [X_W-1:0] left_q;     // x of the window
    reg [X_W-1:0] x_q;
    reg [Y_W-1:0] y_q;
    reg [ADDR_W-1:0] start_q; // place in a line where the window begins, modulo 2 ** ADDR_W
    reg [ADDR_W-1:0] place_q; // ... of the word
    reg [ADDR_W-1:0] this_q;  // where the line of y_q begins
    reg [ADDR_W-1:0] next_q;  // ... and the one after it
    reg [$clog2(ROOM + 1)-1:0] room_q;
    wire leaves;
    wire go = state_q == SEND && room_q != 0;
    wire word_end = word_q == WORD_END[WORD_W-1:0];
    wire kx_end = word_end && kx_q == K_END[K_W-1:0];
    wire ky_end = kx_end && ky_q == K_END[K_W-1:0];
    wire [ADDR_W:0] next_d = {1'b0, this_q} + NEXT_LINE[ADDR_W:0];
    assign row_sent = go && ky_end && across_q == ACROSS_END[ACROSS_W-1:0];

    always @(posedge clk_i) begin
        next_q <= (next_d >= RING[ADDR_W:0]) ? next_d[ADDR_W-1:0] - RING[ADDR_W-1:0]
                                             : next_d[ADDR_W-1:0];
        if (state_q != SEND) begin
            across_q <= {ACROSS_W{1'b0}};
            ky_q <= {K_W{1'b0}};
            kx_q <= {K_W{1'b0}};
            word_q <= {WORD_W{1'b0}};
            left_q <= {X_W{1'b0}};
            x_q <= {X_W{1'b0}};
            y_q <= top_q;
            start_q <= OUTSIDE[ADDR_W-1:0];
            place_q <= OUTSIDE[ADDR_W-1:0];
            this_q <= line_q;
        end else if (go) begin
            word_q <= word_end ? {WORD_W{1'b0}} : word_q + 1'b1;
            place_q <= place_q + 1'b1;
            if (word_end) begin
                kx_q <= kx_q + 1'b1;
                x_q <= x_q + 1'b1;
            end
            if (kx_end) begin
                kx_q <= {K_W{1'b0}};
                x_q <= left_q;
                place_q <= start_q;
                ky_q <= ky_q + 1'b1;
                y_q <= y_q + 1'b1;
                this_q <= next_q;
            end
            if (ky_end) begin
                ky_q <= {K_W{1'b0}};
                y_q <= top_q;
                this_q <= line_q;
                across_q <= across_q + 1'b1;
                left_q <= left_q + STEP[X_W-1:0];
                x_q <= left_q + STEP[X_W-1:0];
                start_q <= start_q + HOP[ADDR_W-1:0];
                place_q <= start_q + HOP[ADDR_W-1:0];
            end
        end
    end

    /* memory and output */
    reg [ADDR_W-1:0] read_q;
    reg [2:0] real_q;   // inside the map, with the read and the two cycles after it
    reg [2:0] valid_q;
    reg [SIZE_W-1:0] out_q;
    wire [WIDTH-1:0] word;
    wire size_end = out_q == SIZE_END[SIZE_W-1:0];
    assign leaves = m_axis_tvalid && m_axis_tready;
    assign m_axis_tlast = size_end;

    always @(posedge clk_i) begin
        read_q <= this_q + place_q;
        real_q <= {real_q[1:0], x_q >= EDGE[X_W-1:0] && x_q < X_PAST[X_W-1:0]
                                && y_q >= EDGE[Y_W-1:0] && y_q < Y_PAST[Y_W-1:0]};
        if (rst_i) begin
            valid_q <= 3'd0;
            room_q <= ROOM;
            out_q <= {SIZE_W{1'b0}};
        end else begin
            valid_q <= {valid_q[1:0], go};
            room_q <= room_q + {{($clog2(ROOM + 1) - 1){1'b0}}, leaves}
                             - {{($clog2(ROOM + 1) - 1){1'b0}}, go};
            if (leaves) out_q <= size_end ? {SIZE_W{1'b0}} : out_q + 1'b1;
        end
    end

    stoic_ram #(
        .DEPTH(DEPTH),
        .WIDTH(WIDTH),
        .TARGET(TARGET)
    ) ring (
        .clk_i(clk_i),
        .we_i(take),
        .waddr_i(write_q),
        .wdata_i(s_axis_tdata),
        .raddr_i(read_q),
        .flip_i({WIDTH{1'b0}}),
        .clear_i(1'b0),
        .hold_i(1'b0),
        .rdata_o(word)
    );

    stoic_fifo #(
        .DEPTH(ROOM),
        .WIDTH(WIDTH),
        .TARGET(TARGET)
    ) fifo (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(real_q[2] ? word : {WIDTH{1'b0}}),
        .s_axis_tvalid(valid_q[2]),
        .s_axis_tready(),  // always, as room_q counts
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );
endmodule

`resetall
