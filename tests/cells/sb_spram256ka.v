// SPDX-License-Identifier: Apache-2.0
// SB_SPRAM256KA : behaviour of the iCE40 UltraPlus single-port memory 16384 x 16, for simulation
//
// A write makes the output unknown; without power, asleep or in standby the output is unknown too, and
// what was written is lost.
//
// Source: Lattice FPGA-TN-02022 (iCE40 SPRAM usage guide), table of the ports; MASKWREN has a bit for
//         four of DATAIN, POWEROFF is low when the power is off. Where that guide keeps contents
//         (standby, sleep) or gives 0 (sleep), this model is stricter: stoic_spram uses neither.
`resetall
`timescale 1ns / 1ps
`default_nettype none

module SB_SPRAM256KA (
    input  wire        CLOCK,
    input  wire        CHIPSELECT,
    input  wire        WREN,
    input  wire [3:0]  MASKWREN,
    input  wire [13:0] ADDRESS,
    input  wire [15:0] DATAIN,
    output reg  [15:0] DATAOUT,
    input  wire        STANDBY,
    input  wire        SLEEP,
    input  wire        POWEROFF
);
    reg [15:0] mem [0:16383];
    wire is_on = POWEROFF === 1'b1 && STANDBY === 1'b0 && SLEEP === 1'b0;
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK) begin
        if (!is_on) begin
            DATAOUT <= 16'bx;
            mem[ADDRESS] <= 16'bx;
        end else if (CHIPSELECT) begin
            if (WREN) mem[ADDRESS] <= (DATAIN & mask) | (mem[ADDRESS] & ~mask);
            DATAOUT <= WREN ? 16'bx : mem[ADDRESS];
        end
    end
endmodule

`resetall
