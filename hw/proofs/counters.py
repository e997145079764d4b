"""The list of proofs of what a core counts."""

from .counting import registers, tally, tally_clears
from .elaborate import Design, Mutant
from .proof import Proof

_LOW_TOO_MANY = Mutant("stoic_registers", "margin_q < bound_q", "margin_q <= bound_q")
_OLD_LEAST = Mutant("stoic_registers", "clear || margin_q < least_q", "margin_q < least_q")
_COUNTS_RESET = Mutant("stoic_registers", "more & {COUNT_W{!rst_i}}", "more")
_ANY_WORD = Mutant("stoic_registers", "(words_q & {32{here_q}})", "words_q")
_MIXED = Mutant("stoic_registers", "if (hold_q && empty_i)", "if (hold_q)")
_ONE_MORE = Mutant("stoic_registers", "data_q < N_TABLES", "data_q <= N_TABLES")

_NOT_ALL = Mutant("stoic_tally", "cfg_data_i <= {32'd0, MOST}", "cfg_data_i < {32'd0, MOST}")
_OTHERS_INSIDE = Mutant("stoic_tally", "!run_q && !busy_i", "!run_q")
_ENDS_EARLY = Mutant("stoic_tally", "images_q == wanted_q && !busy_i", "images_q == wanted_q")
_NEXT_LANE = Mutant("stoic_tally", "lane_q3 <= lane_q2", "lane_q3 <= given_q[1:0]")
_NO_LABEL = Mutant("stoic_tally", "class_valid_i && label_valid", "class_valid_i")
_ONE_LEFT = Mutant("stoic_tally", "LAST = DEPTH - 1", "LAST = DEPTH - 2")
_OLD_COUNTS = Mutant("stoic_tally", "clear_q ? 64'd0 : more", "more")

_PHANTOM = Mutant(
    "stoic_tally",
    "run_q <= 1'b0;\n                send_q",
    "run_q <= 1'b0; counted_q2 <= 1'b1; send_q",
)

PROOFS = (
    *(
        Proof(
            f"registers-{parameters['TABLES']}-tables",
            Design("stoic_registers", {"BANK": 300, "COUNT_W": 17, **parameters}),
            "counters, bound and table in use after any cycle; every answer, 3 cycles later",
            registers,
            (_LOW_TOO_MANY, _OLD_LEAST,
             *([_COUNTS_RESET, _ANY_WORD] if parameters["SECDED_EN"] else []),
             *([_MIXED, _ONE_MORE] if parameters["TABLES"] > 1 else [])),
            parameters["TABLES"] == 3,
        )
        for parameters in (
            {"MARGIN_W": 32, "TABLES": 1, "LAYERS": 4, "SECDED_EN": 0},
            {"MARGIN_W": 20, "TABLES": 2, "LAYERS": 6, "SECDED_EN": 1},
            {"MARGIN_W": 12, "TABLES": 3, "LAYERS": 2, "SECDED_EN": 1},
            {"MARGIN_W": 1, "TABLES": 255, "LAYERS": 1, "SECDED_EN": 1},
        )
    ),
    *(
        Proof(
            f"tally-{classes}-classes",
            Design("stoic_tally", {"BANK": 16385, "IMAGES": images, "M": classes}),
            "when a run begins and ends, its counts after any cycle; every answer, 3 cycles later",
            tally,
            (_NOT_ALL, _OTHERS_INSIDE, _ENDS_EARLY, _NEXT_LANE, _NO_LABEL, _PHANTOM),
            classes == 3,
        )
        for classes, images in ((2, 300), (3, 1), (5, 65535), (10, 300), (255, 300))
    ),
    *(
        Proof(
            f"tally-clears-{classes}-classes",
            Design("stoic_tally", {"BANK": 16385, "IMAGES": 300, "M": classes}),
            "DEPTH + 2 cycles after its request a run may send, and all counts are 0",
            tally_clears, (_ONE_LEFT, _OLD_COUNTS), classes == 3,
        )
        for classes in (2, 3, 5, 10)
    ),
)  # fmt: skip
