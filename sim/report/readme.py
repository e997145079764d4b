"""The numbers of README.md: made from the result files, never typed.

`python -m stoic.sim.report.readme README.md [--results DIR] [--write]` compares the block between
its marks with what the result files give, and ends with status 1 when they differ. A number after
`~` was timed on a noisy machine; it may differ by a factor of 1.5. Only `--write` changes the file.
The pages of studies (docs/studies beside the README) are compared too, where there is a result.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..exceptions import ArtefactError, StoicError
from . import study

BEGIN, END = "<!-- results: made by `make readme` -->", "<!-- end of results -->"
NOISE = 1.5
RATES = (0.0, 0.001, 0.01, 0.033, 0.05, 0.10)
BOARDS = ("ulx3s-25f", "icebreaker")
_TIMED = re.compile(r"~([\d,.]*\d)")


def block(results: Path) -> str:
    """The tables of the README.

    Raises:
        ArtefactError: a result file is missing or damaged; the message names the command.
    """
    parts = (_accuracy, _tolerant, _exactness, _beside, _hardware)
    return "\n\n".join("\n".join(part(results)) for part in parts)


def _read(path: Path, command: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: {error}; {command} makes it") from error
    return dict(values)


def _accuracy(results: Path) -> Iterable[str]:
    found = _read(results / "campaign.json", "make campaign")
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


def _tolerant(results: Path) -> Iterable[str]:
    found = _read(results / "study_best.json", "make study STUDY=best")
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


def _exactness(results: Path) -> Iterable[str]:
    agree = _read(results / "agree.json", "make agree")
    virtual = _read(results / "virtual.json", "make virtual")
    cosim = _read(results / "cosim.json", "make cosim")
    engine = _read(results / "bench_engine.json", "make bench-engine")
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


def _beside(results: Path) -> Iterable[str]:
    found = _read(results / "bench_campaign.json", "make bench-campaign")
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


def _hardware(results: Path) -> Iterable[str]:
    yield (
        "| place-and-route estimate | network | LUT4 | logic cells | block RAM | Fmax median, best "
        "| clock met | cycles/image | images/s | of the weight-bandwidth bound |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for board in BOARDS:
        found = _read(results / f"synth-{board}.json", f"make synth BOARD={board}")
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


def difference(old: str, new: str) -> str:
    """The first line in which two blocks differ, timed numbers aside, or ""."""
    before, after = old.splitlines(), new.splitlines()
    for have, want in zip(before, after, strict=False):
        if _TIMED.sub("~", have) != _TIMED.sub("~", want):
            return f"has {have!r}, results give {want!r}"
        for a, b in zip(_TIMED.findall(have), _TIMED.findall(want), strict=True):
            x, y = (float(number.replace(",", "")) for number in (a, b))
            if not y / NOISE <= x <= y * NOISE:
                return f"has ~{a} in {have!r}, results give {b}"
    return "" if len(before) == len(after) else f"has {len(before)} lines, results {len(after)}"


def check(readme: Path, results: Path, *, write: bool) -> str:
    """What differs, "" for nothing; with `write` the README is changed to what results give.

    Raises:
        ArtefactError: a result file is missing, or the README has no marks.
    """
    text = readme.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ArtefactError(f"{readme}: needs the marks {BEGIN!r} and {END!r}")
    new = block(results)
    found = difference(old.strip(), new)
    if write:
        readme.write_text(f"{head}{BEGIN}\n{new}\n{END}{tail}", encoding="utf-8")
        return ""
    return found


def pages(results: Path, folder: Path, *, write: bool) -> str:
    """The first page of a study that is not what its result gives, "" for none."""
    for path in sorted(results.glob("study_*.json")):
        found = _read(path, "make study")
        page = folder / f"{found['study']}.md"
        if write:
            study.write_page(found, folder)
        elif not page.is_file() or page.read_text(encoding="utf-8") != study.text(found) + "\n":
            return f"{page} differs from {path}"
    return ""


def main() -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("readme", type=Path)
    parser.add_argument("--results", type=Path, default=Path("build/results"))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    try:
        differs = check(given.readme, given.results, write=given.write)
        found = f"{given.readme} {differs}" if differs else ""
        found = found or pages(
            given.results, given.readme.parent / "docs" / "studies", write=given.write
        )
    except KeyError as error:
        print(f"readme: a result file lacks {error}; make it again", file=sys.stderr)
        return 2
    except (StoicError, OSError) as error:
        print(f"readme: {error}", file=sys.stderr)
        return 2
    if found:
        print(f"{found}; run make readme", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
