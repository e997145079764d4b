"""Blocks of docs/trigger.md: what the trigger finds, and how fast it is."""

from collections.abc import Iterable
from pathlib import Path

from .readme_tables import read

_MEMORIES = {
    "no trigger, every event kept": "every event kept",
    "float network": "float network",
    "no errors": "binary trigger",
    "`iid-1%`": "... 1 % of its weight bits wrong",
    "`iid-10%`": "... 10 % wrong",
    "`rram-low-energy`": "... RRAM programmed at low energy, 3.3 % wrong",
    "`rram-2t2r-300cycles`": "... RRAM cells in pairs, after 300 cycles, 1.7 % wrong",
}


def found(results: Path) -> Iterable[str]:
    """Significance, and as a share of the float network's, by what the weight memory does."""
    by_memory, by_threshold = read(results / "study_trigger.json", "make study STUDY=trigger")[
        "tables"
    ]
    rows = {row[0]: row[-2:] for row in by_memory["rows"]}
    yield "| | S | % of the float network |"
    yield "|---|---|---|"
    for memory, shown in _MEMORIES.items():
        yield f"| {shown} | {' | '.join(rows[memory])} |"
    kept = {row[0]: row[1].split(" ± ")[0] for row in by_threshold["rows"]}
    yield ""
    yield (
        f"The trigger keeps {kept['0']} % of the showers at threshold 0, {kept['-64']} % at -64, "
        f"{kept['64']} % at 64; S hardly depends on it."
    )


def fast(results: Path) -> Iterable[str]:
    """Rate, latency and size on a board, and what was compared on the virtual one."""
    row = read(results / "trigger.json", "make trigger")
    synth = row["synth"]
    used, clock = synth["utilisation"], f"{row['clock_mhz']:g} MHz"
    n_caught, n_wrong = row["network_mutants_caught"], row["network_mutants"]
    yield f"| {row['board']} | |"
    yield "|---|---|"
    yield (
        f"| clock asked | {clock}; Fmax {synth['fmax_mhz_median']:.1f} MHz "
        f"(estimate, median of {len(synth['seeds'])} seeds) |"
    )
    yield (
        f"| events a second at the clock asked | {row['events_per_s']:,} "
        f"(estimate; one every {row['cycles_per_event']:g} cycles, simulated) |"
    )
    yield (
        f"| latency, first byte in to last score out | {row['latency_us']:.1f} us "
        f"({row['latency_cycles']} cycles, simulated) |"
    )
    yield (
        f"| logic cells, flip-flops, block memories | {used['logic_cells']:,} of "
        f"{used['logic_cells_available']:,}, {used['flops']:,}, {used['block_rams']} of "
        f"{used['block_rams_available']} |"
    )
    yield ""
    yield (
        f"Every score of every test event, at {len(row['thresholds'])} thresholds and under "
        f"{len(row['conditions'])} maps of memory errors, was read back from a virtual board "
        f"through the driver of real boards, and compared with the integer reference: "
        f"{row['scores_compared']:,} scores, {row['mismatches']} differ; wrong networks put in "
        f"its place were noticed ({n_caught} of {n_wrong})."
    )
