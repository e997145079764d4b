// SPDX-License-Identifier: Apache-2.0
// stoic_ram : every memory of the kit: one write port, one read port, one injection point
//
//   read = mem[raddr_i(t)]
//   rdata_o(t + LATENCY) = read                                                     FAULT_EN 0
//                          flip_i(t + LATENCY) ^ read                               FAULT_EN 1
//                          read & ~flip_i[high half] | ~read & flip_i[low half]     FAULT_EN 2
//   read = 0 where clear_i(t + 1) is 1, at LATENCY 2 alone
//   rdata_o(t + 1) = rdata_o(t), flips apart, where hold_i(t) is 1, at LATENCY 1 alone
//
// Latency:    LATENCY cycles, 2 = memory and output register, 1 = memory alone (FIFOs)
// Throughput: one write and one read a cycle; a read of a word in the cycle of its write, at LATENCY 2
//             also a cycle later, returns either value
// Encoding:   none; contents are never initialised, the host writes them
// Handshake:  none; never stalls
// Golden:     stoic.sim.faults.FaultMap.read (what comes back when the memory lies)
//
//   TARGET      small                      large
//   "generic"   inferred                   inferred
//   "ice40"     LATENCY 1, up to 8 words:  block RAM 256 x 16, inferred
//               registers
//   "ecp5"      up to 64 cells of 16 x 4:  PDPW16KD 512 x 36 with its own output register, tiled
//               distributed RAM            (LATENCY 1: inferred)
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_ram #(
    parameter DEPTH    = 512,        // words, 1..65536
    parameter WIDTH    = 36,         // bits of a word, 1..64
    parameter LATENCY  = 2,          // cycles from address to data, 1 or 2
    parameter TARGET   = "generic",  // "generic", "ecp5" or "ice40"
    parameter FAULT_EN = 0,          // 1: what reads wrong; 2: stored 0s that read 1, above them
                                     // stored 1s that read 0; 0: no logic at all
    parameter ADDR_W   = (DEPTH > 1) ? $clog2(DEPTH) : 1,        // derived: do not override
    parameter FLIP_W   = (FAULT_EN == 2) ? 2 * WIDTH : WIDTH     // derived: do not override
) (
    input  wire              clk_i,
    /* write port */
    input  wire              we_i,
    input  wire [ADDR_W-1:0] waddr_i,
    input  wire [WIDTH-1:0]  wdata_i,
    /* read port */
    input  wire [ADDR_W-1:0] raddr_i,
    input  wire [FLIP_W-1:0] flip_i,
    input  wire              clear_i,
    input  wire              hold_i,
    output wire [WIDTH-1:0]  rdata_o,
    output wire [WIDTH-1:0]  clean_o   // the same without faults
);
    // 64 cells of distributed RAM take as much of a 25K's logic as a block is of its block RAM; a UP5K
    // has a block RAM for every 176 logic cells: registers serve the small FIFOs alone
    localparam LUT_CELLS = ((DEPTH + 15) / 16) * ((WIDTH + 3) / 4);
    localparam IS_SMALL = (TARGET == "ecp5") ? LUT_CELLS <= 64
                        : (TARGET == "ice40") ? LATENCY == 1 && DEPTH <= 8 : 0;
    localparam STYLE = !IS_SMALL ? "auto" : (TARGET == "ecp5") ? "distributed" : "logic";

    wire [WIDTH-1:0] read;

    generate
        if (DEPTH < 1 || DEPTH > 65536 || WIDTH < 1 || WIDTH > 64 || LATENCY < 1 || LATENCY > 2)
        begin : g_illegal
            stoic_illegal_parameter ERROR_ram_needs_DEPTH_1_65536_WIDTH_1_64_LATENCY_1_2 ();
        end
    endgenerate

    generate
        if (TARGET == "ecp5" && IS_SMALL && LATENCY == 2) begin : g_lut
            stoic_ram_lut #(
                .DEPTH(DEPTH),
                .WIDTH(WIDTH)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_i),
                .waddr_i(waddr_i),
                .wdata_i(wdata_i),
                .raddr_i(raddr_i),
                .clear_i(clear_i),
                .rdata_o(read)
            );
        end else if (TARGET == "ecp5" && LATENCY == 2) begin : g_block
            stoic_ram_ecp5 #(
                .DEPTH(DEPTH),
                .WIDTH(WIDTH)
            ) ram (
                .clk_i(clk_i),
                .we_i(we_i),
                .waddr_i(waddr_i),
                .wdata_i(wdata_i),
                .raddr_i(raddr_i),
                .clear_i(clear_i),
                .rdata_o(read)
            );
        end else begin : g_inferred
            (* ram_style = STYLE *) (* no_rw_check *) reg [WIDTH-1:0] mem [0:DEPTH-1];
            reg [WIDTH-1:0] data_q;
            always @(posedge clk_i) begin
                if (we_i) mem[waddr_i] <= wdata_i;
                if (LATENCY == 2 || !hold_i) data_q <= mem[raddr_i];
            end
            if (LATENCY == 2) begin : g_output
                reg [WIDTH-1:0] data_q2;
                always @(posedge clk_i)
                    if (clear_i) data_q2 <= {WIDTH{1'b0}};
                    else data_q2 <= data_q;
                assign read = data_q2;
            end else begin : g_direct
                assign read = data_q;
            end
        end
    endgenerate

    assign clean_o = read;
    generate
        if (FAULT_EN == 2) begin : g_faults
            assign rdata_o = (read & ~flip_i[FLIP_W-1:FLIP_W-WIDTH]) | (~read & flip_i[WIDTH-1:0]);
        end else if (FAULT_EN == 1) begin : g_fault
            assign rdata_o = read ^ flip_i;
        end else begin : g_no_fault
            assign rdata_o = read;
        end
    endgenerate
endmodule

`resetall
