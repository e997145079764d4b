// SPDX-License-Identifier: Apache-2.0
// stoic_ram_lut : memory of distributed RAM, rows of 16 words
//
//   rdata_o(t + 2) = clear_i(t + 1) ? 0 : mem[raddr_i(t)]
//
// Every row has its own write enable and its own output, both in registers, so that between two
// registers there is either a row or the choice among rows.
//
// Latency:    2 cycles to read; a write is there for reads from 2 cycles after it on
// Throughput: one write and one read a cycle
// Encoding:   none
// Handshake:  none; never stalls
// Golden:     the memory itself; checked as part of stoic_ram
//
//   address bits [3:0] inside a row, higher bits choose the row
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_ram_lut #(
    parameter DEPTH  = 64,  // words, 1..65536
    parameter WIDTH  = 36,  // bits of a word, 1..64
    parameter ADDR_W = (DEPTH > 1) ? $clog2(DEPTH) : 1  // derived: do not override
) (
    input  wire              clk_i,
    /* write port */
    input  wire              we_i,
    input  wire [ADDR_W-1:0] waddr_i,
    input  wire [WIDTH-1:0]  wdata_i,
    /* read port */
    input  wire [ADDR_W-1:0] raddr_i,
    input  wire              clear_i,
    output wire [WIDTH-1:0]  rdata_o
);
    localparam ROWS = (DEPTH + 15) / 16;

    wire [16:0] waddr = {{(17 - ADDR_W){1'b0}}, waddr_i};
    wire [16:0] raddr = {{(17 - ADDR_W){1'b0}}, raddr_i};
    reg [3:0] waddr_q;
    reg [WIDTH-1:0] wdata_q;
    reg [WIDTH-1:0] rdata_q;
    always @(posedge clk_i) begin
        waddr_q <= waddr[3:0];
        wdata_q <= wdata_i;
    end

    genvar r;
    generate
        for (r = 0; r <= ROWS; r = r + 1) begin : g_link
            wire [WIDTH-1:0] read;  // what rows 0..r-1 read, the chosen one alone
        end
    endgenerate
    assign g_link[0].read = {WIDTH{1'b0}};

    generate
        for (r = 0; r < ROWS; r = r + 1) begin : g_row
            localparam [31:0] ROW = r;
            (* ram_style = "distributed" *) (* no_rw_check *) reg [WIDTH-1:0] mem [0:15];
            reg [WIDTH-1:0] data_q;
            reg we_q;
            reg mine_q;
            always @(posedge clk_i) begin
                we_q <= we_i && waddr[16:4] == ROW[12:0];
                mine_q <= raddr[16:4] == ROW[12:0];
                if (we_q) mem[waddr_q] <= wdata_q;
                data_q <= mem[raddr[3:0]];
            end
            assign g_link[r+1].read = g_link[r].read | (data_q & {WIDTH{mine_q}});
        end
    endgenerate

    always @(posedge clk_i)
        if (clear_i) rdata_q <= {WIDTH{1'b0}};
        else rdata_q <= g_link[ROWS].read;
    assign rdata_o = rdata_q;
endmodule

`resetall
