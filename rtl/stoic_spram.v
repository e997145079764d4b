// SPDX-License-Identifier: Apache-2.0
// stoic_spram : single-port memory of 16384 words of 64 bits; on iCE40 the four blocks of a UP5K
//
//   rdata_o(t + 1) = mem[addr_i(t)]      while we_i is 0
//
// Latency:    1 cycle
// Throughput: one write or one read a cycle
// Encoding:   none; contents are never initialised, the host writes them
// Handshake:  none; never stalls
// Golden:     the memory itself
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_spram #(
    parameter TARGET = "generic"  // "ice40": SB_SPRAM256KA
) (
    input  wire        clk_i,
    input  wire        we_i,
    input  wire [13:0] addr_i,
    input  wire [63:0] wdata_i,
    output wire [63:0] rdata_o
);
    genvar k;
    generate
        if (TARGET == "ice40") begin : g_ice40
            for (k = 0; k < 4; k = k + 1) begin : g_block
                SB_SPRAM256KA block (
                    .CLOCK(clk_i),
                    .CHIPSELECT(1'b1),
                    .WREN(we_i),
                    .MASKWREN(4'hf),
                    .ADDRESS(addr_i),
                    .DATAIN(wdata_i[16*k+15:16*k]),
                    .DATAOUT(rdata_o[16*k+15:16*k]),
                    .STANDBY(1'b0),
                    .SLEEP(1'b0),
                    .POWEROFF(1'b1)
                );
            end
        end else begin : g_inferred
            reg [63:0] mem [0:16383];
            reg [63:0] data_q;
            always @(posedge clk_i) begin
                if (we_i) mem[addr_i] <= wdata_i;
                data_q <= mem[addr_i];
            end
            assign rdata_o = data_q;
        end
    endgenerate
endmodule

`resetall
