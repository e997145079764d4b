// SPDX-License-Identifier: Apache-2.0
// stoic_engine : dense binary layers one after another on 64 lanes, B images to a word of weights
//
//   for layer l, neuron j, step w, one a cycle:  P_j += popcount(XNOR(weights, activations of l))
//   y_j = (P_j >= theta_j), the activations of layer l + 1; P_j in the last layer of a member
//   out_c = sum over members of their P_c
//
// All weights stand in one single-port memory in the order in which they are read: one sweep of it
// serves B images. Hidden layers are whole words of 64 neurons. The members of an ensemble follow
// each other on the same lanes; each begins at the image and has as many classes as the others.
//
// Latency:    B images in sum of NEURONS * STEPS + 11 LAYERS + B * classes * members + 2 cycles
// Throughput: the same; the next images load meanwhile
// Encoding:   bit 1 is +1, bit 0 is -1, lane 0 is the LSB
// Handshake:  AXI4-Stream; in, beats of 16 lanes, 4 STEPS of layer 0 an image, lanes past the last
//             element do not count; out, one sum a beat, image after image, tlast ends one
// Golden:     stoic.sim.golden.fire, of last layers stoic.sim.golden.accumulate, added over members
//
//   activations of an image           words          thresholds: as layers follow each other
//   page p of the image               p * STEPS[0]   weights:    as layers follow each other,
//   inputs of layers not in FIRST     after that                 neuron by neuron, step by step
//   P_c of member m                   last, word c * members + m
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_engine #(
    parameter B       = 1,         // images, 1..64
    parameter LAYERS  = 2,         // of all members, 1..32
    parameter [16*LAYERS-1:0] STEPS   = {16'd1, 16'd13},    // words of a neuron, layer 0 lowest
    parameter [16*LAYERS-1:0] NEURONS = {16'd10, 16'd64},
    parameter [LAYERS-1:0] FIRST = 1,  // layers that read the image; before each ends a member
    parameter N       = 784,       // elements of an image
    parameter VALUE_W = 10,        // bits of the sums and thresholds of a layer, 7..16
    parameter SUM_W   = VALUE_W,   // bits of the sums of members; of several above VALUE_W, to 21
    parameter TARGET  = "generic"  // as in stoic_ram and stoic_spram
) (
    input  wire               clk_i,
    input  wire               rst_i,
    /* images in */
    input  wire [15:0]        s_axis_tdata,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    /* sums of the last layers out */
    output wire [SUM_W-1:0]   m_axis_tdata,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire               m_axis_tlast,
    /* host access, while no image is inside: weights or thresholds, at their place in the memory */
    input  wire               we_i,
    input  wire               re_i,
    input  wire               theta_i,  // 1: thresholds
    input  wire [13:0]        addr_i,
    input  wire [63:0]        data_i,
    output wire [63:0]        read_o,   // 2 cycles later
    output wire               read_valid_o
);
    localparam [31:0] STEPS_0 = {16'd0, STEPS[15:0]};
    localparam [31:0] CLASSES = {16'd0, NEURONS[16*LAYERS-1:16*LAYERS-16]};

    // words of activations before those of every layer; last, before the scores
    function [16*LAYERS+15:0] bases;
        input [15:0] begin_at;
        reg [15:0] next;
        integer l;
        begin
            next = begin_at;
            for (l = 0; l < LAYERS; l = l + 1) begin
                bases[16*l+:16] = FIRST[l] ? 16'd0 : next;
                if (!FIRST[l]) next = next + STEPS[16*l+:16];
            end
            bases[16*LAYERS+:16] = next;
        end
    endfunction

    function [31:0] n_members;
        input [31:0] none;
        integer l;
        begin
            n_members = none;
            for (l = 0; l < LAYERS; l = l + 1) n_members = n_members + {31'd0, FIRST[l]};
        end
    endfunction

    function [31:0] n_thresholds;
        input [LAYERS-1:0] ends;
        integer l;
        begin
            n_thresholds = 0;
            for (l = 0; l < LAYERS; l = l + 1)
                if (!ends[l]) n_thresholds = n_thresholds + {16'd0, NEURONS[16*l+:16]};
        end
    endfunction

    // members of other classes than the last
    function [31:0] n_odd;
        input [LAYERS-1:0] ends;
        integer l;
        begin
            n_odd = 0;
            for (l = 0; l < LAYERS; l = l + 1)
                if (ends[l] && {16'd0, NEURONS[16*l+:16]} != CLASSES) n_odd = n_odd + 1;
        end
    endfunction

    // the greatest of 16-bit values, 2 at least, so that a counter has a bit
    function [31:0] most;
        input [16*LAYERS-1:0] values;
        integer l;
        begin
            most = 2;
            for (l = 0; l < LAYERS; l = l + 1)
                if ({16'd0, values[16*l+:16]} > most) most = {16'd0, values[16*l+:16]};
        end
    endfunction

    function [16*LAYERS-1:0] less_two;
        input [16*LAYERS-1:0] values;
        integer l;
        begin
            for (l = 0; l < LAYERS; l = l + 1) less_two[16*l+:16] = values[16*l+:16] - 16'd2;
        end
    endfunction

    localparam [16*LAYERS-1:0] STEPS_LESS_TWO = less_two(STEPS);
    localparam [16*LAYERS-1:0] NEURONS_LESS_TWO = less_two(NEURONS);
    localparam [16*LAYERS+15:0] BASES = bases({STEPS[14:0], 1'b0});
    localparam [31:0] SCORES = {16'd0, BASES[16*LAYERS+:16]};
    localparam [LAYERS:0] BEGINS = {1'b1, FIRST};     // a member, or the end
    localparam [LAYERS-1:0] ENDS = BEGINS[LAYERS:1];  // last layers of members
    localparam [31:0] MEMBERS = n_members(0);
    localparam [31:0] TOLD = CLASSES * MEMBERS;  // sums of an image
    localparam DEPTH = 1 << $clog2(SCORES + TOLD);
    localparam X_W = $clog2(DEPTH);
    localparam N_THETA = (n_thresholds(ENDS) > 0) ? n_thresholds(ENDS) : 1;
    localparam THETA_W = (N_THETA > 1) ? $clog2(N_THETA) : 1;
    localparam LAYER_W = (LAYERS > 1) ? $clog2(LAYERS) : 1;
    localparam PAD = 64 * STEPS_0 - N;           // lanes of the last word of layer 0 past N
    localparam [3:0] DRAIN = 11;                 // cycles until the last neuron is stored
    localparam [63:0] REAL = {64{1'b1}} >> PAD;
    localparam FIFO_DEPTH = 2 << $clog2(B * CLASSES);
    localparam BEATS = 4 * STEPS_0;              // of an image
    localparam STEP_W = $clog2(most(STEPS));
    localparam NEURON_W = $clog2(most(NEURONS));
    localparam TOLD_W = (TOLD > 1) ? $clog2(TOLD) : 1;
    localparam BEAT_W = $clog2(BEATS);
    localparam OUT_W = (NEURON_W > TOLD_W) ? NEURON_W : TOLD_W;  // quarters of words, or scores
    localparam FACTS_W = 2 * X_W + STEP_W + NEURON_W + 3;
    localparam [B-1:0] IMAGE_0 = 1;
    localparam [31:0] LAST_LAYER = LAYERS - 1;
    localparam [31:0] BEFORE_LAST_TOLD = TOLD - 2;
    localparam [31:0] BEFORE_LAST_BEAT = BEATS - 2;

    generate
        if (B < 1 || B > 64 || LAYERS < 1 || LAYERS > 32 || VALUE_W < 7 || VALUE_W > 16)
        begin : g_illegal
            stoic_illegal_parameter ERROR_engine_needs_B_1_64_LAYERS_1_32_VALUE_W_7_16 ();
        end
        if ((MEMBERS > 1 ? SUM_W <= VALUE_W : SUM_W != VALUE_W) || SUM_W > 21) begin : g_sum
            stoic_illegal_parameter ERROR_engine_needs_SUM_W_VALUE_W_21 ();
        end
        if (!FIRST[0] || n_odd(ENDS) != 0) begin : g_odd
            stoic_illegal_parameter ERROR_engine_needs_FIRST_0_and_equal_classes ();
        end
    endgenerate

    /* images in: beat by beat, image by image, into the page that is free */
    reg [BEAT_W-1:0] beat_q;
    reg beat_end_q;       // this is the last beat of an image
    reg page_end_q;       // and that the last image of a page
    reg [B-1:0] turn_q;   // one-hot image
    reg fill_q;           // page
    reg load_q;           // a beat is written now
    reg [15:0] load_data_q;
    reg [X_W-1:0] load_addr_q;
    reg [3:0] load_quarter_q;
    reg [B-1:0] load_image_q;
    reg [1:0] used_q;     // pages that are full
    reg ready_q;          // a page is free, and no neurons are written in the cycle after the next
    wire hold;            // they are in the one after that
    wire done;            // a page was worked off
    assign s_axis_tready = ready_q;
    wire take = s_axis_tvalid && s_axis_tready;
    wire ends = take && page_end_q;
    wire [31:0] beat = {{(32 - BEAT_W){1'b0}}, beat_q};
    wire [31:0] load_word = (fill_q ? STEPS_0 : 32'd0) + (beat >> 2);
    wire [1:0] used_d = used_q + {1'b0, ends} - {1'b0, done};
    genvar k;
    generate
        for (k = 0; k < 16; k = k + 1) begin : g_beat
            // a beat is all real up to FULL, has its first REST lanes real there, and none above
            localparam [31:0] FULL = N / 16;
            localparam REST = N % 16;
            wire is_real = beat < FULL || (beat == FULL && k < REST);
            always @(posedge clk_i) load_data_q[k] <= s_axis_tdata[k] && is_real;
        end
    endgenerate
    always @(posedge clk_i) begin
        load_addr_q <= load_word[X_W-1:0];
        load_quarter_q <= 4'd1 << beat_q[1:0];
        load_image_q <= turn_q;
        if (rst_i) begin
            beat_q <= {BEAT_W{1'b0}};
            beat_end_q <= 1'b0;
            page_end_q <= 1'b0;
            turn_q <= IMAGE_0;
            fill_q <= 1'b0;
            load_q <= 1'b0;
            used_q <= 2'd0;
            ready_q <= 1'b0;
        end else begin
            load_q <= take;
            used_q <= used_d;
            ready_q <= !used_d[1] && !hold;
            if (take) begin
                beat_q <= beat_end_q ? {BEAT_W{1'b0}} : beat_q + 1'b1;
                beat_end_q <= !beat_end_q && beat == BEFORE_LAST_BEAT;
                page_end_q <= !beat_end_q && beat == BEFORE_LAST_BEAT && turn_q[B-1];
                if (beat_end_q) turn_q <= turn_q[B-1] ? IMAGE_0 : turn_q << 1;
                if (page_end_q) fill_q <= !fill_q;
            end
        end
    end

    /* the sweep; every flag is found out a cycle ahead */
    reg run_q;
    reg wait_q;                 // for the last neurons of a layer, or for scores to leave
    reg tell_q;                 // scores are read
    reg page_q;
    reg [LAYER_W-1:0] layer_q;
    reg last_layer_q;
    wire ends_member;           // this layer does, its sums are scores
    wire [OUT_W-1:0] start;     // where the first of them goes, 0 in layers of neurons
    reg [STEP_W-1:0] step_q;
    reg keep_q;                 // this is not step 0
    reg step_end_q;
    reg [NEURON_W-1:0] neuron_q;
    reg neuron_end_q;
    reg [3:0] wait_for_q;
    reg wait_end_q;             // over, but for scores that have to leave
    reg [13:0] weight_q;        // address
    reg [TOLD_W-1:0] class_q;   // class by class, member by member
    reg class_end_q;
    reg [B-1:0] told_q;         // one-hot image whose scores are read
    reg done_q;
    reg idle_q;
    wire layer_end = run_q && step_end_q && neuron_end_q;
    assign done = done_q;
    wire empty;                 // all scores have left
    wire leaves = wait_q && wait_end_q;          // the layer is stored
    wire told = tell_q && class_end_q && told_q[B-1];
    // what is known of a layer; the tables of several members take a cycle, long before it is asked
    reg [LAYER_W-1:0] next_q;   // the layer whose neurons are stored
    wire [FACTS_W-1:0] table_of = {
        BASES[16*layer_q+:X_W], BASES[16*next_q+16+:X_W],
        STEPS_LESS_TWO[16*layer_q+:STEP_W], NEURONS_LESS_TWO[16*layer_q+:NEURON_W],
        STEPS[16*layer_q+:16] == 16'd1, NEURONS[16*layer_q+:16] == 16'd1, FIRST[layer_q]
    };
    wire [FACTS_W-1:0] facts;
    wire [X_W-1:0] x_base;
    wire [X_W-1:0] out_base;
    wire [STEP_W-1:0] before_end;
    wire [NEURON_W-1:0] before_last;
    wire one_step;
    wire one_neuron;
    wire first;
    assign {x_base, out_base, before_end, before_last, one_step, one_neuron, first} = facts;
    always @(posedge clk_i) begin
        done_q <= told && !rst_i;
        if (rst_i) begin
            idle_q <= 1'b1;
            run_q <= 1'b0;
            wait_q <= 1'b0;
            tell_q <= 1'b0;
        end else begin
            idle_q <= told || (idle_q && (used_q == 2'd0 || done_q));
            run_q <= (idle_q && used_q != 2'd0 && !done_q) || (run_q && !layer_end)
                  || (leaves && !last_layer_q);
            wait_q <= layer_end || (wait_q && !wait_end_q)
                   || (leaves && last_layer_q && !empty);
            tell_q <= (leaves && last_layer_q && empty) || (tell_q && !told);
        end
    end
    // to the start of a layer
    always @(posedge clk_i) begin
        if (rst_i || idle_q) begin
            layer_q <= {LAYER_W{1'b0}};
            weight_q <= 14'd0;
            last_layer_q <= LAYERS == 1;
        end else begin
            if (layer_end && !last_layer_q) layer_q <= layer_q + 1'b1;
            if (run_q) weight_q <= weight_q + 14'd1;
            if (leaves) last_layer_q <= {{(32 - LAYER_W){1'b0}}, layer_q} == LAST_LAYER;
        end
        if (rst_i) page_q <= 1'b0;
        else if (done_q) page_q <= !page_q;
    end
    // the members of an ensemble
    generate
        if (MEMBERS == 1) begin : g_one
            assign ends_member = last_layer_q;
            assign start = {OUT_W{1'b0}};
            assign facts = table_of;
        end else begin : g_members
            reg ends_q;
            reg [OUT_W-1:0] member_q;
            reg [FACTS_W-1:0] facts_q;
            always @(posedge clk_i) begin
                facts_q <= table_of;
                if (rst_i || idle_q) ends_q <= ENDS[0];
                else if (leaves) ends_q <= ENDS[layer_q];
                if (rst_i) member_q <= {OUT_W{1'b0}};
                else if (layer_end && ends_q)
                    member_q <= last_layer_q ? {OUT_W{1'b0}} : member_q + 1'b1;
            end
            assign ends_member = ends_q;
            assign start = member_q & {OUT_W{ends_q}};
            assign facts = facts_q;
        end
    endgenerate
    // the steps of a layer
    always @(posedge clk_i) begin
        if (rst_i || idle_q) begin
            keep_q <= 1'b0;
            step_q <= {STEP_W{1'b0}};
            step_end_q <= STEPS_0 == 1;
            neuron_q <= {NEURON_W{1'b0}};
            neuron_end_q <= NEURONS[15:0] == 1;
        end else if (run_q) begin
            keep_q <= !step_end_q;
            step_q <= step_end_q ? {STEP_W{1'b0}} : step_q + 1'b1;
            step_end_q <= one_step || (!step_end_q && step_q == before_end);
            if (step_end_q) begin
                neuron_q <= neuron_end_q ? {NEURON_W{1'b0}} : neuron_q + 1'b1;
                neuron_end_q <= !neuron_end_q && neuron_q == before_last;
            end
        end else begin
            step_end_q <= one_step;
            neuron_end_q <= one_neuron;
        end
    end
    // until it is stored
    always @(posedge clk_i) begin
        wait_for_q <= run_q ? DRAIN : wait_for_q - 4'd1;
        wait_end_q <= wait_q && !rst_i
                   && (wait_end_q ? last_layer_q && !empty : wait_for_q == 4'd2);
    end
    // scores
    always @(posedge clk_i) begin
        if (rst_i) begin
            class_q <= {TOLD_W{1'b0}};
            class_end_q <= TOLD == 1;
            told_q <= IMAGE_0;
        end else if (tell_q) begin
            class_q <= class_end_q ? {TOLD_W{1'b0}} : class_q + 1'b1;
            class_end_q <= TOLD == 1
                        || (!class_end_q && class_q == BEFORE_LAST_TOLD[TOLD_W-1:0]);
            if (class_end_q) told_q <= told_q[B-1] ? IMAGE_0 : told_q << 1;
        end
    end

    /* addresses, the host's when nothing runs; what is told of a word waits for its count */
    wire [13:0] addr = (we_i || re_i) ? addr_i : weight_q;
    reg [X_W-1:0] x_addr_q;
    reg [8:0] last_q;           // the word ends a neuron, 1 .. 9 cycles ago
    reg [7:0] keep_line_q;
    reg pad_q;
    wire [31:0] x_page = (first && page_q) ? STEPS_0 : 32'd0;
    wire [31:0] x_word = tell_q ? SCORES + {{(32 - TOLD_W){1'b0}}, class_q}
                       : {{(32 - X_W){1'b0}}, x_base} + x_page + {{(32 - STEP_W){1'b0}}, step_q};
    always @(posedge clk_i) begin
        x_addr_q <= x_word[X_W-1:0];
        keep_line_q <= {keep_line_q[6:0], keep_q};
        pad_q <= step_end_q && first && run_q;
        if (rst_i) last_q <= 9'd0;
        else last_q <= {last_q[7:0], run_q && step_end_q};
    end

    /* the host reads */
    reg [1:0] read_q;
    reg [1:0] read_theta_q;     // a threshold

    /* weights, lanes past the fan-in read as 1, which the zeros of the image do not meet */
    wire [63:0] stored;
    reg [63:0] weights_q;
    stoic_spram #(
        .TARGET(TARGET)
    ) spram (
        .clk_i(clk_i),
        .we_i(we_i && !theta_i && !rst_i),
        .addr_i(addr),
        .wdata_i(data_i),
        .rdata_o(stored)
    );
    always @(posedge clk_i)
        weights_q <= (stored | (~REAL & {64{pad_q}})) & {64{!read_theta_q[0]}};

    /* thresholds, in the order of the neurons */
    reg [THETA_W-1:0] theta_addr_q;
    wire [VALUE_W-1:0] theta;
    wire [THETA_W-1:0] theta_at = re_i ? addr_i[THETA_W-1:0] : theta_addr_q;
    stoic_ram #(
        .DEPTH(N_THETA),
        .WIDTH(VALUE_W),
        .TARGET(TARGET)
    ) thresholds (
        .clk_i(clk_i),
        .we_i(we_i && theta_i && !rst_i),
        .waddr_i(addr_i[THETA_W-1:0]),
        .wdata_i(data_i[VALUE_W-1:0]),
        .raddr_i(theta_at),
        .flip_i({VALUE_W{1'b0}}),
        .clear_i(1'b0),
        .hold_i(1'b0),
        .rdata_o(theta)
    );
    always @(posedge clk_i) begin
        if (rst_i || done_q) theta_addr_q <= {THETA_W{1'b0}};
        else if (last_q[6] && !ends_member) theta_addr_q <= theta_addr_q + 1'b1;
    end

    /* the answer: the word of weights, or a threshold in its place */
    always @(posedge clk_i) begin
        read_q <= {read_q[0], re_i} & {2{!rst_i}};
        read_theta_q <= {read_theta_q[0], re_i && theta_i};
    end
    assign read_o = weights_q
                  | {{(64 - VALUE_W){1'b0}}, theta & {VALUE_W{read_theta_q[1]}}};
    assign read_valid_o = read_q[1];

    /* neurons to quarters of words, and where they go */
    reg [3:0] place_q;          // of the next neuron in a quarter
    reg [OUT_W-1:0] out_q;      // quarter of the input of the next layer, or score
    reg write_q;
    reg [X_W-1:0] write_addr_q;
    reg [3:0] write_quarter_q;
    reg shift_q;
    reg fresh_q;                // the neurons of a layer are all stored
    wire [31:0] out = {{(32 - OUT_W){1'b0}}, out_q};
    wire full = &place_q;       // with it
    wire [31:0] out_word = ends_member ? SCORES + out
                         : {{(32 - X_W){1'b0}}, out_base} + (out >> 2);
    assign hold = last_q[8];
    always @(posedge clk_i) begin
        write_addr_q <= out_word[X_W-1:0];
        write_quarter_q <= ends_member ? 4'd1 : 4'd1 << out_q[1:0];
        if (run_q) next_q <= layer_q;
        if (rst_i) begin
            place_q <= 4'd0;
            out_q <= {OUT_W{1'b0}};
            write_q <= 1'b0;
            shift_q <= 1'b0;
            fresh_q <= 1'b0;
        end else begin
            shift_q <= last_q[8];
            write_q <= shift_q && (full || ends_member);
            fresh_q <= leaves;
            if (fresh_q) begin
                place_q <= 4'd0;
                out_q <= start;
            end else if (shift_q) begin
                place_q <= place_q + 4'd1;
                if (ends_member) out_q <= out_q + MEMBERS[OUT_W-1:0];
                else if (full) out_q <= out_q + 1'b1;
            end
        end
    end

    /* images */
    reg [X_W-1:0] waddr_q;
    always @(posedge clk_i) waddr_q <= write_q ? write_addr_q : load_addr_q;
    wire [B*VALUE_W-1:0] scores;
    genvar b;
    generate
        for (b = 0; b < B; b = b + 1) begin : g_image
            wire [3:0] loads = load_quarter_q & {4{load_q && load_image_q[b]}};
            stoic_engine_image #(
                .DEPTH(DEPTH),
                .VALUE_W(VALUE_W),
                .TARGET(TARGET)
            ) image (
                .clk_i(clk_i),
                .we_i(loads | (write_quarter_q & {4{write_q}})),
                .waddr_i(waddr_q),
                .load_i(!write_q),
                .load_data_i(load_data_q),
                .raddr_i(x_addr_q),
                .score_o(scores[VALUE_W*(b+1)-1:VALUE_W*b]),
                .weights_i(weights_q),
                .keep_i(keep_line_q[7]),
                .theta_i(theta),
                .shift_i(shift_q),
                .score_i(ends_member)
            );
        end
    endgenerate

    /* scores out */
    reg [2:0] telling_q;
    reg [2:0] tell_last_q;
    reg [B-1:0] teller_q;
    reg [B-1:0] teller_q2;
    reg [VALUE_W-1:0] told_score_q;
    generate
        for (b = 0; b <= B; b = b + 1) begin : g_told
            wire [VALUE_W-1:0] score;  // of the image that is told, among images 0..b-1
        end
        for (b = 0; b < B; b = b + 1) begin : g_tell
            wire [VALUE_W-1:0] score = scores[VALUE_W*(b+1)-1:VALUE_W*b];
            assign g_told[b+1].score = g_told[b].score | (score & {VALUE_W{teller_q2[b]}});
        end
    endgenerate
    assign g_told[0].score = {VALUE_W{1'b0}};
    always @(posedge clk_i) begin
        teller_q <= told_q;
        teller_q2 <= teller_q;
        told_score_q <= g_told[B].score;
        tell_last_q <= {tell_last_q[1:0], class_end_q};
        if (rst_i) telling_q <= 3'd0;
        else telling_q <= {telling_q[1:0], tell_q};
    end
    wire [SUM_W-1:0] sum;
    wire sum_valid;
    wire sum_last;
    generate
        if (MEMBERS == 1) begin : g_single
            assign sum_valid = telling_q[2];
            assign sum = told_score_q;
            assign sum_last = tell_last_q[2];
        end else begin : g_added
            stoic_engine_members #(
                .MEMBERS(MEMBERS),
                .VALUE_W(VALUE_W),
                .SUM_W(SUM_W)
            ) members (
                .clk_i(clk_i),
                .rst_i(rst_i),
                .valid_i(telling_q[2]),
                .score_i(told_score_q),
                .last_i(tell_last_q[2]),
                .valid_o(sum_valid),
                .sum_o(sum),
                .last_o(sum_last)
            );
        end
    endgenerate
    wire room;
    stoic_fifo #(
        .DEPTH(FIFO_DEPTH),
        .WIDTH(SUM_W + 1),
        .TARGET(TARGET)
    ) fifo (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata({sum_last, sum}),
        .s_axis_tvalid(sum_valid),
        .s_axis_tready(room),  // always: it holds all scores of B images twice
        .m_axis_tdata({m_axis_tlast, m_axis_tdata}),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready)
    );
    reg empty_q;
    always @(posedge clk_i) empty_q <= !m_axis_tvalid;
    assign empty = empty_q;
endmodule

`resetall
