"""One self-contained HTML page of all results that are there."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import container
from .accuracy import accuracy, confusion
from .agreement import agreement, memory
from .benches import benches
from .flow import flow_svg
from .front import protections
from .hardware import hardware, virtual
from .html import Raw, element, percent, short_hash, table
from .parts import note, section, seeds
from .results import Result, Results, read, reading
from .style import CSS
from .trace import traced

SUMMARY_RATES = (0.0, 0.001, 0.01, 0.033, 0.05, 0.10)


def write_report(folder: Path, output: Path) -> list[str]:
    """Write the page; gives what was missing, with the command that makes it.

    Raises:
        ArtefactError: no such folder, or a result file is damaged.
    """
    results = read(folder)
    container.write_whole(output, page(results).encode())
    return results.missing


def summary(results: Results) -> list[dict[str, str]]:
    """The results in a few rows, for a terminal; every network at its even error rates."""
    rows = []
    if found := results.one("campaign"):
        with reading(found) as values:
            for p in values["points"]:
                if p["p01"] == p["p10"] and p["ber"] in SUMMARY_RATES:
                    what = f"{p['network']}: accuracy at BER {100 * p['ber']:g} %"
                    rows.append({"what": what, "result": f"{percent(p['mean'])} %"})
    return rows + [{"what": what, "result": value} for value, what, _ in _counts(results)]


def page(results: Results) -> str:
    """The page as text."""
    parts = (
        _head(results),
        accuracy(results),
        confusion(results),
        protections(results),
        traced(results),
        memory(results),
        agreement(results),
        benches(results),
        hardware(results),
        virtual(results),
        _provenance(results),
    )
    body = element("main", *parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Stoic report</title><style>{CSS}</style></head><body>{body}</body></html>\n"
    )


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
    yield from _counts(results)


def _counts(results: Results) -> Iterable[tuple[str, str, str]]:
    counts = [r for part in ("agree", "virtual") for r in results.all(part)]
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
    for result in results.all("agree"):
        with reading(result) as values:
            names |= {c["device"] for c in values["comparisons"]}
    if results.one("virtual"):
        names.add("virtual")
    return {"virtual board" if name == "virtual" else name for name in names}


def _provenance(results: Results) -> Raw:
    rows = [_origin(result) for result in results.files]
    rest = [element("li", text) for text in results.missing]
    return section(
        "How to make each part again",
        table(f"Results in {results.folder}", rows) if rows else None,
        note("Not there yet:") if rest else None,
        element("ul", *rest, class_="missing") if rest else None,
        note(f"Page made by kit version {container.kit_version()}."),
    )


def _origin(result: Result) -> dict[str, Any]:
    values = result.values
    return {
        "file": result.path.name,
        "command": element("code", values["command"]) if "command" in values else None,
        "kit": values.get("kit_version"),
        "seeds": seeds(values.get("seeds")),
        "network": short_hash(values["network_sha256"]) if "network_sha256" in values else None,
        "file hash": short_hash(result.sha256),
    }
