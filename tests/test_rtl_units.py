"""Every unit of the datapath equals golden under cocotb on Icarus; each bench catches mutants."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stoic import rtl
from stoic.sim import faults, network
from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import FORMS, Form, core_of
from stoic.sim.errors.iid import Iid
from stoic.sim.hardware import hardware_layout
from stoic.sim.memory import Fold, Layout, Shape, layout_of
from stoic.sim.network import Network
from stoic.sim.protection import hsiao
from stoic.sim.random_network import random_ensemble, random_network, with_random_tables
from stoic.sim.rtl import core_files

CELLS = Path(__file__).parent / "cells"
BLOCK_RAM, CARRY, SPRAM = (CELLS / name for name in ("pdpw16kd.v", "ccu2c.v", "sb_spram256ka.v"))


def unit(name: str, *below: str, bench: str | None = None, **parameters: int) -> Bench:
    """Bench of `stoic_<name>`, which needs the units `below`."""
    sources = tuple(rtl.ROOT / f"stoic_{n}.v" for n in (name, *below))
    return Bench(f"stoic_{name}", f"bench_{bench or name}", sources, parameters)


def popcount(lanes: int, xnor: int, pad: int, full_adders: int = 0) -> Bench:
    return unit("popcount", "fifteen", LANES=lanes, XNOR=xnor, PAD=pad, FULL_ADDERS=full_adders)


@pytest.mark.parametrize("full_adders, width", [(0, 4), (1, 7)])
def test_fifteen_counts_all_words(cosim: Cosim, full_adders: int, width: int) -> None:
    cosim.passes(unit("fifteen", FULL_ADDERS=full_adders, COUNT_W=width))


@pytest.mark.parametrize(
    "full_adders, old, new",
    [
        (0, "lane[5] ^ lane[4]", "lane[5] | lane[4]"),
        (0, "twos[1] || ones[2]", "twos[1]"),
        (1, "seven[2:0], last_q[1]}", "seven[2:0], last_q[0]}"),
    ],
)
def test_fifteen_mutant_is_caught(cosim: Cosim, full_adders: int, old: str, new: str) -> None:
    cosim.catches(unit("fifteen", FULL_ADDERS=full_adders), "stoic_fifteen.v", old, new)


@pytest.mark.parametrize(
    "lanes, xnor, pad", [(1, 1, 0), (2, 0, 1), (7, 1, 3), (36, 0, 8), (64, 1, 0), (64, 1, 63)]
)
def test_popcount_counts(cosim: Cosim, lanes: int, xnor: int, pad: int) -> None:
    cosim.passes(popcount(lanes, xnor, pad))


@pytest.mark.parametrize("lanes, xnor, pad", [(1, 1, 0), (3, 1, 0), (36, 0, 8), (64, 1, 0)])
def test_popcount_of_full_adders_counts(cosim: Cosim, lanes: int, xnor: int, pad: int) -> None:
    cosim.passes(popcount(lanes, xnor, pad, 1))


def test_popcount_of_full_adders_mutant_is_caught(cosim: Cosim) -> None:
    cosim.catches(
        popcount(36, 0, 8, 1),
        "stoic_fifteen.v",
        "{1'b0, lane_q[5]}",
        "{1'b0, lane_q[4]}",
    )


@pytest.mark.parametrize(
    "old, new",
    [("? ~(x_i ^ w_i)", "? (x_i ^ w_i)"), ("match & (REAL | {LANES{!pad_i}})", "match")],
)
def test_popcount_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(popcount(7, 1, 3), "stoic_popcount.v", old, new)


def test_a_memory_that_does_not_hold_is_caught(cosim: Cosim) -> None:
    cosim.catches(ram(7, 7, LATENCY=1, FAULT_EN=0), "stoic_ram.v", "!hold_i", "1'b1")


def ram(depth: int, width: int, **parameters: int | str) -> Bench:
    names = ("ram", "ram_ecp5", "ram_lut")
    sources = (*(rtl.ROOT / f"stoic_{name}.v" for name in names), BLOCK_RAM)
    return Bench("stoic_ram", "bench_ram", sources, {"DEPTH": depth, "WIDTH": width, **parameters})


@pytest.mark.parametrize(
    "bench",
    [
        ram(1, 1, LATENCY=2, FAULT_EN=1),
        ram(7, 7, LATENCY=1, FAULT_EN=0),
        ram(5, 3, LATENCY=1, FAULT_EN=1, TARGET="ecp5"),
        ram(8, 3, LATENCY=1, FAULT_EN=1, TARGET="ice40"),
        ram(48, 64, LATENCY=2, FAULT_EN=1),
        ram(7, 36, LATENCY=2, FAULT_EN=2),
        ram(32, 19, LATENCY=2, FAULT_EN=0, TARGET="ecp5"),
        ram(33, 36, LATENCY=2, FAULT_EN=0, TARGET="ecp5"),
        ram(150, 36, LATENCY=2, FAULT_EN=0, TARGET="ecp5"),
        ram(1100, 64, LATENCY=2, FAULT_EN=1, TARGET="ecp5"),
    ],
    ids=lambda b: "-".join(str(v) for v in b.parameters.values()),
)
def test_ram_reads_what_was_written(cosim: Cosim, bench: Bench) -> None:
    cosim.passes(bench)


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_ram.v", "read ^ flip_i", "read"),
        ("stoic_ram_ecp5.v", ".RST(clear_i)", ".RST(1'b0)"),
        ("stoic_ram_ecp5.v", "rrow_q2 <= rrow_q;", "rrow_q2 <= rrow;"),
    ],
)
def test_ram_mutant_is_caught(cosim: Cosim, file: str, old: str, new: str) -> None:
    cosim.catches(ram(1100, 64, LATENCY=2, FAULT_EN=1, TARGET="ecp5"), file, old, new)


@pytest.mark.parametrize(
    "file, old, new, target",
    [
        ("stoic_ram_lut.v", "we_i && waddr[16:4] == ROW[12:0]", "we_i", "ecp5"),
        ("stoic_ram_lut.v", "if (clear_i)", "if (1'b0)", "ecp5"),
        ("stoic_ram.v", "if (clear_i)", "if (1'b0)", "generic"),
    ],
)
def test_ram_mutant_of_few_words_is_caught(
    cosim: Cosim, file: str, old: str, new: str, target: str
) -> None:
    cosim.catches(ram(33, 36, LATENCY=2, FAULT_EN=0, TARGET=target), file, old, new)


def spram(target: str) -> Bench:
    sources = rtl.ROOT / "stoic_spram.v", SPRAM
    return Bench("stoic_spram", "bench_spram", sources, {"TARGET": target})


@pytest.mark.parametrize("target", ["generic", "ice40"])
def test_single_port_memory_reads_what_was_written(cosim: Cosim, target: str) -> None:
    cosim.passes(spram(target))


@pytest.mark.parametrize(
    "old, new",
    [
        (".DATAIN(wdata_i[16*k+15:16*k])", ".DATAIN(wdata_i[15:0])"),
        (".DATAOUT(rdata_o[16*k+15:16*k])", ".DATAOUT(rdata_o[63-16*k:48-16*k])"),
        (".ADDRESS(addr_i)", ".ADDRESS({1'b0, addr_i[12:0]})"),
        (".MASKWREN(4'hf)", ".MASKWREN(4'h7)"),
        (".CHIPSELECT(1'b1)", ".CHIPSELECT(we_i)"),
    ],
)
def test_single_port_memory_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(spram("ice40"), "stoic_spram.v", old, new)


def secded(k: int) -> Bench:
    code = hsiao.code(k)
    return unit("secded", "secded_checks", K=k, R=code.n_checks, COLUMNS=code.packed_columns)


@pytest.mark.parametrize("k", [1, 7, 32, 64])
def test_secded_decodes_every_single_and_double_error(cosim: Cosim, k: int) -> None:
    cosim.passes(secded(k))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_secded.v", "data_q ^ data_hit", "data_q"),
        ("stoic_secded.v", "|| (|check_hit)", ""),
        ("stoic_secded.v", "(|syndrome_q) && !found", "(|syndrome_q) && !(^syndrome_q)"),
        ("stoic_secded_checks.v", "COLUMNS[R*i+m]", "COLUMNS[R*i+(m+1)%R]"),
    ],
)
def test_secded_mutant_is_caught(cosim: Cosim, file: str, old: str, new: str) -> None:
    cosim.catches(secded(7), file, old, new)


def fifo(depth: int, width: int) -> Bench:
    return unit("fifo", "ram", "ram_ecp5", "ram_lut", bench="pipe", DEPTH=depth, WIDTH=width)


@pytest.mark.parametrize("depth, width", [(2, 1), (4, 33)])
def test_fifo_passes_every_word(cosim: Cosim, depth: int, width: int) -> None:
    cosim.passes(fifo(depth, width))


def test_fifo_mutant_is_caught(cosim: Cosim) -> None:
    cosim.catches(fifo(4, 33), "stoic_fifo.v", "pop ? write_q != read_next_q : write_q", "write_q")


def unbatch(images: int, words: int, width: int) -> Bench:
    below = ("fifo", "ram", "ram_ecp5", "ram_lut")
    return unit("unbatch", *below, B=images, WORDS=words, WIDTH=width)


@pytest.mark.parametrize("images, words, width", [(1, 1, 1), (3, 1, 5), (2, 10, 9)])
def test_unbatch_gives_image_after_image(cosim: Cosim, images: int, words: int, width: int) -> None:
    cosim.passes(unbatch(images, words, width))


@pytest.mark.parametrize(
    "old, new",
    [
        ("if (end_q) turn_q <=", "if (word_q == 0) turn_q <="),
        ("s_axis_tready = readies[B-1]", "s_axis_tready = readies[0]"),
    ],
)
def test_unbatch_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(unbatch(2, 10, 9), "stoic_unbatch.v", old, new)


@pytest.mark.parametrize("width", [1, 36])
def test_skid_passes_every_word(cosim: Cosim, width: int) -> None:
    cosim.passes(unit("skid", bench="pipe", WIDTH=width))


def test_skid_mutant_is_caught(cosim: Cosim) -> None:
    cosim.catches(
        unit("skid", bench="pipe", WIDTH=36),
        "stoic_skid.v",
        "held ? spare_q : s_axis_tdata",
        "s_axis_tdata",
    )


@pytest.mark.parametrize("simd, sum_bits", [(1, 10), (7, 13), (36, 16)])
def test_planes_give_planes_and_sum(cosim: Cosim, simd: int, sum_bits: int) -> None:
    cosim.passes(unit("planes", SIMD=simd, SUM_W=sum_bits))


@pytest.mark.parametrize(
    "old, new",
    [
        ("first_q <= full;", "first_q <= 1'b0;"),
        ("fresh_q ? {SUM_W{1'b0}} : sum_q", "sum_q"),
    ],
)
def test_planes_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(unit("planes", SIMD=7, SUM_W=13), "stoic_planes.v", old, new)


def width(n_in: int, n_out: int, n: int) -> Bench:
    return unit("width", IN_W=n_in, OUT_W=n_out, N=n)


@pytest.mark.parametrize(
    "n_in, n_out, n", [(1, 1, 1), (8, 36, 100), (8, 7, 14), (64, 8, 70), (4, 32, 37), (1, 64, 65)]
)
def test_width_repacks_images(cosim: Cosim, n_in: int, n_out: int, n: int) -> None:
    cosim.passes(width(n_in, n_out, n))


@pytest.mark.parametrize(
    "old, new", [("group & LAST_MASK", "group"), ("|| (group_last && !past)", "")]
)
def test_width_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(width(4, 32, 37), "stoic_width.v", old, new)


def window(
    width: int, words: int, height: int, columns: int, kernel: int, stride: int, pad: int
) -> Bench:
    return unit(
        "window", "fifo", "ram", "ram_ecp5", WIDTH=width, WORDS=words, HEIGHT=height,
        COLUMNS=columns, KERNEL=kernel, STRIDE=stride, PAD=pad,
    )  # fmt: skip


@pytest.mark.parametrize(
    "width, words, height, columns, kernel, stride, pad",
    [
        (1, 1, 1, 1, 1, 1, 0),
        (7, 1, 1, 2, 3, 2, 2),
        (8, 3, 4, 5, 3, 1, 1),
        (5, 2, 8, 5, 2, 3, 1),  # rows and columns that no window sees
        (1, 1, 4, 6, 5, 1, 2),
        (3, 1, 6, 6, 4, 3, 3),
        (64, 1, 5, 7, 3, 1, 1),
        (2, 1, 5, 5, 3, 2, 0),
        (3, 5, 7, 4, 2, 3, 0),
    ],
)
def test_windows_are_golden_s(
    cosim: Cosim,
    width: int,
    words: int,
    height: int,
    columns: int,
    kernel: int,
    stride: int,
    pad: int,
) -> None:
    cosim.passes(window(width, words, height, columns, kernel, stride, pad))


@pytest.mark.parametrize(
    "old, new",
    [
        ("real_q[2] ? word : {WIDTH{1'b0}}", "word"),
        ("have_d != FULL[HAVE_W-1:0]", "1'b1"),
        ("(HEIGHT % LINES) * LINE", "0"),
        ("state_q == FREE && !freed && have_q != 0", "state_q == FREE && !freed"),
        (">= {{HAVE_W{1'b0}}, need_q}", "!= 0"),
    ],
)
def test_window_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(window(5, 2, 8, 5, 2, 3, 1), "stoic_window.v", old, new)


def pool(width: int, words: int, height: int, columns: int, kernel: int, stride: int) -> Bench:
    return unit(
        "pool", "ram", "ram_ecp5", WIDTH=width, WORDS=words, HEIGHT=height, COLUMNS=columns,
        KERNEL=kernel, STRIDE=stride,
    )  # fmt: skip


@pytest.mark.parametrize(
    "width, words, height, columns, kernel, stride",
    [
        (1, 1, 1, 1, 1, 1),
        (7, 3, 4, 7, 1, 2),
        (3, 2, 7, 5, 2, 2),  # a row and a column that no window sees
        (1, 1, 6, 7, 3, 1),
        (5, 1, 8, 7, 4, 2),
        (2, 1, 8, 5, 2, 3),
        (64, 1, 6, 8, 2, 2),
    ],
)
def test_pool_is_golden_s_or(
    cosim: Cosim, width: int, words: int, height: int, columns: int, kernel: int, stride: int
) -> None:
    cosim.passes(pool(width, words, height, columns, kernel, stride))


@pytest.mark.parametrize(
    "old, new",
    [
        ("g_link[k-1].along | g_link[k].behind", "g_link[k-1].along"),
        ("g_link[k-1].column | g_link[k].above", "g_link[k-1].column & g_link[k].above"),
        (".we_i(column_q && column_end)", ".we_i(column_q)"),
        ("else if (!row_q && !column_q && (", "else if ((!row_q || !column_q) && ("),
    ],
)
def test_pool_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(pool(3, 2, 7, 5, 2, 2), "stoic_pool.v", old, new)


def thermometer(levels: tuple[int, ...], n_out: int) -> Bench:
    packed = int.from_bytes(bytes(levels), "little")
    return unit("thermometer", K=len(levels), LEVELS=packed, OUT_W=n_out)


@pytest.mark.parametrize("levels, n_out", [((255,), 1), ((1, 2, 100, 101, 200, 254), 3)])
def test_thermometer_is_golden_s_code(cosim: Cosim, levels: tuple[int, ...], n_out: int) -> None:
    cosim.passes(thermometer(levels, n_out))


@pytest.mark.parametrize(
    "old, new",
    [("s_axis_tdata >= LEVELS", "s_axis_tdata > LEVELS"), ("code_q >> OUT_W", "code_q >> 1")],
)
def test_thermometer_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(thermometer((3, 7, 40, 41, 200, 254), 3), "stoic_thermometer.v", old, new)


def scores(n: int, m: int, bits: int) -> Bench:
    value_bits = n.bit_length() if bits else (255 * n).bit_length() + 1
    return unit("scores", "skid", N=n, M=m, BITS=bits, VALUE_W=value_bits)


@pytest.mark.parametrize("n, m, bits", [(1, 1, 1), (256, 10, 1), (20, 7, 0), (3, 2, 1)])
def test_scores_rank_as_golden(cosim: Cosim, n: int, m: int, bits: int) -> None:
    cosim.passes(scores(n, m, bits))


@pytest.mark.parametrize(
    "old, new",
    [
        ("next_q > best_q", "next_q >= best_q"),
        ("placed_q ? over_score_q :", "placed_q ? over_best_q :"),
        ("second_q <= fresh_q ? score_q : best_q", "second_q <= score_q"),
    ],
)
def test_scores_mutant_is_caught(cosim: Cosim, old: str, new: str) -> None:
    cosim.catches(scores(256, 10, 1), "stoic_scores.v", old, new)


REGISTERS = unit("registers", BANK=3, MARGIN_W=11, TABLES=3, LAYERS=2, COUNT_W=5, SECDED_EN=1)


@pytest.mark.parametrize(
    "bench",
    [
        unit("gate"),
        unit("fork", SINKS=1),
        unit("fork", SINKS=3),
        unit("add", "skid", WIDTH=1),
        unit("add", "skid", WIDTH=12),
        REGISTERS,
        unit("registers", BANK=3, MARGIN_W=2, TABLES=1, LAYERS=1, COUNT_W=1, SECDED_EN=0),
    ],
    ids=lambda b: "-".join([b.unit, *(str(v) for v in b.parameters.values())]),
)
def test_plumbing_of_members_and_registers(cosim: Cosim, bench: Bench) -> None:
    cosim.passes(bench)


@pytest.mark.parametrize(
    "bench, old, new",
    [
        (unit("gate"), "if (!offered || m_axis_tready) held_q", "held_q"),
        (unit("fork", SINKS=3), "& ~done_q", ""),
        (unit("add", "skid", WIDTH=12), "room && b_axis_tvalid", "room"),
        (REGISTERS, "hold_q && empty_i", "hold_q"),
        (REGISTERS, "margin_q < bound_q", "margin_q <= bound_q"),
        (REGISTERS, "mine_q && write_q && head_q", "mine_q && write_q"),
        (REGISTERS, "clear || margin_q < least_q", "margin_q < least_q"),
    ],
    ids=lambda v: v.unit if isinstance(v, Bench) else "",
)
def test_plumbing_mutant_is_caught(cosim: Cosim, bench: Bench, old: str, new: str) -> None:
    cosim.catches(bench, f"{bench.unit}.v", old, new)


RESET = [
    unit("planes", SIMD=7, SUM_W=13),
    unit("skid", WIDTH=9),
    fifo(4, 9),
    width(4, 32, 37),
    width(32, 4, 70),
    scores(20, 7, 0),
    unbatch(2, 10, 9),
    pool(3, 2, 7, 5, 2, 2),
    thermometer((3, 7, 40, 41, 200, 254), 3),
]


@pytest.mark.parametrize(
    "bench", RESET, ids=lambda b: "-".join([b.unit, *(str(v) for v in b.parameters.values())])
)
def test_a_reset_in_mid_image_leaves_nothing_of_it(cosim: Cosim, bench: Bench) -> None:
    cosim.passes(replace(bench, module="bench_reset"))


@pytest.mark.parametrize(
    "bench, old, new",
    [
        (width(4, 32, 37), "if (rst_i) begin", "if (rst_i && ^count_q === 1'bx) begin"),
        (pool(3, 2, 7, 5, 2, 2), "if (rst_i) begin", "if (rst_i && ^x_q === 1'bx) begin"),
    ],
    ids=["width", "pool"],
)
def test_reset_mutant_is_caught(cosim: Cosim, bench: Bench, old: str, new: str) -> None:
    cosim.catches(replace(bench, module="bench_reset"), f"{bench.unit}.v", old, new)


def store(images: int, image_bytes: int, part_w: int = 16) -> Bench:
    below = ("ram", "ram_ecp5", "ram_lut")
    return unit("store", *below, IMAGES=images, IMAGE_BYTES=image_bytes, PART_W=part_w, BANK=9)


def tally(images: int, classes: int) -> Bench:
    below = ("fifo", "ram", "ram_ecp5", "ram_lut")
    return unit("tally", *below, IMAGES=images, M=classes, BANK=9)


@pytest.mark.parametrize(
    "bench",
    [
        store(1, 1),
        store(3, 7),
        store(4, 8),
        store(5, 20, part_w=2),
        tally(1, 2),
        tally(90, 10),
        tally(65535, 7),
    ],
    ids=lambda b: "-".join([b.unit, *(str(v) for v in b.parameters.values())]),
)
def test_images_on_chip_are_sent_and_counted(cosim: Cosim, bench: Bench) -> None:
    cosim.passes(bench)


@pytest.mark.parametrize(
    "bench, old, new",
    [
        (store(4, 8), "age_q == 2'd3 &&", "age_q == 2'd2 &&"),
        (store(5, 20, part_w=2), "chosen_q3 <= chosen_q2;", "chosen_q3 <= chosen_q;"),
        (tally(90, 10), "class_valid_i && label_valid", "class_valid_i"),
    ],
    ids=lambda v: v.unit if isinstance(v, Bench) else "",
)
def test_images_on_chip_mutant_is_caught(cosim: Cosim, bench: Bench, old: str, new: str) -> None:
    cosim.catches(bench, f"{bench.unit}.v", old, new)


NEVER_AT_EQUALITY = (
    "stoic_threshold.v",
    "fires_q <= !difference[COMPARE_W-1];",
    "fires_q <= !difference[COMPARE_W-1] && difference != 0;",
)
MVU_BELOW = (
    "mvu_feed", "mvu_control", "mvu_host", "mvu_chain", "mvu_stage", "pe", "sum", "popcount",
    "fifteen", "mvu_drain", "mvu_sums", "mvu_words", "threshold", "fifo", "ram", "ram_ecp5",
    "ram_lut", "secded", "secded_checks", "injector", "injector_mask", "injector_port",
)  # fmt: skip


def mvu(
    n: int, m: int, pe: int, simd: int, group: int, planes: int, n_out: int, **more: int
) -> Bench:
    """Bench of a layer; `n_out` bits of an output word, 0: no thresholds."""
    shape = Shape(n, m, "uint8" if planes == 8 else "bits", n_out > 0)
    return unit(
        "mvu", *MVU_BELOW, bench="mvu", N=n, M=m, PE=pe, SIMD=simd, GROUP=group, PLANES=planes,
        OUT_W=n_out or 1, THRESHOLD_W=shape.threshold_bits if n_out else 0, W_BANK=5, T_BANK=7 + pe,
        **more,
    )  # fmt: skip


def coded_mvu(
    n: int, m: int, pe: int, simd: int, group: int, planes: int, n_out: int, **more: int
) -> Bench:
    """Bench of a layer whose weight words carry check bits, with three threshold tables."""
    code = hsiao.code(simd)
    more |= {"CHECKS": code.n_checks, "COLUMNS": code.packed_columns, "TABLES": 3 if n_out else 1}
    return mvu(n, m, pe, simd, group, planes, n_out, **more)


@pytest.mark.parametrize(
    "n, m, pe, simd, group, planes, n_out",
    [
        (1, 1, 1, 1, 1, 1, 1),
        (1, 1, 1, 1, 1, 8, 0),
        (13, 9, 4, 5, 2, 1, 6),
        (7, 7, 7, 7, 1, 1, 7),  # folds stretched: results need longer than words
        (3, 5, 2, 2, 1, 8, 3),
        (6, 7, 3, 4, 1, 8, 0),
        (100, 24, 8, 36, 1, 8, 32),
        (64, 48, 16, 64, 8, 1, 48),
        (256, 10, 1, 32, 1, 1, 0),
    ],
)
def test_mvu_equals_golden(
    cosim: Cosim, n: int, m: int, pe: int, simd: int, group: int, planes: int, n_out: int
) -> None:
    cosim.passes(mvu(n, m, pe, simd, group, planes, n_out))


ON_ECP5 = (13, 9, 4, 5, 2, 1, 6)


def mvu_ecp5() -> Bench:
    """Bench of a layer of the primitives that are instantiated on ECP5."""
    bench = mvu(*ON_ECP5)
    sources = (*bench.sources, BLOCK_RAM, CARRY)
    return Bench(bench.unit, bench.module, sources, {**bench.parameters, "TARGET": "ecp5"})


def test_mvu_equals_golden_on_ecp5(cosim: Cosim) -> None:
    cosim.passes(mvu_ecp5())


def test_mvu_mutant_on_ecp5_is_caught(cosim: Cosim) -> None:
    cosim.catches(mvu_ecp5(), "stoic_sum.v", ".INIT1(16'h6c6c)", ".INIT1(16'h66cc)")


@pytest.mark.parametrize("pe, thresholds, injector", [(5, 1, 0), (4, 1, 1), (1, 0, 1), (1, 0, 0)])
def test_requests_reach_the_memories_that_they_are_for(
    cosim: Cosim, pe: int, thresholds: int, injector: int
) -> None:
    cosim.passes(mvu_host(pe, thresholds, injector))


def mvu_host(pe: int, thresholds: int, injector: int) -> Bench:
    return unit(
        "mvu_host", PE=pe, W_BANK=5, T_BANK=7 + pe, THRESHOLD_EN=thresholds, INJECTOR_EN=injector
    )


def test_request_mutant_is_caught(cosim: Cosim) -> None:
    cosim.catches(mvu_host(5, 1, 0), "stoic_mvu_host.v", ": 16'hFFFF", ": 16'h7FFF")


def threshold(*sizes: int) -> Bench:
    stages, folds, group, signed, value, width, images, tables = sizes
    return unit(
        "threshold", "ram", "ram_ecp5", "ram_lut", STAGES=stages, N_FOLDS=folds, GROUP=group,
        SIGNED=signed, VALUE_W=value, THRESHOLD_W=width, B=images, TABLES=tables,
    )  # fmt: skip


@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1, 0, 4, 4, 1, 1), (3, 5, 2, 1, 7, 9, 2, 3), (2, 3, 4, 0, 10, 6, 1, 1)],
    ids=lambda sizes: "-".join(map(str, sizes)),
)
def test_neurons_fire_at_their_thresholds(cosim: Cosim, sizes: tuple[int, ...]) -> None:
    cosim.passes(threshold(*sizes))


def test_threshold_mutant_is_caught(cosim: Cosim) -> None:
    old, new = "we_q <= we_i && !rst_i;", "we_q <= we_i;"
    cosim.catches(threshold(3, 5, 2, 1, 7, 9, 2, 3), "stoic_threshold.v", old, new)


def mvu_overflow() -> Bench:
    bench = mvu(13, 9, 4, 5, 2, 1, 6)
    return Bench(bench.unit, "bench_mvu_overflow", bench.sources, bench.parameters)


def test_a_word_that_is_lost_is_told(cosim: Cosim) -> None:
    cosim.passes(mvu_overflow())


def test_a_word_that_is_lost_in_silence_is_caught(cosim: Cosim) -> None:
    cosim.catches(mvu_overflow(), "stoic_mvu_drain.v", "(overflow_q || lost_q)", "lost_q")
    early = "word_valid && !word_ready", "word_valid"
    cosim.catches(mvu_overflow(), "stoic_mvu_drain.v", *early)


def test_mvu_with_an_injector_that_is_off_equals_golden(cosim: Cosim) -> None:
    cosim.passes(mvu(13, 9, 4, 5, 2, 1, 6, FORM=2))


@pytest.mark.parametrize("serial", [0, 1])
@pytest.mark.parametrize(
    "n, m, pe, simd, group, planes, n_out, images",
    [(1, 1, 1, 1, 1, 1, 1, 3), (13, 9, 4, 5, 2, 1, 6, 2), (6, 7, 3, 4, 1, 8, 0, 3)],
)
def test_mvu_equals_golden_for_images_side_by_side(
    cosim: Cosim,
    n: int,
    m: int,
    pe: int,
    simd: int,
    group: int,
    planes: int,
    n_out: int,
    images: int,
    serial: int,
) -> None:
    cosim.passes(mvu(n, m, pe, simd, group, planes, n_out, B=images, SERIAL=serial))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_mvu_stage.v", "b*GROUP+g+1)-1:TOTAL_W*(b*GROUP+g)", "g+1)-1:TOTAL_W*(g)"),
        ("stoic_mvu_feed.v", "ends && (SERIAL == 0 || turn_q[B-1])", "ends"),
    ],
)
def test_mvu_mutant_with_images_side_by_side_is_caught(
    cosim: Cosim, file: str, old: str, new: str
) -> None:
    cosim.catches(mvu(13, 9, 4, 5, 2, 1, 6, B=2, SERIAL=1), file, old, new)


@pytest.mark.parametrize(
    "n, m, pe, simd, group, planes, n_out",
    [(13, 9, 4, 5, 2, 1, 6), (120, 7, 3, 57, 1, 8, 0)],
)
def test_coded_mvu_equals_golden(
    cosim: Cosim, n: int, m: int, pe: int, simd: int, group: int, planes: int, n_out: int
) -> None:
    cosim.passes(coded_mvu(n, m, pe, simd, group, planes, n_out))


def test_coded_mvu_equals_golden_for_images_side_by_side(cosim: Cosim) -> None:
    cosim.passes(coded_mvu(13, 9, 4, 5, 2, 1, 6, B=2))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_mvu_stage.v", "corrected && word_q", "corrected"),
        pytest.param(
            *("stoic_mvu_chain.v", "assign x_late = x_q2;", "assign x_late = x_q;"),
            marks=pytest.mark.slow,
        ),
        ("stoic_threshold.v", "* STRIDE[15:0]", "* 16'd1"),
    ],
)
def test_coded_mvu_mutant_is_caught(cosim: Cosim, file: str, old: str, new: str) -> None:
    cosim.catches(coded_mvu(13, 9, 4, 5, 2, 1, 6), file, old, new)


@pytest.mark.parametrize(
    "file, old, new",
    [
        NEVER_AT_EQUALITY,
        ("stoic_mvu_control.v", "FULL_ROOM = ROOM;", "FULL_ROOM = ROOM + 1;"),
        ("stoic_mvu_words.v", "|| past_q) ? PLACE_0", ") ? PLACE_0"),
        ("stoic_mvu_chain.v", "pad_q <= {pad_q[PADDING-2:0], pad_i};", "pad_q <= {PADDING{1'b0}};"),
        (
            "stoic_mvu_host.v",
            "BANK_MASK) - FIRST_WEIGHTS[15:0]",
            "BANK_MASK) - FIRST_WEIGHTS[15:0] + 1",
        ),
        ("stoic_pe.v", ".PAD(PAD)", ".PAD(0)"),
        ("stoic_sum.v", "(total & {SUM_W{keep_i}})", "total"),
    ],
)  # fmt: skip
def test_mvu_mutant_is_caught(cosim: Cosim, file: str, old: str, new: str) -> None:
    cosim.catches(mvu(13, 9, 4, 5, 2, 1, 6), file, old, new)


def test_mvu_mutant_with_another_sum_is_caught(cosim: Cosim) -> None:
    bench = mvu(3, 5, 2, 2, 1, 8, 3, ROOM=4)
    cosim.catches(bench, "stoic_mvu_sums.v", "(valid_i && last_o)", "(valid_i)")


def injector(width: int, form: int) -> Bench:
    return unit("injector", "injector_mask", WIDTH=width, FORM=form)


@pytest.mark.parametrize("width, form", [(1, 1), (36, 1), (64, 2)])
def test_injector_draws_what_the_model_draws(cosim: Cosim, width: int, form: int) -> None:
    cosim.passes(injector(width, form))


@pytest.mark.parametrize(
    "form, file, old, new",
    [
        (2, "stoic_injector.v", "^ state_q[126:95]", "^ state_q[125:94]"),
        (2, "stoic_injector.v", "state_q[42:32] < t10_q", "state_q[74:64] < t10_q"),
        (2, "stoic_injector.v", "rule[1] = most[4] |", "rule[1] ="),
        (1, "stoic_injector_mask.v", "? rule[1] : below", "? below : below"),
        (1, "stoic_injector_mask.v", "row_q[i%4] & column_q[i/4%4]", "row_q[i%4]"),
        (1, "stoic_injector_mask.v", "if (idle_q) begin", "if (1'b0) begin"),
        (1, "stoic_injector_mask.v", "off1[4] : off0[4]", "off0[4] : off1[4]"),
        (1, "stoic_injector.v", "miss10 ? {WIDTH", "miss01 ? {WIDTH"),
    ],
)
def test_injector_mutant_is_caught(cosim: Cosim, form: int, file: str, old: str, new: str) -> None:
    cosim.catches(injector(36 if form == 1 else 64, form), file, old, new)


def injector_port(width: int, form: int, index: int) -> Bench:
    return unit("injector_port", "injector_mask", WIDTH=width, FORM=form, INDEX=index)


@pytest.mark.parametrize("width, form, index", [(7, 2, 40), (36, 1, 37)])
def test_injector_port_turns_what_the_model_draws(
    cosim: Cosim, width: int, form: int, index: int
) -> None:
    cosim.passes(injector_port(width, form, index))


@pytest.mark.parametrize(
    "form, file, old, new",
    [
        (2, "stoic_injector_mask.v", "lanes[(i+INDEX)%WIDTH]", "lanes[i]"),
        (2, "stoic_injector_mask.v", "(i+INDEX)%SALT_W", "i"),
        (2, "stoic_injector_port.v", "if (enable_q) begin", "if (1'b1) begin"),
        (2, "stoic_injector_port.v", "!(miss01 && miss10)", "!miss01"),
        (1, "stoic_injector_port.v", "[1+WIDTH+(i+INDEX)%WIDTH]", "[1+(i+INDEX)%WIDTH]"),
        (1, "stoic_injector_port.v", "enable_q && is_hit", "enable_q"),
    ],
)
def test_injector_port_mutant_is_caught(
    cosim: Cosim, form: int, file: str, old: str, new: str
) -> None:
    cosim.catches(injector_port(7, form, 40), file, old, new)


def core(
    tmp_path: Path,
    net: Network,
    layout: Layout,
    *,
    engine: bool = False,
    injector: Form | None = None,
) -> Bench:
    """Bench of the core of a network under a random map of faults in all its memories."""
    made = replace(core_of(net, layout, engine=engine), injector=injector)
    network.save(net, tmp_path / "core.stoic")
    faults.save(
        Iid(p01=0.1, p10=0.05, seed=3).sample(layout, 0, where=("weights", "thresholds")),
        tmp_path / "core.faults",
    )
    text, sources = core_files(made)
    verilog = tmp_path / "stoic_core.v"
    verilog.write_text(text, encoding="utf-8")
    inputs = {n: (tmp_path / n).read_bytes() for n in ("core.stoic", "core.faults")}
    bench = "bench_engine" if engine else "bench_injected" if injector else "bench_core"
    if injector:
        inputs["form"] = injector.encode()
    return Bench("stoic_core", bench, (verilog, *sources), {}, inputs)


@pytest.mark.parametrize("form", FORMS)
def test_scores_under_read_errors_are_the_model_s(cosim: Cosim, tmp_path: Path, form: Form) -> None:
    cosim.passes(disturbed(tmp_path, form))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_mvu.v", "(FORM == 2) ? WORD_W + 71", "(FORM == 2) ? WORD_W + 7"),
        ("stoic_mvu_stage.v", "end else if (FORM != 0) begin", "end else if (1'b0) begin"),
        (
            "stoic_mvu_stage.v",
            "met_q <= g_found[GROUP].corrected & {COUNT_W{!rst_i}}",
            "met_q <= g_found[GROUP].corrected",
        ),
        ("stoic_mvu_stage.v", "word_q = clean_q[3]", "word_q = clean_q[2]"),
    ],
)
def test_core_with_injectors_mutant_is_caught(
    cosim: Cosim, tmp_path: Path, file: str, old: str, new: str
) -> None:
    cosim.catches(disturbed(tmp_path, "independent"), file, old, new)


def disturbed(tmp_path: Path, form: Form) -> Bench:
    """Words in groups of two; injectors in every layer."""
    net = random_network((20, 13, 9, 5), "uint8", np.random.default_rng(7))
    layout = layout_of(net, (Fold(4, 7), Fold(3, 5), Fold(2, 4)))
    return core(tmp_path, net, layout, injector=form)


def small_uint8(tmp_path: Path) -> Bench:
    net = random_network((20, 13, 9, 5), "uint8", np.random.default_rng(7))
    return core(tmp_path, net, layout_of(net, (Fold(4, 7), Fold(3, 5), Fold(2, 4))))


def guarded_bits(tmp_path: Path) -> Bench:
    """An ensemble of two members with three threshold tables and check bits."""
    rng = np.random.default_rng(7)
    members = [random_network(sizes, "bits", rng) for sizes in ((12, 8, 3), (12, 5, 3))]
    net = with_random_tables(random_ensemble(tuple(members)), 2, rng)
    plain = layout_of(net, (Fold(3, 6), Fold(1, 8), Fold(5, 7), Fold(2, 5)))
    return core(tmp_path, net, hardware_layout(plain, 3, secded=True))


ONE = ((139, 64, 3),)  # three words, the last one not full; the last layer fills none
TWO = ((75, 3), (75, 128, 64, 3))
LAYER = ((101, 7),)
THREE = ((75, 64, 64, 3), (75, 64, 3), (75, 3))


def engine(tmp_path: Path, images: int, sizes: tuple[tuple[int, ...], ...] = ONE) -> Bench:
    """An engine that runs members of these sizes in turn."""
    rng = np.random.default_rng(7)
    members = tuple(random_network(member, "bits", rng) for member in sizes)
    net = random_ensemble(members) if len(sizes) > 1 else members[0]
    folds = (Fold(1, 64, images),) * len(net.layers)
    return core(tmp_path, net, layout_of(net, folds), engine=True)


@pytest.mark.parametrize(
    "images, sizes",
    # of 6 some come while neurons are written; of one layer, sums use their highest bit
    [(1, ONE), (6, ONE), (2, TWO), (1, THREE), (1, LAYER)],
    ids=["one", "one-by-6", "two-by-2", "three", "layer"],
)
def test_engine_equals_golden(
    cosim: Cosim, tmp_path: Path, images: int, sizes: tuple[tuple[int, ...], ...]
) -> None:
    cosim.passes(engine(tmp_path, images, sizes))


def engine_ice40(tmp_path: Path) -> Bench:
    """The engine on the memories of a UP5K."""
    bench = engine(tmp_path, 1)
    return replace(bench, sources=(*bench.sources, SPRAM), parameters={"TARGET": "ice40"})


def test_engine_equals_golden_on_ice40(cosim: Cosim, tmp_path: Path) -> None:
    cosim.passes(engine_ice40(tmp_path))


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_engine.v", "(~REAL & {64{pad_q}})", "64'd0"),
        pytest.param(
            *("stoic_engine.v", "assign hold = last_q[8];", "assign hold = 1'b0;"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("stoic_engine_image.v", "{fires_q, word_q[15:1]}", "{word_q[14:0], fires_q}"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_engine_mutant_is_caught(
    cosim: Cosim, tmp_path: Path, file: str, old: str, new: str
) -> None:
    cosim.catches(engine(tmp_path, 6), file, old, new)


@pytest.mark.parametrize(
    "file, old, new",
    [
        pytest.param("stoic_engine.v", "FIRST[l] ? 16'd0 : next", "next", marks=pytest.mark.slow),
        ("stoic_engine.v", "(first && page_q)", "(layer_q == 0 && page_q)"),
        ("stoic_engine.v", "step_end_q && first && run_q", "step_end_q && layer_q == 0 && run_q"),
        ("stoic_engine.v", "ends_member = ends_q", "ends_member = last_layer_q"),
        ("stoic_engine.v", "out_q + MEMBERS[OUT_W-1:0]", "out_q + 1'b1"),
        ("stoic_engine.v", "member_q <= last_layer_q ? {OUT_W{1'b0}} : ", "member_q <= "),
        pytest.param(
            *("stoic_engine.v", "(rst_i) member_q", "(rst_i && member_q[0] === 1'bx) member_q"),
            marks=pytest.mark.slow,
        ),
        ("stoic_engine_members.v", "{SUM_W{!turn_q[0]}}", "{SUM_W{1'b1}}"),
        pytest.param(
            *("stoic_engine_members.v", "valid_i && turn_q[MEMBERS-1]", "valid_i && turn_q[0]"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_engine_of_members_mutant_is_caught(
    cosim: Cosim, tmp_path: Path, file: str, old: str, new: str
) -> None:
    cosim.catches(engine(tmp_path, 2, TWO), file, old, new)


@pytest.mark.parametrize("make", [small_uint8, guarded_bits])
def test_core_equals_golden(cosim: Cosim, tmp_path: Path, make: Callable[[Path], Bench]) -> None:
    cosim.passes(make(tmp_path))


@pytest.mark.parametrize(
    "file, old, new",
    [
        NEVER_AT_EQUALITY,
        ("stoic_core.v", "fresh_q <= s_axis_tlast;", ""),
        ("stoic_planes.v", "fresh_q <= 1'b1;", ""),
    ],
)  # fmt: skip
def test_core_mutant_is_caught(cosim: Cosim, tmp_path: Path, file: str, old: str, new: str) -> None:
    cosim.catches(small_uint8(tmp_path), file, old, new)


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stoic_core.v", "closed && !busy_q", "1'b1"),  # tables change in mid-image
        ("stoic_mvu_stage.v", ".detected & {COUNT_W{!rst_i}}", ".detected"),
    ],
)  # fmt: skip
def test_guarded_core_mutant_is_caught(
    cosim: Cosim, tmp_path: Path, file: str, old: str, new: str
) -> None:
    cosim.catches(guarded_bits(tmp_path), file, old, new)
