"""The list of proofs that a unit computes what it says, for all inputs."""

from functools import partial

from ...sim.protection import hsiao
from . import codes, comparing, units
from .elaborate import Design, Mutant
from .layer import layer
from .proof import Proof
from .unbatching import unbatch

Parameters = dict[str, int]

_XOR = Mutant("stoic_popcount", "? ~(x_i ^ w_i)", "? (x_i ^ w_i)")
_OR = Mutant("stoic_popcount", ": (x_i & w_i)", ": (x_i | w_i)")
_LANE_TWICE = Mutant("stoic_fifteen", "{1'b0, lane_q[5]}", "{1'b0, lane_q[4]}")
_OR_OF_PAIR = Mutant("stoic_fifteen", "lane[5] ^ lane[4]", "lane[5] | lane[4]")
_NO_FOUR = Mutant("stoic_fifteen", "twos[1] || ones[2]", "twos[1]")
_NO_FIFTEENTH = Mutant("stoic_fifteen", "seven[2:0], last_q[1]}", "seven[2:0], 1'b0}")
_LATE = Mutant("stoic_fifteen", "seven[2:0], last_q[1]}", "seven[2:0], last_q[0]}")
_UNMASKED = Mutant("stoic_popcount", "match & (REAL | {LANES{!pad_i}})", "match")
_DIFFERENCE = Mutant("stoic_popcount", "node_q[2*i] + node_q[2*i+1]", "node_q[2*i] - node_q[2*i+1]")
_NARROW = Mutant("stoic_popcount", "COUNT_W = $clog2(LANES + 1)", "COUNT_W = $clog2(LANES)")
_NO_PAD = Mutant("stoic_pe", ".PAD(PAD)", ".PAD(0)")
_NEVER_ANEW = Mutant("stoic_sum", "(total & {SUM_W{keep_i}}) + count", "total + count")
_NO_DOUBLE = Mutant("stoic_pe", "({total_q[TOTAL_W-2:0], 1'b0}", "(total_q")
_ABOVE = Mutant("stoic_threshold", "= value - least", "= value - least - 1'b1")
_BELOW = Mutant("stoic_threshold", "fires_q <= !difference", "fires_q <= difference")
_UNSIGNED = Mutant(
    "stoic_threshold",
    "{(COMPARE_W - VALUE_W){value_q2[VALUE_W-1]}}",
    "{(COMPARE_W - VALUE_W){1'b0}}",
)
_EVERY_LANE = Mutant("stoic_threshold", "we_q && mine", "we_q")
_PLUS_U = Mutant("stoic_mvu_sums", "{total, 1'b0} - {1'b0, sum[", "{total, 1'b0} + {1'b0, sum[")
_WRONG_U = Mutant("stoic_mvu_sums", "valid_i && last_o", "valid_i && fold_end_q")
_LAST_WINS = Mutant("stoic_scores", "next_q > best_q", "next_q >= best_q")
_NOT_THE_NEW = Mutant("stoic_scores", "won_q ? over_score_q :", "won_q ? over_best_q :")
_LOST_SECOND = Mutant(
    "stoic_scores", "second_q <= fresh_q ? score_q : best_q", "second_q <= score_q"
)
_STALE_SECOND = Mutant("stoic_scores", "single_q || over_second", "single_q && over_second")
_N_TWICE = Mutant("stoic_scores", "1'b0} - FAN_IN[SCORE_W-1:0]", "1'b0} + FAN_IN[SCORE_W-1:0]")
_POLYNOMIAL = Mutant("stoic_crc32", "(step >> 1) ^ 32'hEDB88320", "(step >> 1) ^ 32'hEDB88321")
_SEVEN_STEPS = Mutant("stoic_crc32", "i < 8", "i < 7")
_STUCK = Mutant("stoic_ram", "read ^ flip_i", "read | flip_i")
_NO_CLEAR = Mutant("stoic_ram", "if (clear_i) data_q2", "if (1'b0) data_q2")
_NO_HOLD = Mutant("stoic_ram", "LATENCY == 2 || !hold_i", "1'b1")
_NO_WRITE = Mutant("stoic_ram", "if (we_i) mem", "if (!we_i) mem")
_REVERSED = Mutant("stoic_planes", "{SIMD{s_axis_tdata[b]}}", "{SIMD{s_axis_tdata[7-b]}}")
_STALE_LANES = Mutant("stoic_planes", "(first_q ? {SIMD{1'b0}} : word_q)", "word_q")
_STALE_U = Mutant("stoic_planes", "(fresh_q ? {SUM_W{1'b0}} : sum_q)", "sum_q")
_PAD_COUNTS = Mutant("stoic_mvu", ".PAD(N_STEPS * SIMD - N)", ".PAD(0)")
_KEEP_EARLY = Mutant("stoic_mvu_chain", "keep = keep_q[COUNTING-1]", "keep = keep_q[COUNTING-2]")
_TOTAL_EARLY = Mutant("stoic_mvu_stage", "last_q2 ? totals", "last_q ? totals")
_SAME_FOLD = Mutant("stoic_mvu_control", "base_q <= next_addr", "base_q <= base_q")
_WAIT = Mutant("stoic_mvu_control", "(!run_q || image_end)", "!run_q")
_CORRECTS_NONE = Mutant("stoic_secded", "data_q ^ data_hit", "data_q")
_SEES_CHECKS = Mutant("stoic_secded", "(|data_hit) || (|check_hit)", "|data_hit")
_DETECTS_ALL = Mutant("stoic_secded", "(|syndrome_q) && !found", "|syndrome_q")
_WRONG_COLUMN = Mutant("stoic_secded_checks", "COLUMNS[R*i+m]", "COLUMNS[R*i+m] && i != 1")

_EVERY_ROW = Mutant("stoic_pool", "valid_q <= column_end && y_left_q == 0", "valid_q <= column_end")
_AND_ALONG = Mutant("stoic_pool", "along | g_link[k].behind", "along & g_link[k].behind")
_AND_DOWN = Mutant("stoic_pool", "column | g_link[k].above", "column & g_link[k].above")

_NEXT_TOO_SOON = Mutant("stoic_unbatch", "if (end_q) turn_q <=", "if (word_q == 0) turn_q <=")
_ROOM_OF_FIRST = Mutant(
    "stoic_unbatch", "s_axis_tready = readies[B-1]", "s_axis_tready = readies[0]"
)
_LATE_END = Mutant("stoic_unbatch", "BEFORE_END = WORDS - 2", "BEFORE_END = WORDS - 1")
_SAME_IMAGE = Mutant("stoic_unbatch", "[WIDTH*(b+1)-1:WIDTH*b]", "[WIDTH-1:0]")
_FULL_LATE = Mutant("stoic_fifo", "full_q <= push ? write_next_q == full_at :", "full_q <=")
_MOVES_ON = Mutant("stoic_fifo", "hold_i(valid_q && !m_axis_tready)", "hold_i(1'b0)")


def _fifteen(full_adders: int, width: int) -> Proof:
    kind = "full-adders" if full_adders else "pairs"
    mutants = (_LANE_TWICE,) if full_adders else (_OR_OF_PAIR, _NO_FOUR)
    return Proof(
        f"fifteen-{kind}-in-{width}",
        Design("stoic_fifteen", {"FULL_ADDERS": full_adders, "COUNT_W": width}),
        f"the sum of fifteen lanes, by {kind}, in {width} bits",
        units.fifteen, (*mutants, _NO_FIFTEENTH, _LATE), True,
    )  # fmt: skip


def _popcount(
    lanes: int, xnor: int, pads: int, is_short: bool = False, full_adders: int = 0
) -> Proof:
    mutants = [_XOR if xnor else _OR]
    mutants += [_UNMASKED] if pads else []
    mutants += [_DIFFERENCE] if lanes > 30 else []
    gate = "XNOR" if xnor else "AND"
    return Proof(
        f"popcount-{gate}-{lanes}"
        + (f"-less-{pads}" if pads else "")
        + ("-full-adders" if full_adders else ""),
        Design(
            "stoic_popcount",
            {"LANES": lanes, "XNOR": xnor, "PAD": pads, "FULL_ADDERS": full_adders},
        ),
        f"{gate} and count of {lanes} lanes, the last {pads} masked on request",
        units.popcount, tuple(mutants), is_short,
    )  # fmt: skip


def _neuron(n: int, simd: int, planes: int = 1, images: int = 1, is_short: bool = False) -> Proof:
    steps = -(-n // simd)
    pads = steps * simd - n
    width = ((255 if planes > 1 else 1) * n).bit_length()
    parameters = {"SIMD": simd, "DEPTH": steps, "PAD": pads, "PLANES": planes, "TOTAL_W": width}
    parameters["B"] = images
    kind = "uint8" if planes > 1 else "bits"
    return Proof(
        f"neuron-{kind}-{n}-by-{simd}" + (f"-x{images}" if images > 1 else ""),
        Design("stoic_pe", parameters),
        f"sum of a neuron of {n} {kind}, {simd} lanes a cycle, after whatever was there before",
        partial(units.element, n=n),
        (_NO_DOUBLE if planes > 1 else _NEVER_ANEW, *([_NO_PAD] if pads else [])), is_short,
    )  # fmt: skip


def _threshold(name: str, parameters: Parameters, is_short: bool = False) -> Proof:
    mutants = [_ABOVE, _BELOW]
    mutants += [_UNSIGNED] if parameters["SIGNED"] else []
    mutants += [_EVERY_LANE] if parameters["GROUP"] > 1 else []
    return Proof(
        f"threshold-{name}", Design("stoic_threshold", parameters),
        "value >= theta of its stage, fold and lane; the host reads what it wrote, where it wrote",
        comparing.threshold, tuple(mutants), is_short,
    )  # fmt: skip


def _layer(name: str, changes: Parameters, is_short: bool = False) -> Proof:
    parameters = {
        "N": 70, "M": 5, "PE": 2, "SIMD": 36, "GROUP": 1, "PLANES": 1, "THRESHOLD_W": 8, "OUT_W": 4,
        **changes,
    }  # fmt: skip
    parameters["T_BANK"] = parameters["PE"]
    mutants = [_KEEP_EARLY, _TOTAL_EARLY, _WAIT]
    mutants += [_PAD_COUNTS] if parameters["N"] % parameters["SIMD"] else []
    mutants += [_PLUS_U] if parameters["PLANES"] > 1 else []
    mutants += [_SAME_FOLD] if parameters["PLANES"] > 1 else []
    return Proof(
        f"layer-{name}", Design("stoic_mvu", parameters),
        "two images through a layer: every neuron or sum, tlast, fill, latency, cycles per image",
        layer, tuple(mutants), is_short,
    )  # fmt: skip


PROOFS: tuple[Proof, ...] = (
    *(_fifteen(full_adders, width) for full_adders in (0, 1) for width in (4, 5, 6, 7)),
    *(_popcount(lanes, xnor, 0) for lanes in (1, 7, 16, 32) for xnor in (0, 1)),
    _popcount(36, 1, 8, is_short=True),
    _popcount(36, 1, 8, full_adders=1),
    _popcount(64, 0, 48),
    _popcount(36, 0, 8),
    _popcount(64, 1, 0),
    _popcount(64, 1, 63),
    *(
        Proof(
            f"popcount-never-wraps-{lanes}",
            Design("stoic_popcount", {"LANES": lanes}),
            "a count in the width of count_o is the number of lanes, by induction over the lanes",
            units.narrow_counts, (_NARROW,), lanes == 64,
        )
        for lanes in (4, 16, 64)  # where a bit less would wrap
    ),
    *(_neuron(n, 64) for n in (64, 128, 256, 1024, 4000)),
    _neuron(4096, 64, is_short=True),
    _neuron(784, 36, is_short=True),
    _neuron(784, 16),
    _neuron(100, 7),
    _neuron(256, 64, images=3),
    _neuron(784, 36, units.PLANES),
    _neuron(784, 16, units.PLANES),
    _neuron(100, 7, units.PLANES, is_short=True),
    _threshold("signed", {"STAGES": 32, "N_FOLDS": 8, "GROUP": 1, "TABLES": 1,
                          "SIGNED": 1, "VALUE_W": 19, "THRESHOLD_W": 19}, is_short=True),
    _threshold("unsigned", {"STAGES": 16, "N_FOLDS": 16, "GROUP": 1, "TABLES": 1,
                            "SIGNED": 0, "VALUE_W": 9, "THRESHOLD_W": 9}),
    _threshold("groups", {"STAGES": 6, "N_FOLDS": 5, "GROUP": 2, "TABLES": 3,
                          "SIGNED": 0, "VALUE_W": 13, "THRESHOLD_W": 14}, is_short=True),
    _threshold("wide-theta", {"STAGES": 1, "N_FOLDS": 3, "GROUP": 1, "TABLES": 1,
                              "SIGNED": 1, "VALUE_W": 12, "THRESHOLD_W": 21}),
    Proof(
        "sums", Design("stoic_mvu_sums", {"STAGES": 3, "N_FOLDS": 3, "PLANES": 8, "TOTAL_W": 18}),
        "2 A - U with the U of the image, of two images on their way; stage, fold and last",
        comparing.sums, (_PLUS_U, _WRONG_U), is_short=True,
    ),
    *(
        Proof(
            f"scores-ranking-{name}", Design("stoic_scores", parameters),
            "class and margin of any number of scores with any gaps, by induction over the scores",
            comparing.ranking, (_LAST_WINS, _NOT_THE_NEW, _LOST_SECOND, _STALE_SECOND),
            name == "bits",
        )
        for name, parameters in {
            "bits": {"N": 256, "M": 1000, "BITS": 1, "VALUE_W": 9},
            "uint8": {"N": 784, "M": 10, "BITS": 0, "VALUE_W": 19},
        }.items()
    ),
    *(
        Proof(
            f"scores-{name}", Design("stoic_scores", parameters),
            "an image after reset: scores, argmax with the lowest index at a tie, margin",
            comparing.classes, mutants, name == "uint8-3",
        )
        for name, parameters, mutants in (
            ("bits-10", {"N": 256, "M": 10, "BITS": 1, "VALUE_W": 9}, (_LAST_WINS, _N_TWICE)),
            ("uint8-3", {"N": 784, "M": 3, "BITS": 0, "VALUE_W": 19}, (_LAST_WINS, _LOST_SECOND)),
            ("bits-1", {"N": 784, "M": 1, "BITS": 1, "VALUE_W": 10}, (_N_TWICE,)),
        )
    ),
    *(
        Proof(
            f"secded-{k}",
            Design("stoic_secded", {"K": k, "R": hsiao.code(k).n_checks,
                                    "COLUMNS": hsiao.code(k).packed_columns}),
            "every single error corrected, every double one detected, nothing seen without",
            codes.secded, (_CORRECTS_NONE, _SEES_CHECKS, _DETECTS_ALL, _WRONG_COLUMN), k == 8,
        )
        for k in (8, 32, 36, 57, 64)
    ),
    Proof(
        "crc32", Design("stoic_crc32"), "polynomial division, a byte a cycle; clear, hold, residue",
        codes.crc, (_POLYNOMIAL, _SEVEN_STEPS), is_short=True,
    ),
    *(
        Proof(
            f"ram-{p['WIDTH']}-latency-{p['LATENCY']}", Design("stoic_ram", p),
            "what was written last comes back, 0 if cleared, stays if held, XOR the fault mask",
            units.memory,
            (_NO_WRITE, *([_STUCK, _NO_CLEAR] if p["FAULT_EN"] else [_NO_HOLD])),
        )
        for p in (
            {"DEPTH": 512, "WIDTH": 36, "LATENCY": 2, "FAULT_EN": 1},
            {"DEPTH": 176, "WIDTH": 64, "LATENCY": 1, "FAULT_EN": 0},
        )
    ),
    *(
        Proof(
            f"planes-{simd}", Design("stoic_planes", {"SIMD": simd, "SUM_W": 18}),
            f"two images of {n} bytes to bit planes, lanes past the last are 0, and U",
            partial(units.planes, n=n), (_REVERSED, _STALE_LANES, _STALE_U), simd == 4,
        )
        for simd, n in ((1, 3), (4, 10), (36, 50), (64, 70))
    ),
    *(
        Proof(
            f"pool-{k}-by-{stride}-of-{height}-x-{columns}-x-{n_words}",
            Design("stoic_pool", {"WIDTH": 64, "WORDS": n_words, "HEIGHT": height,
                                  "COLUMNS": columns, "KERNEL": k, "STRIDE": stride}),
            "OR over every window of two maps, in order; tlast",
            units.pool, (_EVERY_ROW, *([_AND_ALONG, _AND_DOWN] if k > 1 else [])), n_words == 2,
        )
        for k, stride, height, columns, n_words in (
            (2, 2, 8, 8, 1), (2, 2, 5, 4, 2), (3, 1, 5, 5, 1), (3, 2, 6, 7, 3), (2, 3, 7, 5, 1),
        )
    ),
    *(
        Proof(
            f"unbatch-{b}-images-of-{n}-by-{width}",
            Design("stoic_unbatch", {"B": b, "WORDS": n, "WIDTH": width}),
            "every word of every image in its place under any stall, by induction over cycles",
            unbatch,
            (_NEXT_TOO_SOON, _ROOM_OF_FIRST, _LATE_END, _SAME_IMAGE, _FULL_LATE, _MOVES_ON),
        )
        for b, n, width in ((2, 10, 9), (3, 10, 19))
    ),
    _layer("bits-small", {"N": 9, "M": 3, "SIMD": 4, "OUT_W": 2}, is_short=True),
    _layer("bits", {}),
    _layer("bits-groups", {"M": 7, "PE": 4, "GROUP": 2}),
    _layer("bits-sums", {"THRESHOLD_W": 0}),
    _layer("bits-long-chain", {"N": 30, "M": 14, "PE": 8, "SIMD": 16}),
    _layer("bits-one", {"N": 9, "M": 3, "PE": 1, "SIMD": 1, "OUT_W": 2}),
    _layer("uint8", {"PLANES": 8, "THRESHOLD_W": 17}),
    _layer("uint8-sums", {"PLANES": 8, "THRESHOLD_W": 0}),
    _layer("bits-784", {"N": 784, "M": 16, "PE": 4, "THRESHOLD_W": 10, "OUT_W": 32}),
)  # fmt: skip
