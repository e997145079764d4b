"""Block of docs/boards_timing.md: every listed open board with three networks."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .readme_tables import read

_HEAD = (
    "network",
    "board",
    "clock asked, MHz",
    "Fmax reached, MHz",
    "margin",
    "folding, SIMD x PE",
    "logic cells",
    "block memories",
    "images/s at the clock asked",
    "first bitstream, s on the wall / of processor",
)


def boards(results: Path) -> Iterable[str]:
    """How many of the designs that fit meet timing, each of them, and what does not fit."""
    found = read(results / "boards.json", "make boards")
    fit = [row for row in found["rows"] if row["verdict"] != "refused"]
    to_do = len(found["not_measured"])
    yield (
        f"**{found['met']} of {len(fit)}** designs that fit meet the clock asked; "
        f"{found['refused']} of {found['pairs']} pairs do not fit"
        + (f", {to_do} pairs are not measured yet. " if to_do else ". ")
        + "The slowest first bitstream "
        f"took ~{found['slowest_bitstream_wall_s']:.0f} s on the wall, "
        f"the most processor time of one is ~{found['slowest_bitstream_cpu_s']:.0f} s."
    )
    if packed := [row for row in fit if "cells_error" in row]:
        yield _planner(packed, found["block_rams_wrong"])
    yield ""
    yield f"| {' | '.join(_HEAD)} |"
    yield "|---" * len(_HEAD) + "|"
    for row in fit:
        yield f"| {' | '.join(_cells(row))} |"
    for row in found["rows"]:
        if row["verdict"] != "met":
            yield ""
            yield f"`{row['network']}` on {row['board']}: {row['verdict']}, {row['why']}."


def _planner(packed: list[dict[str, Any]], wrong: int) -> str:
    """How far the planner's counts are from the packer's."""
    worst = max(packed, key=lambda row: abs(row["cells_error"]))
    name, error = f"`{worst['network']}` on {worst['board']}", abs(worst["cells_error"])
    return (
        f"The planner's count of logic cells is at worst {error:.1%} off ({name}: "
        f"{worst['cells_predicted']:,} for {worst['logic_cells']:,}), that of block memories wrong "
        f"for {wrong} of {len(packed)} designs."
    )


def _cells(row: dict[str, Any]) -> Iterable[str]:
    """Cells of a design that fits; "-" for what a tool that failed did not say."""
    folds = ", ".join(f"{simd}x{pe}" for simd, pe in row["folds"])
    is_routed = "fmax_mhz" in row
    reached = ", ".join(f"{f:.1f}" for f in row["fmax_mhz"]) if is_routed else "-"
    return (
        f"`{row['network']}`",
        row["board"],
        f"{row['clock_mhz_asked']:g}",
        reached,
        f"{row['margin_percent']:+.1f} %" if is_routed else row["verdict"],
        f"one engine, {folds}" if row["engine"] else folds,
        f"{row['logic_cells']:,} of {row['logic_cells_available']:,}" if is_routed else "-",
        f"{row['block_rams']} of {row['block_rams_available']}" if is_routed else "-",
        f"{row['images_per_s_at_clock_asked']:,}",
        f"~{row['first_bitstream_wall_s']:.0f} / ~{row['first_bitstream_cpu_s']:.0f}"
        if row["verdict"] == "met"
        else "-",
    )
