"""Verilog of the end of a core: sums of the last layers to scores, and what a core counts."""

from . import registers
from .core import Core, score_bits, value_bits
from .hardware import take_apart
from .rtl_feed import out_stream, stream

_COUNT_W = 17  # as many processing elements as a fold may have


def scores(core: Core) -> str:
    """Sums of the last layers to scores, those of members added, and their ranking."""
    ends = [chain[-1] for chain in core.chains]
    shape, sums = core.layout.shapes[ends[0]], out_stream(core, ends[0])
    is_bits, width = shape.input == "bits", value_bits(shape)
    parts = ["    /* scores */\n"]
    if core.side_by_side > 1:
        parts.append(_unbatch(core, sums, width))
        sums = "u"
    if len(ends) > 1:
        is_bits, width, sums = False, score_bits(core), f"a{len(ends) - 1}"
        for c, end in enumerate(ends):
            parts.append(_member_scores(core, c, end))
        for c in range(1, len(ends)):
            parts.append(_added(c, "e0" if c == 1 else f"a{c - 1}", width))
    parts.append(f"""\
    wire ranked;
    wire [31:0] margin;
    stoic_scores #(
        .N({shape.n_inputs}),
        .M({shape.n_outputs}),
        .BITS({int(is_bits)}),
        .VALUE_W({width})
    ) scores (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata({sums}_tdata),
        .s_axis_tvalid({sums}_tvalid),
        .s_axis_tready({sums}_tready),
        .s_axis_tlast({sums}_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tlast(m_axis_tlast),
        .class_valid_o(ranked),
        .class_o({"class_o" if core.store else ""}),
        .margin_o(margin)
    );
""")
    if core.store:
        parts.append("    assign class_valid_o = ranked;\n")
    return "".join(parts)


def _unbatch(core: Core, sums: str, width: int) -> str:
    """Sums of images side by side to those of one after another."""
    return f"""\
{stream("u", width)}    stoic_unbatch #(
        .B({core.side_by_side}),
        .WORDS({core.layout.shapes[-1].n_outputs}),
        .WIDTH({width}),
        .TARGET(TARGET)
    ) unbatch (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .s_axis_tdata({sums}_tdata),
        .s_axis_tvalid({sums}_tvalid),
        .s_axis_tready({sums}_tready),
        .m_axis_tdata(u_tdata),
        .m_axis_tvalid(u_tvalid),
        .m_axis_tready(u_tready),
        .m_axis_tlast(u_tlast)
    );
"""


def _member_scores(core: Core, c: int, end: int) -> str:
    """A member's sums as signed scores of the width of the sum over members."""
    shape, sums, width = core.layout.shapes[end], out_stream(core, end), score_bits(core)
    bits = value_bits(shape)
    if shape.input == "bits":
        score = f"{{{{{width - bits}{{1'b0}}}}, {sums}_tdata}}"
        score = f"({score} << 1) - {width}'d{shape.n_inputs}"
    else:
        score = f"{{{{{width - bits}{{{sums}_tdata[{bits - 1}]}}}}, {sums}_tdata}}"
    return f"""\
{stream(f"e{c}", width)}    assign e{c}_tdata = {score};
    assign e{c}_tvalid = {sums}_tvalid;
    assign {sums}_tready = e{c}_tready;
    assign e{c}_tlast = {sums}_tlast;
"""


def _added(c: int, before: str, width: int) -> str:
    return f"""\
{stream(f"a{c}", width)}    wire a{c}_error;
    stoic_add #(
        .WIDTH({width})
    ) add{c} (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .a_axis_tdata({before}_tdata),
        .a_axis_tvalid({before}_tvalid),
        .a_axis_tready({before}_tready),
        .a_axis_tlast({before}_tlast),
        .b_axis_tdata(e{c}_tdata),
        .b_axis_tvalid(e{c}_tvalid),
        .b_axis_tready(e{c}_tready),
        .b_axis_tlast(e{c}_tlast),
        .m_axis_tdata(a{c}_tdata),
        .m_axis_tvalid(a{c}_tvalid),
        .m_axis_tready(a{c}_tready),
        .m_axis_tlast(a{c}_tlast),
        .error_o(a{c}_error)
    );
"""


def busy(width: int, lost: str = "") -> str:
    """What drives `busy_o`: images inside, counted from their first beat to their last score.

    Args:
        width: bits of the count.
        lost: what keeps a core busy for ever, an expression; none by default.
    """
    return f"""\
    /* images inside, counted from their first beat to their last score */
    reg fresh_q;
    reg enters_q;
    reg leaves_q;
    reg [{width - 1}:0] inside_q;
    reg busy_q;
    wire takes = s_axis_tvalid && s_axis_tready;
    wire fewer = leaves_q && !enters_q;
    always @(posedge clk_i) begin
        if (rst_i) begin
            fresh_q <= 1'b1;
            enters_q <= 1'b0;
            leaves_q <= 1'b0;
            inside_q <= {width}'d0;
            busy_q <= 1'b0;
        end else begin
            if (takes) fresh_q <= s_axis_tlast;
            enters_q <= takes && fresh_q;
            leaves_q <= m_axis_tvalid && m_axis_tready && m_axis_tlast;
            inside_q <= inside_q + {{{{{width - 1}{{fewer}}}}, enters_q != leaves_q}};
            busy_q <= enters_q || inside_q != {width}'d0{f" || {lost}" if lost else ""};
        end
    end
    assign busy_o = busy_q;
"""


def registers_of(core: Core) -> str:
    """The bank of registers, last on the way of the requests of the host."""
    layout, has = core.layout, take_apart(core.layout)
    n = len(layout.shapes)
    table = ("table_in_use", "hold", "closed && !busy_q") if has.tables > 1 else ("", "", "1'b0")
    margin_bits = score_bits(core)  # twice the highest score has as many bits as a signed score
    counted = {
        kind: ", ".join(
            f"{{{{{_COUNT_W - fold.pe.bit_length()}{{1'b0}}}}, l{i}_{kind}}}"
            for i, fold in reversed(list(enumerate(layout.folds)))
        )
        for kind in ("corrected", "detected")
    }
    return f"""\
    /* what is counted */
    stoic_registers #(
        .BANK({registers.bank(core)}),
        .MARGIN_W({margin_bits}),
        .TABLES({has.tables}),
        .LAYERS({n}),
        .COUNT_W({_COUNT_W}),
        .SECDED_EN({int(has.has_checks or core.injector is not None)})
    ) registers (
        .clk_i(clk_i),
        .rst_i(rst_i),
        .cfg_valid_i(c{n}_valid),
        .cfg_write_i(c{n}_write),
        .cfg_bank_i(c{n}_bank),
        .cfg_addr_i(c{n}_addr),
        .cfg_data_i(c{n}_data),
        .cfg_rvalid_i(c{n}_rvalid),
        .cfg_rdata_i(c{n}_rdata),
        .cfg_rvalid_o(cfg_rvalid_o),
        .cfg_rdata_o(cfg_rdata_o),
        .image_i(ranked),
        .margin_i(margin[{margin_bits - 1}:0]),
        .corrected_i({{{counted["corrected"]}}}),
        .detected_i({{{counted["detected"]}}}),
        .table_o({table[0]}),
        .hold_o({table[1]}),
        .empty_i({table[2]})
    );
"""
