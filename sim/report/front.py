"""Protections: accuracy against stored-bit overhead, and which of them nothing else beats."""

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import front_figure
from .html import Raw, percent, table
from .parts import drawn, missing, note, section, what_was_run
from .results import Results, reading

Points = Sequence[Mapping[str, Any]]


def front(points: Points) -> list[Mapping[str, Any]]:
    """The points that no other beats, by overhead: more accurate than all that cost no more.

    Args:
        points: with `overhead` (share of the network's stored bits) and `mean`.
    """
    found: list[Mapping[str, Any]] = []
    for p in sorted(points, key=lambda p: (p["overhead"], -p["mean"])):
        if not found or p["mean"] > found[-1]["mean"]:
            found.append(p)
    return found


def by_condition(points: Points) -> dict[str, list[Mapping[str, Any]]]:
    """Points with errors, by network and condition, in order of appearance."""
    with_errors = [p for p in points if p["p01"] or p["p10"]]
    networks = {p["network"] for p in with_errors}
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for p in with_errors:
        name = p["condition"] if len(networks) == 1 else f"{p['network']}, {p['condition']}"
        if p.get("provisional"):
            name += " (provisional)"
        groups.setdefault(name, []).append(p)
    return groups


def protections(results: Results) -> Raw:
    """The section."""
    found = results.one("protections")
    if found is None:
        return section("Protections", missing("comparison of protections", "make protections"))
    with reading(found) as values:
        groups = by_condition(values["points"])
        best = {id(p) for own in groups.values() for p in front(own)}
        rows = [
            {
                "network": p["network"],
                "errors": p["condition"],
                "protection": p["protection"],
                "overhead %": f"{100 * p['overhead']:.2f}",
                "mean": percent(p["mean"]),
                "95 % low": percent(p["low"]),
                "95 % high": percent(p["high"]),
                "on the front": "yes" if id(p) in best else "",
            }
            for own in groups.values()
            for p in own
        ]
        title = "Accuracy against stored-bit overhead, a panel for each error condition"
        return section(
            "Protections",
            drawn(
                front_figure({n: (own, front(own)) for n, own in groups.items()}), "front", title
            ),
            note(
                "Filled: no other protection is as accurate at its overhead or less. Check bits, "
                "copies and flags are cells of the same memory and fail as it does."
            ),
            note(what_was_run(values)),
            table("Accuracy in percent over chips", rows),
        )
