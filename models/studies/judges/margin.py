"""Judges `margin`: which way of training keeps most accuracy, and where one bit stands."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..judgement import (
    CONFIRMED,
    PARTLY,
    REFUTED,
    Finding,
    Judgement,
    Table,
    curve_plot,
    curve_table,
)
from ..summary import Mean, Row, accuracy, area, by_label, mean_of, over_seeds


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study."""
    by_net: dict[str, dict[str, list[Row]]] = {}
    for label, group in by_label(rows).items():
        net, way = label.split(", ", 1)
        by_net.setdefault(net, {})[way] = group
    findings = [
        found
        for net, ways in by_net.items()
        for found in (_hinge(net, ways), _randbet(net, ways), _kit(net, ways))
        if found
    ]
    shown = ("cross entropy", "cross entropy, flips 10%", "margin hinge 128", "kit")
    plots = tuple(
        curve_plot(
            f"{net}-{curve}",
            f"{net}, {what}",
            {way: group for way, group in ways.items() if way in shown},
            curve,
        )
        for net, ways in by_net.items()
        for curve, what in (
            ("fixed", "one table of thresholds"),
            ("tables", "a table for each rate"),
        )
    )
    tables = (
        curve_table("Accuracy in %, one table of thresholds, all layers lie", rows),
        curve_table("The same, the first layer spared", rows, "spared"),
        curve_table("Thresholds re-estimated at each rate", rows, "tables"),
        _stutz(rows),
    )
    return Judgement(tuple(findings), tables, plots)


def _paired(better: Sequence[Row], worse: Sequence[Row], rate: float) -> Mean:
    pairs = [(a, b) for a in better for b in worse if a["seed"] == b["seed"]]
    return mean_of(accuracy(a, rate) - accuracy(b, rate) for a, b in pairs)


def _hinge(net: str, of: Mapping[str, Sequence[Row]]) -> Finding:
    flips = {label: group for label, group in of.items() if "flips" in label}
    hinges = {label: group for label, group in of.items() if label.startswith("margin hinge")}
    plain = of["cross entropy"]

    def wide(group: Sequence[Row]) -> float:
        return mean_of(map(area, group)).value

    hinge, flip = (max(g.items(), key=lambda item: wide(item[1])) for g in (hinges, flips))
    text = "; ".join(
        f"at {100 * rate:g} % it is {from_flip.percent()} points from {flip[0]} and "
        f"{from_plain.percent()} from cross entropy"
        for rate in (0.0, 0.05, 0.1)
        for from_flip, from_plain in [[_paired(hinge[1], of, rate) for of in (flip[1], plain)]]
    )
    if wide(hinge[1]) > wide(flip[1]):
        verdict = CONFIRMED
    else:
        verdict = PARTLY if wide(hinge[1]) > wide(plain) else REFUTED
    return Finding(
        f"{net}: a margin without flips tolerates more than flip training (Buschjaeger et al.)",
        f"{hinge[0]}: {text}",
        verdict,
    )


def _randbet(net: str, of: Mapping[str, Sequence[Row]]) -> Finding | None:
    if "RandBET 10%" not in of:
        return None
    randbet, flips = of["RandBET 10%"], of["cross entropy, flips 10%"]
    gains = {rate: _paired(randbet, flips, rate) for rate in (0.0, 0.05, 0.1)}
    text = ", ".join(f"{gain.percent()} points at {100 * rate:g} %" for rate, gain in gains.items())
    clean = gains[0.0]
    is_sure = clean.half is not None and clean.value > clean.half  # one seed proves nothing
    return Finding(
        f"{net}: half of the loss on true weights (RandBET) keeps clean accuracy that flips lose",
        f"against flips at 10 % alone, {clean.n} pairs of equal seed: {text}",
        REFUTED if clean.value <= 0.005 else CONFIRMED if is_sure else PARTLY,
    )


def _kit(net: str, of: Mapping[str, Sequence[Row]]) -> Finding:
    wide = {label: mean_of(map(area, group)) for label, group in of.items()}
    kit, best = wide["kit"], max(wide.keys() - {"kit"}, key=lambda label: wide[label].value)
    gap = kit.value - wide[best].value
    halves = kit.half, wide[best].half
    is_sure = None not in halves and abs(gap) > sum(half or 0.0 for half in halves)
    clean = over_seeds(of["cross entropy"], 0.0)
    text = ", ".join(
        f"{100 * (clean.value - over_seeds(of['kit'], rate).value):.2f} at {100 * rate:g} %"
        for rate in (0.0, 0.05, 0.1)
    )
    return Finding(
        f"{net}: margin, uniform rates and running batch norm together are best (ours)",
        f"mean accuracy from 0 to 20 %: kit {kit.percent()} %; best of the others, {best}: "
        f"{wide[best].percent()} %; points below the clean accuracy of cross entropy: {text}",
        PARTLY if not is_sure else CONFIRMED if gap > 0 else REFUTED,
    )


def _stutz(rows: Sequence[Row]) -> Table:
    """Test error, as their tables have it, beside bits a weight; rows of one bit are ours."""
    rates = (0.0, 0.001, 0.01, 0.05, 0.1)
    return Table(
        "Test error in % as Stutz et al. tabulate it, extended by rows of one bit a weight (their "
        "networks and data differ: MNIST, 2 bits, 10 %: 0.94 %)",
        ("1 bit, Fashion-MNIST", *(f"{100 * rate:g} %" for rate in rates)),
        tuple(
            (label, *(_error(group, rate) for rate in rates))
            for label, group in by_label(rows).items()
        ),
    )


def _error(group: Sequence[Row], rate: float) -> str:
    return mean_of(1 - accuracy(row, rate) for row in group).percent()
