// SPDX-License-Identifier: Apache-2.0
// identity_rules : what a unit owes that hands words on as they are
//
// One word is watched, and which one is arbitrary, so what is shown of it is shown of all: it
// leaves behind just those that were inside before it, unchanged. Words inside are never more than
// CAPACITY, and none leaves that did not come. A word that is inside is offered LATENCY cycles
// after it came or after the one before it left, and a unit that is not full takes the next one
// within REFILL cycles: nothing the sink or the source does can stop it.
module identity_rules #(
    parameter WIDTH    = 2,
    parameter CAPACITY = 2,
    parameter LATENCY  = 1,  // exact, from an empty unit
    parameter REFILL   = 1   // bound
) (
    input wire             clk_i,
    input wire             rst_i,
    input wire             watch_i,  // free: watch the word that comes in now
    input wire [WIDTH-1:0] s_tdata,
    input wire             s_tvalid,
    input wire             s_tready,
    input wire [WIDTH-1:0] m_tdata,
    input wire             m_tvalid,
    input wire             m_tready
);
    wire come = s_tvalid && s_tready;
    wire leave = m_tvalid && m_tready;

    reg [7:0] inside_q = 8'd0;     // words
    reg [7:0] ahead_q;             // of them before the watched one
    reg watched_q = 1'b0;          // it is inside
    reg [WIDTH-1:0] word_q;        // what it is
    reg [3:0] waiting_q = 4'd0;    // cycles in which a word was inside and none was offered
    reg [3:0] refused_q = 4'd0;    // cycles in which there was room and none was taken
    reg [3:0] alone_q = 4'd15;     // cycles since a word came into the empty unit
    always @(posedge clk_i) begin
        if (rst_i) begin
            inside_q <= 8'd0;
            watched_q <= 1'b0;
            waiting_q <= 4'd0;
            refused_q <= 4'd0;
            alone_q <= 4'd15;
        end else begin
            inside_q <= inside_q + come - leave;
            if (!watched_q && watch_i && come) begin
                watched_q <= 1'b1;
                word_q <= s_tdata;
                ahead_q <= inside_q - leave;
            end else if (watched_q && leave) begin
                ahead_q <= ahead_q - 8'd1;
                if (ahead_q == 8'd0) watched_q <= 1'b0;
            end
            waiting_q <= (inside_q != 8'd0 && !m_tvalid) ? waiting_q + 4'd1 : 4'd0;
            refused_q <= (inside_q < CAPACITY && !s_tready) ? refused_q + 4'd1 : 4'd0;
            if (come && inside_q == 8'd0) alone_q <= 4'd1;
            else if (alone_q != 4'd15) alone_q <= alone_q + 4'd1;
        end
    end

    always @* begin
        assert (inside_q <= CAPACITY);
        if (m_tvalid) assert (inside_q != 8'd0);
        if (watched_q) assert (ahead_q < inside_q);
        if (watched_q && ahead_q == 8'd0 && m_tvalid) assert (m_tdata == word_q);
        assert (waiting_q < LATENCY);
        assert (refused_q <= REFILL);
        if (alone_q < LATENCY) assert (!m_tvalid);
        if (alone_q == LATENCY) assert (m_tvalid);
        cover (watched_q && ahead_q == CAPACITY - 1);
        cover (watched_q && ahead_q == 8'd0 && leave && inside_q == CAPACITY);
    end
endmodule
