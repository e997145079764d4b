// SPDX-License-Identifier: Apache-2.0
// CCU2C : behaviour of the ECP5 carry cell as stoic_sum uses it, for simulation
//
// Source: Yosys 0.70, techlibs/lattice/ccu2c_sim.vh: sum = LUT4 ^ carry in; carry out = carry in where the
//         LUT4 is 1, else the table's entry at C = D = 0.
`resetall
`timescale 1ns / 1ps
`default_nettype none

module CCU2C #(
    parameter [15:0] INIT0     = 16'h0000,
    parameter [15:0] INIT1     = 16'h0000,
    parameter        INJECT1_0 = "YES",
    parameter        INJECT1_1 = "YES"
) (
    input  wire CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output wire S0, S1, COUT
);
    initial begin
        if (INJECT1_0 != "NO" || INJECT1_1 != "NO") begin
            $display("ERROR %m: only chains without injection are modelled");
            $finish;
        end
    end

    // an unknown input counts only where it decides, as in the LUT itself
    function lut4;
        input [15:0] init;
        input d, c, b, a;
        reg [7:0] of_d;
        reg [3:0] of_c;
        reg [1:0] of_b;
        begin
            of_d = d ? init[15:8] : init[7:0];
            of_c = c ? of_d[7:4] : of_d[3:0];
            of_b = b ? of_c[3:2] : of_c[1:0];
            lut4 = a ? of_b[1] : of_b[0];
        end
    endfunction

    wire four0 = lut4(INIT0, D0, C0, B0, A0);
    wire four1 = lut4(INIT1, D1, C1, B1, A1);
    wire carry = four0 ? CIN : lut4(INIT0, 1'b0, 1'b0, B0, A0);
    assign S0 = four0 ^ CIN;
    assign S1 = four1 ^ carry;
    assign COUT = four1 ? carry : lut4(INIT1, 1'b0, 1'b0, B1, A1);
endmodule

`resetall
