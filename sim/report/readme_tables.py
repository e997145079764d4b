"""Blocks of the README: each reads the result files of one command and gives Markdown lines."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..exceptions import ArtefactError

RATES = (0.0, 0.001, 0.01, 0.033, 0.05, 0.10)
BOARDS = ("ulx3s-25f", "icebreaker")


def read(path: Path, command: str) -> dict[str, Any]:
    """The JSON of one result file; what is missing names the command that makes it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: {error}; {command} makes it") from error
    return dict(values)


def accuracy(results: Path) -> Iterable[str]:
    """A tolerant network and its plain twin over bit error rates."""
    found = read(results / "campaign.json", "make campaign")
    points = {(p["network"], p["p01"]): p for p in found["points"] if p["p01"] == p["p10"]}
    networks = list(dict.fromkeys(p["network"] for p in found["points"]))
    yield f"| bit error rate | {' | '.join(f'{100 * r:g} %' for r in RATES)} |"
    yield "|---|" + "---|" * len(RATES)
    for name in networks:
        row = [points[name, rate] for rate in RATES]
        yield f"| `{name}` | {' | '.join(_percent(p) for p in row)} |"
    chips = max(p["n_chips"] for p in found["points"])
    yield ""
    yield (
        f"Accuracy in % on all {found['n_images']:,} test images of Fashion-MNIST; symmetric flips "
        f"in every weight memory; mean of {chips} chips with a 95 % interval. `make campaign`"
    )


def tolerant(results: Path) -> Iterable[str]:
    """All recipes over bit error rates."""
    found = read(results / "study_best.json", "make study STUDY=best")
    table = found["tables"][0]
    yield f"| {' | '.join(table['head'])} |"
    yield "|---" * len(table["head"]) + "|"
    for name, *cells in table["rows"]:
        yield f"| `{name}` | {' | '.join(cells)} |"
    yield ""
    yield (
        f"The kit's recipes, up to {len(found['seeds']['training'])} training seeds x "
        f"{found['measure']['chips']} chips, test accuracy in % with a 95 % interval over seeds; "
        f"flips in all weight layers. `make study STUDY=best`; [verdicts](docs/studies/best.md)."
    )


def _percent(point: dict[str, Any]) -> str:
    half = (point["high"] - point["low"]) / 2
    return f"{100 * point['mean']:.1f}" + (f" ± {100 * half:.1f}" if half else "")


def exactness(results: Path) -> Iterable[str]:
    """Scores compared, mutants caught, and the speed of it."""
    agree = read(results / "agree.json", "make agree")
    virtual = read(results / "virtual.json", "make virtual")
    cosim = read(results / "cosim.json", "make cosim")
    engine = read(results / "bench_engine.json", "make bench-engine")
    rtl = [c["seconds"] for c in agree["comparisons"] if c["device"] == "rtl"]
    mutants = agree["n_mutants"] + len(virtual["mutants"]) + cosim["mutants"]
    caught = agree["n_mutants_caught"] + cosim["mutants_caught"]
    caught += sum(m["is_caught"] for m in virtual["mutants"])
    worlds = ", ".join(dict.fromkeys(c["device"] for c in agree["comparisons"]))
    yield "| exactness and speed | | command |"
    yield "|---|---|---|"
    yield (
        f"| scores that differ from golden: {worlds}, {len(agree['maps'])} fault maps "
        f"| **{agree['n_mismatches']}** of {agree['n_scores']:,} | `make agree` |"
    )
    yield (
        f"| the same through the host link of the virtual board "
        f"| **{virtual['n_mismatches']}** of {virtual['n_scores']:,} | `make virtual` |"
    )
    yield f"| mutants caught by these checks and benches | {caught} of {mutants} | `make cosim` |"
    yield (
        f"| all {agree['n_images']:,} images through the Verilated RTL, one map "
        f"| ~{sum(rtl) / len(rtl):.0f} s | `make agree` |"
    )
    yield (
        f"| engine beside torch float32, 784-2048-2048-10, one core "
        f"| ~{engine['engine_vs_torch']:.0f} x | `make bench-engine` |"
    )
    yield (
        f"| engine, 2048 x 2048 layer, of the measured popcount limit "
        f"| ~{100 * engine['popcount_limit_fraction']:.0f} % | `make bench-engine` |"
    )


def beside(results: Path) -> Iterable[str]:
    """Trials and campaigns beside those of peers."""
    found = read(results / "bench_campaign.json", "make bench-campaign")
    half = f"±{100 * found['stop_rule_half_width']:.1f}"
    yield "| one core, all images, the same faults | beside | |"
    yield "|---|---|---|"
    for work, peer, key in (
        (
            "one trial, MLP 784-2048-2048-10",
            "torch float32, as a user writes it",
            "mlp_trial_vs_torch",
        ),
        ("", "torch float32, tuned by hand", "mlp_trial_vs_torch_tuned"),
        ("", "PyTorchFI", "mlp_trial_vs_pytorchfi"),
        ("", "MRFI", "mlp_trial_vs_mrfi"),
        ("one trial, CNN on uint8", "torch float32, `channels_last`", "cnn_trial_vs_torch"),
        ("", "torch float32, tuned by hand", "cnn_trial_vs_torch_by_hand"),
        ("faults of 1 % of 5.8 Mbit", "`torch.bernoulli`", "inject_vs_bernoulli"),
        ("", "PyTorchFI", "inject_vs_pytorchfi"),
        ("", "MRFI", "inject_vs_mrfi"),
        ("campaign on two processes", "one", "processes2_speedup"),
    ):
        yield f"| {work} | {peer} | {_times(found[key])} |"
    yield (
        f"| {found['campaign_trials']:,} trials of the MLP, 20 rates "
        f"| torch tuned by hand, extrapolated: ~{found['torch_campaign_minutes']:.0f} min "
        f"| ~{found['campaign_minutes']:.1f} min |"
    )
    yield (
        f"| the same until {half} %, as its widest interval | "
        f"| ~{found['campaign_stop_rule_minutes']:.2f} min |"
    )
    yield (
        f"| injected bits against the request, {found['unbiased_pairs']} models at a rate | "
        f"| largest z {found['unbiased_max_abs_z']:.1f} |"
    )
    yield (
        f"| scores that differ under the peers' own flips | torch, PyTorchFI, MRFI "
        f"| **{found['scores_different']}** of {found['scores_compared']:,} |"
    )
    yield ""
    yield "`make bench-campaign`; [what is measured](docs/bench.md)."


def _times(ratio: float | None) -> str:
    return (
        "not measured" if ratio is None else f"~{ratio:,.0f} x" if ratio > 5 else f"~{ratio:.2f} x"
    )


def hardware(results: Path) -> Iterable[str]:
    """Two bitstreams in short."""
    yield (
        "| place-and-route estimate | network | LUT4 | logic cells | block RAM | Fmax median, best "
        "| clock met | cycles/image | images/s | of the weight-bandwidth bound |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for board in BOARDS:
        found = read(results / f"synth-{board}.json", f"make synth BOARD={board}")
        used = found["utilisation"]
        yield (
            f"| `{board}` | `{found['network']}` | {used['lut4']:,} "
            f"| {used['logic_cells']:,} of {used['logic_cells_available']:,} "
            f"| {used['block_rams']} of {used['block_rams_available']} "
            f"| {found['fmax_mhz_median']:.1f}, {found['fmax_mhz_best']:.1f} MHz "
            f"| {found['clock_mhz_asked']:g} MHz | {found['cycles_per_image']:,} "
            f"| {found['images_per_s_at_clock']:,} | {100 * found['bandwidth_share']:.0f} % |"
        )
    yield ""
    yield (
        "`make synth BOARD=...`; estimates of nextpnr, not silicon. The bound: all block memories "
        "read in every cycle; weights of the uint8 layer are read once for each of 8 bit planes."
    )


def builds(results: Path) -> Iterable[str]:
    """The bitstreams of the boards, as hw/README.md shows them."""
    found = [read(results / f"synth-{b}.json", f"make synth BOARD={b}") for b in BOARDS]

    def line(title: str, text: Callable[[dict[str, Any]], str]) -> str:
        return f"| {title} | {' | '.join(text(build) for build in found)} |"

    def used(build: dict[str, Any], key: str) -> str:
        return f"{build['utilisation'][key]:,}"

    yield line("", lambda f: f"`{f['network']}` on {f['board']}")
    yield "|---" * (1 + len(found)) + "|"
    yield line(
        "folding, SIMD x PE",
        lambda f: ", ".join(f"{x['simd']}x{x['pe']}" for x in f["core"]["layout"]["folds"]),
    )
    yield line(
        "LUT4 / logic cells",
        lambda f: (
            f"{used(f, 'lut4')} / {used(f, 'logic_cells')} of {used(f, 'logic_cells_available')}"
        ),
    )
    yield line("flip-flops", lambda f: used(f, "flops"))
    yield line(
        "block memories",
        lambda f: f"{used(f, 'block_rams')} of {used(f, 'block_rams_available')}",
    )
    yield line(
        "cells, memories predicted",
        lambda f: f"{f['cells_predicted']:,}, {f['block_rams_predicted']}",
    )
    yield line(
        "clock asked",
        lambda f: (
            f"{f['clock_mhz_asked']:g} MHz, met on {f['seeds_that_met_timing']} of "
            f"{len(f['seeds'])} seeds"
        ),
    )
    yield line(
        "Fmax, each seed", lambda f: ", ".join(f"{r['fmax_mhz']:.1f}" for r in f["routes"]) + " MHz"
    )
    yield line("Fmax, median", lambda f: f"{f['fmax_mhz_median']:.1f} MHz")
    yield line("cycles per image", lambda f: f"{f['cycles_per_image']:,}")
    yield line("images/s at the clock asked", lambda f: f"{f['images_per_s_at_clock']:,}")
    yield line(
        "share of the weight-bandwidth bound", lambda f: f"{100 * f['bandwidth_share']:.1f} %"
    )


def planner(results: Path) -> Iterable[str]:
    """The folding planner beside the packer and the simulation, as hw/README.md shows them."""
    found = read(results / "planner.json", "make planner")
    yield (
        "| board | network, input | folding, SIMD x PE | cells packed, predicted "
        "| block memories packed, predicted | cycles simulated, predicted |"
    )
    yield "|---" * 6 + "|"
    for row in found["rows"]:
        folds = ", ".join(f"{simd}x{pe}" for simd, pe in row["folds"])
        yield (
            f"| {row['board']} | {row['network']}, {row['input']} | {folds} "
            f"| {row['cells_packed']:,}, {row['cells_predicted']:,} ({row['cells_error']:+.1%}) "
            f"| {row['block_rams_packed']}, {row['block_rams_predicted']} "
            f"| {row['cycles_simulated']:g}, {row['cycles_predicted']} |"
        )
    yield ""
    yield (
        f"At worst {found['worst_cells_error']:.1%} of the cells; {found['block_rams_wrong']} "
        f"counts of block memories and {found['cycles_wrong']} of cycles wrong. `make planner`"
    )
