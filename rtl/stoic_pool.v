// SPDX-License-Identifier: Apache-2.0
// stoic_pool : OR pooling on a stream of pixels; with KERNEL 1 it marks where maps end, no more
//
//   out[i][j][w] = OR over ky, kx < KERNEL of in[i STRIDE + ky][j STRIDE + kx][w]
//
// A pixel is WORDS words of WIDTH bits, a map HEIGHT x COLUMNS pixels, row by row. Windows that do not
// fit are left out. KERNEL - 1 pixels and KERNEL - 1 rows of their ORs are remembered:
//
//   across = word | the words before it in its row;      out = across | those above it
//
// Latency:    3 cycles from the last word of a window to its word
// Throughput: a word in 4 cycles in
// Encoding:   bit 1 is +1, so that OR is the maximum
// Handshake:  AXI4-Stream both sides, s_axis_tready is a register; maps are counted, not marked;
//             m_axis_tlast ends a map
// Golden:     stoic.sim.golden.or_pool
//
//   memory                      word
//   behind, of k < KERNEL - 1   w: word w of the pixel k + 1 to the left
//   above, of k < KERNEL - 1    j * WORDS + w: across of word w of window j, k + 1 rows above
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_pool #(
    parameter WIDTH   = 64,         // bits of a word, 1..64
    parameter WORDS   = 1,          // words of a pixel, 1 or more
    parameter HEIGHT  = 28,         // rows of a map, KERNEL or more
    parameter COLUMNS = 28,         // pixels of a row, KERNEL or more
    parameter KERNEL  = 2,          // of the square window, 1 or more
    parameter STRIDE  = 2,          // 1 or more
    parameter TARGET  = "generic"   // as in stoic_ram
) (
    input  wire             clk_i,
    input  wire             rst_i,
    /* pixels in */
    input  wire [WIDTH-1:0] s_axis_tdata,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,
    /* pixels out */
    output wire [WIDTH-1:0] m_axis_tdata,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,
    output wire             m_axis_tlast
);
    localparam DOWN = (HEIGHT - KERNEL) / STRIDE + 1;     // windows
    localparam ACROSS = (COLUMNS - KERNEL) / STRIDE + 1;
    localparam SIZE = DOWN * ACROSS * WORDS;              // words of a map that leave
    localparam FAR = (KERNEL > STRIDE) ? KERNEL : STRIDE; // pixels from window to window at most
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    localparam X_W = (COLUMNS > 1) ? $clog2(COLUMNS) : 1;
    localparam Y_W = (HEIGHT > 1) ? $clog2(HEIGHT) : 1;
    localparam FAR_W = (FAR > 1) ? $clog2(FAR) : 1;
    localparam PLACE_W = (ACROSS * WORDS > 1) ? $clog2(ACROSS * WORDS) : 1;
    localparam SIZE_W = (SIZE > 1) ? $clog2(SIZE) : 1;
    // constants in the widths in which they are compared
    localparam [31:0] WORD_END = WORDS - 1;
    localparam [31:0] X_END = COLUMNS - 1;
    localparam [31:0] Y_END = HEIGHT - 1;
    localparam [31:0] SIZE_END = SIZE - 1;
    localparam [31:0] FIRST = KERNEL - 1;  // pixels before the one that ends the first window
    localparam [31:0] MORE = STRIDE - 1;   // ... before the one that ends the next

    generate
        if (WIDTH < 1 || WIDTH > 64 || WORDS < 1 || KERNEL < 1 || STRIDE < 1 || HEIGHT < KERNEL
            || COLUMNS < KERNEL || ACROSS * WORDS > 65536) begin : g_illegal
            stoic_illegal_parameter ERROR_pool_does_not_fit_the_map_or_its_rows_are_too_long ();
        end
    endgenerate

    /* a word: taken, ORed along its row, ORed down its column, out of the way */
    reg ready_q;
    reg row_q;      // across_q is this cycle's
    reg column_q;   // out_q is
    reg valid_q;
    reg [WIDTH-1:0] word_q;
    reg [WIDTH-1:0] across_q;
    reg [WIDTH-1:0] out_q;
    wire take = s_axis_tvalid && ready_q;
    wire [WIDTH-1:0] across;
    wire [WIDTH-1:0] down;

    /* where the word stands */
    reg [WORD_W-1:0] word_i_q;
    reg [X_W-1:0] x_q;
    reg [Y_W-1:0] y_q;
    reg [FAR_W-1:0] x_left_q;       // pixels before the one that ends a window
    reg [FAR_W-1:0] y_left_q;       // rows before those that end windows
    reg [PLACE_W-1:0] place_q;      // word of the windows of a row
    reg [SIZE_W-1:0] out_i_q;       // word of the map that leaves
    wire word_end = word_i_q == WORD_END[WORD_W-1:0];
    wire x_end = word_end && x_q == X_END[X_W-1:0];
    wire y_end = x_end && y_q == Y_END[Y_W-1:0];
    wire column_end = x_left_q == 0;
    wire out_end = out_i_q == SIZE_END[SIZE_W-1:0];

    assign s_axis_tready = ready_q;
    assign m_axis_tdata = out_q;
    assign m_axis_tvalid = valid_q;
    assign m_axis_tlast = out_end;

    always @(posedge clk_i) begin
        if (take) word_q <= s_axis_tdata;
        if (row_q) across_q <= across;
        if (column_q) out_q <= down;
        if (rst_i) begin
            ready_q <= 1'b1;
            row_q <= 1'b0;
            column_q <= 1'b0;
            valid_q <= 1'b0;
            word_i_q <= {WORD_W{1'b0}};
            x_q <= {X_W{1'b0}};
            y_q <= {Y_W{1'b0}};
            x_left_q <= FIRST[FAR_W-1:0];
            y_left_q <= FIRST[FAR_W-1:0];
            place_q <= {PLACE_W{1'b0}};
            out_i_q <= {SIZE_W{1'b0}};
        end else begin
            row_q <= take;
            column_q <= row_q;
            if (take) ready_q <= 1'b0;
            else if (!row_q && !column_q && (!valid_q || m_axis_tready)) ready_q <= 1'b1;
            if (column_q) valid_q <= column_end && y_left_q == 0;
            else if (m_axis_tready) valid_q <= 1'b0;
            if (valid_q && m_axis_tready) out_i_q <= out_end ? {SIZE_W{1'b0}} : out_i_q + 1'b1;
            if (column_q) begin
                word_i_q <= word_end ? {WORD_W{1'b0}} : word_i_q + 1'b1;
                if (column_end) place_q <= place_q + 1'b1;
                if (word_end) begin
                    x_q <= x_q + 1'b1;
                    x_left_q <= column_end ? MORE[FAR_W-1:0] : x_left_q - 1'b1;
                end
                if (x_end) begin
                    x_q <= {X_W{1'b0}};
                    x_left_q <= FIRST[FAR_W-1:0];
                    place_q <= {PLACE_W{1'b0}};
                    y_q <= y_q + 1'b1;
                    y_left_q <= (y_left_q == 0) ? MORE[FAR_W-1:0] : y_left_q - 1'b1;
                end
                if (y_end) begin
                    y_q <= {Y_W{1'b0}};
                    y_left_q <= FIRST[FAR_W-1:0];
                end
            end
        end
    end

    genvar k;
    generate
        for (k = 0; k < KERNEL; k = k + 1) begin : g_link
            wire [WIDTH-1:0] behind;    // the word k pixels to the left
            wire [WIDTH-1:0] above;     // across k rows above
            wire [WIDTH-1:0] along;     // OR of the words up to there
            wire [WIDTH-1:0] column;    // OR of those across
        end
        assign g_link[0].behind = word_q;
        assign g_link[0].above = across_q;
        assign g_link[0].along = word_q;
        assign g_link[0].column = across_q;
        for (k = 1; k < KERNEL; k = k + 1) begin : g_more
            stoic_ram #(
                .DEPTH(WORDS),
                .WIDTH(WIDTH),
                .TARGET(TARGET)
            ) pixel (
                .clk_i(clk_i),
                .we_i(row_q),
                .waddr_i(word_i_q),
                .wdata_i(g_link[k-1].behind),
                .raddr_i(word_i_q),
                .flip_i({WIDTH{1'b0}}),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(g_link[k].behind)
            );
            stoic_ram #(
                .DEPTH(ACROSS * WORDS),
                .WIDTH(WIDTH),
                .TARGET(TARGET)
            ) row (
                .clk_i(clk_i),
                .we_i(column_q && column_end),
                .waddr_i(place_q),
                .wdata_i(g_link[k-1].above),
                .raddr_i(place_q),
                .flip_i({WIDTH{1'b0}}),
                .clear_i(1'b0),
                .hold_i(1'b0),
                .rdata_o(g_link[k].above)
            );
            assign g_link[k].along = g_link[k-1].along | g_link[k].behind;
            assign g_link[k].column = g_link[k-1].column | g_link[k].above;
        end
    endgenerate
    assign across = g_link[KERNEL-1].along;
    assign down = g_link[KERNEL-1].column;
endmodule

`resetall
