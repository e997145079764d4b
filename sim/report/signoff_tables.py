"""Blocks of rtl/README.md: what the sign-off of the RTL found, and what its units take."""

from collections.abc import Iterable
from pathlib import Path

from .readme_tables import read


def signoff(results: Path) -> Iterable[str]:
    """Every check of `make signoff`, and the target that runs it alone."""
    found = read(results / "signoff.json", "make signoff")
    netlists = read(results / "netlist.json", "make netlist")
    soak = read(results / "soak.json", "make soak")
    networks = sorted({agreement["network"] for agreement in found["agreements"]})
    n_proven = found["proofs"] - found["proofs_failed"]
    n_caught = sum(mutant["is_caught"] for mutant in soak["mutants"])
    yield "| sign-off | | command |"
    yield "|---|---|---|"
    yield (
        f"| scores that differ from golden, {found['injected_flips']:,} bits injected into the "
        f"RTL; all test images of {', '.join(found['full_sets'])} under three maps or more; "
        f"{', '.join(f'`{name}`' for name in networks)} | **{found['mismatches']:,}** of "
        f"{found['scores_compared']:,} | `make agree`, `make sabotage` |"
    )
    yield (
        f"| the same of the netlists that are placed, {netlists['injected_flips']:,} bits | "
        f"**{netlists['mismatches']:,}** of {netlists['scores_compared']:,} | `make netlist` |"
    )
    yield (
        "| wrong networks in their place that this notices; one entry of a truth table inverted, "
        f"most of inputs that never come | {netlists['network_mutants_caught']} of "
        f"{netlists['network_mutants']}; {netlists['netlist_mutants_caught']} of "
        f"{netlists['netlist_mutants']} | `make netlist` |"
    )
    yield (
        f"| proofs for all inputs and stalls; mutants that one passes | **{n_proven}** of "
        f"{found['proofs']}; {found['proof_mutants_missed']} | `make proofs` |"
    )
    yield (
        f"| mutants of the RTL that the benches notice, of those not proven equal | "
        f"{100 * found['mutation_score']:.1f} %, {found['mutants_survived']} of "
        f"{found['mutants']} survive | `make mutants` |"
    )
    yield (
        "| features of the test plan; lines; toggles | "
        f"{100 * found['functional_coverage']:.0f} %; {100 * found['line_coverage']:.1f} %; "
        f"{100 * found['toggle_coverage']:.1f} % | `make coverage` |"
    )
    yield (
        f"| virtual board, {soak['frames']:,} frames, {soak['bytes_damaged']:,} bytes damaged: "
        f"scores and words that differ; wrong drivers caught | **{soak['scores_differ']}**, "
        f"**{soak['words_differ']}**; {n_caught} of {len(soak['mutants'])} | `make soak` |"
    )


def units(results: Path) -> Iterable[str]:
    """Cells of every module of rtl, all its instances in a design together."""
    found = read(results / "hw-table.json", "make hw-table")
    yield (
        "| unit | in | instances | LUT4 | carry cells | flip-flops | small memory | block memory |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for unit in found["units"]:
        yield (
            f"| `{unit['unit']}` | {unit['inside']} | {unit['instances']} | {unit['lut4']:,} | "
            f"{unit['carry_cells']:,} | {unit['flops']:,} | {unit['distributed_ram_cells']} | "
            f"{unit['block_rams']} |"
        )
