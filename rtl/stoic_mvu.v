// SPDX-License-Identifier: Apache-2.0
// stoic_mvu : folded matrix-vector unit, one binary dense layer
//
//   bits  (PLANES 1): P = popcount(XNOR(w, x)),                 y = (P >= theta)
//   uint8 (PLANES 8): s = 2 sum_b 2^b popcount(w & x_b) - U,    y = (s >= theta)
//   without thresholds (THRESHOLD_W 0) P or s itself leaves
//
// PE processing elements of SIMD lanes stand in a chain of STAGES = PE / GROUP registered stages.
// Address, input word and flags go up the chain, results come back down it, so every net is local. A
// result of stage k arrives 2 k cycles after that of stage 0: GROUP at a time, in the order of the
// neurons, as long as a fold takes 2 STAGES - 1 cycles; a shorter one is stretched to that.
//
// Latency:    from the last word of an image to its last output word, on an idle unit:
//             N_FOLDS * FOLD + 2 STAGES + max(1, $clog2(SIMD)) + 11 cycles, less the last stretch
// Throughput: an image in N_FOLDS * FOLD cycles, FOLD = max(N_STEPS * PLANES, 2 STAGES - 1),
//             N_STEPS = ceil(N / SIMD), N_FOLDS = ceil(M / PE); the next image loads meanwhile
// Encoding:   bit 1 is +1, bit 0 is -1, lane 0 is the LSB; lanes past N never count, whatever they hold
// Handshake:  AXI4-Stream both sides, tlast ends an image. The pipeline never stalls: an image starts
//             only when the output FIFO has room for all of it. overflow_o is sticky: a word was lost.
// Golden:     stoic.sim.golden.fire, without thresholds stoic.sim.golden.accumulate
//
//   in:  PLANES 1: word w of the image                 (stoic_width, another stoic_mvu)
//        PLANES 8: word 8 w + b = plane b of word w, tuser = U at tlast          (stoic_planes)
//   out: THRESHOLD_W > 0: words of OUT_W neurons, the last filled up with zeros
//        THRESHOLD_W = 0: one P (unsigned) or s (two's complement) a beat
//
//   banks (cfg_bank_i)        word (cfg_addr_i)      content
//   W_BANK + p, p < PE        f * N_STEPS + w        lanes of word w of neuron f * PE + p
//   T_BANK + p, p < PE        f                      theta of neuron f * PE + p
//
//   A read passes the port and injection point of the datapath. A weight word answers after STAGES + 7
//   cycles, a threshold after 5; other banks do not answer. One request a cycle.
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_mvu #(
    parameter N           = 784,        // fan-in, 1 or more
    parameter M           = 256,        // neurons, 1 or more
    parameter PE          = 32,         // processing elements
    parameter SIMD        = 36,         // lanes, 1..64
    parameter GROUP       = 1,          // processing elements a stage; divides PE, and OUT_W
    parameter PLANES      = 8,          // 1: bits, 8: uint8
    parameter THRESHOLD_W = 19,         // bits of a threshold; 0: no thresholds, sums leave
    parameter OUT_W       = 32,         // with thresholds: bits of an output word, 1..64
    parameter W_BANK      = 0,          // number of the first weight bank
    parameter T_BANK      = 32,         // number of the first threshold bank
    parameter TARGET      = "generic",  // as in stoic_ram
    parameter TOTAL_W     = $clog2(((PLANES == 8) ? 255 : 1) * N + 1),  // derived: do not override
    parameter SUM_W       = (PLANES == 8) ? TOTAL_W : 1,                // derived: do not override
    parameter VALUE_W     = (PLANES == 8) ? TOTAL_W + 1 : TOTAL_W,      // derived: do not override
    parameter DATA_W      = (THRESHOLD_W > 0) ? OUT_W : VALUE_W         // derived: do not override
) (
    input  wire              clk_i,
    input  wire              rst_i,
    /* images in */
    input  wire [SIMD-1:0]   s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    input  wire              s_axis_tlast,
    input  wire [SUM_W-1:0]  s_axis_tuser,
    /* neurons out */
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,
    output wire              m_axis_tlast,
    /* host access to the memories, while no image is inside */
    input  wire              cfg_valid_i,
    input  wire              cfg_write_i,
    input  wire [15:0]       cfg_bank_i,
    input  wire [15:0]       cfg_addr_i,
    input  wire [63:0]       cfg_data_i,
    /* the same for the next layer, a cycle later */
    output wire              cfg_valid_o,
    output wire              cfg_write_o,
    output wire [15:0]       cfg_bank_o,
    output wire [15:0]       cfg_addr_o,
    output wire [63:0]       cfg_data_o,
    /* answers of the layers before, and those of this one */
    input  wire              cfg_rvalid_i,
    input  wire [63:0]       cfg_rdata_i,
    output wire              cfg_rvalid_o,
    output wire [63:0]       cfg_rdata_o,
    output wire              overflow_o
);
    localparam STAGES = PE / GROUP;
    localparam N_STEPS = (N + SIMD - 1) / SIMD;
    localparam N_FOLDS = (M + PE - 1) / PE;
    localparam BUSY = N_STEPS * PLANES;
    localparam GAP = (2 * STAGES - 1 > BUSY) ? 2 * STAGES - 1 - BUSY : 0;
    localparam PAD = N_STEPS * SIMD - N;
    localparam DEPTH = N_FOLDS * N_STEPS;
    localparam ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1;
    localparam PAGE_W = $clog2(BUSY);
    localparam PLANE_W = (PLANES == 8) ? 3 : 0;
    localparam STEP_W = (N_STEPS + GAP > 1) ? $clog2(N_STEPS + GAP) : 1;
    localparam FOLD_W = (N_FOLDS > 1) ? $clog2(N_FOLDS) : 1;
    localparam STAGE_W = (STAGES > 1) ? $clog2(STAGES) : 1;
    localparam SEL_W = (PE > 1) ? $clog2(PE) : 1;
    localparam COUNTING = (SIMD > 1) ? $clog2(SIMD) : 1;  // latency of the popcount
    localparam WORDS = (THRESHOLD_W > 0) ? (M + OUT_W - 1) / OUT_W : M;  // output words of an image
    localparam FIFO_DEPTH = 2 << $clog2(WORDS);
    // constants in the widths in which they are compared
    localparam [31:0] PLANE_END = PLANES - 1;
    localparam [31:0] STEP_END = N_STEPS - 1;
    localparam [31:0] GAP_END = N_STEPS + GAP - 1;
    localparam [31:0] FOLD_END = N_FOLDS - 1;
    localparam [31:0] STAGE_END = STAGES - 1;
    localparam [31:0] STRIDE = N_STEPS;
    localparam [31:0] WORD_END = WORDS - 1;
    localparam [31:0] FIRST_WEIGHTS = W_BANK;
    localparam [31:0] FIRST_THRESHOLDS = T_BANK;
    localparam [31:0] N_PE = PE;

    generate
        if (N < 1 || M < 1 || PE < 1 || SIMD < 1 || SIMD > 64) begin : g_illegal_shape
            stoic_illegal_parameter ERROR_mvu_needs_N_M_PE_positive_SIMD_1_64 ();
        end
    endgenerate

    generate
        if (PLANES != 1 && PLANES != 8) begin : g_illegal_planes
            stoic_illegal_parameter ERROR_mvu_needs_PLANES_1_or_8 ();
        end
    endgenerate

    generate
        if (GROUP < 1 || PE % GROUP != 0 || (THRESHOLD_W > 0 && OUT_W % GROUP != 0)
            || (THRESHOLD_W == 0 && GROUP != 1)) begin : g_illegal_group
            stoic_illegal_parameter ERROR_mvu_needs_GROUP_to_divide_PE_and_OUT_W ();
        end
    endgenerate

    generate
        if (BUSY > 16384 || DEPTH > 65536 || N_FOLDS * STAGES > 32768) begin : g_illegal_size
            stoic_illegal_parameter ERROR_mvu_page_or_memory_is_too_large ();
        end
    endgenerate

    /* ---- control: which word of which plane of which fold, one a cycle ---- */
    reg run_q;
    reg can_q;                 // a page is full and the FIFO has room for an image
    reg go_q;                  // an image started last cycle
    reg done_q;                // an image ended last cycle
    reg [STEP_W-1:0] step_q;
    reg [2:0] plane_q;
    reg [FOLD_W-1:0] fold_q;
    reg step_end_q;            // this is the last step of the plane
    reg fold_end_q;            // ... of the fold
    reg image_end_q;           // ... of the image
    reg [ADDR_W-1:0] base_q;   // first weight word of the fold
    reg [ADDR_W-1:0] addr_q;
    reg read_page_q;
    reg write_page_q;
    reg [1:0] ready_q;         // pages filled, image not started
    reg [1:0] used_q;          // pages filled, image not ended
    reg page_q;                // a page is free
    reg [1:0] room_q;          // images that still fit into the FIFO
    reg [15:0] write_q;        // word of the page that is filled

    wire take = s_axis_tvalid && s_axis_tready;
    wire take_last = take && s_axis_tlast;
    wire image_end = run_q && image_end_q;
    wire go = can_q && (!run_q || image_end_q);
    wire image_out;            // the last word of an image left

    wire [2:0] plane_d = !step_end_q ? plane_q : (plane_q == 0) ? PLANE_END[2:0] : plane_q - 3'd1;
    wire [STEP_W-1:0] step_d = step_end_q ? {STEP_W{1'b0}} : step_q + 1'b1;
    wire [FOLD_W-1:0] fold_d = image_end_q ? {FOLD_W{1'b0}} : fold_end_q ? fold_q + 1'b1 : fold_q;
    wire [ADDR_W-1:0] base_d = image_end_q ? {ADDR_W{1'b0}}
                             : fold_end_q ? base_q + STRIDE[ADDR_W-1:0] : base_q;
    wire step_end_d = step_d == ((plane_d == 0) ? GAP_END[STEP_W-1:0] : STEP_END[STEP_W-1:0]);
    wire fold_end_d = plane_d == 0 && step_d == GAP_END[STEP_W-1:0];

    wire [1:0] used_d = used_q + {1'b0, take_last} - {1'b0, done_q};

    assign s_axis_tready = page_q;

    always @(posedge clk_i) begin
        if (rst_i) begin
            run_q <= 1'b0;
            can_q <= 1'b0;
            go_q <= 1'b0;
            done_q <= 1'b0;
            step_q <= {STEP_W{1'b0}};
            plane_q <= PLANE_END[2:0];
            fold_q <= {FOLD_W{1'b0}};
            step_end_q <= ((PLANES == 1) ? N_STEPS + GAP : N_STEPS) == 1;
            fold_end_q <= PLANES == 1 && N_STEPS + GAP == 1;
            image_end_q <= PLANES == 1 && N_STEPS + GAP == 1 && N_FOLDS == 1;
            base_q <= {ADDR_W{1'b0}};
            addr_q <= {ADDR_W{1'b0}};
            read_page_q <= 1'b0;
            write_page_q <= 1'b0;
            ready_q <= 2'd0;
            used_q <= 2'd0;
            page_q <= 1'b1;
            room_q <= 2'd2;
            write_q <= 16'd0;
        end else begin
            go_q <= go;
            done_q <= image_end;
            // go counts a cycle late, so that the counters are off its path
            can_q <= ready_q != 2'd0 && room_q != 2'd0 && !go && !go_q;
            ready_q <= ready_q + {1'b0, take_last} - {1'b0, go_q};
            used_q <= used_d;
            page_q <= used_d != 2'd2;
            room_q <= room_q + {1'b0, image_out} - {1'b0, go_q};
            if (go) run_q <= 1'b1;
            else if (image_end) run_q <= 1'b0;
            if (run_q) begin
                step_q <= step_d;
                plane_q <= plane_d;
                fold_q <= fold_d;
                base_q <= base_d;
                step_end_q <= step_end_d;
                fold_end_q <= fold_end_d;
                image_end_q <= fold_end_d && fold_d == FOLD_END[FOLD_W-1:0];
                addr_q <= step_end_q ? base_d : addr_q + 1'b1;
            end
            if (image_end) read_page_q <= !read_page_q;
            if (take) write_q <= s_axis_tlast ? 16'd0 : write_q + 16'd1;
            if (take_last) write_page_q <= !write_page_q;
        end
    end

    /* ---- flags, delayed to where the chain needs them ---- */
    wire starts = step_q == 0;
    wire is_pad = step_q == STEP_END[STEP_W-1:0];
    wire is_last = run_q && is_pad && plane_q == 0;
    wire is_double = starts && plane_q != PLANE_END[2:0];
    reg [2:0] pad_q;
    reg [COUNTING+2:0] keep_q;
    reg [COUNTING+2:0] double_q;
    reg [COUNTING+2:0] last_q;
    always @(posedge clk_i) begin
        pad_q <= {pad_q[1:0], is_pad};
        keep_q <= {keep_q[COUNTING+1:0], !starts};
        double_q <= {double_q[COUNTING+1:0], is_double};
        if (rst_i) last_q <= {(COUNTING + 3){1'b0}};
        else last_q <= {last_q[COUNTING+1:0], is_last};
    end

    /* ---- the host's requests ---- */
    reg cfg_valid_q;
    reg cfg_write_q;
    reg [15:0] cfg_bank_q;
    reg [15:0] cfg_addr_q;
    reg [63:0] cfg_data_q;
    reg w_we_q;
    reg w_re_q;
    reg t_we_q;
    reg t_re_q;
    reg [15:0] w_sel_q;
    reg [15:0] t_sel_q;
    reg [15:0] cfg_addr_q2;
    reg [63:0] cfg_data_q2;
    wire [15:0] w_sel = cfg_bank_q - FIRST_WEIGHTS[15:0];
    wire [15:0] t_sel = cfg_bank_q - FIRST_THRESHOLDS[15:0];
    wire w_mine = cfg_valid_q && w_sel < N_PE[15:0];
    wire t_mine = cfg_valid_q && t_sel < N_PE[15:0] && THRESHOLD_W > 0;
    always @(posedge clk_i) begin
        cfg_valid_q <= cfg_valid_i && !rst_i;
        cfg_write_q <= cfg_write_i;
        cfg_bank_q <= cfg_bank_i;
        cfg_addr_q <= cfg_addr_i;
        cfg_data_q <= cfg_data_i;
        w_we_q <= w_mine && cfg_write_q && !rst_i;
        w_re_q <= w_mine && !cfg_write_q && !rst_i;
        t_we_q <= t_mine && cfg_write_q && !rst_i;
        t_re_q <= t_mine && !cfg_write_q && !rst_i;
        w_sel_q <= w_sel;
        t_sel_q <= t_sel;
        cfg_addr_q2 <= cfg_addr_q;
        cfg_data_q2 <= cfg_data_q;
    end
    assign cfg_valid_o = cfg_valid_q;
    assign cfg_write_o = cfg_write_q;
    assign cfg_bank_o = cfg_bank_q;
    assign cfg_addr_o = cfg_addr_q;
    assign cfg_data_o = cfg_data_q;

    /* ---- two pages of input words ---- */
    localparam PAGES = 2 << PAGE_W;
    reg [15:0] page_read_q;
    wire [15:0] page_word = ({{(16 - STEP_W){1'b0}}, step_q} << PLANE_W)
                          | ((PLANES == 8) ? {13'd0, plane_q} : 16'd0);
    wire [15:0] page_write = ({15'd0, write_page_q} << PAGE_W) | write_q;
    wire [SIMD-1:0] page_data;
    always @(posedge clk_i) page_read_q <= ({15'd0, read_page_q} << PAGE_W) | page_word;
    stoic_ram #(
        .DEPTH(PAGES),
        .WIDTH(SIMD),
        .TARGET(TARGET)
    ) page (
        .clk_i(clk_i),
        .we_i(take),
        .waddr_i(page_write[PAGE_W:0]),
        .wdata_i(s_axis_tdata),
        .raddr_i(page_read_q[PAGE_W:0]),
        .flip_i({SIMD{1'b0}}),
        .rdata_o(page_data)
    );

    /* ---- head of the chain: the host's words ride on the path of the input words ---- */
    reg [ADDR_W-1:0] head_addr_q;
    reg [SIMD-1:0] head_data_q;
    reg [SEL_W-1:0] head_sel_q;
    reg head_we_q;
    reg head_re_q;
    always @(posedge clk_i) begin
        head_addr_q <= (w_we_q || w_re_q) ? cfg_addr_q2[ADDR_W-1:0] : addr_q;
        head_data_q <= cfg_data_q2[SIMD-1:0];
        head_sel_q <= w_sel_q[SEL_W-1:0];
        head_we_q <= w_we_q && !rst_i;
        head_re_q <= w_re_q && !rst_i;
    end

    genvar s;
    genvar g;
    generate
        for (s = 0; s <= STAGES; s = s + 1) begin : g_link
            /* up the chain */
            wire [ADDR_W-1:0] addr;
            wire [SIMD-1:0] x;
            wire pad;
            wire keep;
            wire twice;
            wire last;
            wire [SEL_W-1:0] sel;
            wire we;
            wire re;
            wire [SIMD-1:0] read;
            wire read_valid;
            /* down the chain */
            wire [GROUP*TOTAL_W-1:0] total;
            wire total_valid;
        end
    endgenerate

    assign g_link[0].addr = head_addr_q;
    assign g_link[0].x = head_we_q ? head_data_q : page_data;
    assign g_link[0].pad = pad_q[2];
    assign g_link[0].keep = keep_q[COUNTING+2];
    assign g_link[0].twice = double_q[COUNTING+2];
    assign g_link[0].last = last_q[COUNTING+2];
    assign g_link[0].sel = head_sel_q;
    assign g_link[0].we = head_we_q;
    assign g_link[0].re = head_re_q;
    assign g_link[0].read = {SIMD{1'b0}};
    assign g_link[0].read_valid = 1'b0;
    assign g_link[STAGES].total = {(GROUP * TOTAL_W){1'b0}};
    assign g_link[STAGES].total_valid = 1'b0;

    generate
        for (s = 0; s < STAGES; s = s + 1) begin : g_stage
            reg [ADDR_W-1:0] here_addr_q;
            reg [SIMD-1:0] here_x_q;
            reg here_pad_q;
            reg here_keep_q;
            reg here_double_q;
            reg here_last_q;
            reg here_last_q2;
            reg [SEL_W-1:0] here_sel_q;
            reg here_we_q;
            reg here_re_q;
            reg [SIMD-1:0] here_read_q;
            reg here_read_valid_q;
            reg [GROUP*TOTAL_W-1:0] here_total_q;
            reg here_total_valid_q;
            wire [GROUP*TOTAL_W-1:0] totals;
            wire [SIMD-1:0] reads;
            wire reads_valid;

            always @(posedge clk_i) begin
                here_addr_q <= g_link[s].addr;
                here_x_q <= g_link[s].x;
                here_pad_q <= g_link[s].pad;
                here_keep_q <= g_link[s].keep;
                here_double_q <= g_link[s].twice;
                here_sel_q <= g_link[s].sel;
                here_we_q <= g_link[s].we;
                here_re_q <= g_link[s].re && !rst_i;
                here_last_q <= g_link[s].last && !rst_i;
                here_last_q2 <= here_last_q && !rst_i;
                here_read_q <= g_link[s].read | reads;
                here_read_valid_q <= (g_link[s].read_valid || reads_valid) && !rst_i;
                here_total_q <= here_last_q2 ? totals : g_link[s+1].total;
                here_total_valid_q <= (here_last_q2 || g_link[s+1].total_valid) && !rst_i;
            end

            assign g_link[s+1].addr = here_addr_q;
            assign g_link[s+1].x = here_x_q;
            assign g_link[s+1].pad = here_pad_q;
            assign g_link[s+1].keep = here_keep_q;
            assign g_link[s+1].twice = here_double_q;
            assign g_link[s+1].last = here_last_q;
            assign g_link[s+1].sel = here_sel_q;
            assign g_link[s+1].we = here_we_q;
            assign g_link[s+1].re = here_re_q;
            assign g_link[s+1].read = here_read_q;
            assign g_link[s+1].read_valid = here_read_valid_q;
            assign g_link[s].total = here_total_q;
            assign g_link[s].total_valid = here_total_valid_q;

            for (g = 0; g <= GROUP; g = g + 1) begin : g_found
                wire [SIMD-1:0] read;  // what processing elements 0..g-1 of the stage answer
                wire valid;
            end
            assign g_found[0].read = {SIMD{1'b0}};
            assign g_found[0].valid = 1'b0;
            assign reads = g_found[GROUP].read;
            assign reads_valid = g_found[GROUP].valid;

            for (g = 0; g < GROUP; g = g + 1) begin : g_pe
                localparam [31:0] INDEX = s * GROUP + g;
                wire hit = here_sel_q == INDEX[SEL_W-1:0];
                wire [SIMD-1:0] weight;
                reg re_hit_q;
                reg re_hit_q2;
                always @(posedge clk_i) begin
                    re_hit_q <= here_re_q && hit && !rst_i;
                    re_hit_q2 <= re_hit_q && !rst_i;
                end
                assign g_found[g+1].read = g_found[g].read | (weight & {SIMD{re_hit_q2}});
                assign g_found[g+1].valid = g_found[g].valid || re_hit_q2;
                stoic_pe #(
                    .SIMD(SIMD),
                    .DEPTH(DEPTH),
                    .PAD(PAD),
                    .PLANES(PLANES),
                    .TOTAL_W(TOTAL_W),
                    .TARGET(TARGET)
                ) pe (
                    .clk_i(clk_i),
                    .addr_i(here_addr_q),
                    .we_i(here_we_q && hit),
                    .flip_i({SIMD{1'b0}}),
                    .weight_o(weight),
                    .x_i(here_x_q),
                    .pad_i(here_pad_q),
                    .keep_i(here_keep_q),
                    .double_i(here_double_q),
                    .total_o(totals[TOTAL_W*(g+1)-1:TOTAL_W*g])
                );
            end
        end
    endgenerate

    /* ---- foot of the chain: neuron (f, stage) of each of GROUP lanes ---- */
    reg [STAGE_W-1:0] at_stage_q;
    reg [FOLD_W-1:0] at_fold_q;
    reg [2:0] valid_q;
    reg [2:0] end_q;
    wire arrives = g_link[0].total_valid;
    wire top_stage = at_stage_q == STAGE_END[STAGE_W-1:0];
    wire top_fold = at_fold_q == FOLD_END[FOLD_W-1:0];
    wire ends = top_stage && top_fold;
    always @(posedge clk_i) begin
        end_q <= {end_q[1:0], ends};
        if (rst_i) begin
            at_stage_q <= {STAGE_W{1'b0}};
            at_fold_q <= {FOLD_W{1'b0}};
            valid_q <= 3'd0;
        end else begin
            valid_q <= {valid_q[1:0], arrives};
            if (arrives) begin
                at_stage_q <= top_stage ? {STAGE_W{1'b0}} : at_stage_q + 1'b1;
                if (top_stage) at_fold_q <= top_fold ? {FOLD_W{1'b0}} : at_fold_q + 1'b1;
            end
        end
    end

    /* U of the images on their way: at most two, as many as the FIFO has room for */
    wire [SUM_W-1:0] sum;
    generate
        if (PLANES == 8) begin : g_sum
            reg [SUM_W-1:0] page0_q;
            reg [SUM_W-1:0] page1_q;
            reg [SUM_W-1:0] sum0_q;
            reg [SUM_W-1:0] sum1_q;
            reg push_q;
            reg pop_q;
            wire [SUM_W-1:0] started = read_page_q ? page1_q : page0_q;
            always @(posedge clk_i) begin
                if (take_last && !write_page_q) page0_q <= s_axis_tuser;
                if (take_last && write_page_q) page1_q <= s_axis_tuser;
                if (go_q && !push_q) sum0_q <= started;
                if (go_q && push_q) sum1_q <= started;
                if (rst_i) begin
                    push_q <= 1'b0;
                    pop_q <= 1'b0;
                end else begin
                    if (go_q) push_q <= !push_q;
                    if (arrives && ends) pop_q <= !pop_q;
                end
            end
            assign sum = pop_q ? sum1_q : sum0_q;
        end else begin : g_no_sum
            assign sum = 1'b0;
        end
    endgenerate

    generate
        for (g = 0; g < GROUP; g = g + 1) begin : g_value
            wire [TOTAL_W-1:0] total = g_link[0].total[TOTAL_W*(g+1)-1:TOTAL_W*g];
            wire [VALUE_W-1:0] value;
            reg [VALUE_W-1:0] value_q;
            if (PLANES == 8) begin : g_signed
                assign value = {total, 1'b0} - {1'b0, sum};
            end else begin : g_unsigned
                assign value = total;
            end
            always @(posedge clk_i) value_q <= value;
        end
    endgenerate

    /* ---- thresholds and words of neurons, or sums ---- */
    wire word_valid;
    wire word_ready;
    wire [DATA_W-1:0] word;
    wire thresholds_valid;
    wire [63:0] thresholds_read;

    generate
        if (THRESHOLD_W > 0) begin : g_thresholds
            localparam TABLE = (STAGES > 1) ? STAGES << FOLD_W : N_FOLDS;
            localparam TABLE_W = (TABLE > 1) ? $clog2(TABLE) : 1;
            localparam COMPARE_W = ((THRESHOLD_W > VALUE_W) ? THRESHOLD_W : VALUE_W) + 1;
            localparam [31:0] GROUP_SIZE = GROUP;
            wire [15:0] place = ({{(16 - STAGE_W){1'b0}}, at_stage_q} << FOLD_W)
                              | {{(16 - FOLD_W){1'b0}}, at_fold_q};
            wire [15:0] host_place = ((t_sel_q / GROUP_SIZE[15:0]) << FOLD_W) | cfg_addr_q2;
            wire [15:0] host_lane = t_sel_q % GROUP_SIZE[15:0];
            wire [15:0] read_place = t_re_q ? host_place : place;
            wire [GROUP-1:0] fires;

            for (g = 0; g <= GROUP; g = g + 1) begin : g_found
                wire [THRESHOLD_W-1:0] read;
                wire valid;
            end
            assign g_found[0].read = {THRESHOLD_W{1'b0}};
            assign g_found[0].valid = 1'b0;

            for (g = 0; g < GROUP; g = g + 1) begin : g_lane
                localparam [31:0] LANE = g;
                wire mine = host_lane == LANE[15:0];
                wire [THRESHOLD_W-1:0] theta;
                reg [VALUE_W-1:0] value_q2;
                reg re_q;
                reg re_q2;
                reg fires_q;
                wire [COMPARE_W-1:0] a;
                wire [COMPARE_W-1:0] b;
                wire [COMPARE_W-1:0] difference = a - b;
                stoic_ram #(
                    .DEPTH(TABLE),
                    .WIDTH(THRESHOLD_W),
                    .TARGET(TARGET)
                ) ram (
                    .clk_i(clk_i),
                    .we_i(t_we_q && mine),
                    .waddr_i(host_place[TABLE_W-1:0]),
                    .wdata_i(cfg_data_q2[THRESHOLD_W-1:0]),
                    .raddr_i(read_place[TABLE_W-1:0]),
                    .flip_i({THRESHOLD_W{1'b0}}),
                    .rdata_o(theta)
                );
                if (PLANES == 8) begin : g_signed
                    assign a = {{(COMPARE_W - VALUE_W){value_q2[VALUE_W-1]}}, value_q2};
                    assign b = {{(COMPARE_W - THRESHOLD_W){theta[THRESHOLD_W-1]}}, theta};
                end else begin : g_unsigned
                    assign a = {{(COMPARE_W - VALUE_W){1'b0}}, value_q2};
                    assign b = {{(COMPARE_W - THRESHOLD_W){1'b0}}, theta};
                end
                always @(posedge clk_i) begin
                    value_q2 <= g_value[g].value_q;
                    fires_q <= !difference[COMPARE_W-1];
                    re_q <= t_re_q && mine && !rst_i;
                    re_q2 <= re_q && !rst_i;
                end
                assign fires[g] = fires_q;
                assign g_found[g+1].read = g_found[g].read | (theta & {THRESHOLD_W{re_q2}});
                assign g_found[g+1].valid = g_found[g].valid || re_q2;
            end
            assign thresholds_valid = g_found[GROUP].valid;
            assign thresholds_read = {{(64 - THRESHOLD_W){1'b0}}, g_found[GROUP].read};

            wire beat_ready;
            wire word_last;  // the same as counting the words below
            reg lost_q;
            reg overflow_q;
            stoic_width #(
                .IN_W(GROUP),
                .OUT_W(OUT_W),
                .N(M)
            ) width (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .s_axis_tdata(fires),
                .s_axis_tvalid(valid_q[2]),
                .s_axis_tready(beat_ready),
                .s_axis_tlast(end_q[2]),
                .m_axis_tdata(word),
                .m_axis_tvalid(word_valid),
                .m_axis_tready(word_ready),
                .m_axis_tlast(word_last)
            );
            always @(posedge clk_i) begin
                lost_q <= valid_q[2] && !beat_ready && !rst_i;
                overflow_q <= (overflow_q || lost_q) && !rst_i;
            end
            assign overflow_o = overflow_q;
        end else begin : g_sums
            localparam [31:0] LAST_REAL = (M - 1) % PE;
            reg real_q;
            reg lost_q;
            reg overflow_q;
            always @(posedge clk_i) begin
                real_q <= !top_fold || at_stage_q <= LAST_REAL[STAGE_W-1:0];
                lost_q <= word_valid && !word_ready && !rst_i;
                overflow_q <= (overflow_q || lost_q) && !rst_i;
            end
            assign word = g_value[0].value_q;
            assign word_valid = valid_q[0] && real_q;
            assign thresholds_valid = 1'b0;
            assign thresholds_read = 64'd0;
            assign overflow_o = overflow_q;
        end
    endgenerate

    /* ---- output FIFO: two images ---- */
    localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
    reg [WORD_W-1:0] word_q;
    wire leaves = m_axis_tvalid && m_axis_tready;
    stoic_fifo #(
        .DEPTH(FIFO_DEPTH),
        .WIDTH(DATA_W),
        .TARGET(TARGET)
    ) fifo (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata(word),
        .s_axis_tvalid(word_valid),
        .s_axis_tready(word_ready),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );
    assign m_axis_tlast = word_q == WORD_END[WORD_W-1:0];
    assign image_out = leaves && m_axis_tlast;
    always @(posedge clk_i) begin
        if (rst_i) word_q <= {WORD_W{1'b0}};
        else if (leaves) word_q <= m_axis_tlast ? {WORD_W{1'b0}} : word_q + 1'b1;
    end

    /* ---- answers to the host ---- */
    reg rvalid_q;
    reg [63:0] rdata_q;
    always @(posedge clk_i) begin
        rvalid_q <= (cfg_rvalid_i || g_link[STAGES].read_valid || thresholds_valid) && !rst_i;
        rdata_q <= cfg_rdata_i | {{(64 - SIMD){1'b0}}, g_link[STAGES].read} | thresholds_read;
    end
    assign cfg_rvalid_o = rvalid_q;
    assign cfg_rdata_o = rdata_q;
endmodule

`resetall
