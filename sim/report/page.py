"""One self-contained HTML page of all results that are there."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .. import container
from .. import faults as fault_maps
from ..exceptions import ArtefactError
from ..faults import FaultMap
from . import figures
from .flow import flow_svg
from .html import Raw, confusion_table, element, percent, short_hash, table
from .results import Result, Results, read, reading
from .style import CSS

log = logging.getLogger(__name__)

CLASS_NAMES = {
    "fashion-mnist": (
        *("T-shirt", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
}
"""Source: Xiao et al. 2017, arXiv 1708.07747, table 2."""
NOTE = "note"


def write_report(folder: Path, output: Path) -> list[str]:
    """Write the page; gives what was missing, with the command that makes it.

    Raises:
        ArtefactError: no such folder, or a result file is damaged.
    """
    results = read(folder)
    container.write_whole(output, page(results).encode())
    return results.missing


def page(results: Results) -> str:
    """The page as text."""
    parts = (
        _head(results),
        _accuracy(results),
        _confusion(results),
        _memory(results),
        _agreement(results),
        _hardware(results),
        _virtual(results),
        _provenance(results),
    )
    body = element("main", *parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Stoic report</title><style>{CSS}</style></head><body>{body}</body></html>\n"
    )


def _section(title: str, *inside: Raw | None) -> Raw:
    return element("section", element("h2", title), *(part for part in inside if part))


def _missing(what: str, command: str) -> Raw:
    return element("p", f"No {what} yet: ", element("code", command), class_="missing")


def _head(results: Results) -> Raw:
    tiles = element("ul", *(_tile(*tile) for tile in _tiles(results)), class_="tiles")
    return element(
        "header",
        element("h1", "One network, one fault map, every world"),
        element(
            "p",
            "What the bits of a binarized network do in memory that lies, measured; and that every "
            "world, from numpy to the gates, gives the same integer scores.",
            class_="lead",
        ),
        tiles,
        flow_svg(_worlds(results)),
    )


def _tile(value: str, what: str, quality: str = "") -> Raw:
    return element("li", element("strong", value, class_=quality), element("span", what))


def _tiles(results: Results) -> Iterable[tuple[str, str, str]]:
    if found := results.one("campaign"):
        with reading(found) as values:
            points = values["points"]
            first = [p for p in points if p["network"] == points[0]["network"]] if points else []
            even = sorted((p for p in first if p["p01"] == p["p10"]), key=lambda p: p["ber"])
            for point in dict.fromkeys((0, -1)) if even else ():
                p = even[point]
                yield f"{percent(p['mean'])} %", f"accuracy at BER {100 * p['ber']:g} %", ""
    counts = [r for part in ("agree", "cosim", "virtual") for r in results.all(part)]
    if counts:
        wrong = compared = caught = mutants = 0
        for result in counts:
            with reading(result) as values:
                wrong += sum(c["n_mismatches"] for c in values["comparisons"])
                compared += sum(c["n_scores"] for c in values["comparisons"])
                caught += sum(m["is_caught"] for m in values["mutants"])
                mutants += len(values["mutants"])
        yield f"{wrong:,}", f"of {compared:,} scores differ", "bad" if wrong else "good"
        quality = "good" if caught == mutants else "bad"
        yield f"{caught} of {mutants}", "mutants caught by the same check", quality
    for result in results.all("synth"):
        with reading(result) as values:
            fmax = f"{values['fmax_mhz_best']:.0f} MHz"
            rate = f"{values['images_per_s_at_clock']:,} images/s"
            yield fmax, f"{values['board']}, {rate} at its clock ({values['label']})", ""


def _worlds(results: Results) -> set[str]:
    names = {"golden"} if results.one("agree") else set()
    for part in ("agree", "cosim"):
        for result in results.all(part):
            with reading(result) as values:
                names |= {c["device"] for c in values["comparisons"]}
    if results.one("virtual"):
        names.add("virtual")
    return {"virtual board" if name == "virtual" else name for name in names}


def _accuracy(results: Results) -> Raw:
    parts: list[Raw | None] = []
    if found := results.one("campaign"):
        with reading(found) as values:
            title = "Accuracy over bit error rate, one line a network"
            figure = figures.accuracy_figure(values["points"])
            parts += [
                _drawn(figure, "accuracy", title),
                element("p", _what_was_run(values), class_=NOTE),
                table("Accuracy in percent over chips", map(_point_row, values["points"])),
            ]
    else:
        parts.append(_missing("campaign", "make campaign"))
    if trained := results.one("train"):
        with reading(trained) as values:
            parts.append(_training(values))
    else:
        parts.append(_missing("table of the trained networks", "make train"))
    return _section("Accuracy over bit error rate", *parts)


def _what_was_run(values: Mapping[str, Any]) -> str:
    methods = sorted({p["method"] for p in values["points"]})
    return (
        f"{values['n_rows']} runs of {values['n_images']:,} images of {values['images']} on "
        f"{values['device']}; faults in all weight memories; seeds {values['seeds']}. The "
        f"same chips are drawn at every rate, and their faults nest. "
        f"Intervals: 95 %, {'; '.join(methods)}."
    )


def _point_row(point: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "network": point["network"],
        "p01 %": f"{100 * point['p01']:g}",
        "p10 %": f"{100 * point['p10']:g}",
        "chips": point["n_chips"],
        "mean": percent(point["mean"]),
        "95 % low": percent(point["low"]),
        "95 % high": percent(point["high"]),
        "std": percent(point["std"]),
        "5 % quantile": percent(point["q05"]),
        "worst": percent(point["minimum"]),
    }


def _training(values: Mapping[str, Any]) -> Raw:
    rows = []
    for model in values["models"]:
        cost, differs = model["training"], model["float_disagreements"]
        rates = {
            f"BER {100 * p['ber']:g} %": f"{p['accuracy_percent']:.2f}" for p in model["points"]
        }
        rows.append(
            {
                "network": model["name"],
                **rates,
                "weight bits": model["n_weight_bits"],
                "training, CPU s": None if cost is None else cost["cpu_s"],
                "images that float batch norm scores otherwise": differs["n_images_different"],
            }
        )
    title = (
        f"The trained networks, frozen to exact integers: accuracy in percent on "
        f"{values['n_images']:,} images, mean of {values['n_chips']} chips"
    )
    return table(title, rows)


def _confusion(results: Results) -> Raw:
    found = results.one("campaign")
    if found is None:
        return _section("Confusion", _missing("campaign", "make campaign"))
    with reading(found) as values:
        names = CLASS_NAMES.get(values["images"].split("/")[0])
        tables = []
        for c in values["confusions"]:
            title = f"{c['network']}, BER {100 * c['ber']:g} %, {c['n_images']:,} images"
            labels = names or [""] * len(c["matrix"])
            tables.append(confusion_table(title, c["matrix"], labels))
        note = "Percent of the images of each true class (row) that were given each class (column)."
        return _section(
            "Confusion, without errors and at the highest rate",
            element("p", note, class_=NOTE),
            element("div", *tables, class_="pair"),
        )


def _memory(results: Results) -> Raw:
    title = "Where the faults sat in memory"
    faults, path = _worst_map(results)
    if faults is None:
        return _section(title, _missing("fault map beside its comparison", "make agree"))
    p = faults.provenance
    about = ", ".join(f"{k} {p[k]}" for k in ("model", "p01", "p10", "seed", "chip") if k in p)
    return _section(
        title,
        element(
            "p",
            f"{path}: {about}. Every row is a bank, as the datapath reads it; on the left by "
            "address, on the right by bit of the word. Darker is more faulty cells.",
            class_=NOTE,
        ),
        _drawn(figures.memory_figure(faults), "memory", "Faulty cells by bank, address and bit"),
        element("p", "Fault map ", short_hash(faults.sha256), class_=NOTE),
    )


def _worst_map(results: Results) -> tuple[FaultMap | None, str]:
    """The map with most faults whose file is still what its comparison says."""
    for part in ("agree", "virtual", "cosim"):
        for result in results.all(part):
            with reading(result) as values:
                for row in sorted(values["maps"], key=lambda m: -m["n_faults"]):
                    if row["path"] is None:
                        continue
                    try:
                        faults = fault_maps.load(Path(row["path"]))
                    except ArtefactError as error:
                        log.warning("%s", error)
                        continue
                    if faults.sha256 == row["map"]:
                        return faults, row["path"]
    return None, ""


def _agreement(results: Results) -> Raw:
    found = [r for part in ("agree", "cosim", "virtual") for r in results.all(part)]
    parts: list[Raw] = [
        element(
            "p",
            "Every integer score is compared with the golden model's, under the same fault maps. "
            "Then each world is given mutants that are wrong in one threshold, one weight bit or "
            "one fault, and the same comparison has to notice.",
        )
    ]
    comparisons, mutants = [], []
    maps: dict[str, Any] = {}
    for result in found:
        with reading(result) as values:
            maps |= {m["map"]: m for m in values["maps"]}
            comparisons += [_comparison_row(c, maps) for c in values["comparisons"]]
            mutants += [_mutant_row(m) for m in values["mutants"]]
    if not found:
        parts.append(_missing("comparison", "make agree"))
    if comparisons:
        parts.append(table("Scores that differ from golden's", comparisons))
    if mutants:
        parts.append(table("Mutants", mutants))
    return _section("Agreement", *parts)


def _comparison_row(c: Mapping[str, Any], maps: Mapping[str, Any]) -> dict[str, Any]:
    p = maps[c["map_sha256"]]["provenance"]
    rates = f"p01 {p['p01']:g}, p10 {p['p10']:g}, chip {p['chip']}" if "p01" in p else "none"
    first = c["first_mismatch"]
    return {
        "world": c["device"],
        "faults": rates,
        "faulty cells": maps[c["map_sha256"]]["n_faults"],
        "images": c["n_images"],
        "scores": c["n_scores"],
        "differ": _count(c["n_mismatches"]),
        "first difference": None
        if first is None
        else f"image {first['image']}, class {first['class_index']}: {first['got']}, "
        f"must be {first['expected']}",
        "seconds": f"{c['seconds']:.2f}",
    }


def _count(n: int) -> Raw:
    return element("span", n, class_="bad" if n else "good")


def _mutant_row(m: Mapping[str, Any]) -> dict[str, Any]:
    caught = element("span", "caught", class_="good") if m["is_caught"] else None
    return {
        "world": m["device"],
        "wrong in": m["kind"],
        "where": m["where"],
        "given": m["how"],
        "images": m["n_images"],
        "scores that differ": m["n_mismatches"],
        "": caught or element("span", "escaped", class_="bad"),
    }


def _hardware(results: Results) -> Raw:
    parts: list[Raw] = []
    for result in results.all("synth"):
        with reading(result) as values:
            parts += _board(values)
    return _section("Hardware", *(parts or [_missing("bitstream", "make synth")]))


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
        element(
            "p", f"All figures of time are a {values['label']}; no board was measured.", class_=NOTE
        ),
        _drawn(figures.resource_figure(shares), f"resources-{name}", title),
        table(title, [{"what": k, "value": v} for k, v in facts.items()]),
        table(f"Seeds of place and route, {name}", seeds),
    ]


def _virtual(results: Results) -> Raw:
    title = "Virtual board"
    found = results.one("virtual")
    if found is None:
        return _section(title, _missing("virtual board", "make virtual"))
    with reading(found) as values:
        ran = values["campaign"]
        facts = {
            "network": values["network"],
            "board": values["board"],
            "build": values["build_id"],
            "words written and read back": values["n_words"],
            "words that read otherwise": _count(values["n_words_different"]),
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
            note = (
                f"{_what_was_run(ran)} {ran['n_rows_different']} rows differ from the engine's, "
                "score for score."
            )
            parts += [
                _drawn(
                    figures.accuracy_figure(ran["points"]),
                    "board-accuracy",
                    "Accuracy on the board",
                ),
                element("p", note, class_=NOTE),
                table(
                    "Accuracy in percent over chips, by the board", map(_point_row, ran["points"])
                ),
            ]
        return _section(title, *parts)


def _provenance(results: Results) -> Raw:
    rows = [_origin(result) for result in results.files]
    rest = [element("li", text) for text in results.missing]
    return _section(
        "How to make each part again",
        table(f"Results in {results.folder}", rows) if rows else None,
        element("p", "Not there yet:", class_=NOTE) if rest else None,
        element("ul", *rest, class_="missing") if rest else None,
        element("p", f"Page made by kit version {container.kit_version()}.", class_=NOTE),
    )


def _origin(result: Result) -> dict[str, Any]:
    values = result.values
    return {
        "file": result.path.name,
        "command": element("code", values["command"]) if "command" in values else None,
        "kit": values.get("kit_version"),
        "seeds": str(values.get("seeds", "–")),
        "network": short_hash(values["network_sha256"]) if "network_sha256" in values else None,
        "file hash": short_hash(result.sha256),
    }


def _drawn(figure: Figure, name: str, title: str) -> Raw:
    return Raw(figures.inline_svg(figure, name, title))
