"""The table of `make hw-table` as Markdown, beside published figures."""

from pathlib import Path
from typing import Any

from ..sim.exceptions import ArtefactError

BUILD_S = 600  # wanted of synthesis, place and route together
NOT_SAID = "not published"

# What others publish, as printed there; of other devices and tools, most of other networks.
# Design, device, LUTs, flip-flops, block memories, MHz, cycles, images/s, latency in us, source
PUBLISHED = (
    ("FINN SFC-max, 784-256-256-256-10 binary", "Zynq 7045 (ZC706)", "91,131 LUT6", "",
     "5 of 36 kbit", "200", "", "12,361,000", "0.31",
     "Umuroglu et al., FPGA 2017 (arXiv 1612.07119)"),
    ("LUTNet, MNIST, unrolled", "", "58,192 LUT6", "", "", "", "1", "200,000,000", "",
     "README of the authors' repository"),
    ("Lattice sensAI compact CNN, binary", "UP5K", "2,706 LUT4", "1,992",
     "11 EBR, 1 SPRAM", "40.7", "", "", "", "Lattice, sheet of the compact CNN accelerator"),
    ("TinBiNN overlay, ten-class CNN", "UP5K", "about 5,000 LUT4", "", "", "", "", "0.76",
     "1,315,000", "Lemieux et al., TinBiNN"),
)  # fmt: skip


def page(values: dict[str, Any]) -> str:
    """The table as Markdown, beside published figures."""
    rows = values["rows"]
    lines = [
        "# Speed and size of the datapath",
        "",
        f"Made by `make hw-table`, kit {values['kit_version']}, "
        + ", ".join(f"{k} {v}" for k, v in sorted(values["tools"].items()))
        + ".",
        "",
        "Place-and-route estimates, nothing from silicon. A column is a core alone between pins "
        "(`hw/vehicle.py`): no link and no UART, since no link of these boards feeds it. Pins are "
        "where the tool puts them, and paths to and from pins are not timed. Every score that the "
        "Verilated core gave was compared with golden's, without faults and under a fault map. "
        "Columns with an injector have the registers too, which count the words that meet errors: "
        "sfc-b1-registers is what they are to be compared with.",
        "",
        "| | " + " | ".join(r["name"] for r in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]

    def line(title: str, text: Any) -> str:
        return f"| {title} | " + " | ".join(text(r) for r in rows) + " |"

    lines += [
        line("network, input", lambda r: f"{r['network']}, {r['input']}"),
        line("chip", lambda r: r["chip"]),
        line("SIMD x PE", lambda r: ", ".join(f"{s}x{p}" for s, p in r["folds"])),
        line("images that share a weight word (B)", lambda r: str(r["b"])),
        line("LUT4", lambda r: f"{r['lut4']:,}"),
        line(
            "logic cells packed",
            lambda r: f"{r['logic_cells']:,} of {r['logic_cells_available']:,}",
        ),
        line("flip-flops", lambda r: f"{r['flops']:,}"),
        line("block memories", lambda r: f"{r['block_rams']} of {r['block_rams_available']}"),
        line("clock asked, MHz", lambda r: f"{r['clock_mhz_asked']:g}"),
        line(
            "Fmax, median (each seed), MHz",
            lambda r: (
                f"{r['fmax_mhz_median']:.1f} ({', '.join(f'{f:.1f}' for f in r['fmax_mhz'])})"
            ),
        ),
        line(
            "cycles an image, planned / simulated",
            lambda r: f"{r['cycles_per_image']} / {r['cycles_per_image_simulated']:g}",
        ),
        line("images/s at the median", lambda r: f"{r['images_per_s']:,}"),
        line("first score, load included, us", lambda r: f"{r['latency_us']:g}"),
        line("of the chip's weight-bandwidth bound", lambda r: f"{r['bandwidth_share']:.1%}"),
        line("of the folding's own bound", lambda r: f"{r['own_bound_share']:.1%}"),
        line("synthesis, s", lambda r: f"{r['synth_wall_s']:.0f}"),
        line("place and route, s", lambda r: ", ".join(f"{s:.0f}" for s in r["route_wall_s"])),
        line("images compared, mismatches", lambda r: f"{r['images_compared']}, {r['mismatches']}"),
        line(
            "Verilated, images in a second of a processor",
            lambda r: f"{r['simulated_images_per_cpu_s']:,.0f}",
        ),
        "",
        "The weight-bandwidth bound of a chip: all its block memories give their widest word every "
        "cycle, each for one image. With B images to a word it can be passed.",
        "",
        slow(rows),
        "",
        "Wanted of the simulation: 10,000 images of the SFC in a second of a processor, 100 of a "
        "convolutional network.",
        "",
        "## Beside what others publish",
        "",
        "| design | device | LUTs | flip-flops | block memories | clock, MHz | cycles an image "
        "| images/s | latency, us | source |",
        "|---" * 10 + "|",
        *("| " + " | ".join(ours(r)) + " |" for r in rows),
        *("| " + " | ".join(cell or NOT_SAID for cell in cells) + " |" for cells in PUBLISHED),
        "",
        "What differs: FINN's and LUTNet's devices have six-input LUTs in a faster process, built "
        "with Vivado; LUTNet and sensAI are of other networks, TinBiNN of a much larger one; "
        "images/s of FINN SFC-max unrolls what is folded here. Theirs are results of boards or of "
        "closed tools, ours estimates of an open one. Of one network are FINN's line and ours on "
        "bits.",
        "",
        "What each unit takes: [rtl/README.md](../rtl/README.md).",
    ]
    return "\n".join(lines) + "\n"


def ours(row: dict[str, Any]) -> tuple[str, ...]:
    """A row as a line of the table of published figures."""
    return (
        f"**{row['name']}**, {row['network']}, {row['input']}",
        row["chip"],
        f"{row['lut4']:,} LUT4",
        f"{row['flops']:,}",
        str(row["block_rams"]),
        f"{row['fmax_mhz_median']:.1f}",
        f"{row['cycles_per_image']:,}",
        f"{row['images_per_s']:,}",
        f"{row['latency_us']:g}",
        "this page",
    )


def slow(rows: list[dict[str, Any]]) -> str:
    """What takes longer than BUILD_S to build."""
    took = {
        row["name"]: [row["synth_wall_s"] + s for s in row["route_wall_s"] if s] for row in rows
    }
    late = [
        f"{name} on {sum(s > BUILD_S for s in each)} of {len(each)} seeds (up to {max(each):.0f} s)"
        for name, each in took.items()
        if max(each, default=0) > BUILD_S
    ]
    said = "; ".join(late) or "none"
    return (
        f"Wanted: synthesis, place and route in {BUILD_S} s. Over it, on two threads of one core "
        f"beside other jobs: {said}."
    )


def as_page(values: dict[str, Any], path: Path) -> str:
    """The page of the values of a file.

    Raises:
        ArtefactError: they are no such table.
    """
    try:
        return page(values)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not of this kit's make hw-table ({error!r}); make it again"
        ) from error
