// SPDX-License-Identifier: Apache-2.0
//
// stoic_link_pages : a ring of pages between receiver and executor
//
//   The receiver fills one page while the executor reads another, oldest first. A page holds a
//   frame from its length field to the end of its payload:
//
//     +0 length, low | +1 length, high | +2 sequence number | +3 command | +4 payload ...
//
// Latency    3 cycles from commit_i to the first byte.
// Throughput one byte a cycle in, one byte a cycle out.
// Encoding   status as stoic_link_rx gives it, valid with the bytes of its page.
// Handshake  m_axis gives the oldest page from +0 on until free_i; bytes past the frame mean
//            nothing.
// Golden     tests/test_rtl_link.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_link_pages #(
    parameter PAGES_W = 1,  // log2 of the number of pages, 1..6
    parameter PAGE_W  = 10  // log2 of the bytes of a page, 5..16
) (
    input  wire              clk_i,
    input  wire              rst_i,
    /* receiver */
    input  wire              we_i,
    input  wire [PAGE_W-1:0] waddr_i,
    input  wire [7:0]        wdata_i,
    input  wire              commit_i,
    input  wire [1:0]        status_i,
    output wire              full_o,
    /* executor */
    output wire [7:0]        m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,
    output wire [1:0]        status_o,
    output wire              empty_o,
    input  wire              free_i
);

    // no page is read while it is written, so the memory need not say what a collision gives
    (* ram_style = "block" *) (* no_rw_check *)
    reg [7:0] bytes_q [0:(1 << (PAGES_W + PAGE_W)) - 1];
    reg [1:0] status_q [0:(1 << PAGES_W) - 1];

    reg [PAGES_W:0]  write_q, read_q;  // one bit more than a page number: full and empty differ
    reg [PAGE_W-1:0] offset_q;
    reg [7:0]        fetched_q, data_q;
    reg              fetched_valid_q, valid_q;
    reg              empty_q;

    wire take  = !valid_q || m_axis_tready;
    wire fetch = !fetched_valid_q || take;

    always @(posedge clk_i)
        if (we_i)
            bytes_q[{write_q[PAGES_W-1:0], waddr_i}] <= wdata_i;

    always @(posedge clk_i)
        if (fetch)
            fetched_q <= bytes_q[{read_q[PAGES_W-1:0], offset_q}];

    always @(posedge clk_i) begin
        if (commit_i)
            status_q[write_q[PAGES_W-1:0]] <= status_i;
        if (take)
            data_q <= fetched_q;
    end

    always @(posedge clk_i) begin
        empty_q <= write_q == read_q || free_i;
        if (commit_i)
            write_q <= write_q + 1'b1;
        if (fetch) begin
            fetched_valid_q <= !empty_q;
            if (!empty_q)
                offset_q <= offset_q + 1'b1;
        end
        if (take)
            valid_q <= fetched_valid_q;
        if (free_i) begin
            read_q          <= read_q + 1'b1;
            offset_q        <= {PAGE_W{1'b0}};
            fetched_valid_q <= 1'b0;
            valid_q         <= 1'b0;
        end
        if (rst_i) begin
            write_q         <= {(PAGES_W + 1){1'b0}};
            read_q          <= {(PAGES_W + 1){1'b0}};
            offset_q        <= {PAGE_W{1'b0}};
            fetched_valid_q <= 1'b0;
            valid_q         <= 1'b0;
            empty_q         <= 1'b1;
        end
    end

    assign full_o        = write_q == {~read_q[PAGES_W], read_q[PAGES_W-1:0]};
    assign m_axis_tdata  = data_q;
    assign m_axis_tvalid = valid_q;
    assign status_o      = status_q[read_q[PAGES_W-1:0]];
    assign empty_o       = write_q == read_q;

endmodule
`resetall
