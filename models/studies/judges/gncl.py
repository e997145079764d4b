"""Judges `gncl`: diversity against lambda, who profits, and ensembles at equal memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..judgement import (
    CONFIRMED,
    PARTLY,
    REFUTED,
    Finding,
    Judgement,
    Line,
    Plot,
    Table,
)
from ..summary import Mean, Row, area, mean_of

IMAGES = "fashion-mnist"
_KINDS = {"float": "float", "binary_weight": "binary weights", "binary": "fully binary"}
_EXPLODES = 10.0
"""Least ratio of the diversity at lambda 1 to that at the lambda below. The authors' figure has two
to three orders of magnitude; ten is already no step of a smooth curve."""
_SAME = 0.01
"""Differences of accuracy below this are none."""


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.ensembles.study.run`.
        measure: its plan.
    """
    equal = [row for row in rows if row["rates"]]
    images = [row for row in rows if row["data"] == IMAGES and not row["rates"]]
    tables = [row for row in rows if row["data"] in measure["tables"]]
    findings = (
        _grows(images, measure),
        _explodes(images, measure),
        _profits(images, measure),
        _forms(images, measure),
        _on_tables(tables, measure),
        *(_at_equal_memory(equal, p_max) for p_max in (0.0, measure["p_max"])),
        _averages_faults(equal),
    )
    return Judgement(
        findings,
        (
            _lambda_table(images, measure),
            _size_table(images, measure),
            _way_table(images, measure),
            *(_equal_table(equal, p_max) for p_max in (0.0, measure["p_max"])),
            _fault_table(equal),
            _few_table(rows, measure, "tables", "KEEL's tables, balanced accuracy in %"),
            _few_table(rows, measure, "colour", "CIFAR-10, accuracy in %"),
        ),
        (
            _lambda_plot(images, measure, "accuracy", "accuracy of the ensemble, %", 100),
            _lambda_plot(images, measure, "diversity", "diversity, nats", 1),
            *(_equal_plot(equal, p_max) for p_max in (0.0, measure["p_max"])),
        ),
    )


# ---- choosing rows ----


def _of(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[k] == v for k, v in wanted.items())]


def _main(rows: Sequence[Row], measure: Mapping[str, Any], kind: str, lam: float) -> list[Row]:
    return _of(rows, kind=kind, n_members=measure["n_main"], way="upper", lam=lam)


def _split(name: str) -> Callable[[Row], float]:
    return lambda row: float(row["split"][name])


def _accuracy(row: Row) -> float:
    return float(row["accuracy"])


def _balanced(row: Row) -> float:
    return float(row["balanced_accuracy"])


def _gain(better: Sequence[Row], worse: Sequence[Row], of: Callable[[Row], float]) -> Mean:
    """Mean difference of rows of equal seed and data."""
    place = {(row["data"], row["seed"]): of(row) for row in worse}
    return mean_of(of(row) - place[row["data"], row["seed"]] for row in better)


def _is_sure(gain: Mean) -> bool:
    return gain.half is not None and gain.value > gain.half


def _number(mean: Mean) -> str:
    half = "" if mean.half is None else f" ± {mean.half:.2g}"
    return f"{mean.value:.3g}{half}"


# ---- the claims on members ----


def _grows(rows: Sequence[Row], measure: Mapping[str, Any]) -> Finding:
    """Of each seed, diversity at every lambda is above that at the one before."""
    parts, grows = [], []
    for kind, name in _KINDS.items():
        curves: dict[int, list[float]] = {}
        for lam in measure["lambdas"]:
            for row in _main(rows, measure, kind, lam):
                curves.setdefault(row["seed"], []).append(_split("diversity")(row))
        grows += [all(np.diff(curve) > 0) for curve in curves.values()]
        means = [_number(mean_of(values)) for values in zip(*curves.values(), strict=True)]
        parts.append(f"{name} {', '.join(means)}")
    lambdas = ", ".join(f"{lam:g}" for lam in measure["lambdas"])
    return Finding(
        "Diversity grows with lambda (Buschjaeger et al.)",
        f"{measure['n_main']} members, lambda {lambdas}: {'; '.join(parts)}; in "
        f"{sum(grows)} of {len(grows)} trainings at every step",
        CONFIRMED if all(grows) else PARTLY if any(grows) else REFUTED,
    )


def _explodes(rows: Sequence[Row], measure: Mapping[str, Any]) -> Finding:
    before, last = measure["lambdas"][-2:]
    parts, explodes = [], []
    for kind, name in _KINDS.items():
        first = {row["seed"]: row for row in _main(rows, measure, kind, before)}
        ends = _main(rows, measure, kind, last)
        diversity, alone = _split("diversity"), _split("member_accuracy")
        ratio = mean_of(diversity(row) / diversity(first[row["seed"]]) for row in ends)
        falls = mean_of(alone(row) - alone(first[row["seed"]]) for row in ends)
        explodes.append(ratio.value - (ratio.half or 0) > _EXPLODES)
        parts.append(
            f"{name} {_number(ratio)} times, members {falls.percent(1)} points of accuracy"
        )
    return Finding(
        f"It explodes when members are trained end to end: more than {_EXPLODES:g} times the "
        f"diversity at lambda {before:g} (Buschjaeger et al.)",
        "; ".join(parts),
        CONFIRMED if all(explodes) else PARTLY if any(explodes) else REFUTED,
    )


def _profits(rows: Sequence[Row], measure: Mapping[str, Any]) -> Finding:
    best, parts, alone = {}, [], {}
    for kind, name in _KINDS.items():
        by_lambda = {lam: _main(rows, measure, kind, lam) for lam in measure["lambdas"]}
        gains = {lam: _gain(of, by_lambda[0.0], _accuracy) for lam, of in by_lambda.items()}
        lam = max(gains, key=lambda lam: gains[lam].value)
        best[kind] = lam, gains[lam]
        alone[kind] = mean_of(map(_accuracy, _of(rows, kind=kind, n_members=1))).value
        parts.append(
            f"{name} (alone {100 * alone[kind]:.1f} %): best lambda {lam:g}, "
            f"{gains[lam].percent()} points over 0; at 1 {gains[1.0].percent()}"
        )
    weak, strong = min(alone, key=lambda k: alone[k]), max(alone, key=lambda k: alone[k])
    gains_much = _is_sure(best[weak][1]) and best[weak][0] >= 0.5
    return Finding(
        "Weak members profit from a large lambda, strong ones from a smaller one "
        "(Buschjaeger et al.)",
        "; ".join(parts),
        CONFIRMED
        if gains_much and best[strong][0] < best[weak][0]
        else PARTLY
        if gains_much
        else REFUTED,
    )


def _forms(rows: Sequence[Row], measure: Mapping[str, Any]) -> Finding:
    parts, same, differs = [], [], []
    for kind, name in _KINDS.items():
        for lam in measure["few_lambdas"]:
            exact = _of(rows, kind=kind, way="exact", lam=lam)
            if not exact:
                continue
            gap = _gain(exact, _main(rows, measure, kind, lam), _accuracy)
            half = gap.half or 0.0
            same.append(abs(gap.value) + half < _SAME)
            differs.append(abs(gap.value) > max(half, _SAME))
            parts.append(f"{name} at {lam:g}: {gap.percent()}")
    return Finding(
        "The exact objective and its upper bound do not differ in accuracy (the authors' notes)",
        f"cross entropy, points of exact over upper: {'; '.join(parts)}. For squared error the two "
        "are one function (tests)",
        CONFIRMED if all(same) else REFUTED if any(differs) else PARTLY,
    )


def _on_tables(rows: Sequence[Row], measure: Mapping[str, Any]) -> Finding:
    parts, sure = [], []
    for kind, name in _KINDS.items():
        one = _of(rows, kind=kind, n_members=1)
        gains = {
            lam: _gain(_main(rows, measure, kind, lam), one, _balanced)
            for lam in measure["few_lambdas"]
        }
        sure.append(any(map(_is_sure, gains.values())))
        text = ", ".join(f"{gain.percent(1)} at {lam:g}" for lam, gain in gains.items())
        parts.append(f"{name} {text}")
    return Finding(
        f"On KEEL's tables {measure['n_main']} small members do better than one (ours)",
        f"points of balanced accuracy over one member, tables and seeds together, by lambda: "
        f"{'; '.join(parts)}",
        CONFIRMED if all(sure) else PARTLY if any(sure) else REFUTED,
    )


# ---- the claims at equal memory ----


def _ensembles(rows: Sequence[Row], p_max: float) -> dict[str, list[Row]]:
    """Rows of equal memory by what they are; the wide network first."""
    found: dict[str, list[Row]] = {}
    for row in sorted(_of(rows, p_max=p_max), key=lambda r: (r["n_members"], r["lam"])):
        sizes = "-".join(map(str, row["hidden"]))
        n = row["n_members"]
        label = f"1 x {sizes}" if n == 1 else f"{n} x {sizes}, lambda {row['lam']:g}"
        found.setdefault(label, []).append(row)
    return found


def _at(rate: float) -> Callable[[Row], float]:
    return lambda row: float(np.mean(row["under_faults"][f"{rate:g}"]))


def _area(row: Row) -> float:
    return area(row, "under_faults")


def _at_equal_memory(rows: Sequence[Row], p_max: float) -> Finding:
    (_, wide), *others = _ensembles(rows, p_max).items()
    gains = {label: _gain(of, wide, _area) for label, of in others}
    best = max(gains, key=lambda label: gains[label].value)
    chosen = dict(others)[best]
    text = ", ".join(
        f"{_gain(chosen, wide, _at(rate)).percent()} at {100 * rate:g} %"
        for rate in (0.0, 0.05, 0.1, 0.2)
    )
    return Finding(
        "At equal stored bits one wide binary network keeps more accuracy, in the mean from 0 to "
        f"20 % bit errors, than any ensemble of small ones (ours): {_trained(p_max)}",
        f"the best ensemble, {best}, is {gains[best].percent()} points above the wide network in "
        f"the mean: {text}",
        REFUTED
        if any(map(_is_sure, gains.values()))
        else CONFIRMED
        if all(gain.half is not None and gain.value < -gain.half for gain in gains.values())
        else PARTLY,
    )


def _averages_faults(rows: Sequence[Row]) -> Finding:
    found: dict[int, list[float]] = {}
    for row in rows:
        for values in row["fault_split"].values():
            if row["n_members"] > 1:
                found.setdefault(row["n_members"], []).append(values["independence"])
    means = {n: mean_of(values) for n, values in found.items()}
    near = [abs(mean.value - 1) + (mean.half or 0) < 0.1 for mean in means.values()]
    text = "; ".join(f"{n} members {_number(mean)}" for n, mean in sorted(means.items()))
    return Finding(
        "Faults of members are independent: the variance they cause in the ensemble's output is "
        "1/M of that in a member's (ours)",
        f"fault variance of a member over M times that of the ensemble, all trainings: {text}",
        CONFIRMED if all(near) else PARTLY if any(near) else REFUTED,
    )


def _trained(p_max: float) -> str:
    return f"flips 0 to {100 * p_max:g} % in training" if p_max else "trained without flips"


# ---- tables and figures ----


def _lambda_table(rows: Sequence[Row], measure: Mapping[str, Any]) -> Table:
    lines = []
    for kind, name in _KINDS.items():
        for lam in measure["lambdas"]:
            of = _main(rows, measure, kind, lam)
            parts = ("ensemble_loss", "member_loss", "diversity", "remainder")
            lines.append(
                (
                    f"{name}, {lam:g}",
                    mean_of(map(_accuracy, of)).percent(),
                    mean_of(map(_split("member_accuracy"), of)).percent(),
                    *(_number(mean_of(map(_split(part), of))) for part in parts),
                )
            )
    return Table(
        f"Fashion-MNIST, {measure['n_main']} members by lambda: accuracy in %, and the loss of "
        "members = loss of the ensemble + diversity + remainder, in nats",
        ("members, lambda", "ensemble", "members", "its loss", "theirs", "diversity", "remainder"),
        tuple(lines),
    )


def _size_table(rows: Sequence[Row], measure: Mapping[str, Any]) -> Table:
    sizes = sorted({row["n_members"] for row in _of(rows, way="upper")})
    lines = []
    for kind, name in _KINDS.items():
        for lam in measure["end_lambdas"]:
            cells = []
            for n in sizes:
                of = _of(rows, kind=kind, n_members=n, way="upper", lam=0.0 if n == 1 else lam)
                members = mean_of(map(_split("member_accuracy"), of))
                cells.append(f"{mean_of(map(_accuracy, of)).percent()} ({members.percent(1)})")
            lines.append((f"{name}, {lam:g}", *cells))
    return Table(
        "Fashion-MNIST, accuracy in % by the number of members; in brackets the members' own mean",
        ("members, lambda", *map(str, sizes)),
        tuple(lines),
    )


def _way_table(rows: Sequence[Row], measure: Mapping[str, Any]) -> Table:
    ways: dict[str, dict[str, Any]] = {"independent": {"way": "upper", "lam": 0.0}}
    ways["end to end"] = {"way": "upper", "lam": 1.0}
    ways |= {f"exact, lambda {la:g}": {"way": "exact", "lam": la} for la in measure["few_lambdas"]}
    ways |= {way: {"way": way} for way in measure["baselines"]}
    n = measure["n_main"]
    lines = []
    for label, wanted in ways.items():
        cells = [_of(rows, kind=kind, n_members=n, **wanted) for kind in _KINDS]
        if all(cells):
            lines.append((label, *(mean_of(map(_accuracy, of)).percent() for of in cells)))
    return Table(
        f"Fashion-MNIST, accuracy in % of {n} members, by how they were trained; snapshot is one "
        "member of as many cycles, each of an epoch",
        ("training", *_KINDS.values()),
        tuple(lines),
    )


def _equal_table(rows: Sequence[Row], p_max: float) -> Table:
    groups = _ensembles(rows, p_max)
    rates = next(iter(groups.values()))[0]["rates"]
    return Table(
        f"Equal stored bits, accuracy in % over bit error rates: {_trained(p_max)}",
        ("network", "bits", *(f"{100 * rate:g} %" for rate in rates), "mean"),
        tuple(
            (
                label,
                f"{of[0]['n_weight_bits']:,}",
                *(mean_of(map(_at(rate), of)).percent() for rate in rates),
                mean_of(map(_area, of)).percent(),
            )
            for label, of in groups.items()
        ),
    )


def _fault_table(rows: Sequence[Row]) -> Table:
    rate = max(rows[0]["fault_split"], key=float)
    parts = ("mean_loss", "member_variance", "fault_variance", "ensemble_fault_variance")
    lines = []
    for p_max in sorted({row["p_max"] for row in rows}):
        for label, of in _ensembles(rows, p_max).items():
            means = [
                mean_of(row["fault_split"][rate][part] for row in of)
                for part in ("member_loss", *parts)
            ]
            lines.append((f"{label}, {_trained(p_max)}", *map(_number, means)))
    return Table(
        f"Where the loss of a member under faults comes from, {100 * float(rate):g} % bit errors, "
        "nats: mean over members and chips = loss of their mean output + variance between members "
        "+ between chips + remainder; and the variance between chips that is left in the ensemble",
        ("network", "member loss", "of the mean", "members", "faults", "faults, ensemble"),
        tuple(lines),
    )


def _few_table(rows: Sequence[Row], measure: Mapping[str, Any], sets: str, title: str) -> Table:
    """Balanced accuracy, which is accuracy where classes are equally frequent."""
    lines = []
    for data in measure[sets]:
        for kind, name in _KINDS.items():
            of = _of(rows, data=data)
            cells = [_of(of, kind=kind, n_members=1)]
            cells += [_main(of, measure, kind, lam) for lam in measure["few_lambdas"]]
            lines.append(
                (f"{data}, {name}", *(mean_of(map(_balanced, c)).percent(1) for c in cells))
            )
    lambdas = (f"{measure['n_main']}, lambda {lam:g}" for lam in measure["few_lambdas"])
    return Table(title, ("data, members", "one", *lambdas), tuple(lines))


def _lambda_plot(
    rows: Sequence[Row], measure: Mapping[str, Any], name: str, label: str, unit: float
) -> Plot:
    of = _accuracy if name == "accuracy" else _split(name)
    lines = []
    for kind, title in _KINDS.items():
        means = [mean_of(map(of, _main(rows, measure, kind, lam))) for lam in measure["lambdas"]]
        lines.append(_line(title, measure["lambdas"], means, unit))
    return Plot(name, f"Fashion-MNIST, {measure['n_main']} members", "lambda", label, tuple(lines))


def _equal_plot(rows: Sequence[Row], p_max: float) -> Plot:
    lines = []
    for label, of in _ensembles(rows, p_max).items():
        rates = of[0]["rates"]
        means = [mean_of(map(_at(rate), of)) for rate in rates]
        lines.append(_line(label, [100 * rate for rate in rates], means, 100))
    return Plot(
        "equal-flips" if p_max else "equal",
        f"Equal stored bits, {_trained(p_max)}",
        "bit error rate, %",
        "accuracy, %",
        tuple(lines),
    )


def _line(label: str, x: Sequence[float], means: Sequence[Mean], unit: float) -> Line:
    halves = [m.half or 0.0 for m in means]
    pairs = list(zip(means, halves, strict=True))
    return Line(
        label,
        tuple(x),
        tuple(unit * m.value for m in means),
        tuple(unit * (m.value - h) for m, h in pairs),
        tuple(unit * (m.value + h) for m, h in pairs),
    )
