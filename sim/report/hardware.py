"""What the tools estimate of a device, and what the virtual board did."""

from collections.abc import Mapping
from typing import Any

from .figures import accuracy_figure, resource_figure
from .html import Raw, element, percent, short_hash, table
from .parts import count, drawn, missing, note, point_row, section, what_was_run
from .results import Results, reading


def hardware(results: Results) -> Raw:
    """The section."""
    parts: list[Raw] = []
    for result in results.all("synth"):
        with reading(result) as values:
            parts += _board(values)
    return section("Hardware", *(parts or [missing("bitstream", "make synth")]))


def _board(values: Mapping[str, Any]) -> list[Raw]:
    used, name = values["utilisation"], values["board"]
    shares = {
        "logic cells": (used["logic_cells"], used["logic_cells_available"]),
        "block RAMs": (used["block_rams"], used["block_rams_available"]),
    }
    title = f"Resources of {values['network']} on {name}"
    met = f"{values['seeds_that_met_timing']} of {len(values['seeds'])}"
    facts = {
        "clock asked, MHz": values["clock_mhz_asked"],
        "Fmax best, MHz": values["fmax_mhz_best"],
        "Fmax median, MHz": values["fmax_mhz_median"],
        "seeds that met it": met,
        "cycles an image": values["cycles_per_image"],
        "images/s at the clock": values["images_per_s_at_clock"],
        "of the weight-bandwidth bound, %": percent(values["bandwidth_share"], 1),
        "LUT4": used["lut4"],
        "flip-flops": used["flops"],
        "bitstream": short_hash(values["bitstream_sha256"]),
    }
    seeds = [
        {"seed": r["seed"], "Fmax, MHz": r["fmax_mhz"], "critical path": r["critical_path"]}
        for r in values["routes"]
    ]
    return [
        element("h3", f"{values['network']} on {name}"),
        note(f"All figures of time are a {values['label']}; no board was measured."),
        drawn(resource_figure(shares), f"resources-{name}", title),
        table(title, [{"what": k, "value": v} for k, v in facts.items()]),
        table(f"Seeds of place and route, {name}", seeds),
    ]


def virtual(results: Results) -> Raw:
    """The section."""
    title = "Virtual board"
    found = results.one("virtual")
    if found is None:
        return section(title, missing("virtual board", "make virtual"))
    with reading(found) as values:
        ran = values["campaign"]
        facts = {
            "network": values["network"],
            "board": values["board"],
            "build": values["build_id"],
            "words written and read back": values["n_words"],
            "words that read otherwise": count(values["n_words_different"]),
            "images": values["n_images"],
            "seconds": f"{values['seconds']:.1f}",
            **{f"counter: {k}": v for k, v in values["counters"].items()},
        }
        parts: list[Raw | None] = [
            element(
                "p",
                "The top that was synthesised, Verilated, behind a port; driven by the same "
                "program that drives a real board.",
            ),
            table(
                "What it was asked and what it counted",
                [{"what": k, "value": v} for k, v in facts.items()],
            ),
        ]
        if ran:
            what = (
                f"{what_was_run(ran)} {ran['n_rows_different']} rows differ from golden's, "
                "score for score."
            )
            parts += [
                drawn(
                    accuracy_figure(ran["points"]),
                    "board-accuracy",
                    "Accuracy on the board",
                ),
                note(what),
                table(
                    "Accuracy in percent over chips, by the board", map(point_row, ran["points"])
                ),
            ]
        return section(title, *parts)
