"""The list of proofs that streams keep their rules, whatever source, sink and reset do."""

from .elaborate import Design, Mutant
from .proof import Proof

_NO_SPARE = Mutant("stoic_skid", "held ? spare_q : s_axis_tdata", "s_axis_tdata")
_DROPS = Mutant("stoic_skid", "valid_q <= held || take", "valid_q <= take")
_MOVES = Mutant("stoic_skid", "move = m_axis_tready || !valid_q", "move = 1'b1")
_DEADLOCK = Mutant("stoic_skid", "ready_q <= 1'b1;\n            end else", "end else")
_OVERFLOWS = Mutant("stoic_fifo", "s_axis_tvalid && !full_q", "s_axis_tvalid")
_READS_BEHIND = Mutant("stoic_fifo", "raddr_i(ahead)", "raddr_i(read_q[ADDR_W-1:0])")
_MOVES_ON = Mutant("stoic_fifo", "hold_i(valid_q && !m_axis_tready)", "hold_i(1'b0)")
_TOO_LONG = Mutant("stoic_fifo", "valid_q <= pop ? write_q != read_next_q :", "valid_q <=")
_FULL_LATE = Mutant("stoic_fifo", "full_q <= push ? write_next_q == full_at :", "full_q <=")
_WRONG_PLACE = Mutant("stoic_width", "kept} << place_q", "kept} << (OUT_W - G - place_q)")
_NO_FILL = Mutant("stoic_width", "group & LAST_MASK : group", "group : group")
_LOSES = Mutant("stoic_width", "group_valid && (!valid_q || m_axis_tready)", "group_valid")
_NEVER_EMPTY = Mutant("stoic_width", "left_q == 0 || (left_q", "(left_q")
_LATE = Mutant("stoic_scores", "done_q <= valid_q && last_q", "done_q <= fresh_q && last_q")
_RANKS_ALL = Mutant(
    "stoic_scores", "valid_q <= s_axis_tvalid && s_axis_tready", "valid_q <= s_axis_tvalid"
)

_OVERDRAWS = Mutant("stoic_mvu_control", "room_q != 0 && !go", "!go")
_STARTS_TWICE = Mutant("stoic_mvu_control", "&& !go && !go_q;", "&& !go;")
_NO_PAGE = Mutant("stoic_mvu_control", "free_q <= used_d != 2'd2", "free_q <= used_q != 2'd2")
_SAME_PAGE = Mutant("stoic_mvu_control", "if (image_end) page_q", "if (!run_q) page_q")

_ONE_MORE = Mutant(
    "stoic_store", "none_left_q <= left_q == 16'd1", "none_left_q <= left_q == 16'd0"
)
_LEAKS = Mutant("stoic_store", "m_axis_tready && !run_i", "m_axis_tready")
_OVERTAKES = Mutant("stoic_store", "bytes_q == 4'd1 && m_axis_tready", "bytes_q == 4'd1")
_NO_ROOM = Mutant("stoic_store", "(label_room_i && !none_left_q)", "!none_left_q")

_LEAVES_EARLY = Mutant("stoic_fork", "s_axis_tready = &done", "s_axis_tready = |done")
_TWICE = Mutant("stoic_fork", " & ~done_q", "")
_FORGETS = Mutant("stoic_fork", "else done_q <= done;", "else done_q <= m_axis_tready;")
_TAKES_NOTHING = Mutant("stoic_fork", "!s_axis_tvalid || ", "")
_NEVER_DONE = Mutant("stoic_fork", "s_axis_tready = &done", "s_axis_tready = &done_q")

_CUTS = Mutant("stoic_gate", "open = !fresh_q || !held_q", "open = !held_q")
_WITHDRAWS = Mutant("stoic_gate", "if (!offered || m_axis_tready) held_q", "held_q")
_SWALLOWS = Mutant("stoic_gate", "m_axis_tready && open", "m_axis_tready")
_ENDS_BY_NOTHING = Mutant("stoic_gate", "if (offered && m_axis_tready)", "if (m_axis_tready)")
_CLOSED_EARLY = Mutant("stoic_gate", "closed_o = !open", "closed_o = held_q")

_LESS = Mutant("stoic_add", "a_axis_tdata + b", "a_axis_tdata - b")
_A_ALONE = Mutant("stoic_add", "room && b_axis_tvalid", "room")
_B_ALONE = Mutant("stoic_add", "room && a_axis_tvalid", "room")
_OLD_B = Mutant("stoic_add", "s_axis_tvalid(both)", "s_axis_tvalid(a_axis_tvalid)")
_EXCUSES = Mutant("stoic_add", "(error_q || (both", "((both")

_NEXT_TOO_SOON = Mutant("stoic_unbatch", "if (end_q) turn_q <=", "if (word_q == 0) turn_q <=")
_ROOM_OF_FIRST = Mutant(
    "stoic_unbatch", "s_axis_tready = readies[B-1]", "s_axis_tready = readies[0]"
)
_FILLS_SOME = Mutant("stoic_unbatch", "s_axis_tvalid && readies[B-1]", "s_axis_tvalid")
_ALL_LEAVE = Mutant("stoic_unbatch", "m_axis_tready && turn_q[b]", "m_axis_tready")

PROOFS: tuple[Proof, ...] = (
    *(
        Proof(
            f"skid-{width}", Design("prove_skid", {"WIDTH": width}, "prove_skid.sv"),
            "two words inside at most; order, payload, tvalid hold; latency 1; never deadlocks",
            None, (_NO_SPARE, _DROPS, _MOVES, _DEADLOCK), width == 8,
        )
        for width in (1, 8)
    ),
    *(
        Proof(
            f"fifo-{depth}", Design("prove_fifo", {"DEPTH": depth, "WIDTH": 2}, "prove_fifo.sv"),
            f"{depth} words inside at most; order, payload, tvalid hold; latency 2; no deadlock",
            None, (_OVERFLOWS, _READS_BEHIND, _MOVES_ON, _TOO_LONG, _FULL_LATE), depth == 2,
        )
        for depth in (2, 4, 8)
    ),
    *(
        Proof(
            f"width-{a}-to-{b}-of-{n}",
            Design("prove_width", {"IN_W": a, "OUT_W": b, "N": n}, "prove_width.sv"),
            f"{n} elements, {a} a beat to {b} a word: place, order, tlast, fill; no deadlock",
            None, mutants, (a, b, n) == (1, 4, 5),
        )
        for a, b, n, mutants in (
            (1, 4, 5, (_WRONG_PLACE, _LOSES)),
            (2, 3, 7, (_WRONG_PLACE, _LOSES, _NEVER_EMPTY)),
            (4, 2, 7, (_NO_FILL, _LOSES, _NEVER_EMPTY)),
            (2, 4, 7, (_NO_FILL, _LOSES, _WRONG_PLACE)),
            (4, 6, 9, (_NO_FILL, _LOSES, _WRONG_PLACE)),
        )
    ),
    *(
        Proof(
            f"control-{p['N_STEPS']}-steps-{p['N_FOLDS']}-folds-{p['GAP']}-idle",
            Design("prove_control", p, "prove_control.sv"),
            "two images out at most, none without its page; order and flags of words; no deadlock",
            None, mutants, p["N_FOLDS"] == 1,
        )
        # only an image of two cycles can end while the start before it is not yet counted
        for p, mutants in (
            ({"N_STEPS": 2, "N_FOLDS": 1, "GAP": 0, "ADDR_W": 1},
             (_OVERDRAWS, _STARTS_TWICE, _NO_PAGE, _SAME_PAGE)),
            ({"N_STEPS": 2, "N_FOLDS": 2, "GAP": 1, "ADDR_W": 2},
             (_OVERDRAWS, _NO_PAGE, _SAME_PAGE)),
        )
    ),
    Proof(
        "scores-stream", Design("prove_scores", {}, "prove_scores.sv"),
        "no score lost, doubled or changed; the answer 3 cycles after the last and but once",
        None, (_LATE, _RANKS_ALL, _DROPS), is_short=True,
    ),
    *(
        Proof(
            f"store-{n}-bytes", Design("prove_store", {"IMAGE_BYTES": n}, "prove_store.sv"),
            "a wire, or as many whole images as are asked for, each after its label",
            None, (_ONE_MORE, _LEAKS, _OVERTAKES, _NO_ROOM),
        )
        for n in (2, 8)
    ),
    *(
        Proof(
            f"fork-{sinks}", Design("prove_fork", {"SINKS": sinks}, "prove_fork.sv"),
            f"each of {sinks} sinks takes every beat once, and waits for no other one",
            None, (_LEAVES_EARLY, _TWICE, _FORGETS, _TAKES_NOTHING, _NEVER_DONE), sinks == 2,
        )
        for sinks in (2, 3, 5)
    ),
    Proof(
        "gate", Design("prove_gate", {}, "prove_gate.sv"),
        "a wire within an image; between images shut a cycle after hold_i, and no sooner",
        None, (_CUTS, _WITHDRAWS, _SWALLOWS, _ENDS_BY_NOTHING, _CLOSED_EARLY), is_short=True,
    ),
    *(
        Proof(
            f"add-{width}", Design("prove_add", {"WIDTH": width}, "prove_add.sv"),
            "a + b of every pair, in order, latency 1; error_o; never deadlocks",
            None, (_LESS, _A_ALONE, _B_ALONE, _OLD_B, _EXCUSES, _DROPS, _DEADLOCK), width == 12,
        )
        for width in (12, 32)
    ),
    *(
        Proof(
            f"unbatch-2-images-of-{n}",
            Design("prove_unbatch", {"B": 2, "WORDS": n, "WIDTH": 1}, "prove_unbatch.sv"),
            "every word of every image in its place; tlast, room, latency 2; never deadlocks",
            None, mutants,
        )
        for n, mutants in (
            (1, (_ROOM_OF_FIRST, _ALL_LEAVE)),
            (2, (_NEXT_TOO_SOON, _ROOM_OF_FIRST, _FILLS_SOME, _ALL_LEAVE, _FULL_LATE)),
        )
    ),
)  # fmt: skip
