// SPDX-License-Identifier: Apache-2.0
// stoic_axil : AXI4-Lite register file: identity, status, and the words of a core's banks
//
//   byte  access      content
//   0x00  read        "STOI", S lowest
//   0x04  read        version of this map, 1
//   0x08  read        status: bit 0: an image is inside the core
//   0x0C  read        number of banks, registers among them
//   0x10  read        bytes of an image, beats of the core's input stream
//   0x14  read        classes, beats of its output stream
//   0x18  read        clock of the core, Hz
//   0x20  read        16 bytes: first of the SHA-256 over all Verilog of the top
//   0x30  read        16 bytes: first of the SHA-256 of the core
//   0x40  read, write pointer: word of a bank [15:0], bank [31:16]
//   0x44  read, write low half of the word that the pointer names
//   0x48  read, write high half; then the pointer moves to the next word
//
// A read of 0x44 fetches the word, and one of 0x48 gives its other half. A write to 0x44 waits for that
// to 0x48, which stores both. Bytes without their strobe keep what was written to them before; a write
// without any strobe does nothing.
//
// SLVERR, and nothing changed: other addresses; writes of what can only be read; words that are not
// there; memories while an image is inside the core (its registers, the last bank, may be asked at any
// time). No image enters while a memory is asked; one that waits enters before the next request, so a
// host that is refused asks again once the images have left.
//
// Latency:    4 cycles; words 8 to 10 and the core's own, see stoic_core
// Throughput: one transfer at a time; reads and writes take turns
// Encoding:   little endian; the two lowest address bits do not count
// Handshake:  AXI4-Lite. bank_words_i is the depth of bank cfg_bank_o a cycle later, 0: no such bank
// Golden:     stoic.hw.soc, tests/test_rtl_axil.py
`resetall
`timescale 1ns / 1ps
`default_nettype none

module stoic_axil #(
    parameter N_BANKS     = 2,     // banks, 1..65535
    parameter REGISTERS   = 1,     // 1: the last bank is that of the core's registers
    parameter IMAGE_BYTES = 1,     // bytes of an image
    parameter N_CLASSES   = 1,     // scores of an image
    parameter CLOCK_HZ    = 1,     // clock of the core
    parameter [127:0] BUILD = 0,   // first bytes of the SHA-256 over all Verilog, byte 0 lowest
    parameter [127:0] CORE  = 0    // first bytes of the SHA-256 of the core, byte 0 lowest
) (
    input  wire        clk_i,
    input  wire        rst_i,
    /* AXI4-Lite */
    input  wire [7:0]  s_axil_awaddr,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [31:0] s_axil_wdata,
    input  wire [3:0]  s_axil_wstrb,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    output wire [1:0]  s_axil_bresp,
    output wire        s_axil_bvalid,
    input  wire        s_axil_bready,
    input  wire [7:0]  s_axil_araddr,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    output wire [31:0] s_axil_rdata,
    output wire [1:0]  s_axil_rresp,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    /* banks of the core */
    output wire        cfg_valid_o,
    output wire        cfg_write_o,
    output wire [15:0] cfg_bank_o,
    output wire [15:0] cfg_addr_o,
    output wire [63:0] cfg_data_o,
    input  wire        cfg_rvalid_i,
    input  wire [63:0] cfg_rdata_i,
    input  wire [15:0] bank_words_i,
    /* images */
    output wire        hold_o,        // none may enter
    input  wire        closed_i,      // none can
    input  wire        busy_i         // one is inside
);
    localparam [2:0] IDLE = 3'd0, DECODE = 3'd1, WAIT = 3'd2, CALL = 3'd3, FETCH = 3'd4,
                     GIVE = 3'd5;
    localparam [5:0] STATUS = 6'h02, POINTER = 6'h10, LOW = 6'h11, HIGH = 6'h12;
    localparam [31:0] BANKS = N_BANKS;
    localparam [31:0] LAST_BANK = N_BANKS - 1;
    localparam [31:0] BYTES = IMAGE_BYTES;
    localparam [31:0] CLASSES = N_CLASSES;
    localparam [31:0] HERTZ = CLOCK_HZ;
    localparam [3:0] SETTLED = 4'd6;  // cycles until what an image and a bank say is true

    reg [2:0] state_q;
    reg write_q;         // the transfer writes
    reg turn_q;          // a write goes first
    reg [5:0] addr_q;
    reg [31:0] wdata_q;
    reg [3:0] wstrb_q;
    reg error_q;
    reg [31:0] rdata_q;
    reg [15:0] bank_q;
    reg [15:0] word_q;
    reg [31:0] low_q;    // halves to write
    reg [31:0] high_q;
    reg [31:0] rest_q;   // half that was read
    reg [3:0] wait_q;

    wire take_write = s_axil_awvalid && s_axil_wvalid && (turn_q || !s_axil_arvalid);
    wire take_read = s_axil_arvalid && !take_write;
    wire is_register = REGISTERS && bank_q == LAST_BANK[15:0];
    wire is_there = word_q < bank_words_i;
    wire is_free = is_register || (closed_i && !busy_i);
    wire [31:0] strobes = {{8{wstrb_q[3]}}, {8{wstrb_q[2]}}, {8{wstrb_q[1]}}, {8{wstrb_q[0]}}};
    wire [31:0] new_low = (wdata_q & strobes) | (low_q & ~strobes);
    wire [31:0] new_high = (wdata_q & strobes) | (high_q & ~strobes);
    wire [31:0] new_pointer = (wdata_q & strobes) | ({bank_q, word_q} & ~strobes);

    /* what can be read at once */
    reg [31:0] plain;
    reg is_plain;
    always @* begin
        plain = 32'd0;
        is_plain = 1'b1;
        case (addr_q)
            6'h00: plain = 32'h494f5453;
            6'h01: plain = 32'd1;
            STATUS: plain = {31'd0, busy_i};
            6'h03: plain = BANKS;
            6'h04: plain = BYTES;
            6'h05: plain = CLASSES;
            6'h06: plain = HERTZ;
            6'h08: plain = BUILD[31:0];
            6'h09: plain = BUILD[63:32];
            6'h0a: plain = BUILD[95:64];
            6'h0b: plain = BUILD[127:96];
            6'h0c: plain = CORE[31:0];
            6'h0d: plain = CORE[63:32];
            6'h0e: plain = CORE[95:64];
            6'h0f: plain = CORE[127:96];
            POINTER: plain = {bank_q, word_q};
            HIGH: plain = rest_q;
            default: is_plain = 1'b0;
        endcase
    end

    always @(posedge clk_i) begin
        case (state_q)
            IDLE: begin
                write_q <= take_write;
                addr_q <= take_write ? s_axil_awaddr[7:2] : s_axil_araddr[7:2];
                wdata_q <= s_axil_wdata;
                wstrb_q <= s_axil_wstrb;
                error_q <= 1'b0;
                wait_q <= 4'd0;
                if (take_write || take_read) begin
                    turn_q <= !take_write;
                    state_q <= DECODE;
                end
            end
            DECODE: begin
                state_q <= GIVE;
                rdata_q <= plain;
                if (write_q) begin
                    case (addr_q)
                        POINTER: {bank_q, word_q} <= new_pointer;
                        LOW: low_q <= new_low;
                        HIGH: if (wstrb_q != 4'd0) state_q <= WAIT;
                        default: error_q <= 1'b1;
                    endcase
                end else if (addr_q == LOW) begin
                    state_q <= WAIT;
                end else begin
                    error_q <= !is_plain;
                    if (addr_q == HIGH) word_q <= word_q + 16'd1;
                end
            end
            WAIT: begin
                wait_q <= wait_q + 4'd1;
                if (wait_q == SETTLED) begin
                    error_q <= !is_there || !is_free;
                    state_q <= (is_there && is_free) ? CALL : GIVE;
                    if (write_q && is_there && is_free) high_q <= new_high;
                end
            end
            CALL: begin
                if (write_q) word_q <= word_q + 16'd1;
                state_q <= write_q ? GIVE : FETCH;
            end
            FETCH: begin
                if (cfg_rvalid_i) begin
                    {rest_q, rdata_q} <= cfg_rdata_i;
                    state_q <= GIVE;
                end
            end
            default:
                if (write_q ? s_axil_bready : s_axil_rready) state_q <= IDLE;
        endcase
        if (rst_i) begin
            state_q <= IDLE;
            turn_q <= 1'b0;
            {bank_q, word_q} <= 32'd0;
            low_q <= 32'd0;
            high_q <= 32'd0;
            rest_q <= 32'd0;
        end
    end

    assign s_axil_awready = state_q == IDLE && take_write;
    assign s_axil_wready = state_q == IDLE && take_write;
    assign s_axil_arready = state_q == IDLE && take_read;
    assign s_axil_bvalid = state_q == GIVE && write_q;
    assign s_axil_bresp = {error_q, 1'b0};
    assign s_axil_rvalid = state_q == GIVE && !write_q;
    assign s_axil_rresp = {error_q, 1'b0};
    assign s_axil_rdata = rdata_q & {32{!error_q}};
    assign cfg_valid_o = state_q == CALL;
    assign cfg_write_o = write_q;
    assign cfg_bank_o = bank_q;
    assign cfg_addr_o = word_q;
    assign cfg_data_o = {high_q, low_q};
    // an image that enters right after a write reaches no memory before the word
    assign hold_o = (state_q == WAIT || state_q == CALL || state_q == FETCH) && !is_register;
endmodule

`resetall
